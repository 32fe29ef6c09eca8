package store

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"seqrec/internal/event"
)

func TestRecordCorruptions(t *testing.T) {
	whole, err := EncodeItem(Item{ID: "a", Title: "b"}, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		data []byte
		want error
	}{
		"empty":         {nil, ErrCorrupt},
		"version 0":     {signed(0, '{', '}'), ErrCorrupt},
		"newer version": {signed(recordVersion+1, '{', '}'), ErrNewerFormat},
		"not JSON":      {signed(recordVersion, '{'), ErrCorrupt},
		"other JSON":    {signed(recordVersion, '[', ']'), ErrCorrupt},
		"cut":           {whole[:len(whole)-1], ErrCorrupt},
		"only version":  {signed(recordVersion)[:4], ErrCorrupt},
	}
	for name, c := range cases {
		if _, err := DecodeItem(c.data); !errors.Is(err, c.want) {
			t.Errorf("item, %s: error %v, want %v", name, err, c.want)
		}
		if _, err := DecodeReceipt(c.data); !errors.Is(err, c.want) {
			t.Errorf("receipt, %s: error %v, want %v", name, err, c.want)
		}
	}
	for i := range whole {
		bad := slices.Clone(whole)
		bad[i] ^= 0x10
		if _, err := DecodeItem(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("bit of byte %d flipped: error %v, want %v", i, err, ErrCorrupt)
		}
	}
	if got, err := DecodeItem(whole); err != nil || got.Title != "b" || !got.Updated.Equal(time.Unix(1, 0)) {
		t.Errorf("whole record: %+v, %v", got, err)
	}
}

func TestCursorBelongsToOneStore(t *testing.T) {
	a, b := Secret{1}, Secret{2}
	at := event.Event{User: "u", Item: event.ItemID(strings.Repeat("i", 256)), Kind: event.Kind(strings.Repeat("k", 256)), Time: event.MaxTime}
	cursor := a.Cursor(at, "k")
	if got, err := a.ParseCursor(cursor, "u", "k"); err != nil || got != at {
		t.Errorf("own cursor: %+v, %v; want %+v", got, err, at)
	}
	if _, err := b.ParseCursor(cursor, "u", "k"); !errors.Is(err, ErrCursor) {
		t.Errorf("cursor of another store: error %v, want %v", err, ErrCursor)
	}
	if strings.Contains(cursor, "=") || len(cursor) > 1024 {
		t.Errorf("cursor of %d bytes needs escaping or is too long", len(cursor))
	}
}

func FuzzCursor(f *testing.F) {
	s := Secret{7}
	f.Add(s.Cursor(event.Event{User: "u", Item: "i", Kind: "k", Time: 5}, ""))
	f.Fuzz(func(t *testing.T, cursor string) {
		// A signature over arbitrary content lets the fuzzer past the check of it.
		if p, err := base64.RawURLEncoding.DecodeString(cursor); err == nil && len(p) > macSize {
			p = p[:len(p)-macSize]
			mac := s.sum("cursor", "u", "", string(p))
			cursor = base64.RawURLEncoding.EncodeToString(append(p, mac[:macSize]...))
		}
		at, err := s.ParseCursor(cursor, "u", "")
		if err != nil {
			if !errors.Is(err, ErrCursor) {
				t.Fatalf("%q: error %v", cursor, err)
			}
			return
		}
		if at.Time < 0 || at.Time > event.MaxTime {
			t.Fatalf("%q stands at time %d", cursor, at.Time)
		}
	})
}

func FuzzItem(f *testing.F) {
	f.Add([]byte(`{"id":"a","attributes":{"x":[1,null]},"updated":"2020-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		item, err := DecodeItem(signed(append([]byte{recordVersion}, body...)...))
		if err == nil && item.ID != "" {
			// Whatever was read can be written, or is refused for its own faults.
			if _, err := EncodeItem(item, time.Unix(1, 0)); err != nil && !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
		}
	})
}
