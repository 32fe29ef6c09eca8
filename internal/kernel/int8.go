package kernel

import "math"

// Int8Table is an item table with an 8-bit copy for a quick first pass. The zero
// value holds no rows. After Pack, any number of goroutines may score against it.
//
// The first pass brackets each score. With x a row, q the query and x', q' what is
// left of them in 8 bits, the Cauchy-Schwarz inequality gives
//
//	|x·q - x'·q'| = |x·(q-q') + (x-x')·q'| <= |x|*|q-q'| + |x-x'|*|q'|
//
// A row whose upper bound falls short of the k-th best lower bound cannot be among
// the best k; the others, some hundreds, are scored again exactly. The answer is
// that of the float32 ScoreTopK to the bit.
type Int8Table struct {
	table    []float32 // what Pack was given, [n][ld]
	ld, n, d int
	lines    int       // groups of four values in a row, a multiple of 4
	items    []uint8   // [ceil(n/16)][lines][16][4], value plus 128
	scale    []float32 // [n, padded to 16] a step of a row's 8-bit values
	norm     []float32 // like scale: |x|
	rest     []float32 // like scale: |x-x'|
	largest  float64   // of the finite norms
}

const (
	roughBlock = 16   // rows that lie interleaved
	roughRows  = 2048 // rows bracketed before they are looked at
)

// Pack quantises the n×d table, reusing the memory of an earlier Pack. It keeps
// table for exact re-scoring: the caller must not change it afterwards.
func (t *Int8Table) Pack(table []float32, ld, n, d int) {
	checkMatrix(n, d, ld, len(table))
	t.table, t.ld, t.n, t.d = table, ld, n, d
	t.lines = (d + 15) / 16 * 4
	blocks := (n + roughBlock - 1) / roughBlock
	t.items = resize(t.items, blocks*t.lines*roughBlock*4)
	t.scale = resize(t.scale, blocks*roughBlock)
	t.norm = resize(t.norm, blocks*roughBlock)
	t.rest = resize(t.rest, blocks*roughBlock)
	t.largest = 0
	for i := range t.items {
		t.items[i] = 128
	}
	for i := range blocks * roughBlock {
		t.scale[i], t.norm[i], t.rest[i] = 0, 0, 0
		if i < n && d > 0 {
			t.packRow(i, table[i*ld:i*ld+d])
		}
	}
	// A floor under the norms keeps the bounds above what is lost in numbers too
	// small to hold all their digits.
	floor := roundUp(t.largest * 1e-5)
	for i, norm := range t.norm {
		t.norm[i] = max(norm, floor)
	}
}

// Len is the number of rows packed.
func (t *Int8Table) Len() int { return t.n }

// packRow quantises one row. A row with a NaN or an infinity gets an infinite
// norm, so that it is always scored exactly.
func (t *Int8Table) packRow(i int, row []float32) {
	base := i / roughBlock * t.lines * roughBlock * 4
	base += i % roughBlock * 4
	at := func(j int) int { return base + j/4*roughBlock*4 + j%4 }
	step, norm, rest := quantise(row, 127, func(j int, v int32) { t.items[at(j)] = uint8(v + 128) })
	if norm > math.MaxFloat32/4 || norm != norm {
		for j := range row {
			t.items[at(j)] = 128
		}
		step, norm, rest = 0, math.Inf(1), 0
	} else {
		t.largest = max(t.largest, norm)
	}
	t.scale[i], t.norm[i], t.rest[i] = step, roundUp(norm), roundUp(rest)
}

// quantise writes the whole numbers nearest to x/step, of which none exceeds
// limit in size, and returns step, |x| and |x - step*written|.
func quantise(x []float32, limit float64, write func(j int, v int32)) (step float32, norm, rest float64) {
	var top float64
	for _, v := range x {
		top = max(top, math.Abs(float64(v)))
	}
	step = float32(top / limit)
	if !(step > 1e-30 && step < 1e30) {
		if step <= 1e-30 {
			step = 0 // too small to divide by: all of x is rest
		} else {
			return 0, math.NaN(), 0
		}
	}
	for j, v := range x {
		var whole float64
		if step != 0 {
			whole = math.Round(float64(v) / float64(step))
			whole = max(-limit, min(limit, whole))
		}
		write(j, int32(whole))
		short := float64(v) - whole*float64(step)
		norm += float64(v) * float64(v)
		rest += short * short
	}
	return step, math.Sqrt(norm), math.Sqrt(rest)
}

// roundUp returns a float32 that is not below v.
func roundUp(v float64) float32 {
	return math.Nextafter32(float32(v), float32(math.Inf(1)))
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// roughScratch is what a first pass needs beside the heap.
type roughScratch struct {
	query     []int8
	low, high []float32
	floor     *TopK    // the best lower bounds
	near      []Scored // rows that may be among the best, with their upper bounds
}

// roughQuery is a query in 8 bits and the numbers that bound its scores.
type roughQuery struct {
	shift       int32   // what the 128 added to each item value contributes
	unit        float32 // a step of the query's values
	alpha, beta float32 // factors of a row's norm and rest
}

// ScoreTopK offers the rows of the packed table for the query q (length d) to
// top, as items 0 to n-1, with the same result as the float32 ScoreTopK. Bit i of
// blocked keeps item i out. It allocates nothing once top has been used so.
func (t *Int8Table) ScoreTopK(top *TopK, q []float32, blocked []uint64) {
	checkSame(len(q), t.d)
	query, ok := t.prepare(&top.rough, q)
	if !ok || top.k == 0 || t.n <= 2*top.k {
		ScoreTopK(top, t.table, t.ld, t.d, t.n, q, blocked)
		return
	}
	r := &top.rough
	t.bracket(r, top.k, query, blocked)
	bar := r.floor.worst()
	scores := top.buffer()
	for _, c := range r.near {
		if c.Score >= bar {
			ScoreRows(scores[:1], t.table[int(c.Item)*t.ld:], t.ld, t.d, q)
			top.Scan(scores[:1], c.Item, nil)
		}
	}
}

// bracket collects in r.near the free rows whose upper bound reaches the k-th best
// lower bound of the rows up to them.
func (t *Int8Table) bracket(r *roughScratch, k int, query roughQuery, blocked []uint64) {
	r.floor.Reset(k)
	r.near = r.near[:0]
	lineBytes := t.lines * roughBlock * 4
	for lo := 0; lo < t.n; lo += roughRows {
		rows := min(roughRows, t.n-lo)
		blocks := (rows + roughBlock - 1) / roughBlock
		from := lo / roughBlock * lineBytes
		roughScores(blocks, t.lines, t.items[from:from+blocks*lineBytes], r.query, t.scale[lo:], t.norm[lo:], t.rest[lo:], r.low, r.high, query)
		high := r.high[:rows]
		for i := 0; i < rows; i++ {
			i += firstAtLeast(high[i:], r.floor.worst())
			if i < rows && !isBlocked(blocked, int32(lo+i)) {
				r.near = append(r.near, Scored{int32(lo + i), high[i]})
				r.floor.offer(r.low[i], int32(lo+i), nil)
			}
		}
	}
}

// worst is the score that one must reach to be looked at: -Inf while there is room.
func (t *TopK) worst() float32 {
	if len(t.heap) < t.k {
		return float32(math.Inf(-1))
	}
	return t.heap[0].Score
}

// prepare quantises the query. It reports false where the bounds would not hold or
// help: without assembly, for values beyond all reason, and for very wide rows.
func (t *Int8Table) prepare(r *roughScratch, q []float32) (roughQuery, bool) {
	limit := roughLimit()
	if limit == 0 || t.d == 0 || t.d > 1<<14 {
		return roughQuery{}, false
	}
	if r.floor == nil {
		r.floor = new(TopK)
		r.low, r.high = make([]float32, roughRows), make([]float32, roughRows)
	}
	r.query = resize(r.query, 4*t.lines)
	clear(r.query)
	total := int32(0)
	step, norm, rest := quantise(q, limit, func(j int, v int32) {
		r.query[j] = int8(v)
		total += v
	})
	if !(step > 0) || !(norm*t.largest < 1e30) || norm*t.largest < 1e-30 {
		return roughQuery{}, false
	}
	// Rounding: of the exact score, a sum of d products, and of the bounds.
	const ulp = 1.0 / (1 << 24)
	rounding := norm * float64(t.d+32) * ulp
	return roughQuery{
		shift: 128 * total,
		unit:  step,
		alpha: roundUp((rest + 2*rounding) * (1 + 8*ulp)),
		beta:  roundUp((norm + rest) * (1 + 8*ulp)),
	}, true
}
