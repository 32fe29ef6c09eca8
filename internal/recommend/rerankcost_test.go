package recommend

import (
	"context"
	"math"
	"testing"
	"time"
)

// pacer is a clock that work moves on by what it is said to cost.
type pacer struct{ at time.Time }

func (p *pacer) Now() time.Time { return p.at }

func (p *pacer) spend(ns float64) { p.at = p.at.Add(time.Duration(ns)) }

// TestRerankCostMeasured: the warm-up finds the shape of the cost, although the first
// run of everything takes fifty times as long and every third one thrice.
func TestRerankCostMeasured(t *testing.T) {
	for name, truth := range map[string]*rerankCost{
		"by pairs":  {event: 500, candidate: 2000, pair: 10, explain: explainCost{ready: line{0, 3}, item: line{5000, 20}}},
		"by search": {event: 200, shared: 15, candidate: 3000, pair: 0.5, explain: explainCost{item: line{4000, 30}}},
		"by table":  {event: 600, candidate: 1500, explain: explainCost{ready: line{1000, 800}, item: line{500, 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			now, lengths, runs := &pacer{}, [2]int{goldenFew, goldenMany}, map[string]int{}
			spend := func(what string, ns float64) {
				switch runs[what]++; {
				case runs[what] == 1:
					ns *= 50
				case runs[what]%3 == 0:
					ns *= 3
				}
				now.spend(ns)
			}
			var got rerankCost
			got.measure(now.Now, rehearsal{
				candidates: 64,
				build: func(which int) {
					spend("build", truth.idle(lengths[which], lengths[which], 0)-truth.idle(lengths[which], 0, 0))
				},
				score: func(which, n int) {
					spend("score", truth.idle(lengths[which], 0, n))
				},
				explain: func(which int) func() {
					spend("ready", truth.explain.ready.at(lengths[which]))
					return func() { spend("item", truth.explain.item.at(lengths[which])) }
				},
			})
			for _, events := range []int{1, 100, 3000, 10_000, 100_000} {
				for _, candidates := range []int{1, 64, 300} {
					within(t, "scoring", got.idle(events, events, candidates), truth.idle(events, events, candidates))
				}
				within(t, "getting ready", got.explain.ready.at(events), truth.explain.ready.at(events))
				within(t, "explaining", got.explain.item.at(events), truth.explain.item.at(events))
			}
		})
	}
}

// within holds a predicted time to the true one, but for the shared part of a short
// history, which is told apart from the fixed one of a candidate only roughly.
func within(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 0.05*want+2000 {
		t.Errorf("%s: predicted %.0f ns, takes %.0f", what, got, want)
	}
}

// TestStrainLearns: from a shape that is many times too high or too low.
func TestStrainLearns(t *testing.T) {
	for _, truth := range []float64{0.15, 0.5, 1, 8} {
		var s strain
		for range 100 {
			s.learn(s.of(1e6), time.Duration(truth*1e6))
		}
		if got := s.factor(); math.Abs(got-truth) > 0.05*truth {
			t.Errorf("%v times the shape: learnt %v", truth, got)
		}
	}
}

// busyClock goes on by a step at each look while a rescorer of s is in use.
type busyClock struct {
	clock
	s *Service
}

func (c *busyClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s != nil {
		if sec := c.s.current.Load().second; len(sec.rescorers) < cap(sec.rescorers) {
			c.at = c.at.Add(c.step)
		}
	}
	return c.at
}

// startBusy is a service of one worker whose clock goes on by step at each look, in
// the second stage alone. It knows a history of ann.
func startBusy(t *testing.T, cfg Config, step time.Duration) (*Service, *busyClock) {
	t.Helper()
	c := &busyClock{clock: clock{at: time.Now(), step: step}}
	cfg.Workers, cfg.Now = 1, c.Now
	s := startBoth(t, cfg, newMemStore(), newRing(40), kin(t, 40), 100)
	appendAll(t, s, did("ann", 1000, 3, 11, 3, 11, 3, 8)...)
	c.mu.Lock()
	c.s = s
	c.mu.Unlock()
	return s, c
}

// TestExplainedIsNoStrain: requests that are explained teach the cost of scoring what
// those that are not do, and that of explaining what it is.
func TestExplainedIsNoStrain(t *testing.T) {
	learnt := func(explain bool) (scoring, explaining float64) {
		s, _ := startBusy(t, Config{}, 5*time.Millisecond)
		c := &s.current.Load().second.cost
		c.event, c.shared, c.candidate, c.pair = 0, 0, 1e6, 0
		c.explain.ready, c.explain.item = line{}, line{fixed: 1e6}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for range 20 {
			a, err := s.Predict(ctx, Request{User: "ann", Explain: explain})
			if err != nil || (len(a.Items[9].Moments) > 0) != explain {
				t.Fatalf("%+v, %v", a, err)
			}
		}
		return c.factor(), c.explain.factor()
	}
	plain, none := learnt(false)
	explained, some := learnt(true)
	if plain != explained || none != 1 || some <= 2 {
		t.Errorf("scoring %v, explaining %v; after explained requests %v and %v", plain, none, explained, some)
	}
}
