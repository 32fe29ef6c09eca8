package kernel

import "math"

// KeyPanels lends the keys of a Search, laid out as Panels lays out its rows.
type KeyPanels interface {
	// Rows returns the number of keys, Width the number of values in each.
	Rows() int
	Width() int
	// Lend returns keys lo to hi-1, of which lo is a multiple of PanelWidth:
	//
	//	key lo+i, value p: lent[(i/PanelWidth*Width+p)*PanelWidth + i%PanelWidth]
	//
	// It either writes them to scratch, which has room for whole panels, or returns
	// memory of its own. Columns past hi may hold anything. What is lent is read
	// before the next call and never written.
	Lend(lo, hi int, scratch []float32) []float32
}

// Search finds, for each of many queries, the keys with the best scores, without
// ever holding the scores of all keys. The zero value is ready. A Search is for one
// goroutine; it allocates nothing once it has been used with its largest sizes.
//
// Blocks of searchRows queries meet panels of keys, and each score is compared with
// a bar below which none of its query's best k can lie. What passes is collected;
// when the collection is full, its best k stay and the bar rises to the worst of
// them. In a large table the first bar is guessed from a sample of the keys: if it
// was too high for k keys to pass, the query is searched again without one. So the
// guess decides how long a search takes, never what it finds.
type Search struct {
	k      int
	best   []Scored // [queries][k]
	counts []int    // how many of them there are

	queries []float32 // the queries under way, [ceil(n/searchRows)][d][searchRows]
	numbers []int     // which queries these are, within the group
	bars    []float32 // what a score must reach, by place in queries
	passed  []float32 // [searchGroup][room] what reached it, by number
	names   []int32   // like passed
	lengths []int     // how many of them there are, by number
	tile    searchTile
	keys    []float32 // room for keys that must be expanded
	sample  []float32 // panels from all over the table
	bias    []float32 // of the keys under way, then NaN to the end of the panel

	places searchPlaces // of the hits that are being collected
	kept   searchPlaces // of those that stay
	few    [sortMost]float32
	above  [sortMost]int32
	ranks  []Rank
}

const (
	searchRows   = 6               // queries that are scored side by side
	searchGroup  = 252             // queries whose collections are held at the same time, in the second cache
	searchSpan   = 512             // keys scored before the hits are collected
	searchChunk  = 1 << 15         // values of keys that stay there too for all of these
	searchStride = searchSpan + 16 // from one query's scores to the next's
)

// searchInput is what Run was asked.
type searchInput struct {
	x     []float32
	ldx   int
	keys  KeyPanels
	bias  []float32
	names []int32
	room  int // for what passes, by query
}

// Run finds the k best keys for each row of X (m×d, d the width of the keys). The
// score of key u is its product with the query plus bias[u]; a nil bias is zero.
// Key u goes by names[u], not negative and each different, or by u if names is nil.
// What Best then returns equals, up to the rounding of sums,
//
//	for i: Reset(k); for u: offer(names[u], Σp x[i*ldx+p]*key(u)[p] + bias[u])
//
// on a TopK: best first, ties by the lower name, NaN never enters. On one
// instruction set a score's bits depend on its query and its key alone.
func (s *Search) Run(m int, x []float32, ldx int, keys KeyPanels, bias []float32, names []int32, k int) {
	n, d := keys.Rows(), keys.Width()
	checkMatrix(m, d, ldx, len(x))
	if bias != nil {
		checkSame(len(bias), n)
	}
	if names != nil {
		checkSame(len(names), n)
	}
	s.k = max(0, min(k, n))
	s.counts = resize(s.counts, m)
	clear(s.counts)
	s.best = resize(s.best, m*s.k)
	if s.k == 0 {
		return
	}
	in := &searchInput{x: x, ldx: ldx, keys: keys, bias: bias, names: names, room: (2*s.k+PanelWidth-1)/PanelWidth*PanelWidth + searchSpan}
	for lo := 0; lo < m; lo += searchGroup {
		s.group(in, lo, min(m, lo+searchGroup))
	}
}

// Best returns what the last Run found for query i, best first. It is valid until
// the next Run.
func (s *Search) Best(i int) []Scored {
	return s.best[i*s.k : i*s.k+s.counts[i]]
}

// group searches for queries lo to hi-1.
func (s *Search) group(in *searchInput, lo, hi int) {
	s.lengths = resize(s.lengths, hi-lo)
	s.passed = resize(s.passed, (hi-lo)*in.room)
	s.names = resize(s.names, (hi-lo)*in.room)
	s.numbers = s.numbers[:0]
	for i := range hi - lo {
		s.numbers = append(s.numbers, i)
	}
	s.pack(in, lo)
	s.guess(in)
	s.scan(in)
	// Where fewer than k passed a guessed bar, there may be more below it.
	again := s.numbers[:0]
	for at, i := range s.numbers {
		if s.lengths[i] < s.k && s.bars[at] > float32(math.Inf(-1)) {
			again = append(again, i)
		}
	}
	if s.numbers = again; len(again) > 0 {
		s.pack(in, lo)
		s.scan(in)
	}
	for i := range hi - lo {
		s.counts[lo+i] = s.sortList(s.best[(lo+i)*s.k:][:s.k], s.list(in, i))
	}
}

// pack lays the numbered queries out in tiles, with bars that everything passes.
// Places past the last query have a bar that nothing passes.
func (s *Search) pack(in *searchInput, first int) {
	d := in.keys.Width()
	places := (len(s.numbers) + searchRows - 1) / searchRows * searchRows
	s.queries = resize(s.queries, places*d)
	s.bars = resize(s.bars, places)
	clear(s.queries)
	for at := range places {
		s.bars[at] = float32(math.NaN())
		if at >= len(s.numbers) {
			continue
		}
		i := s.numbers[at]
		s.bars[at] = float32(math.Inf(-1))
		s.lengths[i] = 0
		from, to := (first+i)*in.ldx, at/searchRows*searchRows*d+at%searchRows
		for p := range d {
			s.queries[to+p*searchRows] = in.x[from+p]
		}
	}
}

// scan shows all keys to the packed queries.
func (s *Search) scan(in *searchInput) {
	n, d := in.keys.Rows(), in.keys.Width()
	chunk := max(searchSpan, searchChunk/max(d, 1)/searchSpan*searchSpan)
	s.keys = resize(s.keys, chunk*d)
	for lo := 0; lo < n; lo += chunk {
		hi := min(n, lo+chunk)
		keys := in.keys.Lend(lo, hi, s.keys)
		s.lendBias(in.bias, lo, hi)
		for at := 0; at < len(s.numbers); at += searchRows {
			for from := lo; from < hi; from += searchSpan {
				panels := (min(searchSpan, hi-from) + PanelWidth - 1) / PanelWidth
				s.tile.score(panels, d, s.queries[at*d:], keys[(from-lo)*d:], s.bias[from-lo:])
				s.collect(in, at, from, panels)
			}
		}
	}
}

// lendBias copies the bias of keys lo to hi-1. The NaN behind it keeps the columns
// past the last key out.
func (s *Search) lendBias(bias []float32, lo, hi int) {
	s.bias = resize(s.bias, (hi-lo+PanelWidth-1)/PanelWidth*PanelWidth)
	if bias == nil {
		clear(s.bias)
	} else {
		copy(s.bias, bias[lo:hi])
	}
	for i := hi - lo; i < len(s.bias); i++ {
		s.bias[i] = float32(math.NaN())
	}
}
