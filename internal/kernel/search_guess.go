package kernel

import "math"

// guess sets each bar so that about as few keys pass as are wanted, but with little
// risk that fewer do: to a score of a sample of the keys.
func (s *Search) guess(in *searchInput) {
	n, d := in.keys.Rows(), in.keys.Width()
	place := samplePlace(n, s.k)
	if place > searchSpan/4 {
		return
	}
	s.takeSample(in, n, d)
	for at := 0; at < len(s.numbers); at += searchRows {
		s.tile.score(searchSpan/PanelWidth, d, s.queries[at*d:], s.sample, s.bias)
		for r := range min(searchRows, len(s.numbers)-at) {
			s.bars[at+r], _ = nearTop(s.tile.row(r, searchSpan), place, place+place/8)
		}
	}
}

// samplePlace returns which of the best scores of a sample of searchSpan keys of n
// is most likely no better than the k-th of all: the expected place, and three times
// its standard deviation and a little more down.
func samplePlace(n, k int) int {
	if n < searchSpan*3/2 {
		return searchSpan
	}
	expected := float64(k) * searchSpan / float64(n)
	return int(math.Ceil(expected + 3*math.Sqrt(expected) + 2))
}

// takeSample copies one key from each of searchSpan equal parts of the table, since
// the best keys may well lie together, and its bias to s.bias.
func (s *Search) takeSample(in *searchInput, n, d int) {
	s.sample = resize(s.sample, searchSpan*d)
	s.keys = resize(s.keys, PanelWidth*d)
	s.lendBias(nil, 0, searchSpan)
	panel := -1
	var lent []float32
	for i := range searchSpan {
		u := sampleKey(i, n)
		if u/PanelWidth != panel {
			panel = u / PanelWidth
			lo := panel * PanelWidth
			lent = in.keys.Lend(lo, min(n, lo+PanelWidth), s.keys)
		}
		to := s.sample[i/PanelWidth*PanelWidth*d+i%PanelWidth:]
		for p := range d {
			to[p*PanelWidth] = lent[p*PanelWidth+u%PanelWidth]
		}
		if in.bias != nil {
			s.bias[i] = in.bias[u]
		}
	}
}

// sampleKey returns a key of the i-th of searchSpan equal parts of n keys, at
// another place in each, lest the keys have a period.
func sampleKey(i, n int) int {
	from, to := i*n/searchSpan, (i+1)*n/searchSpan
	return from + int(uint32(i)*0x9e3779b1>>8)%(to-from)
}
