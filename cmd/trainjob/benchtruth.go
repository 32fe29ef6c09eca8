package main

import (
	"errors"
	"fmt"
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
// asked are users of 10,000 events that nothing was learned from.
const (
	worldSeed   = 1
	shortUsers  = 4000
	longUsers   = 60
	askedUsers  = 40
	shortEvents = 300
	longEvents  = 10_000
	worldK      = 100
)

// searchedWorld makes the data set, and the truth that judges; users from firstAsked on
// are only asked.
func searchedWorld() (b *train.Behaviours, truth *features.LifelongTruth, firstAsked int32) {
	short, _ := features.LifelongWorld(worldSeed, features.LifelongOptions{Users: shortUsers, History: shortEvents})
	long, truth := features.LifelongWorld(worldSeed, features.LifelongOptions{Users: longUsers + askedUsers, History: longEvents})
	d := &features.Dataset{Vocab: long.Vocab, Users: slices.Concat(short.Users, long.Users), Items: slices.Concat(short.Items, long.Items),
		Times: slices.Concat(short.Times, long.Times), Kinds: slices.Concat(short.Kinds, long.Kinds)}
	d.Offsets = slices.Clone(short.Offsets)
	for _, o := range long.Offsets[1:] {
		d.Offsets = append(d.Offsets, short.Offsets[len(short.Offsets)-1]+o)
	}
	b = &train.Behaviours{Data: d, Categories: features.CategoryCodes(truth.Items, d.Vocab), Kinds: features.KindCodes(d)}
	return b, truth, shortUsers + longUsers
}

// worldPlan trains on both kinds of users.
func (c *benchLifelongCmd) worldPlan(m lifelong.Config, seed uint64) train.LifelongPlan {
	m.Length, m.Positions, m.Select = longEvents, 64, worldK
	p := train.LifelongPlan{Model: m, Batch: 1024, Epochs: 5, EvalEvery: 200, Seed: seed}
	p.Slates.Seed = 1
	if c.Epochs > 0 {
		p.Epochs = c.Epochs
	}
	return p
}

// worldFit is a model that learned the world, and what it is asked.
type worldFit struct {
	b     *train.Behaviours
	truth *features.LifelongTruth
	fit   *train.LifelongFit
	asked []features.Slate // test slates of users that nothing was learned from
}

func (c *benchLifelongCmd) learnWorld(a *app, m lifelong.Config, seed uint64) (*worldFit, error) {
	b, truth, first := searchedWorld()
	plan := c.worldPlan(m, seed)
	split, err := features.CutSlates(b.Data, plan.Slates)
	if err != nil {
		return nil, err
	}
	w := &worldFit{b: b, truth: truth}
	learned := func(s features.Slate) bool { return s.User >= first }
	for _, s := range split.Train { // every question to those who are only asked
		if learned(s) {
			w.asked = append(w.asked, s)
		}
	}
	split.Train, split.Valid = slices.DeleteFunc(split.Train, learned), slices.DeleteFunc(split.Valid, learned)
	w.fit, err = train.FitLifelong(a.ctx, plan, b, split, nil)
	return w, err
}

// truthFigures judges what a search keeps.
type truthFigures struct {
	recall, ndcg, auc float64
	slates            int
}

// askedSlates bounds the questions of one figure.
const askedSlates = 200

// judge asks about positives that an interest of the history explains.
func (w *worldFit) judge(a *app) (f truthFigures, err error) {
	scorer := w.fit.Model.NewScorer()
	var relevant []int32
	for _, s := range w.asked {
		target := s.Candidates[0]
		user := int(s.User) - shortUsers // as the long world counts
		if f.slates == askedSlates || w.truth.Why(user, target) == features.Chance {
			continue
		}
		long := s
		long.User = int32(user)
		relevant = w.truth.Relevant(relevant[:0], w.longData(), long, target)
		if len(relevant) == 0 {
			continue
		}
		e := w.b.Example(s, longEvents*2)
		var selected []int32
		for _, i := range scorer.Selected(e.History, target, e.At) {
			selected = append(selected, int32(i))
		}
		if len(selected) > worldK { // sdim selects nothing: its heaviest count
			selected = selected[:worldK]
		}
		recall, err := eval.SelectionRecall(selected, relevant, e.History.Len())
		if err != nil {
			return f, err
		}
		grades := make([]float64, e.History.Len())
		for _, i := range relevant {
			grades[i] = 1
		}
		ndcg, err := eval.SelectionNDCG(grades, selected, worldK)
		if err != nil {
			return f, err
		}
		f.recall, f.ndcg, f.slates = f.recall+recall, f.ndcg+ndcg, f.slates+1
	}
	if f.slates == 0 {
		return f, errors.New("no question has a known answer")
	}
	f.recall, f.ndcg = f.recall/float64(f.slates), f.ndcg/float64(f.slates)
	j, err := train.JudgeSlates(a.ctx, w.fit.Model, w.b, w.asked, 0)
	f.auc = j.AUC
	return f, err
}

// longData is the long world's part of the data, with users numbered as its truth
// numbers them.
func (w *worldFit) longData() *features.Dataset {
	d := w.b.Data
	return &features.Dataset{Vocab: d.Vocab, Users: d.Users[shortUsers:], Offsets: d.Offsets[shortUsers:], Items: d.Items}
}

// truthRecall is the share of the truly relevant events that a member's search
// finds among 10,000.
func (c *benchLifelongCmd) truthRecall(kind string) func(*app) (row, error) {
	return func(a *app) (row, error) {
		seeds := c.Seeds[:min(len(c.Seeds), 1)]
		w, err := c.learnWorld(a, lifelong.Config{Model: kind}, seeds[0])
		if err != nil {
			return row{}, err
		}
		f, err := w.judge(a)
		if err != nil {
			return row{}, err
		}
		return row{Value: f.recall, unit: "", wanted: "at least 0.9 for dare", Detail: map[string]any{
			"events": longEvents, "k": worldK, "ndcg@100": f.ndcg, "auc": f.auc, "questions": f.slates, "seeds": seeds, "seconds": w.fit.Seconds, "model": w.fit.Model.Describe(),
		}}, nil
	}
}

// toyAuxiliary is what the search's NDCG loses without the auxiliary head.
func (c *benchLifelongCmd) toyAuxiliary(a *app) (row, error) {
	var diff, with, without []float64
	for _, seed := range c.Seeds[:min(len(c.Seeds), 3)] {
		for _, off := range []bool{false, true} {
			w, err := c.learnWorld(a, lifelong.Config{Model: "dare", NoAuxiliary: off}, seed)
			if err != nil {
				return row{}, err
			}
			f, err := w.judge(a)
			if err != nil {
				return row{}, err
			}
			if off {
				without = append(without, f.ndcg)
			} else {
				with = append(with, f.ndcg)
			}
		}
	}
	diff = differences(with, without)
	detail := map[string]any{"events": longEvents, "ndcg@100_with": with, "ndcg@100_without": without}
	interval(detail, diff)
	return row{Value: mean(diff), unit: "NDCG", wanted: "above 0: without the head the search finds less", Detail: detail}, nil
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
