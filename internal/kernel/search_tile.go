package kernel

import (
	"math"
	"slices"
)

// searchTile holds the scores of searchRows queries and up to searchSpan keys. Rows
// lie a little more than searchSpan apart, lest all fight for the same places of the
// first cache.
type searchTile [searchRows * searchStride]float32

// row returns the scores of query r and the first n keys.
func (t *searchTile) row(r, n int) []float32 { return t[r*searchStride:][:n] }

// shares are what six queries get from the classes of keys.
type shares struct {
	scores  []float32 // [classes][searchRows]
	classes []int32   // of each CommonKeys keys
}

// score fills the tile with the listed halves of panels, side by side. The queries
// lie side by side too, [d][searchRows].
//
//	for r < searchRows, i < len(halves), j < halfPanel, u = halfPanel*halves[i]+j:
//		row(r)[halfPanel*i+j] = scores[classes[u/CommonKeys]][r] + Σp queries[p][r]*key(u)[p] + bias[u]
func (t *searchTile) score(halves []int32, d int, queries, keys, bias []float32, c shares) {
	if len(halves) == 0 {
		return
	}
	end := int(slices.Max(halves))/2*PanelWidth + PanelWidth
	_ = queries[:d*searchRows]
	_ = keys[:end*d]
	_ = bias[:end]
	_ = c.classes[:end/CommonKeys]
	scoreTile(t, halves, d, queries, keys, bias, c)
}

func scoreTileGeneric(t *searchTile, halves []int32, d int, queries, keys, bias []float32, c shares) {
	for i, h := range halves {
		first := int(h) * halfPanel
		for r := range searchRows {
			scores := t[r*searchStride+i*halfPanel:][:halfPanel]
			for j := range scores {
				scores[j] = c.scores[int(c.classes[(first+j)/CommonKeys])*searchRows+r]
			}
			for p := range d {
				line := keys[(first/PanelWidth*d+p)*PanelWidth+first%PanelWidth:][:halfPanel]
				axpyGeneric(scores, queries[p*searchRows+r], line)
			}
			for j, b := range bias[first:][:halfPanel] {
				scores[j] += b
			}
		}
	}
}

// passingGeneric lists the values of x, each with add added, that are then at least
// bar, and their places, in order, and returns how many there are.
func passingGeneric(values []float32, places []int32, x []float32, add, bar float32) int {
	count := 0
	for i, v := range x {
		if v += add; v >= bar {
			values[count], places[count] = v, int32(i)
			count++
		}
	}
	return count
}

// collect takes what passed in the tile of the queries from place at on and the
// listed halves of panels after key first.
func (s *Search) collect(in *searchInput, at, first int, halves []int32) {
	if len(halves) == 0 {
		return
	}
	gaps := int(halves[len(halves)-1]) >= len(halves)
	for r := range min(searchRows, len(s.numbers)-at) {
		n := passing(s.values, s.places, s.tile.row(r, len(halves)*halfPanel), 0, s.bars[at+r])
		if gaps {
			for j, place := range s.places[:n] {
				s.places[j] = halves[place/halfPanel]*halfPanel + place%halfPanel
			}
		}
		switch {
		case n == 0:
		case in.entries.Starts == nil:
			s.takeKeys(in, at+r, n, first)
		default:
			s.takeEntries(in, at+r, n, first)
		}
	}
}

// makeRoom makes room for n entries, up to searchSpan, in the list of the query at a
// place, and eight more, and returns how long the list is.
func (s *Search) makeRoom(in *searchInput, at, n int) int {
	i := s.numbers[at]
	if s.lengths[i]+n+8 > in.room {
		worst := s.keepBest(s.list(in, i), s.k)
		s.bars[at], s.lengths[i] = in.barAfter(worst), s.k
	}
	return s.lengths[i]
}

// barAfter returns the bar when the worst of k kept entries has that score. Keys that
// are entries come in the order of their names: one that goes by its name loses a tie.
func (in *searchInput) barAfter(worst float32) float32 {
	if in.entries.Starts == nil {
		return math.Nextafter32(worst, float32(math.Inf(1)))
	}
	return worst
}

// list returns what passed for a query so far.
func (s *Search) list(in *searchInput, i int) shortlist {
	from, to := i*in.room, i*in.room+s.lengths[i]
	return shortlist{s.passed[from : to : from+in.room], s.names[from:to]}
}

// takeKeys adds the n keys of s.values and s.places.
func (s *Search) takeKeys(in *searchInput, at, n, first int) {
	length := s.makeRoom(in, at, n)
	i := s.numbers[at]
	s.lengths[i] += n
	to := s.list(in, i)
	copy(to.scores[length:], s.values[:n])
	names := to.names[length:]
	for j, place := range s.places[:n] {
		names[j] = int32(first) + place
	}
}

// takeEntries adds what passes of the entries of the n keys of s.values and s.places.
func (s *Search) takeEntries(in *searchInput, at, n, first int) {
	i := s.numbers[at]
	for from := 0; from < n; {
		length := s.lengths[i]
		to := shortlist{s.passed[i*in.room+length : (i+1)*in.room], s.names[i*in.room+length : (i+1)*in.room]}
		done, count := passingEntries(to, s.values[from:n], s.places[from:n], &in.entries, first, s.bars[at])
		s.lengths[i] += count
		if from += done; from < n { // more entries than there is room for
			u := first + int(s.places[from])
			s.takeMany(in, at, s.values[from], int(in.entries.Starts[u]), int(in.entries.Starts[u+1]))
			from++
		}
	}
}

// passingEntriesGeneric lists what is at least bar of the entries of one key after
// the other, told by their scores and places after the first, while there is room for
// all entries of a key and eight more. It returns how many keys are done and how many
// entries are listed.
func passingEntriesGeneric(to shortlist, scores []float32, places []int32, e *Entries, first int, bar float32) (done, count int) {
	for j, place := range places {
		lo, hi := e.Starts[first+int(place)], e.Starts[first+int(place)+1]
		if count+int(hi-lo)+8 > len(to.scores) {
			return j, count
		}
		for entry := lo; entry < hi; entry++ {
			if v := scores[j] + e.Behind[entry]; v >= bar {
				to.scores[count], to.names[count] = v, e.Names[entry]
				count++
			}
		}
	}
	return len(places), count
}

// takeMany adds what passes of entries from to to-1 of a key with that score.
func (s *Search) takeMany(in *searchInput, at int, score float32, from, to int) {
	i := s.numbers[at]
	for ; from < to; from += searchSpan {
		part := in.entries.Behind[from:min(to, from+searchSpan)]
		length := s.makeRoom(in, at, len(part))
		passed, named := s.passed[i*in.room+length:(i+1)*in.room], s.names[i*in.room+length:(i+1)*in.room]
		whole := len(part) &^ 7
		count := passing(passed, s.within, part[:whole], score, s.bars[at])
		rest := passingGeneric(passed[count:], s.within[count:], part[whole:], score, s.bars[at])
		for j := count; j < count+rest; j++ {
			s.within[j] += int32(whole)
		}
		count += rest
		for j, place := range s.within[:count] {
			named[j] = in.entries.Names[from+int(place)]
		}
		s.lengths[i] += count
	}
}
