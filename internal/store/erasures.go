package store

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"seqrec/internal/event"
)

// ErasureList is what a training job needs to forget whom a store has forgotten:
// the receipts, and the secret under which they hash users. Who holds it can test
// an id against the receipts, so it is kept like a key.
type ErasureList struct {
	Secret   Secret
	Receipts []Receipt // by time, then id

	until map[string]time.Time // by user hash: the latest erasure
}

// NewErasureList makes a list; it sorts the receipts in place.
func NewErasureList(secret Secret, receipts []Receipt) *ErasureList {
	SortReceipts(receipts)
	l := &ErasureList{Secret: secret, Receipts: receipts, until: map[string]time.Time{}}
	for _, r := range receipts {
		l.until[r.UserHash] = r.At
	}
	return l
}

// SortReceipts sorts by time, then id.
func SortReceipts(list []Receipt) { slices.SortFunc(list, compareReceipts) }

func compareReceipts(a, b Receipt) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) }

// ListErasures reads the list of a store.
func ListErasures(ctx context.Context, s Erasures) (*ErasureList, error) {
	var receipts []Receipt
	err := s.EachErasure(ctx, func(r Receipt) error {
		receipts = append(receipts, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	secret, err := s.Secret(ctx)
	if err != nil {
		return nil, err
	}
	return NewErasureList(secret, receipts), nil
}

// Until returns the time of a user's latest erasure, and whether there was one.
func (l *ErasureList) Until(user event.UserID) (time.Time, bool) {
	at, ok := l.until[l.Secret.UserHash(user)]
	return at, ok
}

// Covers reports whether a user was erased at or after a moment, in Unix milliseconds. It costs next to nothing for a
// moment after all erasures.
func (l *ErasureList) Covers(user event.UserID, sent int64) bool {
	if n := len(l.Receipts); n == 0 || l.Receipts[n-1].At.UnixMilli() < sent {
		return false
	}
	at, ok := l.Until(user)
	return ok && at.UnixMilli() >= sent
}

// Add adds a receipt to the list.
func (l *ErasureList) Add(r Receipt) {
	at, _ := slices.BinarySearchFunc(l.Receipts, r, compareReceipts)
	l.Receipts = slices.Insert(l.Receipts, at, r)
	if last, ok := l.until[r.UserHash]; !ok || last.Before(r.At) {
		l.until[r.UserHash] = r.At
	}
}

// The written form: a head, a receipt a line, and an end that counts them, so
// that a list cut short is not taken for a short list.
type (
	erasureHead struct {
		Format int    `json:"erasures_format"`
		Secret string `json:"secret"` // 64 hex digits
	}
	erasureLine struct {
		*Receipt
		End *int `json:"end,omitempty"` // only in the last line: how many receipts there are
	}
)

const (
	erasuresFormat = 1
	maxErasureLine = 4096
)

// Write writes the list as lines of JSON.
func (l *ErasureList) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	lines := json.NewEncoder(b)
	if err := lines.Encode(erasureHead{erasuresFormat, hex.EncodeToString(l.Secret[:])}); err != nil {
		return fmt.Errorf("write erasures: %w", err)
	}
	for i := range l.Receipts {
		if err := lines.Encode(erasureLine{Receipt: &l.Receipts[i]}); err != nil {
			return fmt.Errorf("write erasures: %w", err)
		}
	}
	if err := lines.Encode(erasureLine{End: new(len(l.Receipts))}); err != nil {
		return fmt.Errorf("write erasures: %w", err)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write erasures: %w", err)
	}
	return nil
}

// ReadErasures reads what Write wrote. Errors: ErrCorrupt, ErrNewerFormat.
func ReadErasures(r io.Reader) (*ErasureList, error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxErasureLine)
	bad := func(n int, why string) (*ErasureList, error) {
		return nil, fmt.Errorf("read erasures: line %d %s: %w", n, why, ErrCorrupt)
	}
	var head erasureHead
	if !in.Scan() || json.Unmarshal(in.Bytes(), &head) != nil || head.Format < 1 {
		return nil, errors.Join(fmt.Errorf("read erasures: not a list of erasures: %w", ErrCorrupt), in.Err())
	}
	if head.Format > erasuresFormat {
		return nil, fmt.Errorf("read erasures: format %d: %w", head.Format, ErrNewerFormat)
	}
	var secret Secret
	raw, err := hex.DecodeString(head.Secret)
	if err != nil || len(raw) != len(secret) {
		return bad(1, "holds no secret")
	}
	copy(secret[:], raw)
	var receipts []Receipt
	for n := 2; in.Scan(); n++ {
		var r Receipt
		line := erasureLine{Receipt: &r}
		d := json.NewDecoder(bytes.NewReader(in.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&line); err != nil {
			return bad(n, "is not a receipt")
		}
		if line.End != nil {
			if *line.End != len(receipts) || in.Scan() {
				return bad(n, "does not end the list where it ends")
			}
			return NewErasureList(secret, receipts), in.Err()
		}
		if hash, err := hex.DecodeString(r.UserHash); r.ID == "" || err != nil || len(hash) != 32 || r.At.IsZero() {
			return bad(n, "is not a receipt")
		}
		receipts = append(receipts, r)
	}
	return nil, errors.Join(fmt.Errorf("read erasures: the list is cut short: %w", ErrCorrupt), in.Err())
}
