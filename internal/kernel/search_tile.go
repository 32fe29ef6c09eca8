package kernel

import (
	"math"
	"math/bits"
)

// searchTile holds the scores of searchRows queries and up to searchSpan keys, and
// one bit for each that reaches its query's bar.
type searchTile struct {
	scores [searchRows * searchSpan]float32
	hits   [searchRows * searchSpan / PanelWidth]uint32
}

// score fills the tile. The queries lie side by side, [d][searchRows].
//
//	for r < searchRows, u < panels*PanelWidth:
//		scores[r][u] = Σp queries[p][r]*key(u)[p] + bias[u]
//		hits[r] bit u = scores[r][u] >= bars[r]
func (t *searchTile) score(panels, d int, queries, keys, bias, bars []float32) {
	_ = queries[:d*searchRows]
	_ = keys[:panels*d*PanelWidth]
	_ = bias[:panels*PanelWidth]
	scoreTile(t, panels, d, queries, keys, bias, bars[:searchRows])
}

func scoreTileGeneric(t *searchTile, panels, d int, queries, keys, bias, bars []float32) {
	for r := range searchRows {
		for i := range panels {
			scores := t.scores[r*searchSpan+i*PanelWidth:][:PanelWidth]
			clear(scores)
			for p := range d {
				axpyGeneric(scores, queries[p*searchRows+r], keys[(i*d+p)*PanelWidth:][:PanelWidth])
			}
			hits := uint32(0)
			for j, b := range bias[i*PanelWidth:][:PanelWidth] {
				scores[j] += b
				if scores[j] >= bars[r] {
					hits |= 1 << j
				}
			}
			t.hits[r*searchSpan/PanelWidth+i] = hits
		}
	}
}

// collect takes what passed in the tile of the queries from place at on and the
// keys from first on.
func (s *Search) collect(in *searchInput, at, first, panels int) {
	for r := range min(searchRows, len(s.numbers)-at) {
		i := s.numbers[at+r]
		list := s.passed[i*in.room:][:in.room]
		length := s.lengths[i]
		scores := s.tile.scores[r*searchSpan:][:searchSpan]
		for j, hits := range s.tile.hits[r*searchSpan/PanelWidth:][:panels] {
			if hits != 0 && length+PanelWidth > len(list) {
				selectBest(list[:length], s.k)
				length = s.k
				s.bars[at+r] = scoreOf(list[s.k-1])
			}
			for ; hits != 0; hits &= hits - 1 {
				u := j*PanelWidth + bits.TrailingZeros32(hits)
				list[length] = rankOf(scores[u], in.name(first+u))
				length++
			}
		}
		s.lengths[i] = length
	}
}

func (in *searchInput) name(u int) int32 {
	if in.names != nil {
		return in.names[u]
	}
	return int32(u)
}

// guess sets each bar so that few keys but most likely k of them reach it.
func (s *Search) guess(in *searchInput) {}

// rankOf is the higher the better: by score, then by the lower name. -0 counts as 0.
func rankOf(score float32, name int32) uint64 {
	b := math.Float32bits(score + 0)
	b ^= uint32(int32(b)>>31) | 1<<31
	return uint64(b)<<32 | uint64(^uint32(name))
}

func scoreOf(rank uint64) float32 {
	b := uint32(rank >> 32)
	return math.Float32frombits(b ^ (^uint32(int32(b)>>31) | 1<<31))
}

func nameOf(rank uint64) int32 { return int32(^uint32(rank)) }
