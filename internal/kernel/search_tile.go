package kernel

import "math"

// searchTile holds the scores of searchRows queries and up to searchSpan keys. Rows
// lie a little more than searchSpan apart, lest all fight for the same places of the
// first cache.
type searchTile [searchRows * searchStride]float32

// row returns the scores of query r and the first n keys.
func (t *searchTile) row(r, n int) []float32 { return t[r*searchStride:][:n] }

// score fills the tile. The queries lie side by side, [d][searchRows].
//
//	for r < searchRows, u < panels*PanelWidth:
//		row(r)[u] = Σp queries[p][r]*key(u)[p] + bias[u]
func (t *searchTile) score(panels, d int, queries, keys, bias []float32) {
	_ = queries[:d*searchRows]
	_ = keys[:panels*d*PanelWidth]
	_ = bias[:panels*PanelWidth]
	scoreTile(t, panels, d, queries, keys, bias)
}

func scoreTileGeneric(t *searchTile, panels, d int, queries, keys, bias []float32) {
	for r := range searchRows {
		for i := range panels {
			scores := t[r*searchStride+i*PanelWidth:][:PanelWidth]
			clear(scores)
			for p := range d {
				axpyGeneric(scores, queries[p*searchRows+r], keys[(i*d+p)*PanelWidth:][:PanelWidth])
			}
			for j, b := range bias[i*PanelWidth:][:PanelWidth] {
				scores[j] += b
			}
		}
	}
}

// searchPlaces are places in a row of a tile or in a short list.
type searchPlaces [searchSpan + 8]uint16

// placesAtLeastGeneric lists the places of the values that are at least bar, in
// order, and returns how many there are.
func placesAtLeastGeneric(places *searchPlaces, x []float32, bar float32) int {
	count := 0
	for i, v := range x {
		if v >= bar {
			places[count] = uint16(i)
			count++
		}
	}
	return count
}

// collect takes what passed in the tile of the queries from place at on and the
// keys from first on.
func (s *Search) collect(in *searchInput, at, first, panels int) {
	for r := range min(searchRows, len(s.numbers)-at) {
		scores := s.tile.row(r, panels*PanelWidth)
		count := placesAtLeast(&s.places, scores, s.bars[at+r])
		if count == 0 {
			continue
		}
		i := s.numbers[at+r]
		if s.lengths[i]+count > in.room {
			s.bars[at+r] = in.barAfter(s.keepBest(s.list(in, i), s.k))
			s.lengths[i] = s.k
		}
		length := s.lengths[i]
		s.lengths[i] += count
		to := s.list(in, i)
		in.take(shortlist{to.scores[length:], to.names[length:]}, scores, s.places[:count], first)
	}
}

// barAfter returns the bar when the worst of k kept keys has that score. Keys come in
// the order of their numbers: one that goes by its number loses a tie.
func (in *searchInput) barAfter(worst float32) float32 {
	if in.names == nil {
		return math.Nextafter32(worst, float32(math.Inf(1)))
	}
	return worst
}

// list returns what passed for a query so far.
func (s *Search) list(in *searchInput, i int) shortlist {
	from, to := i*in.room, i*in.room+s.lengths[i]
	return shortlist{s.passed[from : to : from+in.room], s.names[from:to]}
}

// take copies the scores and names of what passed.
func (in *searchInput) take(to shortlist, scores []float32, places []uint16, first int) {
	to.scores, to.names = to.scores[:len(places)], to.names[:len(places)]
	if in.names == nil {
		for j, place := range places {
			to.scores[j], to.names[j] = scores[place], int32(first)+int32(place)
		}
		return
	}
	names := in.names[first:]
	for j, place := range places {
		to.scores[j], to.names[j] = scores[place], names[place]
	}
}
