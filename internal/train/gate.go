package train

import (
	"fmt"
	"math"

	"seqrec/internal/eval"
)

// GateRules say when a model may be promoted. The zero value asks only for
// finite metrics and that no rule's paired interval lies wholly on the wrong
// side.
type GateRules struct {
	// MaxDrop is how much of the current model's NDCG@10 may be lost, as a
	// share: the gate refuses when even the upper end of the paired interval of
	// the difference is below -MaxDrop times it. So noise alone, of users or of
	// seeds, does not refuse.
	MaxDrop float64 `json:"max_drop"`
	// MinNDCG is a floor for NDCG@10, also of a first version; 0: none.
	MinNDCG float64 `json:"min_ndcg,omitempty"`
	// MinCases is how many test cases are needed to replace a current model: an
	// interval over a handful says nothing, so almost any model would pass; 0: any.
	MinCases int `json:"min_cases,omitempty"`
}

// Validate reports settings that make no sense.
func (g GateRules) Validate() error {
	if !(g.MaxDrop >= 0 && g.MaxDrop < 1) || !(g.MinNDCG >= 0 && g.MinNDCG <= 1) {
		return fmt.Errorf("gate: max-drop %v and min-ndcg %v want 0 to 1", g.MaxDrop, g.MinNDCG)
	}
	if g.MinCases < 0 {
		return fmt.Errorf("gate: min-cases is %d, want 0 or more", g.MinCases)
	}
	return nil
}

// Decide applies the rules to a candidate. popular and current may be nil: no
// such comparison is made then. All must be results of the same cases.
func (g GateRules) Decide(candidate, popular, current *eval.Result) (*eval.Gate, error) {
	v := &eval.Gate{Rules: []string{"all metrics are numbers"}, Faults: []string{}}
	ndcg := candidate.NDCG10()
	if math.IsNaN(ndcg) || math.IsInf(ndcg, 0) {
		v.Faults = append(v.Faults, fmt.Sprintf("NDCG@10 is %v", ndcg))
	}
	if g.MinNDCG > 0 {
		v.Rules = append(v.Rules, fmt.Sprintf("NDCG@10 is at least %.4f", g.MinNDCG))
		if g.belowFloor(ndcg) {
			v.Faults = append(v.Faults, fmt.Sprintf("NDCG@10 is %.4f, below the floor of %.4f", ndcg, g.MinNDCG))
		}
	}
	if popular != nil {
		v.Rules = append(v.Rules, "NDCG@10 is not clearly below that of "+popular.Name)
		if err := against(v, candidate, popular, 0); err != nil {
			return nil, err
		}
	}
	if current != nil && g.MinCases > 0 {
		v.Rules = append(v.Rules, fmt.Sprintf("at least %d test cases", g.MinCases))
		if n := len(candidate.Ranks); n < g.MinCases {
			v.Faults = append(v.Faults, fmt.Sprintf("%d test cases cannot show that the model is as good as %s, %d can: gather more events", n, current.Name, g.MinCases))
		}
	}
	if current != nil {
		v.Rules = append(v.Rules, fmt.Sprintf("NDCG@10 is not clearly more than %.1f %% below that of %s", 100*g.MaxDrop, current.Name))
		if err := against(v, candidate, current, g.MaxDrop); err != nil {
			return nil, err
		}
	}
	v.Passed = len(v.Faults) == 0
	return v, nil
}

// belowFloor reports whether there is a floor that ndcg does not reach.
func (g GateRules) belowFloor(ndcg float64) bool { return g.MinNDCG > 0 && !(ndcg >= g.MinNDCG) }

// against adds a fault when the candidate is clearly worse than other by more
// than drop.
func against(v *eval.Gate, candidate, other *eval.Result, drop float64) error {
	c, err := eval.Compare(candidate, other)
	if err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	d, _ := c.Find("ndcg@10")
	if d.High < -drop*d.B {
		v.Faults = append(v.Faults, fmt.Sprintf("NDCG@10 is %.4f, that of %s is %.4f: difference %+.4f, interval %+.4f to %+.4f", d.A, other.Name, d.B, d.Delta, d.Low, d.High))
	}
	return nil
}
