package recommend

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// GuardConfig says when a version that has just been put in place is left again,
// without an operator. The zero value never does.
type GuardConfig struct {
	// Window is how long a new version is watched. 0 means not at all.
	Window time.Duration
	// Requests is how many predictions are needed for a judgement. 0 means 100.
	Requests int
	// Failures is the largest share of predictions that the model may break on. 0
	// means 0.02.
	Failures float64
	// Latency is from when on a prediction counts as slow: waiting, ranking and the
	// second stage together. 0 means that none does.
	Latency time.Duration
	// Slow is the largest share of slow predictions. 0 means 0.1.
	Slow float64
}

// guard watches one version after it has been put in place.
type guard struct {
	version, before string // before is what to go back to
	until           time.Time
	asked           atomic.Int64
	failed          atomic.Int64
	slow            atomic.Int64
}

// watch puts a guard before the version that now serves.
func (s *Service) watch(version, before string) {
	if s.cfg.Guard.Window == 0 || before == "" || before == version {
		s.guard.Store(nil)
		return
	}
	s.guard.Store(&guard{version: version, before: before, until: s.cfg.Now().Add(s.cfg.Guard.Window)})
}

// judge counts one prediction of a version, once all its stages are through, and has
// the version left when a bound is passed.
func (s *Service) judge(version string, p *Prediction, broke bool) {
	g := s.guard.Load()
	if g == nil || g.version != version {
		return
	}
	if s.cfg.Now().After(g.until) {
		s.guard.CompareAndSwap(g, nil)
		return
	}
	asked := g.asked.Add(1)
	if broke {
		g.failed.Add(1)
	}
	if limit := s.cfg.Guard.Latency; limit > 0 && p.Stages.Queue+p.Stages.Rank+p.Stages.Rerank > limit {
		g.slow.Add(1)
	}
	why := ""
	if asked < int64(s.cfg.Guard.Requests) {
		return
	}
	if n := g.failed.Load(); float64(n) > s.cfg.Guard.Failures*float64(asked) {
		why = fmt.Sprintf("the model broke on %d of %d predictions", n, asked)
	} else if n := g.slow.Load(); float64(n) > s.cfg.Guard.Slow*float64(asked) {
		why = fmt.Sprintf("%d of %d predictions took longer than %v", n, asked, s.cfg.Guard.Latency)
	}
	if why == "" || !s.guard.CompareAndSwap(g, nil) {
		return
	}
	s.retreats.Go(func() { s.retreat(g, why) })
}

// retreat serves the version before, then makes it current for all, if the bad one
// still is: of several servers that retreat, one rolls back. The bad version is not
// served again until somebody promotes it by name.
func (s *Service) retreat(g *guard, why string) {
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	if s.closed.Load() || !s.serves(g.version) {
		return
	}
	s.left.Store(g.version, "left after "+why)
	// Of no request, and it must not end with one.
	err := s.load(context.Background(), g.before)
	s.guard.Store(nil) // the version before has shown that it can
	s.cfg.Observer.RolledBack(g.version, g.before, err)
	if err != nil {
		s.left.Delete(g.version)
		s.cfg.Log.Error("automatic rollback", "from", g.version, "to", g.before, "reason", why, "error", err)
		return
	}
	s.cfg.Log.Error("automatic rollback", "from", g.version, "to", g.before, "reason", why)
	if _, err := s.versions.Rollback(g.version); err != nil && !errors.Is(err, ErrConflict) {
		s.cfg.Log.Error("automatic rollback: the registry still names the version that was left", "version", g.version, "error", err)
	}
}
