package kernel

import "math"

// guess sets each bar so that about as few entries pass as are wanted, but with
// little risk that fewer do: to a score of a sample.
func (s *Search) guess(in *searchInput) {
	if len(s.sample) == 0 {
		return
	}
	place := s.samplePlace
	for at := 0; at < len(s.numbers); at += searchRows {
		s.tile.score(s.limits.all(searchSpan/halfPanel), in.width, s.queries[at*in.width:], s.sample, s.sampleBias, s.noShares())
		for r := range min(searchRows, len(s.numbers)-at) {
			s.bars[at+r] = nearTop(s.tile.row(r, searchSpan), place, place+place/8).low
		}
	}
}

// samplePlace returns which of the best scores of a sample of searchSpan of n
// entries is most likely no better than the k-th of all: the expected place, and three times
// its standard deviation and a little more down.
func samplePlace(n, k int) int {
	if n < searchSpan*3/2 {
		return searchSpan
	}
	expected := float64(k) * searchSpan / float64(n)
	return int(math.Ceil(expected + 3*math.Sqrt(expected) + 2))
}

// takeSample takes one entry from each of searchSpan equal parts of them, since the
// best may well lie together, and copies its key.
func (s *Search) takeSample(in *searchInput) {
	n, d := in.keys.Rows(), in.keys.Width()
	count := in.entries.count(n)
	s.samplePlace = samplePlace(count, s.k)
	s.sample = s.sample[:0]
	if s.samplePlace > searchSpan/4 || in.width == 0 {
		return
	}
	s.sample, s.sampleBias = resize(s.sample, searchSpan*in.width), resize(s.sampleBias, searchSpan)
	s.keys = resize(s.keys, PanelWidth*d)
	panel, u := -1, 0
	var lent []float32
	for i := range searchSpan {
		entry := sampleEntry(i, count)
		u, s.sampleBias[i] = in.keyOf(entry, u)
		if u/PanelWidth != panel {
			panel = u / PanelWidth
			lo := panel * PanelWidth
			lent = in.keys.Lend(lo, min(n, lo+PanelWidth), s.keys)
		}
		to := s.sample[i/PanelWidth*PanelWidth*in.width+i%PanelWidth:]
		for p := range d {
			to[p*PanelWidth] = lent[p*PanelWidth+u%PanelWidth]
		}
		for p := range in.common.Width {
			to[(d+p)*PanelWidth] = in.common.Rows[int(in.common.Classes[u/CommonKeys])*in.common.Width+p]
		}
	}
}

// keyOf returns the key of an entry, from key u on, and what the entry adds to the
// product.
func (in *searchInput) keyOf(entry, u int) (key int, bias float32) {
	if in.entries.Starts == nil {
		u = entry
	} else {
		for int(in.entries.Starts[u+1]) <= entry {
			u++
		}
		bias = in.entries.Behind[entry]
	}
	if in.bias != nil {
		bias += in.bias[u]
	}
	return u, bias
}

// sampleEntry returns one of the i-th of searchSpan equal parts of n entries, at
// another place in each, lest they have a period.
func sampleEntry(i, n int) int {
	from, to := i*n/searchSpan, (i+1)*n/searchSpan
	return from + int(uint32(i)*0x9e3779b1>>8)%(to-from)
}
