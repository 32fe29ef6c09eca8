package main

import (
	"fmt"
	"math"
	"path/filepath"

	"seqrec/internal/eval"
	"seqrec/internal/features"
	"seqrec/internal/seqmodel/lifelong"
	"seqrec/internal/train"
)

// benchLifelongCmd judges the second stages: on public data, on a world whose
// truth is known, and by their speed.
type benchLifelongCmd struct {
	benchFlags
	Seeds       []uint64 `help:"Seeds whose mean is the figure." default:"1,2,3,4,5"`
	Epochs      int      `help:"Fewer epochs, to try the benchmark itself; 0 is the usual number." default:"0"`
	First       string   `help:"Recipe of the first stage of e2e-ndcg-delta." default:"sasrec-ce"`
	FirstEpochs int      `help:"Epochs of it; 0 is the recipe's." default:"0"`
	TorchScript string   `help:"Script that times the same scoring in PyTorch; without PyTorch the row is left out." default:"tools/torch_bench/lifelong_bench.py" type:"path"`
	Python      string   `help:"Interpreter that has PyTorch." default:"python3"`

	sets map[string]*lifelongSet // read once
	fits map[fitKey]aucs         // trained once
}

// fitKey names a model on a set.
type fitKey struct {
	set   string
	model lifelong.Config
}

// Run implements runner.
func (c *benchLifelongCmd) Run(a *app) error {
	c.sets, c.fits = map[string]*lifelongSet{}, map[fitKey]aucs{}
	var list []measure
	for _, set := range []string{"ml1m", "retail"} {
		for _, kind := range []string{"dare", "twin", "eta", "sdim", "sim", "sim-hard", "twin-v2", "din"} {
			if kind == "sim-hard" && set == "retail" {
				continue // it searches by category, and there are none
			}
			list = append(list, measure{"auc-" + set + "-" + kind, c.auc(set, lifelong.Config{Model: kind})})
		}
		// The ablations by which docs/lifelong.md explains the order. eta and sdim have no auxiliary head.
		for _, kind := range []string{"dare", "twin"} {
			list = append(list, measure{"auc-" + set + "-" + kind + "-no-auxiliary", c.auc(set, lifelong.Config{Model: kind, NoAuxiliary: true})})
		}
		list = append(list, measure{"auc-" + set + "-dare-narrow", c.auc(set, lifelong.Config{Model: "dare", AttentionWidth: 2})})
	}
	list = append(list,
		measure{"toy-auxiliary", c.toyAuxiliary},
		measure{"toy-shared", c.toyShared},
		measure{"toy-gradient", c.toyGradient},
		measure{"toy-projections", c.toyProjections},
		measure{"half-width-auc", c.halfWidthAUC},
		measure{"half-width-time", halfWidthTime},
	)
	for _, kind := range []string{"dare", "twin", "twin-v2", "eta", "sdim", "sim", "sim-hard", "din"} {
		list = append(list, measure{"truth-recall-" + kind, c.truthRecall(kind)})
	}
	list = append(list,
		measure{"search-ms-10k", searchTime(10_000, "under 5")},
		measure{"search-ms-100k", searchTime(100_000, "under 40; linear in the events")},
		measure{"search-ms-10k-trained", c.trainedSearch},
		measure{"e2e-ndcg-delta", c.endToEnd},
		measure{"torch-ratio", c.torchRatio},
	)
	return c.all(a, "bench lifelong", list)
}

// lifelongSet is a data set cut into slates.
type lifelongSet struct {
	name  string // folder
	b     *train.Behaviours
	split *features.SlateSplit
	plan  train.LifelongPlan // everything but model and seed
}

// set reads a data set once.
func (c *benchLifelongCmd) set(a *app, name string) (*lifelongSet, error) {
	if s := c.sets[name]; s != nil {
		return s, nil
	}
	s := &lifelongSet{}
	opt := features.ReadOptions{MinItemCount: 5}
	switch name {
	case "ml1m":
		// Users of few events are kept, so that there are test rows enough: 20 is the
		// least that the set has. Every third event back from the end is a positive.
		s.name, s.plan.Slates = "ml-1m", features.SlateOptions{MinEvents: 20, MinHistory: 5, First: 3, Step: 3, Count: 20, Seed: 1}
		s.plan.Epochs = 3
	case "retail":
		s.name, s.plan.Slates = "online-retail", features.SlateOptions{MinEvents: 20, MinHistory: 5, First: 3, Step: 3, Count: 40, Seed: 1}
		opt.DropItems = []string{"POST", "DOT", "C2", "D", "M", "CRUK", "BANK CHARGES", "PADS"}
		s.plan.Epochs = 3
	}
	s.plan.EvalEvery = 50
	if c.Epochs > 0 {
		s.plan.Epochs = c.Epochs
	}
	var err error
	if s.b, err = train.ReadBehaviours(a.ctx, filepath.Join(c.Data, s.name), opt, a.say); err != nil {
		return nil, err
	}
	if s.split, err = features.CutSlates(s.b.Data, s.plan.Slates); err != nil {
		return nil, err
	}
	c.sets[name] = s
	return s, nil
}

// fit trains one model on a set.
func (c *benchLifelongCmd) fit(a *app, s *lifelongSet, m lifelong.Config, seed uint64) (*train.LifelongFit, error) {
	plan := s.plan
	plan.Model, plan.Seed = m, seed
	return train.FitLifelong(a.ctx, plan, s.b, s.split, train.FitOptions{})
}

// aucs are test figures by seed.
type aucs struct {
	all, gauc, seconds []float64
	short, long        []float64 // of users with fewer events than the model looks at, and of the others
}

// over trains one model under every seed and judges it.
func (c *benchLifelongCmd) over(a *app, s *lifelongSet, m lifelong.Config) (f aucs, err error) {
	key := fitKey{s.name, m}
	if f, ok := c.fits[key]; ok {
		return f, nil
	}
	for _, seed := range c.Seeds {
		fit, err := c.fit(a, s, m, seed)
		if err != nil {
			return f, fmt.Errorf("seed %d: %w", seed, err)
		}
		var short, long []features.Slate
		for _, slate := range s.split.Test {
			if int(slate.End) < fit.Plan.Model.Length {
				short = append(short, slate)
			} else {
				long = append(long, slate)
			}
		}
		var figures [3]train.SlateFigures
		for i, slates := range [][]features.Slate{s.split.Test, short, long} {
			if figures[i], err = train.JudgeSlates(a.ctx, fit.Model, s.b, slates, 0); err != nil {
				return f, fmt.Errorf("seed %d: %w", seed, err)
			}
		}
		a.say("%s seed %d: AUC %.4f, %.0f s", fit.Model.Describe(), seed, figures[0].AUC, fit.Seconds)
		f.all, f.gauc, f.seconds = append(f.all, figures[0].AUC), append(f.gauc, figures[0].UserGAUC.AUC), append(f.seconds, fit.Seconds)
		f.short, f.long = append(f.short, figures[1].AUC), append(f.long, figures[2].AUC)
	}
	c.fits[key] = f
	return f, nil
}

// auc is the pooled test AUC of one member.
func (c *benchLifelongCmd) auc(set string, m lifelong.Config) func(*app) (row, error) {
	return func(a *app) (row, error) {
		s, err := c.set(a, set)
		if err != nil {
			return row{}, err
		}
		f, err := c.over(a, s, m)
		if err != nil {
			return row{}, err
		}
		detail := s.detail()
		detail["auc"], detail["user_gauc"], detail["seconds"], detail["seeds"] = f.all, f.gauc, f.seconds, c.Seeds
		detail["auc_short_histories"], detail["auc_full_histories"] = mean(f.short), mean(f.long)
		interval(detail, f.all)
		return row{Value: mean(f.all), unit: "AUC", wanted: "DARE above TWIN above ETA and SDIM", Detail: detail}, nil
	}
}

// interval adds Student's interval over seeds.
func interval(detail map[string]any, values []float64) {
	if i, err := eval.OverSeeds(values); err == nil {
		detail["low"], detail["high"], detail["sd"] = i.Low, i.High, i.SD
	}
}

func (s *lifelongSet) detail() map[string]any {
	p := s.plan.WithDefaults()
	return map[string]any{"data": s.name, "train_slates": len(s.split.Train), "test_slates": len(s.split.Test), "negatives": p.Slates.Negatives,
		"length": p.Model.Length, "k": p.Model.Select, "epochs": p.Epochs, "width": p.Model.Width}
}

// toyShared holds dare with shared tables to twin: the same model by another
// name must give the same AUC, to the bit.
func (c *benchLifelongCmd) toyShared(a *app) (row, error) {
	s, err := c.set(a, "retail")
	if err != nil {
		return row{}, err
	}
	var aucs []float64
	for _, m := range []lifelong.Config{{Model: "dare", SharedTables: true}, {Model: "twin"}} {
		fit, err := c.fit(a, s, m, 1)
		if err != nil {
			return row{}, err
		}
		f, err := train.JudgeSlates(a.ctx, fit.Model, s.b, s.split.Test, 0)
		if err != nil {
			return row{}, err
		}
		aucs = append(aucs, f.AUC)
	}
	same := 0.0
	if aucs[0] == aucs[1] {
		same = 1
	}
	detail := s.detail()
	detail["auc_dare_shared"], detail["auc_twin"] = aucs[0], aucs[1]
	return row{Value: same, wanted: "1: sharing both tables gives TWIN", Detail: detail}, nil
}

// toyProjections is what linear projections cost TWIN.
func (c *benchLifelongCmd) toyProjections(a *app) (row, error) {
	s, err := c.set(a, "ml1m")
	if err != nil {
		return row{}, err
	}
	plain, err := c.over(a, s, lifelong.Config{Model: "twin"})
	if err != nil {
		return row{}, err
	}
	projected, err := c.over(a, s, lifelong.Config{Model: "twin", Projections: true})
	if err != nil {
		return row{}, err
	}
	diff := differences(plain.all, projected.all)
	detail := s.detail()
	detail["auc_twin"], detail["auc_projections"], detail["seeds"] = plain.all, projected.all, c.Seeds
	interval(detail, diff)
	return row{Value: mean(diff), unit: "AUC", wanted: "above 0: projections lose at width 16", Detail: detail}, nil
}

func differences(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	return d
}

// halfWidthAUC is what DARE loses when its attention tables are halved.
func (c *benchLifelongCmd) halfWidthAUC(a *app) (row, error) {
	s, err := c.set(a, "ml1m")
	if err != nil {
		return row{}, err
	}
	full, err := c.over(a, s, lifelong.Config{Model: "dare"})
	if err != nil {
		return row{}, err
	}
	half, err := c.over(a, s, lifelong.Config{Model: "dare", AttentionWidth: 8})
	if err != nil {
		return row{}, err
	}
	diff := differences(half.all, full.all)
	detail := s.detail()
	detail["auc_16"], detail["auc_8"], detail["seeds"] = full.all, half.all, c.Seeds
	interval(detail, diff)
	return row{Value: mean(diff), unit: "AUC", wanted: "within 0.001 of 0", Detail: detail}, nil
}

// toyGradient counts the attention rows of events that search did not keep which
// one step moves, with the auxiliary head and without.
func (c *benchLifelongCmd) toyGradient(*app) (row, error) {
	moved := map[bool]int{}
	for _, auxiliary := range []bool{true, false} {
		m, err := lifelong.New(lifelong.Config{Items: 40, Select: 5, InitStd: 0.1, NoAuxiliary: !auxiliary}, nil, 1)
		if err != nil {
			return row{}, err
		}
		var h lifelong.History
		for item := range int32(30) {
			h.Items = append(h.Items, item)
		}
		kept := map[int32]bool{}
		for _, target := range []int32{35, 36} {
			for _, e := range m.NewScorer().Selected(h, target, 0) {
				kept[h.Items[e]] = true
			}
		}
		before := attentionRows(m)
		tr, err := lifelong.NewTrainer(m, lifelong.TrainConfig{Lanes: 1})
		if err != nil {
			return row{}, err
		}
		if _, err := tr.Step([]lifelong.Example{{History: h, Candidates: []int32{35, 36}}, {History: h, Candidates: []int32{36, 35}}}); err != nil {
			return row{}, err
		}
		after := attentionRows(m)
		for item := range int32(30) {
			if !kept[item] && before[item] != after[item] {
				moved[auxiliary]++
			}
		}
		moved[auxiliary] = moved[auxiliary] * 100 / (30 - len(kept)) // per cent of those not kept
	}
	ok := 0.0
	if moved[true] == 100 && moved[false] == 0 {
		ok = 1
	}
	return row{Value: ok, wanted: "1: gradients reach every event that search did not keep, by the auxiliary head alone", Detail: map[string]any{
		"moved_percent_with": moved[true], "moved_percent_without": moved[false]}}, nil
}

// attentionRows sums each row of the attention table of items.
func attentionRows(m *lifelong.Model) []float64 {
	for _, p := range m.Params().List() {
		if p.Name == "attend.item" {
			sums := make([]float64, p.Val.Rows)
			for i, x := range p.Val.V {
				sums[i/p.Val.Cols] += math.Abs(float64(x))
			}
			return sums
		}
	}
	return nil
}

// endToEnd is how much NDCG@10 the second stage adds on MovieLens-1M.
func (c *benchLifelongCmd) endToEnd(a *app) (row, error) {
	s, summary, err := c.twoStages(a)
	if err != nil {
		return row{}, err
	}
	return row{Value: summary.Delta, unit: "NDCG@10", wanted: "not below 0", Detail: map[string]any{
		"data": "ml-1m", "first": s, "ndcg@10_first": summary.Alone, "ndcg@10_both": summary.NDCG10, "delta_low": summary.DeltaLow, "delta_high": summary.DeltaHigh,
		"blend": summary.Blend, "candidates": summary.Cands, "auc": summary.AUC, "seconds": summary.Seconds,
	}}, nil
}
