package baseline

import (
	"slices"

	"seqrec/internal/features"
)

// followers counts, for each item, the items that came right after it: row i is
// item[offset[i]:offset[i+1]], ascending, with count alongside.
type followers struct {
	offset []int
	item   []int32
	count  []float32
}

func countFollowers(s *features.Split) *followers {
	var pairs []uint64 // item before in the high half, item after in the low
	for _, items := range s.Train {
		for i := 1; i < len(items); i++ {
			pairs = append(pairs, uint64(items[i-1])<<32|uint64(items[i]))
		}
	}
	slices.Sort(pairs)
	f := &followers{offset: make([]int, s.Items+1)}
	for i, p := range pairs {
		if i > 0 && p == pairs[i-1] {
			f.count[len(f.count)-1]++
			continue
		}
		f.item = append(f.item, int32(p&0xffffffff))
		f.count = append(f.count, 1)
		f.offset[p>>32+1]++
	}
	for i := range s.Items {
		f.offset[i+1] += f.offset[i]
	}
	return f
}

// score writes the score of every item after history to dst.
func (f *followers) score(dst, rest []float32, history []int32) {
	copy(dst, rest)
	if len(history) == 0 {
		return
	}
	last := history[len(history)-1]
	for i := f.offset[last]; i < f.offset[last+1]; i++ {
		dst[f.item[i]] += f.count[i]
	}
}
