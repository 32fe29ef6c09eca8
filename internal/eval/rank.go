package eval

import (
	"errors"
	"fmt"
)

// marks is a set of items that is emptied in time proportional to what it
// holds, so that one set serves many cases of a large catalogue.
type marks struct {
	bits []uint64 // one bit an item
	held []int32  // what is set, in order of arrival
}

func newMarks(items int) *marks { return &marks{bits: make([]uint64, (items+63)/64)} }

// add puts item in and says whether it was new.
func (m *marks) add(item int32) bool {
	word, bit := item>>6, uint64(1)<<(item&63)
	if m.bits[word]&bit != 0 {
		return false
	}
	m.bits[word] |= bit
	m.held = append(m.held, item)
	return true
}

func (m *marks) clear() {
	for _, item := range m.held {
		m.bits[item>>6] = 0
	}
	m.held = m.held[:0]
}

// fill makes m the items a case takes out of the ranking: its history without
// its target.
func (m *marks) fill(history []int32, target int32) {
	m.clear()
	for _, item := range history {
		if item != target && item >= 0 {
			m.add(item)
		}
	}
}

// rank gives the place of target, 1 for the best, among the items that removed
// does not hold; see the package comment for the formula. It fails on the
// first score that is not a number, removed or not. An unknown target, -1, has
// place 0.
func rank(scores []float32, target int32, removed *marks) (int, error) {
	if target < 0 {
		return 0, checkNumbers(scores)
	}
	at := scores[target]
	place := 1
	for j, s := range scores {
		switch {
		case s > at || (s == at && j < int(target)):
			place++
		case s != s:
			return 0, notANumber(j)
		}
	}
	for _, j := range removed.held {
		if s := scores[j]; s > at || (s == at && j < target) {
			place--
		}
	}
	return place, nil
}

func checkNumbers(scores []float32) error {
	for j, s := range scores {
		if s != s {
			return notANumber(j)
		}
	}
	return nil
}

// ErrNotANumber says that a model scored an item with NaN.
var ErrNotANumber = errors.New("not a number")

func notANumber(item int) error { return fmt.Errorf("score of item %d is %w", item, ErrNotANumber) }
