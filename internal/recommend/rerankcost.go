package recommend

import (
	"math"
	"time"
)

// rerankCost predicts how long the second stage needs. Its shape is measured by the
// warm-up; strain is learnt from what requests are scored in. Explaining has a cost
// of its own, with its own strain: it is no part of scoring, and may take many times
// as long.
type rerankCost struct {
	strain
	event     float64 // ns to take one event into a state
	shared    float64 // ns for each event, whatever the candidates
	candidate float64 // ns for each candidate, whatever the history
	pair      float64 // ns for each candidate and event
	explain   explainCost
}

// idle is what it takes on the idle machine, in ns, to score candidates against a
// history of which fresh events are not in a state yet.
func (c *rerankCost) idle(events, fresh, candidates int) float64 {
	return c.event*float64(fresh) + c.shared*float64(events) + float64(candidates)*(c.candidate+c.pair*float64(events))
}

// explainCost predicts how long it takes to explain items.
type explainCost struct {
	strain
	ready line // before the first item
	item  line // for each item
}

// line is ns for a history, whatever its length, and for each of its events.
type line struct{ fixed, event float64 }

func (l line) at(events int) float64 { return l.fixed + l.event*float64(events) }

// through is the line on which histories of goldenFew and goldenMany events take that
// long. Neither part is below zero.
func through(few, many float64) line {
	slope := max(many-few, 0) / (goldenMany - goldenFew)
	return line{fixed: max(few-slope*goldenFew, 0), event: slope}
}

// rehearsal is the second stage as the warm-up runs it, on golden history 0, of
// goldenFew events, or 1, of goldenMany.
type rehearsal struct {
	candidates int
	build      func(which int)              // a state
	score      func(which, n int)           // the first n candidates
	explain    func(which int) (one func()) // makes ready to explain one candidate after another
}

// measure tells the shape of the cost from golden requests.
func (c *rerankCost) measure(now func() time.Time, r rehearsal) {
	both := func(fn func(which int)) [2]float64 {
		return [2]float64{fastest(now, func() { fn(0) }), fastest(now, func() { fn(1) })}
	}
	c.event = fastest(now, func() { r.build(1) }) / goldenMany
	all, alone := both(func(which int) { r.score(which, r.candidates) }), both(func(which int) { r.score(which, 1) })
	each := through(apart(all[0], alone[0], r.candidates), apart(all[1], alone[1], r.candidates))
	c.candidate, c.pair = each.fixed, each.event
	c.shared = max(alone[1]-each.at(goldenMany), 0) / goldenMany
	ready := both(func(which int) { r.explain(which) })
	c.explain.ready = through(ready[0], ready[1])
	few := fastest(now, r.explain(0))
	c.explain.item = through(few, fastest(now, r.explain(1)))
}

// apart is what each of n takes, of which all take so long and one alone does too.
func apart(all, alone float64, n int) float64 {
	if n == 1 {
		return all
	}
	return max(all-alone, 0) / float64(n-1)
}

// fastest is the shortest time of goldenRounds runs, in ns, after one that does not
// count: it grows memory and fills caches.
func fastest(now func() time.Time, fn func()) float64 {
	fn()
	best := math.Inf(1)
	for range goldenRounds {
		start := now()
		fn()
		best = min(best, float64(now().Sub(start)))
	}
	return best
}
