package train

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"seqrec/internal/eval"
	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel/lifelong"
)

// SecondOptions are what SecondStage takes besides the plan.
type SecondOptions struct {
	Data       string   // a file or folder that features.Read reads
	Filter     DataPlan // how it is read; its cut is not used: slates have their own
	AsFirst    bool     // read it as the first stage was, where that says how, not by Filter
	SameData   bool     // Data is what the first stage learned from: its erasures and its night are those of both
	Registry   *registry.Registry
	First      string // version that retrieves: a name, "current" or "latest"
	Candidates int    // how many items it retrieves; default 200
	Hard       int    // negatives of a slate, besides those by popularity, that are drawn from what the first stage retrieves, as far as there are so many; default 4, negative for none
	Publish    bool   // whether a version is published
	Promote    bool   // whether it becomes current when the gate lets it
	Hold       bool   // do not make it current even if nothing is
	Gate       GateRules
	Name       string        // what to call it; "": what the first stage is called
	Workers    int           // 0: the cores
	Work       string        // folder for checkpoints; "": none are kept
	Resume     bool          // go on from the checkpoint in Work
	Anew       bool          // begin anew where that was made with another instruction set
	Every      time.Duration // longest time without a checkpoint; 0: one at each validation
	Revision   string        // of the source
	CPU        string
	Say        func(string, ...any)
	Progress   func(LifelongProgress) // may be nil
}

// SecondSummary is the outcome in figures.
type SecondSummary struct {
	Model     string          `json:"model"`
	First     string          `json:"first_stage"` // the version
	AUC       float64         `json:"auc"`         // pooled over the rows of the test slates
	UserGAUC  eval.GroupedAUC `json:"user_gauc"`
	ValidAUC  float64         `json:"valid_auc"`
	BestStep  int             `json:"best_step"`
	Train     int             `json:"train_slates"`
	Test      int             `json:"test_slates"`
	Blend     float64         `json:"blend"` // chosen on validation
	Cands     int             `json:"candidates"`
	NDCG10    float64         `json:"ndcg@10"`             // both stages, all items ranked
	Alone     float64         `json:"ndcg@10_first_stage"` // the first stage alone, the same cases
	Delta     float64         `json:"delta"`               // with its paired interval
	DeltaLow  float64         `json:"delta_low"`
	DeltaHigh float64         `json:"delta_high"`
	Seconds   float64         `json:"seconds"`
	Version   string          `json:"version,omitempty"`
	Promoted  bool            `json:"promoted"`
	Gate      *eval.Gate      `json:"gate"`
	Curve     []ValidPoint    `json:"curve"`
}

// SecondStage trains a target-aware model in the vocabulary of a published
// version, chooses its blend with that version's scores on the validation
// events, judges both stages against the first alone and against the version in
// service on the test events, and publishes a version that holds both. When a
// promotion was asked for and both stages rank beyond doubt worse than either,
// the error wraps ErrRefused.
func SecondStage(ctx context.Context, plan LifelongPlan, opt SecondOptions) (_ *SecondSummary, err error) {
	began := time.Now()
	if opt.Candidates == 0 {
		opt.Candidates = 200
	}
	if opt.Hard == 0 {
		opt.Hard = 4
	}
	if err := opt.Gate.Validate(); err != nil {
		return nil, err
	}
	s := &second{plan: plan.WithDefaults(), opt: opt, sum: &SecondSummary{Cands: opt.Candidates}}
	published := false
	defer func() { err = errors.Join(err, s.leave(published)) }()
	for _, step := range []func(context.Context) error{s.read, s.harden, s.fit, s.chooseBlend, s.judge} {
		switch err := step(ctx); {
		case err != nil && ctx.Err() != nil && opt.Work != "" && !errors.Is(err, ErrInterrupted):
			return nil, fmt.Errorf("%w: %w", ErrInterrupted, err)
		case err != nil:
			return nil, err
		}
	}
	s.sum.Seconds = time.Since(began).Seconds()
	if !opt.Publish {
		return s.sum, nil
	}
	err = s.publish()
	published = err == nil || errors.Is(err, ErrRefused)
	return s.sum, err
}

// second is a SecondStage under way.
type second struct {
	plan   LifelongPlan
	opt    SecondOptions
	first  *Published
	b      *Behaviours
	split  *features.SlateSplit
	cases  *features.Split
	fit1   *LifelongFit
	sum    *SecondSummary
	folder string       // of the checkpoint; "" without one
	unlock func() error // of the folder; nil without a lock
	alone  *eval.Result // of the first stage
	both   *eval.Result
}

// read opens the first stage and brings the data into its vocabulary.
func (s *second) read(ctx context.Context) (err error) {
	if s.first, err = Open(s.opt.Registry, s.opt.First); err != nil {
		return fmt.Errorf("first stage: %w; train one first, as by --recipe sasrec-ce", err)
	}
	if own := s.first.Plan.Data; s.opt.AsFirst && own.Split != "" {
		s.opt.Filter = own
	}
	opt := s.opt.Filter.ReadOptions()
	opt.KeepPlaces = true // the service counts places in what the store holds, and that is everything
	data, _, err := features.ReadContext(ctx, s.opt.Data, opt)
	if err != nil {
		return err
	}
	items := catalogueOf(data, s.opt.Data, s.opt.Say)
	data, unknown, left := inVocabulary(data, s.first.Vocab)
	if unknown+left > 0 {
		s.opt.Say("%d events are of items that the filter leaves out (kept: %s), %d of others that the first stage does not know: they keep their places in the histories, and count for nothing else",
			left, s.opt.Filter.Filter(), unknown)
	}
	s.b = NewBehaviours(data, items)
	if s.split, err = features.CutSlates(data, s.plan.Slates); err != nil {
		return err
	}
	s.cases = features.LeaveOneOut(data.Known())
	if s.first.Hash != s.cases.TargetHash && !s.leaveLearned() {
		s.opt.Say("note: the first stage was trained for other test events than these: what it has learned from them flatters it here, and lowers the blend")
	}
	s.cases.Valid, s.cases.Test = data.InPlace(s.cases.Valid), data.InPlace(s.cases.Test)
	s.sum.First, s.sum.Train, s.sum.Test = s.first.Version, len(s.split.Train), len(s.split.Test)
	s.opt.Say("slates: %d to train, %d to validate, %d to test; %d users have too few events", len(s.split.Train), len(s.split.Valid), len(s.split.Test), s.split.Short)
	return nil
}

// leaveLearned leaves out the cases that a first stage that was cut by time may
// have learned from; false if it was cut otherwise, or no case would be left.
func (s *second) leaveLearned() bool {
	to := s.first.TrainedTo
	if s.first.Plan.Data.Split != features.SplitTemporal || to.IsZero() {
		return false
	}
	later := func(cases []features.Case) (out []features.Case) {
		for _, c := range cases {
			if c.At > to.UnixMilli() {
				out = append(out, c)
			}
		}
		return out
	}
	valid, test := later(s.cases.Valid), later(s.cases.Test)
	if len(valid) == 0 || len(test) == 0 {
		return false
	}
	s.cases.Valid, s.cases.Test = valid, test
	s.cases.TargetHash += " after " + to.UTC().Format(time.RFC3339)
	s.opt.Say("both stages are judged on the %d events (%d choose the blend) after %s, which the first has not learned from", len(test), len(valid), to.UTC().Format(time.DateTime))
	return true
}

// inVocabulary gives the data set with the item numbers of v, -1 for items that are
// not in it, and counts the events of these and of those that were left out before.
func inVocabulary(d *features.Dataset, v *features.Vocab) (_ *features.Dataset, unknown, left int) {
	number := make([]int32, d.Vocab.Len())
	for i, id := range d.Vocab.IDs() {
		number[i] = -1
		if n, ok := v.Number(id); ok {
			number[i] = n
		}
	}
	out := &features.Dataset{Users: d.Users, Vocab: v, Offsets: d.Offsets, Items: make([]int32, len(d.Items)), Times: d.Times, Kinds: d.Kinds}
	for i, item := range d.Items {
		if item < 0 {
			out.Items[i] = -1
			left++
		} else if out.Items[i] = number[item]; number[item] < 0 {
			unknown++
		}
	}
	return out, unknown, left
}

func (s *second) fit(ctx context.Context) (err error) {
	opt, err := s.enter()
	if err != nil {
		return err
	}
	if s.fit1, err = FitLifelong(ctx, s.plan, s.b, s.split, opt); err != nil {
		return err
	}
	m := s.fit1.Model
	s.sum.Model, s.sum.ValidAUC, s.sum.BestStep, s.sum.Curve = m.Describe(), s.fit1.ValidAUC, s.fit1.BestStep, s.fit1.Curve
	j, err := JudgeSlates(ctx, m, s.b, s.split.Test, s.opt.Workers)
	if err != nil {
		return err
	}
	s.sum.AUC, s.sum.UserGAUC = j.AUC, j.UserGAUC
	s.opt.Say("%s: AUC %.4f pooled over %d rows, user-GAUC %.4f", m.Describe(), j.AUC, j.Rows, j.UserGAUC.AUC)
	return nil
}

// blends are the weights that are tried; 0 is the first stage alone.
var blends = [...]float64{0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 4}

// blendCases bounds the validation cases that choose the blend.
const blendCases = 10_000

// sure is how many standard errors the best blend must be above the first stage
// alone: with fewer it is as likely the best of so many tries by chance, and a
// second stage that may not help is not worth its time.
const sure = 2

// chooseBlend takes the weight with the best NDCG@10 on the validation events, the
// least of equals, or 0 where the first stage alone is not beaten beyond doubt.
func (s *second) chooseBlend(ctx context.Context) error {
	two := s.twoStages(0)
	ranker := two.NewRanker().(*twoStageRanker)
	var gains, squares [len(blends)]float64 // of what each blend adds to the first stage alone
	cases := 0.0
	scores := make([]float32, two.Items())
	for _, c := range spread(s.cases.Valid, blendCases) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("choose the blend: %w", err)
		}
		q := features.Query{History: c.Input, Times: c.Times, Kinds: c.Kinds, At: c.At}
		ranker.first.Score(scores, []features.Query{q.Known()})
		ranker.retrieve(scores, &q, nil)
		cases++
		at := slices.Index(ranker.named, c.Target)
		if at < 0 {
			continue // no blend finds what was not retrieved
		}
		odds, mixed := make([]float32, len(ranker.named)), make([]float32, len(ranker.named))
		ranker.second.Score(odds, ranker.history(&q), ranker.named, momentOf(c.Times))
		alone := 0.0
		for i, w := range blends {
			lifelong.BlendBeside(mixed, ranker.stage1, odds, w, ranker.fresh)
			gain := gainAt10(mixed[:ranker.fresh], ranker.named, mixed[at], c.Target)
			if i == 0 {
				alone = gain
			}
			gains[i] += gain - alone
			squares[i] += (gain - alone) * (gain - alone)
		}
	}
	s.sum.Blend = s.bestBlend(gains, squares, cases)
	return nil
}

// bestBlend chooses among the blends by what each adds to the first stage alone,
// in sums over so many cases of gains and of their squares.
func (s *second) bestBlend(gains, squares [len(blends)]float64, cases float64) float64 {
	best := 0
	for i := range gains {
		if gains[i] > gains[best] {
			best = i
		}
	}
	doubt := math.Sqrt(squares[best])
	switch {
	case best == 0:
		s.opt.Say("blend 0: no weight of the second stage adds anything to NDCG@10 on validation events")
	case gains[best] < sure*doubt: // sum over its standard error
		s.opt.Say("blend 0: on validation events the best one, %g, adds %.4f to NDCG@10, which may be chance (standard error %.4f)", blends[best], gains[best]/cases, doubt/cases)
		best = 0
	default:
		s.opt.Say("blend %g: it adds most to NDCG@10 on validation events, %.4f", blends[best], gains[best]/cases)
	}
	return blends[best]
}

// gainAt10 is the NDCG@10 of a wanted item and its score among candidates that
// may hold it, equal scores by lower item number.
func gainAt10(scores []float32, named []int32, own float32, wanted int32) float64 {
	rank := 1
	for i, x := range scores {
		if x > own || x == own && named[i] < wanted {
			rank++
		}
	}
	if rank > 10 {
		return 0
	}
	return 1 / math.Log2(float64(rank)+1)
}

func (s *second) twoStages(blend float64) *TwoStages {
	return &TwoStages{First: s.first.Model, Second: s.fit1.Model, Candidates: s.opt.Candidates, Blend: blend, Kinds: s.kinds()}
}

// kinds names the kinds of behaviour that the second stage learned.
func (s *second) kinds() []string {
	if s.fit1.Model.Config().Kinds == 0 {
		return nil
	}
	return s.b.Kinds.Names
}

// judge ranks the test cases with the first stage alone and with both.
func (s *second) judge(ctx context.Context) error {
	o := JudgeOptions{Workers: s.opt.Workers, Data: s.opt.Filter.Filter()}
	alone, err := judge(ctx, "first stage", s.first.Model, s.cases, s.first.Counts, o)
	if err != nil {
		return err
	}
	both, err := judge(ctx, "both stages", s.twoStages(s.sum.Blend), s.cases, s.first.Counts, o)
	if err != nil {
		return err
	}
	c, err := eval.Compare(both, alone)
	if err != nil {
		return err
	}
	s.alone, s.both = alone, both
	d, _ := c.Find("ndcg@10")
	s.sum.NDCG10, s.sum.Alone = both.NDCG10(), alone.NDCG10()
	s.sum.Delta, s.sum.DeltaLow, s.sum.DeltaHigh = d.Delta, d.Low, d.High
	s.opt.Say("%s", line(alone))
	s.opt.Say("%s", line(both))
	return s.judgeCurrent(ctx, o)
}

// judgeCurrent applies the gate: both stages against the first alone and against
// what is in service, unless that is the same. A current version that cannot be
// opened is no reason to refuse its successor.
func (s *second) judgeCurrent(ctx context.Context, o JudgeOptions) error {
	var current *eval.Result
	p, inService, err := openCurrent(s.opt.Registry)
	switch {
	case errors.Is(err, registry.ErrNoCurrent):
	case err != nil:
		s.opt.Say("the current version cannot be compared: %v", err)
	case p.Version != s.first.Version || p.Served() != p.Model:
		if current, err = p.Judge(ctx, s.b.Data, s.cases, o); err != nil {
			return err
		}
		current.Name = "current: " + current.Name
		s.opt.Say("%s", line(current))
	}
	s.sum.Gate, err = s.opt.Gate.decide(s.both, s.alone, current, inService)
	return err
}

// publish copies the first stage's files into a new version, adds the second,
// and promotes it.
func (s *second) publish() (err error) {
	v, err := s.opt.Registry.Load(s.first.Version)
	if err != nil {
		return err
	}
	d, err := s.opt.Registry.Begin()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Abort()) }() // does nothing once published
	for name := range v.Manifest.Files {
		if name == registry.RerankerFile || name == registry.ErasuresFile && !s.opt.SameData {
			continue // the new second stage takes the place of the old, and what it learned from obeys no receipt
		}
		if err := create(d, part{name, func(w io.Writer) error {
			return readFile(v, name, func(r io.Reader) error { _, err := io.Copy(w, r); return err })
		}}); err != nil {
			return fmt.Errorf("publish %s: %w", name, err)
		}
	}
	if err := create(d, part{registry.RerankerFile, s.fit1.Model.Save}); err != nil {
		return fmt.Errorf("publish %s: %w", registry.RerankerFile, err)
	}
	m := v.Manifest
	if m.Erased != nil && !s.opt.SameData {
		s.opt.Say("note: the first stage obeys %d erasures; of the data of the second nobody knows, so the version claims none", m.Erased.Receipts)
	}
	m.Name = cmp.Or(s.opt.Name, m.Name)
	if !s.opt.SameData {
		m.Night, m.Erased = "", nil // both speak of the first stage's data alone
	}
	m.Created, m.Files, m.Revision, m.CPU = time.Time{}, nil, s.opt.Revision, s.opt.CPU
	m.Reranker = &registry.Reranker{Blend: s.sum.Blend, Candidates: s.opt.Candidates, Kinds: s.kinds(), LearnedTo: s.learnedTo()}
	if m.Metrics, err = withMetrics(m.Metrics, "second_stage", s.sum); err != nil {
		return err
	}
	if s.sum.Version, err = d.Publish(m); err != nil {
		return err
	}
	s.opt.Say("published version %s", s.sum.Version)
	return s.promote()
}

// withMetrics adds one entry to the figures of a manifest.
func withMetrics(metrics json.RawMessage, name string, value any) (json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if len(metrics) > 0 {
		if err := json.Unmarshal(metrics, &all); err != nil {
			return nil, fmt.Errorf("metrics of the first stage: %w", err)
		}
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	all[name] = text
	return json.Marshal(all)
}

// promote makes the version current by the rules of every other one.
func (s *second) promote() error {
	opt := NightOptions{Registry: s.opt.Registry, Promote: s.opt.Promote, Hold: s.opt.Hold, Gate: s.opt.Gate, Say: s.opt.Say}
	return s.sum.promote(&opt)
}
