package attention

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"seqrec/internal/kernel"
)

// catalogue is a table of item keys.
type catalogue struct {
	width int
	keys  []float32
}

func (c catalogue) key(dst []float32, item int32) { copy(dst, c.keys[int(item)*c.width:]) }

// wholes and normals draw values whose products are exact, or are not.
func wholes(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.IntN(5) - 2)
	}
	return x
}

func normals(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// drawItems draws events of a few items, some unknown.
func drawItems(rng *rand.Rand, events, items int) []int32 {
	x := make([]int32, events)
	for i := range x {
		x[i] = int32(rng.IntN(items+1)) - 1
	}
	return x
}

// score64 is the score of one event in float64, NaN for one that is never found.
func score64(c catalogue, items []int32, query, bias []float32, event int) float64 {
	if items[event] < 0 {
		return math.NaN()
	}
	sum := 0.0
	for p, v := range query {
		sum += float64(v) * float64(c.keys[int(items[event])*c.width+p])
	}
	if bias != nil {
		if math.IsInf(float64(bias[event]), 1) {
			return math.NaN()
		}
		sum += float64(bias[event])
	}
	return sum
}

// bestEvents sorts all events: what a search must find.
func bestEvents(c catalogue, items []int32, query, bias []float32, k int) []Hit {
	var all []Hit
	for event := range items {
		if s := score64(c, items, query, bias, event); s == s {
			all = append(all, Hit{int32(event), float32(s)})
		}
	}
	slices.SortFunc(all, func(a, b Hit) int {
		return cmp.Or(-cmp.Compare(a.Score, b.Score), -cmp.Compare(a.Event, b.Event))
	})
	return all[:min(k, len(all))]
}

func TestSearchEqualsSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	var s Searcher
	for _, events := range []int{0, 1, 2, 31, 100, 1000, 3000} {
		for _, width := range []int{1, 3, 8, 20} {
			for _, distinct := range []int{1, 7, 100, 2000} {
				c := catalogue{width, wholes(rng, distinct*width)}
				items := drawItems(rng, events, distinct)
				h := NewHistory(width, F32)
				h.Append(items, c.key)
				queries := wholes(rng, 3*width)
				clear(queries[:width]) // all of its products are equal
				for _, bias := range [][]float32{nil, wholes(rng, events)} {
					for _, k := range []int{0, 1, 10, events, events + 1} {
						s.Search(h, queries, bias, k)
						for i := range 3 {
							want := bestEvents(c, items, queries[i*width:][:width], bias, k)
							if got := s.Hits(i); !slices.Equal(got, want) {
								t.Fatalf("%d events of %d items, width %d, k %d: %v, want %v", events, distinct, width, k, got, want)
							}
						}
					}
				}
			}
		}
	}
}

// TestClassedSearch: a history whose items have values in common finds what one whose
// keys are whole does, however it came to be.
func TestClassedSearch(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 8))
	const own, common = 3, 4
	for _, events := range []int{0, 1, 40, 3000} {
		for _, distinct := range []int{1, 60, 900} {
			for _, classes := range []int{1, 5, 70} {
				rows := wholes(rng, classes*common)
				c := catalogue{own + common, wholes(rng, distinct*(own+common))}
				classOf := func(item int32) int32 { return item * 7 % int32(classes) }
				for item := range distinct {
					copy(c.keys[item*c.width+own:][:common], rows[classOf(int32(item))*common:])
				}
				key := func(dst []float32, item int32) { copy(dst, c.keys[int(item)*c.width:]) }
				items := drawItems(rng, events, distinct)
				whole, pieces := NewClassedHistory(own, F32, rows, common, classOf), NewClassedHistory(own, F32, rows, common, classOf)
				whole.Append(items, key)
				pieces.Append(items[:events/3], key)
				pieces.Append(items[events/3:], key)
				queries, bias := wholes(rng, 3*c.width), wholes(rng, events)
				var a, b Searcher
				a.Search(whole, queries, bias, 30)
				b.Search(pieces, queries, bias, 30)
				for i := range 3 {
					want := bestEvents(c, items, queries[i*c.width:][:c.width], bias, 30)
					if got, other := a.Hits(i), b.Hits(i); !slices.Equal(got, want) || !slices.Equal(other, want) {
						t.Fatalf("%d events of %d items in %d classes: %v at once, %v in pieces, want %v", events, distinct, classes, got, other, want)
					}
				}
			}
		}
	}
}

// TestSearchScores holds scores of any values to float64.
func TestSearchScores(t *testing.T) {
	const events, distinct, width, k = 5000, 900, 24, 80
	rng := rand.New(rand.NewPCG(5, 2))
	c := catalogue{width, normals(rng, distinct*width)}
	items := drawItems(rng, events, distinct)
	h := NewHistory(width, F32)
	h.Append(items, c.key)
	queries, bias := normals(rng, 20*width), normals(rng, events)
	var s Searcher
	s.Search(h, queries, bias, k)
	for i := range 20 {
		query := queries[i*width:][:width]
		want := bestEvents(c, items, query, bias, k)
		seen := map[int32]bool{}
		for j, hit := range s.Hits(i) {
			own := score64(c, items, query, bias, int(hit.Event))
			if seen[hit.Event] || math.Abs(own-float64(hit.Score)) > 1e-4 || math.Abs(float64(want[j].Score-hit.Score)) > 1e-4 {
				t.Fatalf("query %d, place %d: %+v, its score is %g, want %+v", i, j, hit, own, want[j])
			}
			seen[hit.Event] = true
		}
		if len(seen) != k {
			t.Fatalf("query %d: %d hits, want %d", i, len(seen), k)
		}
	}
}

func TestSearchOddValues(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	c := catalogue{1, []float32{1, nan, inf, -inf, 2}}
	items := []int32{0, 1, 2, 3, 4, 0, 4, -1, 2}
	bias := []float32{0, 0, 0, 0, nan, inf, -inf, 5, -inf}
	for _, test := range []struct {
		format Format
		query  float32
		want   []Hit
	}{
		{F32, 1, []Hit{{2, inf}, {0, 1}, {6, -inf}, {3, -inf}}},
		{F32, -1, []Hit{{3, inf}, {0, -1}, {8, -inf}, {6, -inf}, {2, -inf}}},
		{F32, 0, []Hit{{0, 0}, {6, -inf}}},
		{F32, nan, nil},
		{BF16, 1, []Hit{{2, inf}, {0, 1}, {6, -inf}, {3, -inf}}},
		{Int8, 1, []Hit{{0, 1}, {6, -inf}}},
	} {
		h := NewHistory(1, test.format)
		h.Append(items, c.key)
		var s Searcher
		s.Search(h, []float32{test.query}, bias, len(items))
		if got := s.Hits(0); !slices.Equal(got, test.want) {
			t.Errorf("%v, query %g: %v, want %v", test.format, test.query, got, test.want)
		}
	}
}

// TestSearchOfAllIsFullAttention: softmax over the hits of a search for as many
// events as there are is softmax attention.
func TestSearchOfAllIsFullAttention(t *testing.T) {
	const events, distinct, width, out = 700, 200, 12, 5
	rng := rand.New(rand.NewPCG(5, 3))
	c := catalogue{width, normals(rng, distinct*width)}
	items := drawItems(rng, events, distinct)
	h := NewHistory(width, F32)
	h.Append(items, c.key)
	queries, bias, values := normals(rng, 4*width), normals(rng, events), normals(rng, events*out)
	var s Searcher
	s.Search(h, queries, bias, events)
	for i := range 4 {
		want := make([]float64, out)
		total := 0.0
		for event := range items {
			if score := score64(c, items, queries[i*width:][:width], bias, event); score == score {
				w := math.Exp(score)
				total += w
				for p := range want {
					want[p] += w * float64(values[event*out+p])
				}
			}
		}
		hits := s.Hits(i)
		weights, got := make([]float32, len(hits)), make([]float32, out)
		for j, hit := range hits {
			weights[j] = hit.Score
		}
		kernel.Softmax(weights, 1)
		for j, hit := range hits {
			kernel.Axpy(got, weights[j], values[int(hit.Event)*out:][:out])
		}
		for p := range got {
			if math.Abs(float64(got[p])-want[p]/total) > 1e-5 {
				t.Errorf("query %d: %g, want %g", i, got[p], want[p]/total)
			}
		}
	}
}

func TestAppendInPieces(t *testing.T) {
	const events, distinct, width = 900, 150, 7
	rng := rand.New(rand.NewPCG(5, 4))
	c := catalogue{width, normals(rng, distinct*width)}
	items := drawItems(rng, events, distinct)
	queries, bias := normals(rng, 5*width), normals(rng, events)
	signs, err := NewSigns(width, 40, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []Format{F32, BF16, Int8} {
		whole, pieces := NewCodedHistory(signs, format), NewCodedHistory(signs, format)
		asked := map[int32]int{}
		whole.Append(items, c.key)
		for from := 0; from < events; {
			to := min(events, from+rng.IntN(60))
			pieces.Append(items[from:to], func(dst []float32, item int32) {
				asked[item]++
				c.key(dst, item)
			})
			from = to
		}
		if whole.Events() != pieces.Events() || whole.Items() != pieces.Items() || len(asked) != whole.Items() {
			t.Errorf("%v: %d events of %d items in pieces, %d of %d at once", format, pieces.Events(), pieces.Items(), whole.Events(), whole.Items())
		}
		for item, times := range asked {
			if times != 1 {
				t.Errorf("%v: asked %d times for item %d", format, times, item)
			}
		}
		var a, b Searcher
		for _, search := range []func(s *Searcher, h *CodedHistory){
			func(s *Searcher, h *CodedHistory) { s.Search(h.History, queries, bias, 50) },
			func(s *Searcher, h *CodedHistory) { s.SearchCodes(h, queries, bias, 50) },
		} {
			search(&a, whole)
			search(&b, pieces)
			for i := range 5 {
				if !slices.Equal(a.Hits(i), b.Hits(i)) {
					t.Errorf("%v, query %d: %v in pieces, %v at once", format, i, b.Hits(i), a.Hits(i))
				}
			}
		}
	}
}

func TestSearchAllocatesNothing(t *testing.T) {
	const events, distinct, width = 4000, 1500, 16
	rng := rand.New(rand.NewPCG(5, 5))
	c := catalogue{width, normals(rng, distinct*width)}
	signs, err := NewSigns(width, 32, 1)
	if err != nil {
		t.Fatal(err)
	}
	queries, bias := normals(rng, 20*width), normals(rng, events)
	for _, format := range []Format{F32, BF16, Int8} {
		h := NewCodedHistory(signs, format)
		h.Append(drawItems(rng, events, distinct), c.key)
		var s Searcher
		for name, search := range map[string]func(){
			"search": func() { s.Search(h.History, queries, bias, 100) },
			"codes":  func() { s.SearchCodes(h, queries, bias, 100) },
		} {
			if allocs := testing.AllocsPerRun(5, search); allocs >= 1 {
				t.Errorf("%v, %s: %g allocations a run", format, name, allocs)
			}
		}
	}
}

// recallOf is the share of the float32 hits that a format finds, on seeded keys.
func recallOf(format Format, events, width, k int) float64 {
	rng := rand.New(rand.NewPCG(5, 6))
	c := catalogue{width, normals(rng, events*width)}
	items := make([]int32, events)
	for i := range items {
		items[i] = int32(i)
	}
	const count = 50
	queries := normals(rng, count*width)
	exact, rough := NewHistory(width, F32), NewHistory(width, format)
	exact.Append(items, c.key)
	rough.Append(items, c.key)
	var a, b Searcher
	a.Search(exact, queries, nil, k)
	b.Search(rough, queries, nil, k)
	both := 0
	for i := range count {
		for _, hit := range a.Hits(i) {
			if slices.ContainsFunc(b.Hits(i), func(o Hit) bool { return o.Event == hit.Event }) {
				both++
			}
		}
	}
	return float64(both) / float64(count*k)
}

func TestRecallOfFormats(t *testing.T) {
	for format, least := range map[Format]float64{F32: 1, BF16: 0.985, Int8: 0.97} {
		recall := recallOf(format, 5000, 32, 100)
		t.Logf("%v: %.4f", format, recall)
		if recall < least {
			t.Errorf("%v finds %.4f of the best, want %g", format, recall, least)
		}
	}
}

// BenchmarkSearch searches 500 targets' best 100 events of a history in which an item
// comes five times on average, and reports the recall of the formats on distinct keys.
func BenchmarkSearch(b *testing.B) {
	const width, count, k = 32, 500, 100
	for _, events := range []int{1_000, 10_000, 100_000} {
		for _, format := range []Format{F32, BF16, Int8} {
			for _, repeats := range []int{1, 5} {
				b.Run(fmt.Sprintf("%d events/%v/repeats %d", events, format, repeats), func(b *testing.B) {
					rng := rand.New(rand.NewPCG(5, 7))
					distinct := events / repeats
					c := catalogue{width, normals(rng, distinct*width)}
					items := make([]int32, events)
					for i := range items {
						items[i] = int32(rng.IntN(distinct))
						if repeats == 1 {
							items[i] = int32(i)
						}
					}
					h := NewHistory(width, format)
					h.Append(items, c.key)
					queries, bias := normals(rng, count*width), normals(rng, events)
					var s Searcher
					for b.Loop() {
						s.Search(h, queries, bias, k)
					}
					b.ReportMetric(float64(h.Bytes())/float64(events), "B/event")
					b.ReportMetric(recallOf(format, min(events, 10_000), width, k), "recall")
				})
			}
		}
	}
}
