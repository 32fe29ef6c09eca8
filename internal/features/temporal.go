package features

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// TemporalOptions says where Temporal cuts. A time given wins over a quantile;
// zero values take the defaults named.
type TemporalOptions struct {
	ValidFrom     int64   // Unix ms at which validation begins
	TestFrom      int64   // Unix ms at which the test begins
	ValidQuantile float64 // share of events before validation; 0 is 0.8
	TestQuantile  float64 // share of events before the test; 0 is 0.9
	MaxHistory    int     // newest events a case is given; 0 gives all
	MaxCases      int     // cases a user may have in a window, the first ones; 0 keeps all
	NewUsers      bool    // also ask for first events, with an empty history
}

// Temporal cuts all users at the same moments: events before ValidFrom are for
// training, those from ValidFrom on ask validation questions, those from
// TestFrom on test questions. Every later event is a case whose input is all
// that the user did before it, in whatever window, as a live service would know
// it. No target is dropped for being cold. Slices share memory with d.
//
// A quantile q puts the cut at the time of event floor(q·n) in order of time, so
// events that share that time are all after the cut.
func Temporal(d *Dataset, opt TemporalOptions) (*Split, error) {
	if d.Times == nil {
		return nil, errors.New("temporal split: the data set has no times")
	}
	if err := opt.resolve(d.Times); err != nil {
		return nil, fmt.Errorf("temporal split: %w", err)
	}
	s := newSplit(d, SplitTemporal)
	for u := range d.Users {
		items, times := d.User(u)
		train, _ := slices.BinarySearch(times, opt.ValidFrom)
		test, _ := slices.BinarySearch(times, opt.TestFrom)
		s.Train[u], s.TrainTimes[u] = items[:train:train], times[:train:train]
		s.Valid = opt.ask(s.Valid, d, u, train, test)
		s.Test = opt.ask(s.Test, d, u, test, len(items))
	}
	s.TargetHash = targetHash(d, s.Test)
	return s, nil
}

// resolve turns quantiles into times.
func (o *TemporalOptions) resolve(times []int64) error {
	if len(times) == 0 {
		return ErrNoEvents
	}
	if o.ValidQuantile == 0 {
		o.ValidQuantile = 0.8
	}
	if o.TestQuantile == 0 {
		o.TestQuantile = 0.9
	}
	sorted := slices.Clone(times)
	slices.Sort(sorted)
	for _, c := range [...]struct {
		at *int64
		q  float64
	}{{&o.ValidFrom, o.ValidQuantile}, {&o.TestFrom, o.TestQuantile}} {
		if !(c.q > 0 && c.q < 1) {
			return fmt.Errorf("quantile %g is not between 0 and 1", c.q)
		}
		if *c.at == 0 {
			*c.at = sorted[int(math.Floor(c.q*float64(len(sorted))))]
		}
	}
	if o.ValidFrom > o.TestFrom {
		return fmt.Errorf("validation begins at %d, after the test at %d", o.ValidFrom, o.TestFrom)
	}
	if o.MaxHistory < 0 || o.MaxCases < 0 {
		return errors.New("a largest number is negative")
	}
	return nil
}

// ask adds a case for each of the events [from, to) of a user.
func (o *TemporalOptions) ask(cases []Case, d *Dataset, user, from, to int) []Case {
	if from == 0 && !o.NewUsers {
		from = 1
	}
	if o.MaxCases > 0 {
		to = min(to, from+o.MaxCases)
	}
	for i := from; i < to; i++ {
		c := newCase(d, user, i)
		if o.MaxHistory > 0 && i > o.MaxHistory {
			c.Input, c.Times = c.Input[i-o.MaxHistory:], c.Times[i-o.MaxHistory:]
			if c.Kinds != nil {
				c.Kinds = c.Kinds[i-o.MaxHistory:]
			}
		}
		cases = append(cases, c)
	}
	return cases
}
