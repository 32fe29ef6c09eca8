package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"seqrec/internal/event"
)

// Secret belongs to one store and is made at random when the store is. It signs page cursors, so that only cursors of
// this store are taken, and keys the hash of erased users, so that a receipt cannot be turned back into an id by trying
// ids. Servers that share a store share its secret.
type Secret [32]byte

// cursorVersion is the first byte of a cursor.
const cursorVersion = 1

// macSize is the length of the signature of a cursor in bytes.
const macSize = 12

// UserHash returns the hex HMAC-SHA-256 of a user id, as receipts carry it.
func (s *Secret) UserHash(user event.UserID) string {
	return hex.EncodeToString(s.sum("user", string(user)))
}

// Cursor returns the opaque page cursor that stands just before (older than) the event last, for the user of that event
// and the kind asked for by the page.
func (s *Secret) Cursor(last event.Event, kind event.Kind) string {
	p := binary.AppendUvarint([]byte{cursorVersion}, uint64(last.Time))
	p = append(p, last.Item...)
	p = append(p, 0)
	p = append(p, last.Kind...)
	mac := s.sum("cursor", string(last.User), string(kind), string(p))
	return base64.RawURLEncoding.EncodeToString(append(p, mac[:macSize]...))
}

// ParseCursor returns the event that a cursor stands just before. Errors: ErrCursor.
func (s *Secret) ParseCursor(cursor string, user event.UserID, kind event.Kind) (event.Event, error) {
	bad := func(why string) (event.Event, error) { return event.Event{}, fmt.Errorf("%w: %s", ErrCursor, why) }
	if len(cursor) > 1024 {
		return bad("too long")
	}
	p, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(p) <= 1+macSize {
		return bad("not in the form of a cursor")
	}
	p, mac := p[:len(p)-macSize], p[len(p)-macSize:]
	if !hmac.Equal(mac, s.sum("cursor", string(user), string(kind), string(p))[:macSize]) {
		return bad("not given out for this user and kind, or altered")
	}
	if p[0] != cursorVersion {
		return bad("of another version")
	}
	r := reader{data: p[1:]}
	at := event.Event{User: user, Time: int64(r.uvarint(uint64(event.MaxTime)))}
	item, itsKind, ok := strings.Cut(string(r.data), "\x00")
	if r.bad || !ok {
		return bad("not in the form of a cursor")
	}
	at.Item, at.Kind = event.ItemID(item), event.Kind(itsKind)
	return at, nil
}

// sum signs a purpose and some parts; ids hold no zero byte, so the parts cannot run into one another, except the last,
// which may hold anything.
func (s *Secret) sum(purpose string, parts ...string) []byte {
	h := hmac.New(sha256.New, s[:])
	h.Write([]byte(purpose))
	for _, p := range parts {
		h.Write([]byte{0})
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}
