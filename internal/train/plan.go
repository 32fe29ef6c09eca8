package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"seqrec/internal/baseline"
	"seqrec/internal/features"
	"seqrec/internal/seqmodel"
)

// Plan is everything that decides what a night's work computes. It is kept in
// the manifest of the version it made. Equal plans on equal data give equal
// weights on one instruction set.
type Plan struct {
	Recipe string `json:"recipe,omitempty"` // the name of the settings it began with
	// Baseline, when set, is the kind of baseline to fit; the fields of sequence
	// models are then without meaning.
	Baseline baseline.Kind    `json:"baseline,omitempty"`
	KNN      baseline.Options `json:"knn,omitzero"`

	Model    seqmodel.Config      `json:"model,omitzero"` // Items is set from the data
	Train    seqmodel.TrainConfig `json:"train,omitzero"` // LR and Seed are set from the plan
	Scheme   features.Scheme      `json:"scheme,omitempty"`
	Batch    int                  `json:"batch,omitempty"` // sequences
	Schedule Schedule             `json:"schedule,omitzero"`
	Epochs   int                  `json:"epochs,omitempty"`
	Patience int                  `json:"patience,omitempty"`
	// EvalEvery and ValidCases are those of Options, but with 0 a temporal split
	// takes 10,000 cases; AllCases takes all of any split.
	EvalEvery  int    `json:"eval_every,omitempty"`
	ValidCases int    `json:"valid_cases,omitempty"`
	Seed       uint64 `json:"seed"`
	// Warm is the version whose weights training began with; "" for fresh ones.
	Warm string `json:"warm,omitempty"`

	Data DataPlan `json:"data"`
}

// AllCases is more validation cases than any split has.
const AllCases = math.MaxInt32

// DataPlan says how a file becomes a split.
type DataPlan struct {
	Split        string   `json:"split"`                    // features.SplitLeaveOneOut or SplitTemporal
	TestShare    float64  `json:"test_share,omitempty"`     // temporal split: share of events in the test, and again in validation
	MinItemCount int      `json:"min_item_count,omitempty"` // leave out items with fewer events
	MinUserCount int      `json:"min_user_count,omitempty"`
	KCore        int      `json:"k_core,omitempty"`
	MinRating    float64  `json:"min_rating,omitempty"`
	Kinds        []string `json:"kinds,omitempty"`
	DropItems    []string `json:"drop_items,omitempty"`
}

// ReadOptions are those of the plan.
func (d DataPlan) ReadOptions() features.ReadOptions {
	return features.ReadOptions{
		MinItemCount: d.MinItemCount, MinUserCount: d.MinUserCount, KCore: d.KCore,
		MinRating: d.MinRating, Kinds: d.Kinds, DropItems: d.DropItems,
	}
}

// Filter says in words which events of the source are kept.
func (d DataPlan) Filter() string {
	var rules []string
	rule := func(on bool, format string, args ...any) {
		if on {
			rules = append(rules, fmt.Sprintf(format, args...))
		}
	}
	rule(d.MinRating > 0, "ratings >= %g", d.MinRating)
	rule(len(d.Kinds) > 0, "kinds %s", strings.Join(d.Kinds, ", "))
	rule(len(d.DropItems) > 0, "%d named items left out", len(d.DropItems))
	rule(d.MinItemCount > 1, "items >= %d events", d.MinItemCount)
	rule(d.MinUserCount > 1, "users >= %d events", d.MinUserCount)
	rule(d.KCore > 1, "%d-core", d.KCore)
	if len(rules) == 0 {
		return "all events"
	}
	return strings.Join(rules, "; ")
}

// Validate reports settings that make no sense.
func (d DataPlan) Validate() error {
	if d.Split != features.SplitLeaveOneOut && d.Split != features.SplitTemporal {
		return fmt.Errorf("split %q is unknown, want %s or %s", d.Split, features.SplitLeaveOneOut, features.SplitTemporal)
	}
	if d.Split == features.SplitTemporal && !(d.TestShare > 0 && d.TestShare < 0.5) {
		return fmt.Errorf("test share is %v, want above 0 and below 0.5", d.TestShare)
	}
	opt := d.ReadOptions()
	return opt.Validate()
}

// Cut splits a data set as the plan says. A split without a test case is an error.
func (d DataPlan) Cut(data *features.Dataset) (*features.Split, error) {
	switch d.Split {
	case features.SplitLeaveOneOut:
		s := features.LeaveOneOut(data)
		if len(s.Test) == 0 {
			return nil, errors.New("split: no user has the 3 events that leave-one-out needs")
		}
		return s, nil
	case features.SplitTemporal:
		s, err := features.Temporal(data, features.TemporalOptions{ValidQuantile: 1 - 2*d.TestShare, TestQuantile: 1 - d.TestShare})
		if err == nil && len(s.Test) == 0 {
			err = fmt.Errorf("split: no event of the last %.0f %% has a user with events before it, so there is nothing to test on", 100*d.TestShare)
		}
		return s, err
	}
	return nil, fmt.Errorf("split %q is unknown, want %s or %s", d.Split, features.SplitLeaveOneOut, features.SplitTemporal)
}

// String says in words how the data is cut.
func (d DataPlan) String() string {
	if d.Split == features.SplitTemporal {
		return fmt.Sprintf("%s, test share %g; %s", d.Split, d.TestShare, d.Filter())
	}
	return d.Split + "; " + d.Filter()
}

// WithDefaults fills in what is zero.
func (p Plan) WithDefaults() Plan {
	if p.Data.Split == "" {
		p.Data.Split = features.SplitLeaveOneOut
	}
	if p.Data.Split == features.SplitTemporal {
		if p.Data.TestShare == 0 {
			p.Data.TestShare = 0.1
		}
		if p.ValidCases == 0 { // every later event is a case: more than choosing an epoch needs
			p.ValidCases = 10000
		}
	}
	if p.Baseline != "" {
		return p
	}
	p.Model = p.Model.WithDefaults()
	p.Schedule = p.Schedule.WithDefaults()
	p.Train.LR, p.Train.Seed = float32(p.Schedule.Rate), p.Seed
	p.Train = p.Train.WithDefaults()
	if p.Scheme == "" {
		p.Scheme = features.Shifted
	}
	if p.Batch == 0 {
		p.Batch = 128
	}
	if p.Epochs == 0 {
		p.Epochs = 100
	}
	if p.EvalEvery == 0 {
		p.EvalEvery = 1
	}
	return p
}

// Validate reports all faults of a complete plan that can be seen without data.
func (p Plan) Validate() error {
	if p.Baseline != "" {
		if !slices.Contains(baseline.Kinds(), p.Baseline) {
			return fmt.Errorf("baseline %q is unknown, want one of %q", p.Baseline, baseline.Kinds())
		}
		return errors.Join(p.KNN.Validate(), p.Data.Validate())
	}
	m := p.Model
	if m.Items == 0 {
		m.Items = 1 // known with the data
	}
	sampler := p.sampler()
	errs := []error{p.Data.Validate(), m.Validate(), p.Train.Validate(), p.Schedule.Validate(), sampler.Validate()}
	if p.Epochs < 1 {
		errs = append(errs, fmt.Errorf("epochs is %d, want at least 1", p.Epochs))
	}
	if p.Patience < 0 || p.EvalEvery < 1 || p.ValidCases < 0 {
		errs = append(errs, fmt.Errorf("patience %d, eval-every %d, valid-cases %d: want at least 0, 1, 0", p.Patience, p.EvalEvery, p.ValidCases))
	}
	return errors.Join(errs...)
}

func (p Plan) sampler() features.SamplerOptions {
	return features.SamplerOptions{Scheme: p.Scheme, Length: p.Model.Length, BatchSize: p.Batch, Seed: p.Seed}
}

// Name is what the plan's model is called in tables.
func (p Plan) Name() string {
	switch {
	case p.Recipe != "":
		return p.Recipe
	case p.Baseline != "":
		return string(p.Baseline)
	}
	return p.Model.Model + "-" + string(p.Train.Loss.Kind)
}

// identity names what a checkpoint can be resumed with: everything in the plan
// that steers training, and the data. When the rate is constant the number of
// epochs does not steer, so that a run can be made longer.
func (p Plan) identity(split *features.Split) (string, error) {
	if p.Schedule.Kind == Constant {
		p.Epochs = 0
	}
	p.Recipe, p.Patience = "", 0
	text, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("name the run: %w", err)
	}
	h := sha256.New()
	h.Write(text)
	h.Write([]byte(split.TargetHash))
	for _, history := range split.Train {
		for _, item := range history {
			h.Write([]byte{byte(item), byte(item >> 8), byte(item >> 16), byte(item >> 24)})
		}
		h.Write([]byte{0xff, 0xff, 0xff, 0xff})
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}
