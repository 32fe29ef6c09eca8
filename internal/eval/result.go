package eval

import (
	"fmt"
	"math"
)

// Protocol records every switch that changes a figure. Two results may be set
// side by side only when they agree in all of them but Seed and Resamples, and
// but Cold and Unknown, which tell about a model.
type Protocol struct {
	Split      string `json:"split"`       // how test cases were cut: "leave-one-out", "temporal"
	Part       string `json:"part"`        // "test" or "valid"
	Ranking    string `json:"ranking"`     // "full": every item is a candidate
	Filter     string `json:"filter"`      // "history": the whole input history is removed, the target kept
	Data       string `json:"data_filter"` // which events of the source were kept, in words; "": unknown
	Ties       string `json:"ties"`        // "lower-item": of equal scores the lower item number is first
	TargetHash string `json:"target_hash"` // names the targets, and so the order used for equal timestamps
	Items      int    `json:"items"`       // size of the catalogue that is ranked
	Cases      int    `json:"cases"`
	Users      int    `json:"users"`
	Cold       int    `json:"cold_targets"`    // kept: targets without a training event
	Unknown    int    `json:"unknown_targets"` // kept as misses: targets the model has no number for
	Seed       uint64 `json:"seed"`            // of the bootstrap
	Resamples  int    `json:"resamples"`
}

// differs names the first switch in which two protocols disagree.
func (p *Protocol) differs(q *Protocol) (what string, differ bool) {
	for _, s := range [...]struct {
		what string
		a, b any
	}{
		{"split", p.Split, q.Split}, {"part", p.Part, q.Part}, {"ranking", p.Ranking, q.Ranking}, {"filter", p.Filter, q.Filter}, {"ties", p.Ties, q.Ties},
		{"data filter", p.Data, q.Data}, {"targets", p.TargetHash, q.TargetHash}, {"items", p.Items, q.Items}, {"cases", p.Cases, q.Cases}, {"users", p.Users, q.Users},
	} {
		if s.a != s.b {
			return fmt.Sprintf("%s %v and %v", s.what, s.a, s.b), true
		}
	}
	return "", false
}

// Slice is the part of the cases that share a property.
type Slice struct {
	Label string  `json:"label"`
	Cases int     `json:"cases"`
	HR    float64 `json:"hr@10"`
	NDCG  float64 `json:"ndcg@10"`
}

// Result is the judgement of one model.
type Result struct {
	Name     string   `json:"name"`
	Protocol Protocol `json:"protocol"`
	At       []Cutoff `json:"at"`
	MRR      Interval `json:"mrr"`
	// Coverage10 is the share of the catalogue that is in the top 10 of at
	// least one case.
	Coverage10 float64 `json:"coverage@10"`
	// Popularity10 is the mean number of training events of the items in the
	// top 10: mean over the list, then over cases.
	Popularity10 float64 `json:"popularity@10"`
	// Novelty10 is the mean of -log2 of the popularity share of the items in
	// the top 10, in bits. The share is (count+1)/(events+items), so that an
	// item that was never seen has a finite novelty.
	Novelty10 float64 `json:"novelty@10"`
	Lengths   []Slice `json:"by_history_length"`
	Targets   []Slice `json:"by_target_count"` // by training events of the target
	Seconds   float64 `json:"seconds"`

	Ranks []int32 `json:"-"` // rank of each case's target; 0: unknown to the model
	Users []int32 `json:"-"` // user number of each case
}

// Metric gives the interval of a metric by its name: "hr@10", "ndcg@10",
// "mrr@10" (any cutoff) or "mrr".
func (r *Result) Metric(name string) (Interval, bool) {
	for i, n := range metricNames() {
		if n == name {
			return r.flat()[i], true
		}
	}
	return Interval{}, false
}

// NDCG10 is the mean by which models are chosen.
func (r *Result) NDCG10() float64 { i, _ := r.Metric("ndcg@10"); return i.Mean }

// HR10 is the share of cases whose target is in the top 10.
func (r *Result) HR10() float64 { i, _ := r.Metric("hr@10"); return i.Mean }

// flat lists the intervals in the order of metricNames.
func (r *Result) flat() []Interval {
	out := make([]Interval, 0, metricCount)
	for _, c := range r.At {
		out = append(out, c.HR, c.NDCG, c.MRR)
	}
	return append(out, r.MRR)
}

func metricNames() []string {
	names := make([]string, 0, metricCount)
	for _, k := range cutoffs {
		names = append(names, fmt.Sprintf("hr@%d", k), fmt.Sprintf("ndcg@%d", k), fmt.Sprintf("mrr@%d", k))
	}
	return append(names, "mrr")
}

// lengthEdges and countEdges begin the slices of the two breakdowns.
var (
	lengthEdges = [...]int{0, 5, 10, 20, 50, 100, 200, 500}
	countEdges  = [...]int{0, 1, 5, 20, 100, 500, 2000}
)

// slicesBy groups cases by a property of theirs. Empty groups are left out.
func slicesBy(edges []int, ranks []int32, value func(i int) int) []Slice {
	tallies := make([]tally, len(edges))
	for i, r := range ranks {
		at := 0
		for at+1 < len(edges) && value(i) >= edges[at+1] {
			at++
		}
		tallies[at].add(r)
	}
	var out []Slice
	values := make([]float64, 0, metricCount)
	for i := range tallies {
		if tallies[i].cases == 0 {
			continue
		}
		values = tallies[i].values(values)
		s := Slice{Label: edgeLabel(edges, i), Cases: tallies[i].cases}
		s.HR, s.NDCG = values[6], values[7] // cutoffs[2] is 10
		out = append(out, s)
	}
	return out
}

func edgeLabel(edges []int, i int) string {
	switch {
	case i == len(edges)-1:
		return fmt.Sprintf("%d+", edges[i])
	case edges[i+1] == edges[i]+1:
		return fmt.Sprint(edges[i])
	}
	return fmt.Sprintf("%d–%d", edges[i], edges[i+1]-1)
}

// novelty is -log2 of an item's smoothed popularity share.
func novelty(count, events int64, items int) float64 {
	return -math.Log2(float64(count+1) / float64(events+int64(items)))
}
