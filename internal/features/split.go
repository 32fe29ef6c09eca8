package features

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"io"
)

// Names of the ways to cut a data set, as they appear in Split.Name.
const (
	SplitLeaveOneOut = "leave-one-out"
	SplitTemporal    = "temporal"
)

// Len returns the number of events.
func (d *Dataset) Len() int { return len(d.Items) }

// User returns the events of user u, oldest first; times is nil when the data
// set has none. The slices share memory with d.
func (d *Dataset) User(u int) (items []int32, times []int64) {
	lo, hi := d.Offsets[u], d.Offsets[u+1]
	items = d.Items[lo:hi:hi]
	if d.Times != nil {
		times = d.Times[lo:hi:hi]
	}
	return items, times
}

// LeaveOneOut cuts the last two events off every user with n >= 3 events
// (Kang & McAuley, ICDM 2018, section IV-A): event n is the test target, event
// n-1 the validation target, events 1..n-2 are for training. The validation
// input is the training history, the test input is that plus the validation
// event. Users with fewer than 3 events keep them all in Train and ask nothing.
// No target is dropped, cold ones included. Slices share memory with d.
func LeaveOneOut(d *Dataset) *Split {
	s := newSplit(d, SplitLeaveOneOut)
	for u := range d.Users {
		items, times := d.User(u)
		n := len(items)
		if n < 3 {
			s.Train[u] = items
			if times != nil {
				s.TrainTimes[u] = times
			}
			continue
		}
		s.Train[u] = items[: n-2 : n-2]
		if times != nil {
			s.TrainTimes[u] = times[: n-2 : n-2]
		}
		s.Valid = append(s.Valid, newCase(d, u, n-2))
		s.Test = append(s.Test, newCase(d, u, n-1))
	}
	s.TargetHash = targetHash(d, s.Test)
	return s
}

func newSplit(d *Dataset, name string) *Split {
	s := &Split{Name: name, Items: d.Vocab.Len(), Train: make([][]int32, len(d.Users))}
	if d.Times != nil {
		s.TrainTimes = make([][]int64, len(d.Users))
	}
	return s
}

// newCase asks for event i of a user given all events before it.
func newCase(d *Dataset, user, i int) Case {
	items, times := d.User(user)
	c := Case{User: user, Input: items[:i:i], Target: items[i]}
	if times != nil {
		c.Times, c.At = times[:i:i], times[i]
	}
	if d.Kinds != nil {
		first := d.Offsets[user]
		c.Kinds = d.Kinds[first : first+i : first+i]
	}
	return c
}

// targetHash names the targets of a split: the hex SHA-256 of one line
// "user id, tab, item id, newline" per case, in order. Two data sets with the
// same hash ask the same questions, so in particular broke ties of time alike.
func targetHash(d *Dataset, cases []Case) string {
	h := sha256.New()
	w := bufio.NewWriter(h) // a hash never fails to write
	for _, c := range cases {
		for _, s := range [...]string{d.Users[c.User], "\t", d.Vocab.ID(c.Target), "\n"} {
			_, _ = io.WriteString(w, s)
		}
	}
	_ = w.Flush()
	return hex.EncodeToString(h.Sum(nil))
}
