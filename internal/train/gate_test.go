package train

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"seqrec/internal/eval"
	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/registry"
)

// ranked is a ranker that puts the target of a query at the place its history
// names.
type ranked struct{}

func (ranked) Rank([][]kernel.Scored, []features.Query) { panic("not used") }

func (ranked) Score(dst []float32, queries []features.Query) {
	items := len(dst) / len(queries)
	for q := range queries {
		for i := range items {
			dst[q*items+i] = float32(-i)
		}
		dst[q*items] = -float32(queries[q].History[0]) + 0.5 // target is item 0
	}
}

// result makes a result in which user u's target has rank place(u).
func result(t *testing.T, name string, place func(u int) int) *eval.Result {
	t.Helper()
	var cases []features.Case
	for u := range 400 {
		cases = append(cases, features.Case{User: u, Input: []int32{int32(place(u))}, Target: 0})
	}
	r, err := eval.Evaluate(t.Context(), func() features.Ranker { return ranked{} }, cases, 60, eval.Options{Name: name, Resamples: 500})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGate(t *testing.T) {
	good := result(t, "good", func(u int) int { return 1 + u%10 })
	bad := result(t, "bad", func(u int) int { return 20 + u%10 })
	near := result(t, "near", func(u int) int { return 1 + (u+u/10)%10 })
	tests := []struct {
		name                        string
		rules                       GateRules
		candidate, popular, current *eval.Result
		reason                      string // "" passes
	}{
		{"nothing to compare with", GateRules{}, good, nil, nil, ""},
		{"better than both", GateRules{}, good, bad, bad, ""},
		{"the same model", GateRules{}, good, bad, good, ""},
		{"as good, other users", GateRules{MaxDrop: 0.02}, near, bad, good, ""},
		{"clearly worse than current", GateRules{MaxDrop: 0.02}, bad, nil, good, "that of good is"},
		{"clearly worse, but allowed", GateRules{MaxDrop: 0.999}, result(t, "x", func(u int) int { return 2 + u%10 }), nil, good, ""},
		{"worse than popularity", GateRules{}, bad, good, nil, "that of good is"},
		{"below the floor", GateRules{MinNDCG: 0.9}, good, nil, nil, "below the floor"},
		{"enough cases", GateRules{MinCases: 400}, good, bad, bad, ""},
		{"too few cases", GateRules{MinCases: 401}, good, bad, bad, "400 test cases cannot show"},
		{"few cases, nothing to replace", GateRules{MinCases: 401}, good, bad, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, err := tt.rules.Decide(tt.candidate, tt.popular, tt.current)
			if err != nil {
				t.Fatal(err)
			}
			if g.Passed != (tt.reason == "") || !strings.Contains(strings.Join(g.Faults, "\n"), tt.reason) {
				t.Errorf("passed %v, reasons %v; want %q", g.Passed, g.Faults, tt.reason)
			}
		})
	}
}

func TestGateRefusesWhatIsNotANumber(t *testing.T) {
	r := result(t, "r", func(int) int { return 1 })
	r.At[2].NDCG.Mean = math.NaN()
	g, err := GateRules{}.Decide(r, nil, nil)
	if err != nil || g.Passed {
		t.Errorf("%+v, %v", g, err)
	}
}

func TestGateRules(t *testing.T) {
	for _, bad := range []GateRules{{MaxDrop: -1}, {MaxDrop: 1}, {MinNDCG: 2}, {MaxDrop: math.NaN()}, {MinCases: -1}} {
		if bad.Validate() == nil {
			t.Errorf("%+v has no fault", bad)
		}
	}
}

// A run that diverged becomes current only when that was asked for.
func TestDivergedRunIsNotPromotedUnasked(t *testing.T) {
	reg, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	opt := &NightOptions{Registry: reg, Say: func(f string, a ...any) { said = append(said, fmt.Sprintf(f, a...)) }}
	s := &Summary{Diverged: true, Version: "01JC3V9Z6J2T5W8Q4X7N1M0KRE", Gate: &eval.Gate{Passed: true}}
	if err := promote(s, opt); err != nil || s.Promoted {
		t.Errorf("promoted %v, error %v", s.Promoted, err)
	}
	if !strings.Contains(strings.Join(said, "\n"), "trainjob promote "+s.Version) {
		t.Errorf("it is not told how: %q", said)
	}
}
