package features

import "fmt"

// Vocab numbers item ids 0..Len()-1 in the order they were added. It is safe
// for concurrent readers once nothing is added any more. A nil *Vocab is empty
// and read-only.
type Vocab struct {
	ids     []string
	numbers map[string]int32
}

// NewVocab returns a vocabulary holding ids in that order; an id given twice
// keeps its first number.
func NewVocab(ids ...string) *Vocab {
	v := &Vocab{
		ids:     make([]string, 0, len(ids)),
		numbers: make(map[string]int32, len(ids)),
	}
	for _, id := range ids {
		v.Add(id)
	}
	return v
}

// Add returns the number of id, giving it the next free one if it is new.
func (v *Vocab) Add(id string) int32 {
	if n, ok := v.numbers[id]; ok {
		return n
	}
	n := int32(len(v.ids))
	v.ids = append(v.ids, id)
	v.numbers[id] = n
	return n
}

// Number returns the number of id and whether it is known.
func (v *Vocab) Number(id string) (int32, bool) {
	if v == nil {
		return 0, false
	}
	n, ok := v.numbers[id]
	return n, ok
}

// ID returns the id numbered n. It panics when n is out of range.
func (v *Vocab) ID(n int32) string {
	if n < 0 || int(n) >= v.Len() {
		panic(fmt.Sprintf("features: item number %d outside vocabulary of %d", n, v.Len()))
	}
	return v.ids[n]
}

// Len returns how many ids there are.
func (v *Vocab) Len() int {
	if v == nil {
		return 0
	}
	return len(v.ids)
}

// IDs returns all ids by number. The caller must not change them.
func (v *Vocab) IDs() []string {
	if v == nil {
		return nil
	}
	return v.ids
}
