package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// measuredPanels are keys that know how long they are.
type measuredPanels struct {
	*Panels
	norms []float32
}

func (m measuredPanels) Norms() []float32 { return m.norms }

// measured takes the norms of the rows of a table that panels were packed from.
func measured(p *Panels, table []float32) measuredPanels {
	m := measuredPanels{p, make([]float32, (p.Rows()+PanelWidth-1)/PanelWidth*(PanelWidth/CommonKeys))}
	for u := range p.Rows() {
		norm := &m.norms[u/CommonKeys]
		*norm = max(*norm, Norm(table[u*p.Width():][:p.Width()]))
	}
	return m
}

// TestSearchLimits leaves most keys out where classes and biases tell most of a
// score, and finds the same to the bit.
func TestSearchLimits(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(5, 1))
		for _, c := range []struct {
			m, n, own, width, k int
			odd                 bool
		}{{1, 4000, 4, 0, 20, false}, {7, 5000, 16, 8, 50, false}, {40, 3000, 3, 16, 10, false}, {12, 6000, 8, 4, 30, true}} {
			const classes = 9
			d := c.own + c.width
			x, own := normals(rng, make([]float32, c.m*d)), normals(rng, make([]float32, c.n*c.own))
			rows, bias := normals(rng, make([]float32, classes*c.width)), normals(rng, make([]float32, c.n))
			common := Common{Width: c.width, Rows: rows, Classes: make([]int32, (c.n+PanelWidth-1)/PanelWidth*(PanelWidth/CommonKeys))}
			for i := range common.Classes {
				common.Classes[i] = int32(rng.IntN(classes))
			}
			for i := range rows {
				rows[i] *= 5
			}
			for u := range bias {
				if u/64%8 > 0 {
					bias[u] -= 30
				}
			}
			if c.odd {
				own[3*c.own], own[70*c.own], own[200*c.own] = nan, inf, -inf
				bias[9], bias[640], bias[2000], x[2*d], x[3*d] = nan, -inf, inf, nan, inf
			}
			if c.width == 0 {
				common = Common{}
			}
			var keys Panels
			keys.Pack(own, c.own, c.n, c.own)
			var plain, limited Search
			plain.Run(c.m, x, d, &keys, common, bias, Entries{}, c.k)
			limited.Run(c.m, x, d, measured(&keys, own), common, bias, Entries{}, c.k)
			for i := range c.m {
				if got, want := limited.Best(i), plain.Best(i); !slices.Equal(got, want) {
					t.Fatalf("%+v, query %d: %v, without limits %v", c, i, got, want)
				}
			}
			if l := limited.limits; !c.odd && (l.asked == 0 || l.kept > l.asked/2) {
				t.Errorf("%+v: %d of %d halves of panels were scored", c, l.kept, l.asked)
			}
		}
	})
}

// TestSearchLimitsGiveUp: where they leave nothing out, the limits are not asked again.
func TestSearchLimitsGiveUp(t *testing.T) {
	const m, n, d, k = 10 * searchGroup, 5000, 16, 20
	var keys Panels
	table := randoms(n * d)
	keys.Pack(table, d, n, d)
	var s Search
	s.Run(m, randoms(m*d), d, measured(&keys, table), Common{}, make([]float32, n), Entries{}, k)
	group := (n + halfPanel - 1) / halfPanel * (searchGroup / searchRows)
	if s.limits.asked == 0 || s.limits.asked > 2*group {
		t.Errorf("%d halves of panels were held to limits, want those of one group, about %d", s.limits.asked, group)
	}
}

// TestProspects holds the routine to its twin.
func TestProspects(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(5, 2))
		draw := func(n int) []float32 {
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(rng.IntN(9) - 4)
				if rng.IntN(40) == 0 {
					x[i] = []float32{nan, inf, -inf}[rng.IntN(3)]
				}
			}
			return x
		}
		for round := range 300 {
			mem := memories()[round%len(memories())]
			halves, classes := 1+rng.IntN(searchSpan/halfPanel), 1+rng.IntN(5)
			c := shares{placed(t, mem, draw(classes*searchRows+sharesRead-searchRows)), make([]int32, 2*halves)}
			for i := range c.classes {
				c.classes[i] = int32(rng.IntN(classes))
			}
			norms, peaks := placed(t, mem, draw(2*halves)), placed(t, mem, draw(2*halves))
			var reach, bars [sharesRead]float32
			copy(reach[:], draw(sharesRead))
			copy(bars[:], draw(sharesRead))
			for r := range bars {
				bars[r] += 6
			}
			want, got := make([]int32, halves), make([]int32, halves)
			n := prospectsGeneric(want, halves, &reach, &bars, c, norms, peaks)
			if count := prospects(got, halves, &reach, &bars, c, norms, peaks); count != n || !slices.Equal(got[:count], want[:n]) {
				t.Fatalf("round %d: %v, want %v", round, got[:count], want[:n])
			}
		}
	})
}
