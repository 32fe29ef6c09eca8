package train

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"seqrec/internal/eval"
	"seqrec/internal/features"
	"seqrec/internal/registry"
)

func (n *night) summary(gate *eval.Gate) (*Summary, error) {
	r := n.results[0]
	ndcg, _ := r.Metric("ndcg@10")
	s := &Summary{
		NDCG10: ndcg.Mean, HR10: r.HR10(), MRR: r.MRR.Mean, Interval: ndcg, Name: n.opt.Name, Model: n.model.Describe(),
		Seed: n.plan.Seed, Split: n.split.Name, Cases: len(n.split.Test), Items: n.split.Items, Data: r.Protocol.Data, TargetHash: n.split.TargetHash, Gate: gate,
		PeakRSS: PeakRSS(), Seconds: n.opt.Now().Sub(n.began).Seconds(), Start: n.origin,
	}
	if n.run != nil {
		s.Epochs, s.BestEpoch, s.Valid, s.Ended = len(n.run.Epochs), n.run.Best, n.run.Valid, n.run.Why
		s.Diverged = n.run.Diverged
		s.SecondsPerEpoch, s.TokensPerSecond = n.run.SecondsPerEpoch(), n.run.TokensPerSecond()
	}
	if n.current == nil {
		return s, nil
	}
	c, err := eval.Compare(r, n.current)
	if err != nil {
		return nil, err
	}
	d, _ := c.Find("ndcg@10")
	s.Current = &Beside{Name: n.current.Name, NDCG10: d.B, Delta: d.Delta, Low: d.Low, High: d.High}
	return s, nil
}

func (n *night) report(s *Summary) (*eval.Report, error) {
	config, err := json.Marshal(n.plan)
	if err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	r := &eval.Report{
		Title: n.opt.Name + " on " + n.source(), Model: s.Model, Created: n.opt.Now().UTC(), Results: n.results,
		Data: DataFacts(n.read, n.source()), Faults: DataFaults(n.read), Gate: s.Gate, Config: config,
		Run: []eval.Fact{
			{Name: "seconds", Value: fmt.Sprintf("%.1f", s.Seconds)},
			{Name: "peak memory", Value: fmt.Sprintf("%.0f MB resident", float64(s.PeakRSS)/1e6)},
			{Name: "instruction set", Value: n.opt.CPU},
			{Name: "source revision", Value: n.opt.Revision},
		},
	}
	if n.opt.Origin != nil {
		r.Data = append(r.Data, n.opt.Origin.facts()...)
	}
	if n.origin != "" {
		r.Run = append(r.Run, eval.Fact{Name: "first weights", Value: n.origin})
	}
	if n.run != nil {
		r.Epochs, r.Best = n.run.Epochs, n.run.Best
		r.Run = append(r.Run,
			eval.Fact{Name: "epochs", Value: fmt.Sprintf("%d, of which epoch %d was kept; %s", s.Epochs, s.BestEpoch, n.run.Why)},
			eval.Fact{Name: "seconds an epoch", Value: fmt.Sprintf("%.2f", s.SecondsPerEpoch)},
			eval.Fact{Name: "events a second", Value: fmt.Sprintf("%.0f", s.TokensPerSecond)})
	}
	for _, other := range n.results[1:] {
		c, err := eval.Compare(n.results[0], other)
		if err != nil {
			return nil, err
		}
		r.Comparisons = append(r.Comparisons, c)
	}
	return r, nil
}

// DataFacts tells about a data set in a report; source is what to call it.
func DataFacts(d *features.Report, source string) []eval.Fact {
	facts := []eval.Fact{
		{Name: "source", Value: source},
		{Name: "events", Value: eval.Whole(d.Events)},
		{Name: "users", Value: eval.Whole(d.Users)},
		{Name: "items", Value: eval.Whole(d.Items)},
		{Name: "events per user", Value: fmt.Sprintf("mean %.2f, median %g, %d to %d", d.Mean, d.Median, d.Min, d.Max)},
		{Name: "repeats", Value: fmt.Sprintf("%.1f %% of events", 100*d.Repeats)},
		{Name: "left out", Value: eval.Whole(d.Filtered) + " rows by the smallest counts and other filters"},
	}
	if d.Timed {
		day := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateOnly) }
		facts = append(facts, eval.Fact{Name: "time", Value: day(d.From) + " to " + day(d.To)},
			eval.Fact{Name: "equal times", Value: fmt.Sprintf("%.1f %% of neighbouring events; the order of the file decides", 100*d.Ties)})
	}
	return facts
}

// DataFaults tells about the rows of a data set that were not used.
func DataFaults(d *features.Report) (out []eval.Fault) {
	for _, k := range d.Faults.ByKind {
		lines := strings.Trim(strings.ReplaceAll(fmt.Sprint(k.Lines), " ", ", "), "[]")
		out = append(out, eval.Fault{Kind: k.Kind + ": " + k.First, Count: k.Count, Where: "lines " + lines})
	}
	return out
}

// source is the data's file with its folder: enough to know it, without the
// paths of a machine.
func (n *night) source() string {
	if n.opt.Origin != nil {
		return strings.Join(n.opt.Origin.Sources, ", ")
	}
	dir, file := filepath.Split(filepath.Clean(n.read.Source))
	return filepath.Join(filepath.Base(dir), file)
}

// metricsOf is what a manifest says about a result.
func metricsOf(r *eval.Result) map[string]any {
	out := map[string]any{"mrr": r.MRR, "coverage@10": r.Coverage10, "novelty@10": r.Novelty10}
	for _, name := range []string{"ndcg@10", "hr@10", "ndcg@20", "hr@20"} {
		out[name], _ = r.Metric(name)
	}
	return out
}

func (n *night) manifest(s *Summary) (registry.Manifest, error) {
	metrics := metricsOf(n.results[0])
	beside := map[string]any{}
	for _, r := range n.results[1:] {
		beside[r.Name] = metricsOf(r)
	}
	metrics["beside"], metrics["gate"] = beside, s.Gate
	if n.run != nil {
		metrics["training"] = TrainingFigures{s.Epochs, s.BestEpoch, s.SecondsPerEpoch, s.TokensPerSecond}
	}
	text, err := json.Marshal(metrics)
	if err != nil {
		return registry.Manifest{}, fmt.Errorf("write manifest: %w", err)
	}
	config, err := json.Marshal(n.plan)
	if err != nil {
		return registry.Manifest{}, fmt.Errorf("write manifest: %w", err)
	}
	m := registry.Manifest{
		Name: n.opt.Name, Kind: n.kind, Config: config, Items: n.split.Items, Split: n.split.Name, TargetHash: n.split.TargetHash,
		Seed: n.plan.Seed, Revision: n.opt.Revision, CPU: n.opt.CPU, Metrics: text, Created: n.opt.Now().UTC(),
		Data: registry.Data{Source: n.source(), Events: n.read.Events, Users: n.read.Users, TrainTo: trainedTo(n.split)},
	}
	if o := n.opt.Origin; o != nil {
		m.Night = o.Night
		if o.Erased != nil {
			m.Erased = o.Erased.commitment()
		}
	}
	if n.read.Timed {
		m.Data.From, m.Data.To = time.UnixMilli(n.read.From).UTC(), time.UnixMilli(n.read.To).UTC()
	}
	return m, nil
}
