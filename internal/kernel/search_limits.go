package kernel

import "math"

const (
	halfPanel  = PanelWidth / 2 // keys that are scored or left out together
	sharesRead = 8              // values that prospects takes for searchRows
)

// searchLimits tell which keys cannot reach a bar, so that they need not be
// multiplied. By Cauchy and Schwarz no product exceeds the product of the lengths:
//
//	score <= share of the class + |query| * longest key + largest bias
//
// over CommonKeys keys. In a trained model, whose classes and biases tell much, few
// keys in a hundred are left.
type searchLimits struct {
	norms []float32             // by CommonKeys keys; empty when nothing is known
	peaks []float32             // by CommonKeys keys: the largest bias
	most  float64               // the largest finite bias, by amount
	long  float64               // the largest finite norm of a key
	shown float64               // and of what a class has in common
	reach [][sharesRead]float32 // by searchRows places: how long the part of a query is that meets keys
	slack [][sharesRead]float32 // what rounding may add, at most
	list  [searchSpan / halfPanel]int32
	asked int // halves that were held to the limits
	kept  int // of these
}

// prepare reads norms and biases.
func (l *searchLimits) prepare(in *searchInput) {
	l.norms, l.asked, l.kept = nil, 0, 0
	known, ok := in.keys.(KeyNorms)
	if !ok || in.bias == nil {
		return
	}
	l.norms = known.Norms()
	checkSame(len(l.norms), (in.keys.Rows()+PanelWidth-1)/PanelWidth*(PanelWidth/CommonKeys))
	l.peaks = resize(l.peaks, len(l.norms))
	l.most, l.long, l.shown = 0, 0, 0
	for b := range l.peaks {
		peak := float32(math.Inf(-1))
		lo := min(b*CommonKeys, len(in.bias))
		for _, v := range in.bias[lo:min(lo+CommonKeys, len(in.bias))] {
			if v > peak {
				peak = v
			}
			l.most = greaterFinite(l.most, v)
		}
		l.peaks[b] = peak
		l.long = greaterFinite(l.long, l.norms[b])
	}
	for class := range in.classes() {
		l.shown = greaterFinite(l.shown, Norm(in.common.Rows[class*in.common.Width:][:in.common.Width]))
	}
}

// greaterFinite returns the larger of most and the amount of v, if that is finite.
func greaterFinite(most float64, v float32) float64 {
	if a := math.Abs(float64(v)); a > most && a <= math.MaxFloat32 {
		return a
	}
	return most
}

// packLimits measures the packed queries.
func (s *Search) packLimits(in *searchInput, first, places int) {
	l := &s.limits
	if len(l.norms) == 0 {
		return
	}
	l.reach, l.slack = resize(l.reach, places/searchRows), resize(l.slack, places/searchRows)
	d := in.keys.Width()
	// Twice the bound on the rounding of a sum of so many terms, for score and limit.
	unit := float64(in.width+8) * 0x1p-22
	for at, i := range s.numbers {
		q := in.x[(first+i)*in.ldx:][:in.width]
		reach, share := Norm(q[:d]), Norm(q[d:])
		l.reach[at/searchRows][at%searchRows] = reach
		l.slack[at/searchRows][at%searchRows] = float32(unit*(float64(share)*l.shown+float64(reach)*l.long+l.most)) + tiny
	}
}

// tiny is more than what vanishes next to 0.
const tiny = 0x1p-100

// Norm returns the Euclidean length of x, rounded up.
func Norm(x []float32) float32 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Nextafter32(float32(math.Sqrt(sum)), float32(math.Inf(1)))
}

// prospects returns which halves of the panels from key first on have a key that may
// reach the bar of one of the queries from place at on.
func (l *searchLimits) prospects(bars []float32, at, first, panels int, c shares) []int32 {
	halves := panels * (PanelWidth / halfPanel)
	if len(l.norms) == 0 {
		return l.all(halves)
	}
	reach, slack := &l.reach[at/searchRows], &l.slack[at/searchRows]
	var low [sharesRead]float32
	for r := range low {
		low[r] = float32(math.Inf(1))
		if r < len(bars) && bars[r] == bars[r] { // a place past the last query has NaN
			low[r] = bars[r] - slack[r]
		}
	}
	b := first / CommonKeys
	n := prospects(l.list[:], halves, reach, &low, c, l.norms[b:], l.peaks[b:])
	l.asked, l.kept = l.asked+halves, l.kept+n
	return l.list[:n]
}

// judge gives the limits up if they leave out too little to pay for themselves.
func (l *searchLimits) judge() {
	if l.kept > l.asked/8*7 {
		l.norms = nil
	}
}

// all lists the first n halves.
func (l *searchLimits) all(n int) []int32 {
	for h := range l.list[:n] {
		l.list[h] = int32(h)
	}
	return l.list[:n]
}

// prospectsGeneric lists halves with a limit that is not below its bar, and returns
// how many there are.
func prospectsGeneric(list []int32, halves int, reach, bars *[sharesRead]float32, c shares, norms, peaks []float32) int {
	const blocks = halfPanel / CommonKeys
	count := 0
	for h := range halves {
		may := false
		for b := h * blocks; b < (h+1)*blocks; b++ {
			for r := range searchRows {
				limit := c.scores[int(c.classes[b])*searchRows+r] + reach[r]*norms[b] + peaks[b]
				may = may || !(limit < bars[r])
			}
		}
		if may {
			list[count] = int32(h)
			count++
		}
	}
	return count
}
