package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"seqrec/internal/store"
)

// refusals are the first words of the errors of Redis, what they mean here, and how to mend them.
var refusals = []struct {
	word string
	is   error
	mend string
}{
	{"WRONGTYPE", store.ErrCorrupt, "another program uses our keys: give each its own prefix, or delete the key"},
	{"OOM", store.ErrFull, "memory limit reached: raise maxmemory, or lower cap or time to live (recsvc plan tells how much is needed)"},
	{"FULL", store.ErrFull, "4,294,967,295 names are taken: start a new store under another prefix"},
	{"READONLY", store.ErrReadOnly, "this is a replica: give the address of the primary, or the sentinels with master_name"},
	{"WRONGPASS", store.ErrDenied, "check username and password"},
	{"NOAUTH", store.ErrDenied, "set a password"},
	{"NOPERM", store.ErrDenied, "give the ACL user the rights that docs/format/redis.md lists"},
	{"ERR Client sent AUTH", store.ErrDenied, "the server has no password: leave it out"},
	{"ERR AUTH", store.ErrDenied, "the server has no password: leave it out"},
	{"ERR invalid password", store.ErrDenied, "check the password"},
	{"MISCONF", store.ErrReadOnly, "Redis cannot write to its disk: look at its log"},
	{"NOREPLICAS", store.ErrUnavailable, "too few replicas are connected (min-replicas-to-write)"},
	{"LOADING", store.ErrUnavailable, "Redis reads its data; this passes"},
	{"BUSY", store.ErrUnavailable, "a script of another program holds Redis up"},
	{"CLUSTERDOWN", store.ErrUnavailable, "part of the cluster is down"},
	{"TRYAGAIN", store.ErrUnavailable, "slots are on the move; this passes"},
	{"MASTERDOWN", store.ErrUnavailable, "the replica has lost its primary"},
	{"ERR max number of clients", store.ErrUnavailable, "raise maxclients, or lower pool sizes"},
	{"ERR This instance has cluster support disabled", store.ErrInvalid, "unset cluster: this is no Redis Cluster"},
	{"MOVED", store.ErrInvalid, "set cluster: this is a node of a Redis Cluster"},
	{"CROSSSLOT", store.ErrInvalid, "a proxy in between is not supported"},
}

// classify marks an error of the client with the error of ours that says what it means; ctx is the one of the caller. What
// carries an error of ours already stays as it is.
func classify(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, store.ErrCorrupt) || store.Reason(err) != "other" && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return err
	}
	if ctx.Err() != nil { // the caller's own impatience
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	text := err.Error()
	for _, r := range refusals {
		if strings.HasPrefix(text, r.word) || strings.Contains(text, ": "+r.word) {
			return fmt.Errorf("%w: %s: %w", r.is, r.mend, err)
		}
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return fmt.Errorf("%w: the server's certificate is not trusted: check its names and the authorities: %w", store.ErrDenied, err)
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted) || strings.Contains(text, "redis: ") {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

// foreign marks an error over what belongs to no user with store.ErrForeign, if it says that the bytes cannot be read.
func foreign(err error) error {
	var answer redis.Error
	wrong := errors.As(err, &answer) && strings.HasPrefix(answer.Error(), "WRONGTYPE")
	if wrong || errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNewerFormat) {
		return fmt.Errorf("%w: %w", store.ErrForeign, err)
	}
	return err
}

// exec sends a pipeline. Each command carries its own error; the one returned is about the connection, and no command
// has been answered.
func exec(ctx context.Context, p redis.Pipeliner) error {
	cmds, err := p.Exec(ctx)
	for _, cmd := range cmds {
		if cmd.Err() != nil {
			return nil
		}
	}
	return err
}
