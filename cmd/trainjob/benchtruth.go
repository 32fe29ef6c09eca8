package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"seqrec/internal/eval"
	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel/lifelong"
	"seqrec/internal/train"
)

// The world whose truth is known: users of 300 events teach which items share an
// interest, users of 10,000 events how far back interests lie. Those who are
// asked are users that nothing was learned from.
const (
	worldSeed   = 1
	shortUsers  = 10_000
	toyUsers    = 4000 // short users of toy-auxiliary, which trains ten models
	longUsers   = 60
	askedUsers  = 40
	longFirst   = 100_000 // their numbers: no two users of these worlds have one
	askedFirst  = 200_000
	shortEvents = 300
	longEvents  = 10_000
	worldK      = 100
)

// asked are users that nothing was learned from, and what they are asked.
type asked struct {
	b      *train.Behaviours
	truth  *features.LifelongTruth
	slates []features.Slate
}

// askWorld makes users of so many events. Kinds are numbered as in learned.
func askWorld(events int, learned *train.Behaviours) (*asked, error) {
	d, truth := features.LifelongWorld(worldSeed, features.LifelongOptions{Users: askedUsers, First: askedFirst, History: events})
	w := &asked{b: train.NewBehaviours(d, truth.Items), truth: truth}
	for i, kind := range d.Kinds {
		w.b.Kinds.Of[i] = int32(slices.Index(learned.Kinds.Names, kind))
	}
	w.b.Kinds.Names = learned.Kinds.Names
	split, err := features.CutSlates(d, features.SlateOptions{Seed: 1})
	if err != nil {
		return nil, err
	}
	w.slates = split.Train
	return w, nil
}

// learnWorld trains one model on short users and on long ones.
func (c *benchLifelongCmd) learnWorld(a *app, m lifelong.Config, users int, seed uint64) (*train.LifelongFit, *train.Behaviours, error) {
	short, truth := features.LifelongWorld(worldSeed, features.LifelongOptions{Users: users, History: shortEvents})
	long, _ := features.LifelongWorld(worldSeed, features.LifelongOptions{Users: longUsers, First: longFirst, History: longEvents})
	d := &features.Dataset{Vocab: long.Vocab, Users: slices.Concat(short.Users, long.Users), Items: slices.Concat(short.Items, long.Items),
		Times: slices.Concat(short.Times, long.Times), Kinds: slices.Concat(short.Kinds, long.Kinds), Offsets: slices.Clone(short.Offsets)}
	for _, o := range long.Offsets[1:] {
		d.Offsets = append(d.Offsets, len(short.Items)+o)
	}
	b := train.NewBehaviours(d, truth.Items)
	m.Length, m.Positions = longEvents, 64
	p := train.LifelongPlan{Model: m, Batch: 1024, Epochs: 2, EvalEvery: 200, Seed: seed}
	p.Slates.Seed = 1
	if c.Epochs > 0 {
		p.Epochs = c.Epochs
	}
	split, err := features.CutSlates(d, p.Slates)
	if err != nil {
		return nil, nil, err
	}
	fit, err := train.FitLifelong(a.ctx, p, b, split, train.FitOptions{})
	return fit, b, err
}

// truthFigures judges what a search keeps.
type truthFigures struct {
	recall, ndcg, auc float64
	slates            int
}

// askedSlates bounds the questions of one figure.
const askedSlates = 200

// judge asks about positives that an interest of the history explains.
func (w *asked) judge(a *app, m *lifelong.Model) (f truthFigures, err error) {
	scorer := m.NewScorer()
	var relevant []int32
	for _, s := range w.slates {
		target := s.Candidates[0]
		if f.slates == askedSlates || w.truth.Why(int(s.User), target) == features.Chance {
			continue
		}
		if relevant = w.truth.Relevant(relevant[:0], w.b.Data, s, target); len(relevant) == 0 {
			continue
		}
		e := w.b.Example(s, math.MaxInt32)
		var selected []int32
		for _, i := range scorer.Selected(e.History, target, e.At) {
			selected = append(selected, int32(i))
		}
		k := m.Config().Select
		if len(selected) > k { // sdim selects nothing: its heaviest count
			selected = selected[:k]
		}
		recall, err := eval.SelectionRecall(selected, relevant, e.History.Len())
		if err != nil {
			return f, err
		}
		grades := make([]float64, e.History.Len())
		for _, i := range relevant {
			grades[i] = 1
		}
		ndcg, err := eval.SelectionNDCG(grades, selected, k)
		if err != nil {
			return f, err
		}
		f.recall, f.ndcg, f.slates = f.recall+recall, f.ndcg+ndcg, f.slates+1
	}
	if f.slates == 0 {
		return f, errors.New("no question has a known answer")
	}
	f.recall, f.ndcg = f.recall/float64(f.slates), f.ndcg/float64(f.slates)
	j, err := train.JudgeSlates(a.ctx, m, w.b, w.slates, 0)
	f.auc = j.AUC
	return f, err
}

// truthRecall is the share of the truly relevant events that a member's search
// finds among 10,000, and in other histories of the same model.
func (c *benchLifelongCmd) truthRecall(kind string) func(*app) (row, error) {
	return func(a *app) (row, error) {
		seeds := c.Seeds[:min(len(c.Seeds), 1)]
		fit, b, err := c.learnWorld(a, lifelong.Config{Model: kind, Select: worldK}, shortUsers, seeds[0])
		if err != nil {
			return row{}, err
		}
		detail := map[string]any{"k": worldK, "seeds": seeds, "seconds": fit.Seconds, "model": fit.Model.Describe()}
		var value float64
		for _, n := range []int{200, 1000, longEvents, 100_000} {
			w, err := askWorld(n, b)
			if err != nil {
				return row{}, err
			}
			f, err := w.judge(a, fit.Model)
			if err != nil {
				return row{}, err
			}
			if n == longEvents {
				value = f.recall
			}
			detail[fmt.Sprintf("at_%d", n)] = map[string]any{"recall": f.recall, "ndcg@100": f.ndcg, "auc": f.auc, "questions": f.slates}
		}
		return row{Value: value, unit: "", wanted: "at least 0.9 for dare", Detail: detail}, nil
	}
}

// toyAuxiliary is what the search's NDCG loses without the auxiliary head, where
// the search keeps few of the 20 to 80 events that matter; beside it where it
// keeps more.
func (c *benchLifelongCmd) toyAuxiliary(a *app) (row, error) {
	detail := map[string]any{"events": longEvents, "k": toyKeeps[0]}
	var value float64
	for i, k := range toyKeeps {
		seeds := c.Seeds[:min(len(c.Seeds), 3)]
		if i > 0 {
			seeds = seeds[:1] // for the trend
		}
		with, without, err := c.auxiliary(a, k, seeds)
		if err != nil {
			return row{}, err
		}
		diff := differences(with, without)
		if i == 0 {
			value = mean(diff)
			interval(detail, diff)
		}
		detail[fmt.Sprintf("k_%d", k)] = map[string]any{"ndcg_with": with, "ndcg_without": without, "delta": mean(diff)}
	}
	return row{Value: value, unit: "NDCG", wanted: "above 0: without the head the search finds less", Detail: detail}, nil
}

// toyKeeps are how many events the search keeps; the first makes the figure.
var toyKeeps = [...]int{5, 20, worldK}

// auxiliary is the search's NDCG of dare with and without the auxiliary head, by
// seed.
func (c *benchLifelongCmd) auxiliary(a *app, k int, seeds []uint64) (with, without []float64, err error) {
	for _, seed := range seeds {
		for _, off := range []bool{false, true} {
			fit, b, err := c.learnWorld(a, lifelong.Config{Model: "dare", Select: k, NoAuxiliary: off}, toyUsers, seed)
			if err != nil {
				return nil, nil, err
			}
			w, err := askWorld(longEvents, b)
			if err != nil {
				return nil, nil, err
			}
			f, err := w.judge(a, fit.Model)
			if err != nil {
				return nil, nil, err
			}
			if off {
				without = append(without, f.ndcg)
			} else {
				with = append(with, f.ndcg)
			}
		}
	}
	return with, without, nil
}

// twoStages trains a first and a second stage on MovieLens-1M.
func (c *benchLifelongCmd) twoStages(a *app) (first string, s *train.SecondSummary, err error) {
	dir, err := os.MkdirTemp("", "trainjob-bench-lifelong-*")
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	reg, err := registry.Open(dir)
	if err != nil {
		return "", nil, err
	}
	r, err := findRecipe(c.First)
	if err != nil {
		return "", nil, err
	}
	flags := dataFlags{Data: filepath.Join(c.Data, "ml-1m"), Split: "leave-one-out", MinItemCount: 5}
	plan := r.plan
	plan.Data, plan.Seed = flags.plan(), 1
	if c.FirstEpochs > 0 {
		plan.Epochs = c.FirstEpochs
	}
	one, err := train.Night(a.ctx, plan, train.NightOptions{Data: flags.Data, Registry: reg, Alone: true, Say: a.say})
	if err != nil {
		return "", nil, err
	}
	second := train.LifelongPlan{Model: lifelong.Config{Model: "dare"}, Epochs: 3, EvalEvery: 50, Seed: 1,
		Slates: features.SlateOptions{MinEvents: 20, MinHistory: 5, First: 3, Step: 3, Count: 20, Seed: 1}}
	s, err = train.SecondStage(a.ctx, second, train.SecondOptions{Data: flags.Data, Filter: flags.plan(), Registry: reg, First: one.Version, Say: a.say})
	return fmt.Sprintf("%s, %d epochs", c.First, one.Epochs), s, err
}
