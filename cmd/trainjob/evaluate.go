package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"seqrec/internal/eval"
	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/train"
)

// evaluateCmd judges a published version.
type evaluateCmd struct {
	cutFlags
	registryFlag
	Model     string `help:"Version to judge: its name, current or latest." default:"current"`
	Baselines *bool  `help:"Judge popularity, last transition and VMIS-kNN too, fitted to the data's training part; by default where a report is written." negatable:""`
	Report    string `help:"Write the report here: a folder for report.html and report.json." type:"path" placeholder:"DIR"`
	workersFlag
}

// evaluated is the last line of evaluate.
type evaluated struct {
	NDCG10          float64       `json:"ndcg@10"`
	HR10            float64       `json:"hr@10"`
	MRR             float64       `json:"mrr"`
	Epochs          int           `json:"epochs"`            // of its training
	SecondsPerEpoch float64       `json:"seconds_per_epoch"` // of its training
	TokensPerSecond float64       `json:"tokens_per_second"` // of its training
	Seconds         float64       `json:"seconds"`
	PeakRSS         int64         `json:"peak_rss_bytes"`
	Version         string        `json:"version"`
	Name            string        `json:"name"`
	Model           string        `json:"model"`
	Split           string        `json:"split"`
	Cases           int           `json:"cases"`
	CasesPerSecond  float64       `json:"cases_per_second"`
	Items           int           `json:"items"`
	Data            string        `json:"data_filter"`
	UnknownItems    int           `json:"unknown_items"` // of the data, to the model
	UnknownTargets  int           `json:"unknown_targets"`
	Interval        eval.Interval `json:"ndcg@10_interval"`
	TargetHash      string        `json:"target_hash"`
}

// Run implements runner.
func (c *evaluateCmd) Run(a *app) error {
	begin := time.Now()
	reg, err := c.open()
	if err != nil {
		return err
	}
	p, err := train.Open(reg, c.Model)
	if err != nil {
		return err
	}
	a.say("instruction set: %s", kernel.Features())
	a.say("version %s: %s", p.Version, p.Served().Describe())
	plan := c.plan(p.Plan.Data)
	data, split, err := load(a, c.Data, plan, p.ReadsPlaces())
	if err != nil {
		return err
	}
	if theirs := p.Plan.Data; !reflect.DeepEqual(theirs, plan) {
		a.say("note: the version was trained on data cut in another way, so its report has other figures: %s", theirs)
	}
	if err := tellUnknown(a, p, data); err != nil {
		return err
	}
	opt := train.JudgeOptions{Workers: c.Workers, Data: plan.Filter()}
	r, err := p.Judge(a.ctx, data, split, opt)
	if err != nil {
		return err
	}
	results := []*eval.Result{r}
	if c.Baselines != nil && *c.Baselines || c.Baselines == nil && c.Report != "" {
		more, err := judgeBaselines(a, split, opt)
		if err != nil {
			return err
		}
		results = append(results, more...)
	}
	tellMisses(a, r)
	writeResults(a.err, results)
	if c.Report != "" {
		if err := c.report(p, results); err != nil {
			return err
		}
		a.say("report: %s", filepath.Join(c.Report, "report.html"))
	}
	return json.NewEncoder(a.out).Encode(c.summary(p, data, r, time.Since(begin).Seconds()))
}

// tellUnknown says how many items of the data a version does not know. It is an
// error when it knows none: every figure would be 0, and say nothing.
func tellUnknown(a *app, p *train.Published, data *features.Dataset) error {
	unknown, all := p.UnknownItems(data), data.Vocab.Len()
	if unknown == all {
		return fmt.Errorf("version %s knows none of the %d items of the data: was it trained on another catalogue?", p.Version, all)
	}
	if unknown > 0 {
		a.say("%d of %d items of the data are unknown to the model of version %s", unknown, all, p.Version)
	}
	return nil
}

// tellMisses says how many targets a version could not have found.
func tellMisses(a *app, r *eval.Result) {
	if r.Protocol.Unknown > 0 {
		a.say("%s: %d of %d targets are unknown to the model and counted as misses", r.Name, r.Protocol.Unknown, r.Protocol.Cases)
	}
}

func (c *evaluateCmd) summary(p *train.Published, data *features.Dataset, r *eval.Result, seconds float64) evaluated {
	ndcg, _ := r.Metric("ndcg@10")
	return evaluated{
		NDCG10: ndcg.Mean, HR10: r.HR10(), MRR: r.MRR.Mean, Interval: ndcg, Version: p.Version, Name: p.Name, Model: p.Served().Describe(),
		Epochs: p.Training.Epochs, SecondsPerEpoch: p.Training.SecondsPerEpoch, TokensPerSecond: p.Training.TokensPerSecond,
		Seconds: seconds, PeakRSS: train.PeakRSS(), Split: r.Protocol.Split, Cases: r.Protocol.Cases,
		CasesPerSecond: float64(r.Protocol.Cases) / max(r.Seconds, 1e-9), Items: r.Protocol.Items, Data: r.Protocol.Data,
		UnknownItems: p.UnknownItems(data), UnknownTargets: r.Protocol.Unknown, TargetHash: r.Protocol.TargetHash,
	}
}

func (c *evaluateCmd) report(p *train.Published, results []*eval.Result) error {
	config, err := json.Marshal(p.Plan)
	if err != nil {
		return err
	}
	r := &eval.Report{
		Title: results[0].Name + " on " + filepath.Base(c.Data), Version: p.Version, Model: p.Served().Describe(),
		Created: time.Now().UTC(), Results: results, Config: config,
	}
	for _, other := range results[1:] {
		cmp, err := eval.Compare(results[0], other)
		if err != nil {
			return err
		}
		r.Comparisons = append(r.Comparisons, cmp)
	}
	return writeReport(c.Report, r)
}

// writeReport writes both forms of a report into a folder.
func writeReport(dir string, r *eval.Report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	for name, write := range map[string]func(io.Writer) error{"report.html": r.WriteHTML, "report.json": r.WriteJSON} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func judgeBaselines(a *app, split *features.Split, opt train.JudgeOptions) ([]*eval.Result, error) {
	list, err := train.Baselines(split)
	if err != nil {
		return nil, err
	}
	var out []*eval.Result
	for _, m := range list {
		r, err := train.JudgeSplit(a.ctx, string(m.Kind()), m, split, opt)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// writeResults prints results as a table.
func writeResults(w io.Writer, results []*eval.Result) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "model\tNDCG@10\t95 % interval\tHR@10\tHR@20\tMRR\tcoverage@10\tnovelty@10\t")
	for _, r := range results {
		n, _ := r.Metric("ndcg@10")
		h20, _ := r.Metric("hr@20")
		interval := "-"
		if r.Protocol.Resamples > 0 {
			interval = fmt.Sprintf("%.4f to %.4f", n.Low, n.High)
		}
		fmt.Fprintf(t, "%s\t%.4f\t%s\t%.4f\t%.4f\t%.4f\t%.3f\t%.2f\t\n", r.Name, n.Mean, interval, r.HR10(), h20.Mean, r.MRR.Mean, r.Coverage10, r.Novelty10)
	}
	_ = t.Flush() // words for people
}

// compareCmd compares two versions, paired.
type compareCmd struct {
	A string `arg:"" help:"A version: its name, current or latest."`
	B string `arg:"" help:"The version to compare it with."`
	cutFlags
	registryFlag
	workersFlag
}

// Run implements runner.
func (c *compareCmd) Run(a *app) error {
	reg, err := c.open()
	if err != nil {
		return err
	}
	var versions []*train.Published
	for _, name := range []string{c.A, c.B} {
		p, err := train.Open(reg, name)
		if err != nil {
			return err
		}
		versions = append(versions, p)
	}
	results, err := c.judge(a, versions)
	if err != nil {
		return err
	}
	cmp, err := eval.Compare(results[0], results[1])
	if err != nil {
		return err
	}
	writeResults(a.err, results)
	a.say("\n%s better in %d cases, worse in %d, equal in %d", cmp.A, cmp.Better, cmp.Worse, cmp.Equal)
	for _, name := range []string{"ndcg@10", "hr@10", "mrr"} {
		d, _ := cmp.Find(name)
		a.say("%-8s %+.4f, 95 %% interval %+.4f to %+.4f, p %.3f: %s", strings.ToUpper(name), d.Delta, d.Low, d.High, d.P, d.Verdict())
	}
	return json.NewEncoder(a.out).Encode(cmp)
}

// judge asks all versions the questions of the first one's plan.
func (c *compareCmd) judge(a *app, versions []*train.Published) ([]*eval.Result, error) {
	plan := c.plan(versions[0].Plan.Data)
	data, split, err := load(a, c.Data, plan, slices.ContainsFunc(versions, (*train.Published).ReadsPlaces))
	if err != nil {
		return nil, err
	}
	var results []*eval.Result
	for _, p := range versions {
		if theirs := p.Plan.Data; !reflect.DeepEqual(theirs, plan) {
			a.say("note: version %s was trained on data cut in another way: %s", p.Version, theirs)
		}
		if err := tellUnknown(a, p, data); err != nil {
			return nil, err
		}
		r, err := p.Judge(a.ctx, data, split, train.JudgeOptions{Workers: c.Workers, Data: plan.Filter()})
		if err != nil {
			return nil, err
		}
		tellMisses(a, r)
		results = append(results, r)
	}
	return results, nil
}
