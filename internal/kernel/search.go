package kernel

import (
	"math"
	"slices"
)

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

// KeyNorms is the optional second interface of KeyPanels. A Search that knows how
// long keys are leaves out those that cannot be found.
type KeyNorms interface {
	// Norms returns for each CommonKeys keys, to the end of the last panel, a bound on
	// the Euclidean length of their vectors; NaN and +Inf promise nothing.
	Norms() []float32
}

// Entries are what the keys of a Search stand for, where these are not what is
// wanted themselves: key u for entries Starts[u] to Starts[u+1]-1, which score no
// more than the key. The zero value says that key u stands for entry u alone, whose
// name is u. Behind and Names have the capacity for EntryRoom more.
type Entries struct {
	Starts []int32   // by key, and one more; or nil
	Behind []float32 // by entry: what it has more than its key, 0 or less
	Names  []int32   // by entry: not negative, each different
}

// EntryRoom is how many entries past the last may be read, whatever they hold.
const EntryRoom = 8

// count returns how many entries n keys stand for.
func (e *Entries) count(n int) int {
	if e.Starts == nil {
		return n
	}
	return int(e.Starts[n])
}

// check panics unless each of n keys stands for some of the entries, or none.
func (e *Entries) check(n int) {
	if e.Starts == nil {
		return
	}
	checkSame(len(e.Starts), n+1)
	checkSame(len(e.Names), int(e.Starts[n]))
	checkSame(len(e.Behind), len(e.Names))
	if min(cap(e.Behind), cap(e.Names)) < len(e.Names)+EntryRoom {
		panic(badLength)
	}
	last := int32(0)
	for _, start := range e.Starts {
		if start < last {
			panic(badIndex)
		}
		last = start
	}
}

// Common are values that keys of one class have in common. They come behind those of
// the panels and are multiplied with a query once for the class. The zero value has
// none.
type Common struct {
	Width   int       // how many values
	Rows    []float32 // [classes][Width]
	Classes []int32   // by CommonKeys keys, to the end of the last panel
}

// CommonKeys is how many keys, side by side in a panel, are of the same class.
const CommonKeys = 8

// check panics unless n keys have a class.
func (c *Common) check(n int) {
	if c.Width == 0 {
		return
	}
	checkSame(len(c.Classes), (n+PanelWidth-1)/PanelWidth*(PanelWidth/CommonKeys))
	for _, class := range c.Classes {
		if class < 0 || int(class) >= len(c.Rows)/c.Width {
			panic(badIndex)
		}
	}
}

// Search finds, for each of many queries, the entries with the best scores, without
// ever holding the scores of all keys. The zero value is ready. A Search is for one
// goroutine; it allocates nothing once it has been used with its largest sizes.
//
// Blocks of searchRows queries meet panels of keys, and each score is compared with
// a bar below which none of its query's best k can lie. The entries of what passes
// are collected if they pass themselves; when the collection is full, its best k
// stay and the bar rises to the worst of them. Among many entries the first bar is
// guessed from a sample: if it was too high for k to pass, the query is searched
// again without one. Keys that cannot reach a bar, by what is known of their lengths
// and biases, are left out. So guess and limits decide how long a search takes, never
// what it finds, nor in which order.
type Search struct {
	k      int
	counts []int     // of what was found for each query
	found  []float32 // [queries][k], the scores
	named  []int32   // [queries][k]
	sorted []Scored

	queries []float32 // the queries under way, [ceil(n/searchRows)][width][searchRows]
	common  []float32 // [queries][classes], what each gets from each class
	shares  []float32 // the same of those under way, [ceil(n/searchRows)][classes][searchRows], and as much more as prospects reads
	zeros   [sharesRead]float32
	classes [searchSpan / CommonKeys]int32 // zeros
	numbers []int                          // which queries these are, within the group
	bars    []float32                      // what a score must reach, by place in queries
	passed  []float32                      // [searchGroup][room] what reached it, by number
	names   []int32                        // like passed
	lengths []int                          // how many of them there are, by number
	keys    []float32                      // room for keys that must be expanded
	bias    []float32                      // of the keys under way, then NaN to the end of the panel

	limits      searchLimits
	sample      []float32 // panels of keys from all over the table; empty for no guess
	sampleBias  []float32
	samplePlace int

	*searchRoom
	ranks []Rank
}

// searchRoom is what a Search writes and reads again at once. Each part is an
// allocation of its own, and so begins with a cache line: stores across lines, let
// alone pages, take several times as long.
type searchRoom struct {
	tile   *searchTile
	values []float32 // what passes in a row of the tile, [searchSpan+8]
	places []int32   // of these among the keys under way
	within []int32   // the same within a list or the entries of a key
}

func newSearchRoom() *searchRoom {
	const n = 2 * searchSpan // a size that is allocated on pages
	return &searchRoom{tile: new(searchTile), values: make([]float32, n), places: make([]int32, n), within: make([]int32, n)}
}

const (
	searchRows   = 6               // queries that are scored side by side
	searchGroup  = 48              // queries whose collections are held at the same time, in the second cache
	searchSpan   = 512             // keys that are scored before the hits are collected, at most
	searchStride = searchSpan + 16 // from one query's scores to the next's
)

// searchInput is what Run was asked.
type searchInput struct {
	x       []float32
	ldx     int
	keys    KeyPanels
	common  Common
	bias    []float32
	entries Entries
	width   int // of queries
	room    int // for what passes, by query
}

// Run finds the k best entries for each row of X (m×d, d the width of the keys with
// what they have in common). The score of key u is its product with the query plus
// bias[u]; a nil bias is zero. What Best then returns equals, up to the rounding of
// sums,
//
//	for i: Reset(k); for u, e of u: offer(Names[e], Σp x[i*ldx+p]*key(u)[p] + bias[u] + Behind[e])
//
// on a TopK: best first, ties by the lower name, NaN never enters. On one
// instruction set a score's bits depend on its query and its entry alone.
func (s *Search) Run(m int, x []float32, ldx int, keys KeyPanels, common Common, bias []float32, entries Entries, k int) {
	n, width := keys.Rows(), keys.Width()+common.Width
	checkMatrix(m, width, ldx, len(x))
	common.check(n)
	if bias != nil {
		checkSame(len(bias), n)
	}
	entries.check(n)
	if s.searchRoom == nil {
		s.searchRoom = newSearchRoom()
	}
	s.k = max(0, min(k, entries.count(n)))
	s.counts = resize(s.counts, m)
	clear(s.counts)
	s.found, s.named = resize(s.found, m*s.k), resize(s.named, m*s.k)
	if s.k == 0 {
		return
	}
	in := &searchInput{x: x, ldx: ldx, keys: keys, common: common, bias: bias, entries: entries, width: width, room: (2*s.k+PanelWidth-1)/PanelWidth*PanelWidth + searchSpan}
	if classes := in.classes(); classes > 0 && m > 0 {
		s.common = resize(s.common, m*classes)
		GemmNT(m, classes, common.Width, x[keys.Width():], ldx, common.Rows, common.Width, s.common, classes, false)
	}
	s.takeSample(in)
	s.limits.prepare(in)
	for lo := 0; lo < m; lo += searchGroup {
		s.group(in, lo, min(m, lo+searchGroup))
	}
}

// classes returns how many classes there are, 0 without any.
func (in *searchInput) classes() int {
	if in.common.Width == 0 {
		return 0
	}
	return len(in.common.Rows) / in.common.Width
}

// Found returns the scores and names of what the last Run found for query i, in the
// order of the entries. They are valid until the next Run.
func (s *Search) Found(i int) (scores []float32, names []int32) {
	lo, hi := i*s.k, i*s.k+s.counts[i]
	return s.found[lo:hi], s.named[lo:hi]
}

// Best is Found, best first. It is valid until the next call.
func (s *Search) Best(i int) []Scored {
	scores, names := s.Found(i)
	ranks := s.rank(shortlist{scores, names})
	slices.Sort(ranks)
	s.sorted = resize(s.sorted, len(ranks))
	for i, rank := range ranks {
		s.sorted[len(ranks)-1-i] = rank.Scored()
	}
	return s.sorted
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
	s.limits.judge()
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
		list := s.list(in, i)
		if len(list.scores) > s.k {
			s.keepBest(list, s.k)
		}
		s.counts[lo+i] = min(s.k, len(list.scores))
		copy(s.found[(lo+i)*s.k:][:s.k], list.scores)
		copy(s.named[(lo+i)*s.k:][:s.k], list.names)
	}
}

// pack lays the numbered queries out in tiles, with bars that everything passes.
// Places past the last query have a bar that nothing passes.
func (s *Search) pack(in *searchInput, first int) {
	places := (len(s.numbers) + searchRows - 1) / searchRows * searchRows
	s.queries = resize(s.queries, places*in.width)
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
		packRow(s.queries, in.x[(first+i)*in.ldx:][:in.width], at)
	}
	s.packShares(in, first, places)
	s.packLimits(in, first, places)
}

// packRow lays values of the query at a place beside those of its neighbours.
func packRow(dst, values []float32, at int) {
	to := at/searchRows*searchRows*len(values) + at%searchRows
	for p, v := range values {
		dst[to+p*searchRows] = v
	}
}

// packShares lays out what the packed queries get from classes.
func (s *Search) packShares(in *searchInput, first, places int) {
	classes := in.classes()
	if classes == 0 {
		return
	}
	s.shares = resize(s.shares, places*classes+sharesRead-searchRows)
	clear(s.shares)
	for at, i := range s.numbers {
		packRow(s.shares, s.common[(first+i)*classes:][:classes], at)
	}
}

// sharesOf returns the shares of the queries from place at on in keys from first on.
func (s *Search) sharesOf(in *searchInput, at, first int) shares {
	if classes := in.classes(); classes > 0 {
		return shares{s.shares[at*classes:], in.common.Classes[first/CommonKeys:]}
	}
	return s.noShares()
}

// noShares are zero.
func (s *Search) noShares() shares { return shares{s.zeros[:], s.classes[:]} }

// scan shows all keys to the packed queries.
func (s *Search) scan(in *searchInput) {
	n, d := in.keys.Rows(), in.keys.Width()
	s.keys = resize(s.keys, searchSpan*d)
	for lo := 0; lo < n; lo += searchSpan {
		hi := min(n, lo+searchSpan)
		keys := in.keys.Lend(lo, hi, s.keys)
		s.lendBias(in.bias, lo, hi)
		panels := (hi - lo + PanelWidth - 1) / PanelWidth
		for at := 0; at < len(s.numbers); at += searchRows {
			c := s.sharesOf(in, at, lo)
			halves := s.limits.prospects(s.bars[at:at+searchRows], at, lo, panels, c)
			s.tile.score(halves, d, s.queries[at*in.width:], keys, s.bias, c)
			s.collect(in, at, lo, halves)
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
