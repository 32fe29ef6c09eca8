package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"seqrec/internal/baseline"
	"seqrec/internal/eval"
	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel"
)

// ErrRefused says that the quality gate refused a promotion that was asked for.
// The version is published, with its report; the current one stays.
var ErrRefused = errors.New("refused by the quality gate")

// NightOptions are what Night takes besides the plan.
type NightOptions struct {
	Data     string             // a file or folder that features.Read reads
	Registry *registry.Registry // nil: judge, and publish nothing
	Name     string             // of the model; "": the plan's
	Weights  string             // file of weights to publish instead of training; "": train
	Work     string             // folder for the run's checkpoint; "": none is kept
	Resume   bool               // go on from the checkpoint in Work
	Anew     bool               // begin anew where that was made with another instruction set
	Every    time.Duration      // longest time within an epoch without a checkpoint
	Warm     string             // version whose weights training begins with; "": fresh ones
	Promote  bool               // make the version current, if the gate lets it
	Hold     bool               // do not make it current even if nothing is
	Gate     GateRules
	Alone    bool // judge without baselines
	// SecondNext says that a second stage is trained next: no word that the version
	// has none.
	SecondNext bool
	Judge      JudgeOptions
	Revision   string               // of the source
	CPU        string               // instruction set in use
	Progress   func(Event)          // of training
	Say        func(string, ...any) // hears what is done, a line at a time
	Now        func() time.Time     // nil: time.Now
	// Suit, when not nil, may give another plan for the data once it has been
	// read and cut, and says why. The plan's Data must stay.
	Suit func(*features.Split, Plan) (plan Plan, why string)
	// Origin says where the data comes from, when Data is only where it lies.
	Origin *Origin
	// Published, when not nil, hears of the version before it is promoted.
	Published func(version string) error
}

// Summary is the outcome of a night in figures.
type Summary struct {
	NDCG10          float64       `json:"ndcg@10"`
	HR10            float64       `json:"hr@10"`
	MRR             float64       `json:"mrr"`
	Epochs          int           `json:"epochs"`
	SecondsPerEpoch float64       `json:"seconds_per_epoch"` // steps only, validation left out
	TokensPerSecond float64       `json:"tokens_per_second"`
	Seconds         float64       `json:"seconds"` // of everything
	PeakRSS         int64         `json:"peak_rss_bytes"`
	Version         string        `json:"version"`
	BestEpoch       int           `json:"best_epoch"`
	Ended           string        `json:"ended,omitempty"` // why training ended
	Diverged        bool          `json:"diverged,omitempty"`
	Valid           float64       `json:"valid_ndcg@10"`
	Name            string        `json:"name"`
	Model           string        `json:"model"`
	Seed            uint64        `json:"seed"`
	Split           string        `json:"split"`
	Cases           int           `json:"cases"`
	Items           int           `json:"items"`
	Data            string        `json:"data_filter"`
	Interval        eval.Interval `json:"ndcg@10_interval"`
	TargetHash      string        `json:"target_hash"`
	Promoted        bool          `json:"promoted"`
	Gate            *eval.Gate    `json:"gate,omitempty"`
	Start           string        `json:"start,omitempty"`   // which weights training began with, when that was asked
	Current         *Beside       `json:"current,omitempty"` // the version in service, on the same cases
	Report          *eval.Report  `json:"-"`
}

// Beside is another model's figure on the same cases.
type Beside struct {
	Name   string  `json:"name"`
	NDCG10 float64 `json:"ndcg@10"`
	// Delta is how much better the judged model is, with its paired interval.
	Delta float64 `json:"delta"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// night is one Night in progress.
type night struct {
	plan   Plan
	opt    NightOptions
	began  time.Time
	data   *features.Dataset
	read   *features.Report
	split  *features.Split
	counts []int64

	model   Model
	kind    string // of the manifest
	weights []byte
	run     *Outcome // nil for a baseline
	results []*eval.Result
	popular *eval.Result // for the gate; nil when nothing may be promoted
	origin  string       // of the first weights, in words; "" when nobody asked
	current *eval.Result // among results, if there is a version in service
	// inService is that version; "" for none.
	inService string
	reranks   string       // the member of the lifelong family that is the second stage of that version; "" for none
	unlock    func() error // of the run's working folder; nil before it is locked
}

// Night reads the data, trains or fits the plan's model, judges it once on the
// test cases beside baselines and the version in service, publishes it with its
// report, and promotes it when that was asked for or nothing is in service.
//
// When a promotion was asked for and the gate refuses it, or a first version is
// below the gate's floor, the error wraps ErrRefused and the summary is given
// too; so it is when weights made elsewhere hold what is not a number, of which
// nothing is published. An interrupted run wraps ErrInterrupted;
// registry.ErrLocked says that a run of these settings is under way in the
// working folder.
func Night(ctx context.Context, plan Plan, opt NightOptions) (s *Summary, err error) {
	n, err := newNight(plan, opt)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.leave()) }()
	if err := n.prepare(ctx); err != nil {
		return nil, err
	}
	if err := n.learn(ctx); err != nil {
		return n.refusal(err), err
	}
	if err := n.judge(ctx); err != nil {
		return nil, err
	}
	return n.finish()
}

func newNight(plan Plan, opt NightOptions) (*night, error) {
	plan = plan.WithDefaults()
	if err := errors.Join(plan.Validate(), opt.Gate.Validate()); err != nil {
		return nil, err
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Say == nil {
		opt.Say = func(string, ...any) {}
	}
	if opt.Name == "" {
		opt.Name = plan.Name()
	}
	opt.Judge.Now, opt.Judge.Data = opt.Now, plan.Data.Filter()
	return &night{plan: plan, opt: opt, began: opt.Now()}, nil
}

// prepare reads and cuts the data.
func (n *night) prepare(ctx context.Context) (err error) {
	if n.opt.CPU != "" {
		n.opt.Say("instruction set: %s", n.opt.CPU)
	}
	n.data, n.read, err = features.ReadContext(ctx, n.opt.Data, n.plan.Data.ReadOptions())
	if err != nil {
		return err
	}
	if n.split, err = n.plan.Data.Cut(n.data); err != nil {
		return err
	}
	n.counts = features.Counts(n.split.Train, n.split.Items)
	n.opt.Say("data: %d events of %d users on %d items, %d rows with faults, %d left out (kept: %s); %s: %d test cases",
		n.read.Events, n.read.Users, n.read.Items, n.read.Faults.Total, n.read.Filtered, n.plan.Data.Filter(), n.split.Name, len(n.split.Test))
	if len(n.split.Valid) == 0 && n.trains() {
		n.opt.Say("note: the split has no validation case, so nothing can choose the epoch: the last one's weights are kept")
	}
	return n.suit()
}

// trains says whether the night trains for epochs.
func (n *night) trains() bool { return n.opt.Weights == "" && n.plan.Baseline == "" }

// suit lets the caller fit the plan to the data.
func (n *night) suit() error {
	if n.opt.Suit == nil {
		return nil
	}
	plan, why := n.opt.Suit(n.split, n.plan)
	if why != "" {
		n.opt.Say("%s", why)
	}
	n.plan = plan.WithDefaults()
	return n.plan.Validate()
}

// learn makes the model and its weights.
func (n *night) learn(ctx context.Context) error {
	switch {
	case n.opt.Weights != "":
		return n.take()
	case n.plan.Baseline != "":
		return n.fit()
	}
	n.plan.Model.Items = n.split.Items
	n.plan.Train.Counts, n.plan.Train.Histories = n.counts, n.split.Train
	net := Sequence{Model: n.plan.Model, Train: n.plan.Train, Seed: n.plan.Seed}
	net.Train.Workers = n.opt.Judge.Workers
	var err error
	if net.Start, err = n.warm(); err != nil {
		return err
	}
	opt, err := n.runOptions()
	if err != nil {
		return err
	}
	if err := n.enter(opt.Checkpoint); err != nil {
		return err
	}
	if n.run, err = Run(ctx, net, n.split, opt); err != nil {
		return err
	}
	why := n.run.Why
	if !n.run.Diverged {
		why += fmt.Sprintf("; weights of epoch %d are kept", n.run.Best)
	}
	n.opt.Say("training ended: %s", why)
	m, err := seqmodel.Load(bytes.NewReader(n.run.Weights), int64(len(n.run.Weights)))
	if err != nil {
		return fmt.Errorf("take up the best weights: %w", err)
	}
	n.model, n.kind, n.weights = m, KindSequence, n.run.Weights
	return nil
}

func (n *night) runOptions() (Options, error) {
	p := n.plan
	opt := Options{
		Epochs: p.Epochs, Patience: p.Patience, EvalEvery: p.EvalEvery, ValidCases: p.ValidCases,
		Sampler: p.sampler(), Schedule: p.Schedule, Workers: n.opt.Judge.Workers,
		CheckpointEvery: n.opt.Every, Resume: n.opt.Resume, Anew: n.opt.Anew, Progress: n.opt.Progress, Now: n.opt.Now, CPU: n.opt.CPU,
	}
	var err error
	if opt.Identity, err = p.identity(n.split); err != nil || n.opt.Work == "" {
		return opt, err
	}
	// Each run has a folder of its own, so that two seeds can train side by side.
	folder := filepath.Join(n.opt.Work, opt.Identity)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return opt, fmt.Errorf("make the working folder: %w", err)
	}
	opt.Checkpoint = filepath.Join(folder, "checkpoint")
	return opt, nil
}

// enter locks the run's working folder until the night leaves it: two runs would
// write over each other's checkpoint. Systems without such locks go without.
func (n *night) enter(checkpoint string) (err error) {
	if checkpoint == "" {
		return nil
	}
	n.unlock, err = lockRun(filepath.Dir(checkpoint))
	return err
}

func (n *night) leave() error {
	if n.unlock == nil {
		return nil
	}
	return n.unlock()
}

// take uses weights that were made elsewhere.
func (n *night) take() (err error) {
	if n.weights, err = os.ReadFile(n.opt.Weights); err != nil {
		return fmt.Errorf("read weights: %w", err)
	}
	m, err := seqmodel.Load(bytes.NewReader(n.weights), int64(len(n.weights)))
	if errors.Is(err, seqmodel.ErrNotFinite) {
		return fmt.Errorf("%s: %w: %w", n.opt.Weights, ErrRefused, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", n.opt.Weights, err)
	}
	if m.Items() != n.split.Items {
		return fmt.Errorf("%s: the model has %d items, the data %d: read the data with the same filters as it was trained on", n.opt.Weights, m.Items(), n.split.Items)
	}
	n.plan.Model = m.Config()
	n.model, n.kind = m, KindSequence
	return nil
}

func (n *night) fit() error {
	m, err := baseline.Fit(n.plan.Baseline, n.split, n.plan.KNN)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := m.Save(&b); err != nil {
		return err
	}
	n.model, n.kind, n.weights = m, KindBaseline, b.Bytes()
	return nil
}

// judge ranks the test cases with the model, the baselines and the version in
// service.
func (n *night) judge(ctx context.Context) error {
	add := func(name string, m Model) (*eval.Result, error) {
		r, err := judge(ctx, name, m, n.split, n.counts, n.opt.Judge)
		if err == nil {
			n.results = append(n.results, r)
			n.opt.Say("%s", line(r))
		}
		return r, err
	}
	if _, err := add(n.opt.Name, n.model); err != nil {
		return err
	}
	if n.opt.Alone {
		if err := n.judgePopular(ctx); err != nil {
			return err
		}
	} else {
		list, err := Baselines(n.split)
		if err != nil {
			return err
		}
		for _, m := range list {
			if m.Kind() == n.plan.Baseline {
				continue
			}
			r, err := add(string(m.Kind()), m)
			if err != nil {
				return err
			}
			if m.Kind() == baseline.Popularity {
				n.popular = r
			}
		}
	}
	return n.judgeCurrent(ctx)
}

// judgePopular judges popularity for the gate alone: what a report leaves out
// may not be promoted unseen.
func (n *night) judgePopular(ctx context.Context) error {
	held := n.opt.Hold && !n.opt.SecondNext // with a second stage it may still be promoted, later
	if n.opt.Registry == nil || held || n.plan.Baseline == baseline.Popularity {
		return nil
	}
	m, err := baseline.Fit(baseline.Popularity, n.split, baseline.Options{})
	if err != nil {
		return err
	}
	n.popular, err = judge(ctx, string(m.Kind()), m, n.split, n.counts, n.opt.Judge)
	return err
}

// line puts a result in a line for people.
func line(r *eval.Result) string {
	d, _ := r.Metric("ndcg@10")
	return fmt.Sprintf("%-24s NDCG@10 %.4f (%.4f to %.4f)  HR@10 %.4f  MRR %.4f", r.Name, d.Mean, d.Low, d.High, r.HR10(), r.MRR.Mean)
}

// finish applies the gate, writes report and version, and promotes.
func (n *night) finish() (*Summary, error) {
	gate, err := n.opt.Gate.decide(n.results[0], n.popular, n.current, n.inService)
	if err != nil {
		return nil, err
	}
	s, err := n.summary(gate)
	if err != nil {
		return nil, err
	}
	if s.Report, err = n.report(s); err != nil {
		return nil, err
	}
	if n.opt.Registry == nil {
		return s, nil
	}
	manifest, err := n.manifest(s)
	if err != nil {
		return nil, err
	}
	p := publication{
		manifest: manifest, vocab: n.data.Vocab, counts: n.counts, items: n.items(), report: s.Report, golden: golden(n.model, n.data.Vocab, n.counts), origin: n.opt.Origin,
		weights: func(w io.Writer) error { _, err := w.Write(n.weights); return err },
	}
	if s.Version, err = p.publish(n.opt.Registry); err != nil {
		return nil, err
	}
	n.opt.Say("published version %s", s.Version)
	n.sayOfSecond(s.Version)
	if n.opt.Published != nil {
		if err := n.opt.Published(s.Version); err != nil {
			return s, err
		}
	}
	if err := n.sweepWork(); err != nil {
		n.opt.Say("the working folder is left behind: %v", err)
	}
	return s, promote(s, &n.opt)
}

// refusal is the summary of a model that cannot even be judged; nil for other
// errors.
func (n *night) refusal(err error) *Summary {
	if !errors.Is(err, ErrRefused) {
		return nil
	}
	return &Summary{Name: n.opt.Name, Gate: &eval.Gate{Rules: []string{"all weights are numbers"}, Faults: []string{err.Error()}}}
}

// sweepWork removes the checkpoint of a run that is published.
func (n *night) sweepWork() error {
	if n.run == nil || n.opt.Work == "" {
		return nil
	}
	opt, err := n.runOptions()
	if err != nil {
		return err
	}
	return os.RemoveAll(filepath.Dir(opt.Checkpoint))
}

// items gives what is known about the vocabulary's items, in its order, from
// the catalogue beside the data.
func (n *night) items() []features.Item {
	list, faults, err := features.ReadItems(catalogueFolder(n.opt.Data))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		n.opt.Say("titles are left out: %v", err)
		return nil
	}
	if faults.Total > 0 {
		n.opt.Say("items: %d rows with faults\n%s", faults.Total, faults)
	}
	known := map[string]features.Item{}
	for _, item := range list {
		known[item.ID] = item
	}
	var out []features.Item
	for _, id := range n.data.Vocab.IDs() {
		if item, ok := known[id]; ok {
			out = append(out, item)
		}
	}
	return out
}
