package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"math"

	"seqrec/internal/event"
)

// Digest sums up what a store holds. Two stores with equal digests hold the same events and the same items, whatever
// their backends, their numbers for names and the order in which all of it arrived. Erasure receipts, and when a history
// was last touched, are no part of it.
type Digest struct {
	Users  int    `json:"users"`
	Events int    `json:"events"`
	Items  int    `json:"items"`
	Hash   string `json:"hash"` // hex, 32 bytes
}

// TakeDigest reads a whole store. What is written meanwhile may or may not be part of the digest. fn, if not nil, hears
// of every history, sorted, and may export it; its error ends the reading.
func TakeDigest(ctx context.Context, s Store, fn func([]event.Event) error) (Digest, error) {
	var d Digest
	var sum sum
	err := s.Users(ctx, func(user event.UserID) error {
		events, err := s.Recent(ctx, user, math.MaxInt32)
		if err != nil {
			return fmt.Errorf("user %q: %w", user, err)
		}
		if len(events) == 0 { // erased or expired since it was listed
			return nil
		}
		d.Users++
		d.Events += len(events)
		h := HashEvents(events)
		sum.add(h)
		if fn == nil {
			return nil
		}
		return fn(events)
	})
	if err != nil {
		return d, fmt.Errorf("digest: %w", err)
	}
	err = s.AllItems(ctx, func(item Item) error {
		d.Items++
		h, err := hashItem(item)
		sum.add(h)
		return err
	})
	if err != nil {
		return d, fmt.Errorf("digest: %w", err)
	}
	d.Hash = sum.String()
	return d, nil
}

// HashEvents returns a hash of the history of one user, which is sorted.
func HashEvents(events []event.Event) [sha256.Size]byte {
	h := sha256.New()
	part(h, "history")
	for _, e := range events {
		part(h, string(e.User))
		part(h, string(e.Item))
		part(h, string(e.Kind))
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(e.Time)))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// hashItem returns a hash of an item; its JSON form has sorted keys.
func hashItem(item Item) ([sha256.Size]byte, error) {
	body, err := json.Marshal(item)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	h := sha256.New()
	part(h, "item")
	part(h, string(body))
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// part writes a string with its length, so that parts cannot run into one another.
func part(h hash.Hash, s string) {
	h.Write(binary.AppendUvarint(nil, uint64(len(s))))
	h.Write([]byte(s))
}

// sum adds hashes, so that their order does not matter. It is safe against accidents, not against somebody who makes
// histories to fit.
type sum [4]uint64

func (s *sum) add(h [sha256.Size]byte) {
	for i := range s {
		s[i] += binary.BigEndian.Uint64(h[8*i:])
	}
}

// String returns the sum in hex.
func (s *sum) String() string {
	var b []byte
	for _, v := range s {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return hex.EncodeToString(b)
}
