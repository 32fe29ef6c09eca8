package registry

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLeaseOfAClockAhead: nobody has said anything in a negative time.
func TestLeaseOfAClockAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		h := died(time.Now().Add(90 * time.Second))
		if err := m.Create(t.Context(), leaseFile, h.encode()); err != nil {
			t.Fatal(err)
		}
		err := leaseOn(t, m).take(t.Context())
		want := "at " + h.Renewed.Format(time.RFC3339) + " by its clock, which is 1m30s or more ahead of ours"
		if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), " ago") {
			t.Errorf("error %v, want %q", err, want)
		}
	})
}
