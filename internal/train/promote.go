package train

import (
	"errors"
	"fmt"

	"seqrec/internal/eval"
	"seqrec/internal/registry"
)

// promote makes the version current if it was asked for, or if nothing is: a
// first model that is weak serves better than none, unless somebody has said how
// weak is too weak. One whose training diverged must be asked for. A verdict holds
// against the version that was current when it was made: where another one has
// taken that place since, the promotion is refused.
func promote(s *Summary, opt *NightOptions) error {
	_, err := opt.Registry.Current()
	first := errors.Is(err, registry.ErrNoCurrent)
	tooWeak := first && !opt.Hold && opt.Gate.belowFloor(s.NDCG10)
	switch {
	case (opt.Promote || tooWeak) && !s.Gate.Passed:
		return refuse(s, opt)
	case !opt.Promote && (opt.Hold || !first || s.Diverged):
		opt.Say("the current version stays; to change it: trainjob promote %s", s.Version)
		return nil
	}
	if !s.Gate.Passed {
		opt.Say("warning: the gate would refuse this version (%s); nothing else can be served, so it becomes current", s.Gate.Faults[0])
	}
	if err := servable(opt.Registry, s.Version); err != nil {
		return err
	}
	err = opt.Registry.PromoteOver(s.Gate.Against, s.Version)
	if errors.Is(err, registry.ErrMoved) {
		s.Gate.Passed, s.Gate.Faults = false, append(s.Gate.Faults, overtaken(opt.Registry, s))
		return refuse(s, opt)
	}
	if err != nil {
		return err
	}
	s.Promoted = true
	opt.Say("version %s is current", s.Version)
	return nil
}

// promote makes the version of both stages current by the rules of every other one.
func (s *SecondSummary) promote(opt *NightOptions) error {
	sum := Summary{Version: s.Version, NDCG10: s.NDCG10, Gate: s.Gate}
	err := promote(&sum, opt)
	s.Promoted = sum.Promoted
	return err
}

// refuse says why the gate refuses a version, and gives the error.
func refuse(s *Summary, opt *NightOptions) error {
	for _, f := range s.Gate.Faults {
		opt.Say("gate: %s", f)
	}
	return fmt.Errorf("version %s is published but not promoted: %w: %s", s.Version, ErrRefused, s.Gate.Faults[0])
}

// overtaken is the fault of a version that was not judged against what is current now.
func overtaken(reg *registry.Registry, s *Summary) string {
	now, _ := reg.Current() // it is there, it was just found to be another
	was := "when nothing was in service, as far as is noted"
	if s.Gate.Against != "" {
		was = "against version " + s.Gate.Against
	}
	return fmt.Sprintf("it was judged %s, and since then version %s has become current; compare the two, and if this one is better: trainjob promote %s", was, now, s.Version)
}

// Promote makes a version current if it can be served: every byte is what was
// published, and the model opens. Otherwise the error wraps ErrRefused, unless
// there is no such version, and the current one stays.
func Promote(reg *registry.Registry, version string) error {
	if err := servable(reg, version); err != nil {
		return err
	}
	return reg.Promote(version)
}

// servable is the error of Promote for a version that cannot be served.
func servable(reg *registry.Registry, version string) error {
	if _, err := Open(reg, version); errors.Is(err, registry.ErrNotFound) {
		return err
	} else if err != nil {
		return fmt.Errorf("version %s is not promoted: %w: %w", version, ErrRefused, err)
	}
	return nil
}

// decide applies the gate, and notes which version was in service then: another one
// is not to be replaced by this verdict.
func (g GateRules) decide(candidate, popular, current *eval.Result, inService string) (*eval.Gate, error) {
	v, err := g.Decide(candidate, popular, current)
	if err != nil {
		return nil, err
	}
	v.Against = inService
	return v, nil
}

// openCurrent opens the version in service and gives its name, which it has even
// if it cannot be opened; "" when there is none or nobody can tell.
func openCurrent(reg *registry.Registry) (p *Published, version string, err error) {
	if version, err = reg.Current(); err != nil {
		return nil, "", err
	}
	p, err = Open(reg, version)
	return p, version, err
}
