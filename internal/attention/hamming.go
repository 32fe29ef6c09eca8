package attention

import (
	"fmt"
	"math/bits"
	"math/rand/v2"

	"seqrec/internal/kernel"
)

// MaxBits is the longest code of Signs.
const MaxBits = 256

// Signs hashes vectors to the signs of fixed Gaussian projections: the share of
// equal bits of two codes estimates 1 - angle/pi (Charikar 2002). Any number of
// goroutines may use one.
type Signs struct {
	width, bits int
	planes      []float32 // [bits][width]
}

// NewSigns draws the projections for codes of that many bits, 1 to MaxBits, of
// vectors with width values. The same arguments give the same projections.
func NewSigns(width, bits int, seed uint64) (*Signs, error) {
	if width < 1 || bits < 1 || bits > MaxBits {
		return nil, fmt.Errorf("draw projections: width %d to %d bits, want a positive width and 1 to %d bits", width, bits, MaxBits)
	}
	s := &Signs{width: width, bits: bits, planes: make([]float32, bits*width)}
	rng := rand.New(rand.NewPCG(seed, uint64(width)<<32|uint64(bits)))
	for i := range s.planes {
		s.planes[i] = float32(rng.NormFloat64())
	}
	return s, nil
}

// Words returns the number of words of a code.
func (s *Signs) Words() int { return (s.bits + 63) / 64 }

// Code writes the code of x to the Words words of dst: bit i is set if the product
// with projection i is at least 0, and so never for a NaN.
func (s *Signs) Code(dst []uint64, x []float32) {
	if len(dst) != s.Words() || len(x) != s.width {
		panic("attention: code or vector of another width")
	}
	var room [MaxBits]float32
	products := room[:s.bits]
	kernel.ScoreRows(products, s.planes, s.width, s.width, x)
	clear(dst)
	for i, v := range products {
		if v >= 0 {
			dst[i/64] |= 1 << (i % 64)
		}
	}
}

// CodedHistory is a History with a code for each distinct item, for the search of
// ETA. It grows by its own Append only.
type CodedHistory struct {
	*History
	signs *Signs
	codes []uint64 // [slot][Words]
}

// NewCodedHistory makes an empty history of keys as wide as the vectors of signs.
func NewCodedHistory(signs *Signs, f Format) *CodedHistory {
	return &CodedHistory{History: NewHistory(signs.width, f), signs: signs}
}

// Append is that of History. A new item costs O(bits*width).
func (h *CodedHistory) Append(items []int32, key func(dst []float32, item int32)) {
	known, words := h.Items(), h.signs.Words()
	h.History.Append(items, key)
	row := make([]float32, h.Width())
	for slot := known; slot < h.Items(); slot++ {
		h.keys.Row(row, slot)
		h.codes = append(h.codes, make([]uint64, words)...)
		h.signs.Code(h.codes[slot*words:], row)
	}
}

// Bytes returns about how much memory the history takes.
func (h *CodedHistory) Bytes() int { return h.History.Bytes() + 8*cap(h.codes) }

// hamming is the scratch of SearchCodes.
type hamming struct {
	rows     []float32 // the keys, row by row
	events   []int32   // by slot: how many
	code     []uint64
	distance []int32 // by slot
}

// SearchCodes is the search of ETA (arXiv 2108.04468): the k events whose codes
// differ in the fewest bits from the query's, the newer where that is equal, are
// scored exactly, as by Search, and kept unless the score is NaN or the bias is NaN
// or +Inf. Finding them costs O(events + items*bits/64) a query. Hits then returns
// them by exact score.
func (s *Searcher) SearchCodes(h *CodedHistory, queries, bias []float32, k int) {
	count := rows(queries, h.Width())
	s.prepareCodes(h, bias)
	s.coded, s.last = true, int32(h.Events()-1)
	s.hits, s.ends = s.hits[:0], append(s.ends[:0], 0)
	for i := range count {
		query := queries[i*h.Width():][:h.Width()]
		s.scoreNearest(h, query, bias, min(k, h.Events()))
		s.keep()
	}
}

func (s *Searcher) prepareCodes(h *CodedHistory, bias []float32) {
	checkBias(h.History, bias)
	width := h.Width()
	s.codes.rows = resize(s.codes.rows, h.Items()*width)
	for slot := range h.Items() {
		h.keys.Row(s.codes.rows[slot*width:][:width], slot)
	}
	s.codes.events = resize(s.codes.events, h.Items())
	clear(s.codes.events)
	for _, slot := range h.slotOf {
		if slot >= 0 {
			s.codes.events[slot]++
		}
	}
	s.codes.distance = resize(s.codes.distance, h.Items())
	s.codes.code = resize(s.codes.code, h.signs.Words())
}

// scoreNearest offers the k nearest events to s.top with their exact scores.
func (s *Searcher) scoreNearest(h *CodedHistory, query, bias []float32, k int) {
	s.top.Reset(k)
	if k <= 0 {
		return
	}
	border, room := s.measure(h, query, k)
	left, last := k, int32(h.Events()-1)
	for event := last; event >= 0 && left > 0; event-- {
		slot := h.slotOf[event]
		if slot < 0 || s.codes.distance[slot] > border {
			continue
		}
		if s.codes.distance[slot] == border {
			if room == 0 {
				continue
			}
			room--
		}
		left--
		row := s.codes.rows[int(slot)*len(query):][:len(query)]
		score := [1]float32{kernel.Dot(query, row) + biasOf(bias, event)}
		s.top.Scan(score[:], last-event, nil)
	}
}

// measure fills in the distance of each slot, and returns the distance of the k-th
// nearest event and how many of the events at that distance are among the k.
func (s *Searcher) measure(h *CodedHistory, query []float32, k int) (border int32, room int) {
	words := h.signs.Words()
	h.signs.Code(s.codes.code, query)
	var events [MaxBits + 1]int
	for slot := range s.codes.distance {
		differ := 0
		for w, code := range h.codes[slot*words:][:words] {
			differ += bits.OnesCount64(code ^ s.codes.code[w])
		}
		s.codes.distance[slot] = int32(differ)
		events[differ] += int(s.codes.events[slot])
	}
	room = k
	for d, n := range events {
		if n >= room {
			return int32(d), room
		}
		room -= n
	}
	return MaxBits, room
}

// SignsOf hashes with given projections, planes[i*width:] being the i-th.
func SignsOf(width int, planes []float32) (*Signs, error) {
	if width < 1 || len(planes) == 0 || len(planes)%width != 0 || len(planes)/width > MaxBits {
		return nil, fmt.Errorf("take projections: %d values for width %d, want 1 to %d projections", len(planes), width, MaxBits)
	}
	return &Signs{width: width, bits: len(planes) / width, planes: planes}, nil
}
