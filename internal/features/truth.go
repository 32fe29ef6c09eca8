package features

import (
	"math"
	"slices"
	"sort"

	"seqrec/internal/kernel"
)

// repeatDecay is the weight of an item one step further back when repeating.
const repeatDecay = 0.8

// Truth knows the rules of a World and so the best answer to any history.
type Truth struct {
	Items  []Item // catalogue, by item number
	Themes []int  // the hidden theme of each user, by user number

	opt     WorldOptions
	theme   []int       // of each item
	rank    []int       // of each item in members of its theme
	next    [][]int32   // worldNext successors of each item
	members [][]int32   // items of each theme, most popular first
	inTheme [][]float64 // running sums of probability over members
	ranked  []int32     // all items, most popular first
	overall []float64   // running sums of probability over ranked
	popular []float64   // probability of each item over all
}

func newTruth(seed uint64, opt WorldOptions) *Truth {
	rng := &stream{seed: seed, key: 'w'}
	t := &Truth{
		opt: opt, theme: make([]int, opt.Items), rank: make([]int, opt.Items), next: make([][]int32, opt.Items),
		members: make([][]int32, opt.Themes), ranked: make([]int32, opt.Items), popular: make([]float64, opt.Items),
	}
	// Any order would do for popularity, but not that of the numbers: ties are
	// broken by number, and a model must not profit from that.
	for i := range t.ranked {
		t.ranked[i] = int32(i)
	}
	for i := len(t.ranked) - 1; i > 0; i-- {
		j := rng.intn(i + 1)
		t.ranked[i], t.ranked[j] = t.ranked[j], t.ranked[i]
	}
	t.overall = harmonic(opt.Items)
	for r, item := range t.ranked {
		theme := r % opt.Themes
		t.theme[item], t.rank[item] = theme, len(t.members[theme])
		t.members[theme] = append(t.members[theme], item)
		t.popular[item] = share(t.overall, r)
	}
	for _, m := range t.members {
		t.inTheme = append(t.inTheme, harmonic(len(m)))
	}
	for i := range t.next {
		t.next[i] = t.successors(rng, int32(i))
	}
	t.Items = nameItems(rng, t.theme)
	return t
}

// successors draws distinct successors of item, the last of any theme.
func (t *Truth) successors(rng *stream, item int32) []int32 {
	next := make([]int32, 0, worldNext)
	for len(next) < worldNext {
		from := t.members[t.theme[item]]
		if len(next) == worldNext-1 || len(from) <= worldNext {
			from = t.ranked
		}
		if c := from[rng.intn(len(from))]; c != item && !slices.Contains(next, c) {
			next = append(next, c)
		}
	}
	return next
}

// followed returns the probability of the i-th successor.
func followed(i int) float64 { return [worldNext]float64{0.5, 0.25, 0.15, 0.1}[i] }

// successor turns x in (0, 1) into a successor of item.
func (t *Truth) successor(item int32, x float64) int32 {
	for i := range worldNext - 1 {
		if x < followed(i) {
			return t.next[item][i]
		}
		x -= followed(i)
	}
	return t.next[item][worldNext-1]
}

// harmonic returns the running sums of n probabilities that fall as 1/rank.
func harmonic(n int) []float64 {
	sums, total := make([]float64, n), 0.0
	for i := range sums {
		total += 1 / float64(i+1)
		sums[i] = total
	}
	for i := range sums {
		sums[i] /= total
	}
	return sums
}

// share returns the probability at rank r of running sums.
func share(sums []float64, r int) float64 {
	if r == 0 {
		return sums[0]
	}
	return sums[r] - sums[r-1]
}

// pick turns x in (0, 1) into a rank.
func pick(sums []float64, x float64) int {
	return min(sort.SearchFloat64s(sums, x), len(sums)-1)
}

// shares returns the parts of the mixture after n events.
func (t *Truth) shares(n int) (follow, back, prefer, rest float64) {
	follow, back, prefer = t.opt.Follow, t.opt.Return, t.opt.Prefer
	rest = 1 - follow - back - prefer
	if n < 1 {
		follow = 0
	}
	if n < 2 {
		back = 0
	}
	sum := follow + back + prefer + rest
	return follow / sum, back / sum, prefer / sum, rest / sum
}

// walk is a history with all that the probabilities of its next item need, each
// step in time proportional to the number of themes.
type walk struct {
	t         *Truth
	history   []int32
	seen      []int     // events of each item
	themeSeen []float64 // per theme: its probability that has been seen
	allSeen   float64   // popularity that has been seen
	belief    []float64 // log likelihood of the history under each theme
	weight    []float64 // scratch per theme
}

func newWalk(t *Truth) *walk {
	return &walk{
		t: t, seen: make([]int, len(t.theme)), themeSeen: make([]float64, len(t.members)),
		belief: make([]float64, len(t.members)), weight: make([]float64, len(t.members)),
	}
}

func (w *walk) reset() {
	for _, item := range w.history {
		w.seen[item] = 0
	}
	w.history, w.allSeen = w.history[:0], 0
	clear(w.themeSeen)
	clear(w.belief)
}

// step appends an item, learning from it which theme the user has. Repeats tell
// nothing.
func (w *walk) step(item int32) {
	if w.seen[item] == 0 {
		fixed, free := w.fixed(item), w.unseenFixed()
		_, _, prefer, _ := w.t.shares(len(w.history))
		for c := range w.belief {
			p := fixed
			if c == w.t.theme[item] {
				p += prefer * share(w.t.inTheme[c], w.t.rank[item])
			}
			w.belief[c] += math.Log(p / (free + prefer*(1-w.themeSeen[c])))
		}
		theme := w.t.theme[item]
		w.themeSeen[theme] += share(w.t.inTheme[theme], w.t.rank[item])
		w.allSeen += w.t.popular[item]
	}
	w.seen[item]++
	w.history = append(w.history, item)
}

// fixed is the part of the mixture for item that no theme has a say in.
func (w *walk) fixed(item int32) float64 {
	n := len(w.history)
	follow, back, _, rest := w.t.shares(n)
	p := rest * w.t.popular[item]
	for i := range worldNext {
		if n > 0 && w.t.next[w.history[n-1]][i] == item {
			p += follow * followed(i)
		}
		if n > 1 && w.t.next[w.history[n-2]][i] == item {
			p += back * followed(i)
		}
	}
	return p
}

// unseenFixed sums fixed over the items not seen.
func (w *walk) unseenFixed() float64 {
	n := len(w.history)
	follow, back, _, rest := w.t.shares(n)
	p := rest * (1 - w.allSeen)
	for i := range worldNext {
		if n > 0 && w.seen[w.t.next[w.history[n-1]][i]] == 0 {
			p += follow * followed(i)
		}
		if n > 1 && w.seen[w.t.next[w.history[n-2]][i]] == 0 {
			p += back * followed(i)
		}
	}
	return p
}

// Probabilities writes to dst (one per item) how likely each item is to come
// next after history (oldest first), knowing the rules of the world but not the
// user's theme. They sum to 1.
func (t *Truth) Probabilities(dst []float64, history []int32) {
	if len(dst) != len(t.theme) {
		panic("features: truth: dst must have one place per item")
	}
	w := newWalk(t)
	for _, item := range history {
		w.step(item)
	}
	w.next(dst)
}

// next fills dst with the probabilities of the next item.
func (w *walk) next(dst []float64) {
	t, n := w.t, len(w.history)
	_, _, prefer, _ := t.shares(n)
	free, top, total := w.unseenFixed(), slices.Max(w.belief), 0.0
	for c, b := range w.belief {
		w.weight[c] = math.Exp(b - top)
		total += w.weight[c]
	}
	common := 0.0 // what the fixed part is scaled by, over all beliefs
	for c := range w.weight {
		w.weight[c] /= total * (free + prefer*(1-w.themeSeen[c]))
		common += w.weight[c]
	}
	repeat := t.opt.Repeat
	if n == 0 {
		repeat = 0
	}
	for i := range dst {
		dst[i] = 0
		if w.seen[i] == 0 {
			c := t.theme[i]
			dst[i] = (1 - repeat) * (w.fixed(int32(i))*common + prefer*share(t.inTheme[c], t.rank[i])*w.weight[c])
		}
	}
	weight := repeat * (1 - repeatDecay) / (1 - math.Pow(repeatDecay, float64(n)))
	for back := 1; back <= n && repeat > 0; back++ {
		dst[w.history[n-back]] += weight
		weight *= repeatDecay
	}
}

// NewRanker returns a Ranker that answers with the true probabilities: no model
// can do better on this world, save by luck.
func (t *Truth) NewRanker() Ranker {
	return &truthRanker{t: t, p: make([]float64, len(t.theme)), row: make([]float32, len(t.theme))}
}

type truthRanker struct {
	t   *Truth
	p   []float64
	row []float32
	top kernel.TopK
}

// Score implements Ranker.
func (r *truthRanker) Score(dst []float32, queries []Query) {
	n := len(r.p)
	for i, q := range queries {
		r.t.Probabilities(r.p, q.History)
		for j, p := range r.p {
			dst[i*n+j] = float32(p)
		}
	}
}

// Rank implements Ranker.
func (r *truthRanker) Rank(dst [][]kernel.Scored, queries []Query) {
	for i, q := range queries {
		r.Score(r.row, queries[i:i+1])
		r.top.Reset(q.K)
		if q.Candidates == nil {
			r.top.Scan(r.row, 0, q.Blocked)
		}
		for j, c := range q.Candidates {
			if slices.Contains(q.Candidates[:j], c) {
				continue
			}
			r.top.Scan(r.row[c:c+1], c, q.Blocked)
		}
		dst[i] = r.top.Sorted(dst[i][:0])
	}
}
