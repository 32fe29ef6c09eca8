package redisstore

import (
	"fmt"
	"net/url"
	"strings"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// The key space; docs/format/redis.md draws it. What stands in braces decides the slot of a key in a cluster, so all parts
// of one user lie together. The escaped form of a user never is a bare "%", which is the tag of what belongs to no user.
//
//	P:{USER}      newest chunk of a user's history
//	P:{USER}:s    hash: sealed chunks by sealed key, and their revision
//	P:{USER}:x    moment of an erasure, for a while
//	P:{%}:m       meta record
//	P:{%}:i       hash: number of an item; P:{%}:I hash: item of a number
//	P:{%}:k, :K   the same for kinds
//	P:{%}:n       touched with every look at new names, so that replicas can be waited for
//	P:{%}:c       hash: items of the catalogue
//	P:{%}:e       hash: receipts of erasures
type keys struct{ prefix string }

// metaVersion is the version of the key space.
const metaVersion = 1

// revisionField is the field of the revision among sealed chunks, whose keys have 11 bytes at least.
const revisionField = "r"

// escaped is what may not stand in a hash tag as it is, and the mark of an escape.
const escaped = "%{}"

func (k keys) head(user event.UserID) string {
	name := string(user)
	if strings.ContainsAny(name, escaped) {
		name = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D").Replace(name)
	}
	return k.prefix + ":{" + name + "}"
}

// sealed returns the key of the sealed chunks that belong to a head.
func (k keys) sealed(head string) string { return head + ":s" }

// mark returns the key of the mark that an erasure leaves where the head was.
func (k keys) mark(head string) string { return head + ":x" }

// user returns the user of the key of a head. Errors: store.ErrCorrupt.
func (k keys) user(head string) (event.UserID, error) {
	name, ok := strings.CutPrefix(head, k.prefix+":{")
	name, closed := strings.CutSuffix(name, "}")
	if ok && closed && strings.Contains(name, "%") {
		var err error
		name, err = url.PathUnescape(name)
		ok = err == nil
	}
	user := event.UserID(name)
	if !ok || !closed || event.CheckID(name) != "" || k.head(user) != head {
		return "", fmt.Errorf("key %q is not of a user: %w", head, store.ErrCorrupt)
	}
	return user, nil
}

// heads is the pattern of SCAN that finds the heads of all users.
func (k keys) heads() string { return k.prefix + ":{*}" }

func (k keys) shared(part string) string { return k.prefix + ":{%}:" + part }
