package train

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"seqrec/internal/features"
	"seqrec/internal/registry"
)

// judgeCurrent judges the version in service on the same cases. One that cannot
// be opened is no reason to refuse its successor.
func (n *night) judgeCurrent(ctx context.Context) error {
	if n.opt.Registry == nil {
		return nil
	}
	p, version, err := openCurrent(n.opt.Registry)
	n.inService = version
	if errors.Is(err, registry.ErrNoCurrent) {
		return nil
	}
	if err != nil {
		n.opt.Say("the current version cannot be compared: %v", err)
		return nil
	}
	n.sayWhatItKnows(p)
	if p.Second != nil {
		n.reranks = p.Second.Second.Config().Model
	}
	split, err := n.splitFor(ctx, p)
	if err != nil {
		return err
	}
	r, err := p.Judge(ctx, n.data, split, n.opt.Judge)
	if err != nil {
		return err
	}
	r.Name = "current: " + r.Name
	n.current, n.results = r, append(n.results, r)
	n.opt.Say("%s", line(r))
	return nil
}

// sayWhatItKnows warns of a figure of the version in service that is too good.
func (n *night) sayWhatItKnows(p *Published) {
	to, who := p.LearnedTo(), "the current version"
	if to.IsZero() || !n.knows(to) {
		return
	}
	if to.After(p.TrainedTo) {
		who = "the second stage of the current version"
	}
	n.opt.Say("note: %s has learned from events up to %s, which are in this test: its figure flatters it", who, to.Format(time.DateTime))
}

// knows says whether what has learned from events up to a time may have learned from
// test events. Where a version or the data has no times it cannot be told, and is
// taken as no for a cut by user.
func (n *night) knows(to time.Time) bool {
	from := int64(0)
	for i, c := range n.split.Test {
		if i == 0 || c.At < from {
			from = c.At
		}
	}
	return n.split.Name == features.SplitTemporal && !to.Before(time.UnixMilli(from))
}

// LearnedTo is a time after which what the service answers with has learned from no
// event, in either of its stages; zero when the data had no times.
func (p *Published) LearnedTo() time.Time {
	if p.Served() != p.Model && p.SecondTo.After(p.TrainedTo) {
		return p.SecondTo
	}
	return p.TrainedTo
}

// secondTo is what a manifest says of when its second stage stopped to learn.
func secondTo(m *registry.Manifest) time.Time {
	switch {
	case m.Reranker == nil:
		return time.Time{}
	case m.Reranker.LearnedTo.IsZero(): // published before this was kept
		return m.Data.To
	}
	return m.Reranker.LearnedTo
}

// trainedTo is the time of the last event that a split trains with; zero without
// times.
func trainedTo(s *features.Split) (to time.Time) {
	for _, times := range s.TrainTimes {
		if len(times) == 0 {
			continue
		}
		if at := time.UnixMilli(times[len(times)-1]).UTC(); at.After(to) {
			to = at
		}
	}
	return to
}

// learnedTo is the time of the newest event that the second stage was trained on, or
// that chose its weights or its blend; zero without times.
func (s *second) learnedTo() time.Time {
	d := s.b.Data
	if d.Times == nil {
		return time.Time{}
	}
	var used []int64
	for _, slates := range [...][]features.Slate{s.split.Train, s.split.Valid} {
		for _, slate := range slates {
			used = append(used, d.Times[d.Offsets[slate.User]+int(slate.End)])
		}
	}
	for _, c := range s.cases.Valid {
		used = append(used, c.At)
	}
	if len(used) == 0 {
		used = d.Times
	}
	if len(used) == 0 {
		return time.Time{}
	}
	return time.UnixMilli(slices.Max(used)).UTC()
}

// sayOfSecond tells that the version in service has a second stage and the one that
// the night has published has none, and how to train it one.
func (n *night) sayOfSecond(version string) {
	if n.reranks == "" || n.opt.SecondNext {
		return
	}
	how := "a night with --second " + n.reranks + " trains one" // what was gathered is gone when the night ends
	if n.opt.Origin == nil {
		how = "to train it one: " + n.secondCommand(version)
	}
	n.opt.Say("note: the current version has a second stage (%s), this one has none; %s", n.reranks, how)
}

// secondCommand is the shell command that trains a second stage for a version on the
// data of this run. A registry in a bucket has another name than its mirror's folder,
// which is not known here.
func (n *night) secondCommand(version string) string {
	d := n.plan.Data
	words := []string{"trainjob", "train", "--recipe", n.reranks, "--first", version, "--data", quoted(n.opt.Data)}
	note := ""
	if n.opt.Registry.Mirrors() {
		note = " (and --registry and --registry-cache as for this run)"
	} else {
		words = append(words, "--registry", quoted(n.opt.Registry.Dir()))
	}
	words = append(words, fmt.Sprintf("--min-item-count %d", d.MinItemCount))
	add := func(on bool, flag string, value any) {
		if on {
			words = append(words, flag, quoted(fmt.Sprint(value)))
		}
	}
	add(d.MinUserCount > 0, "--min-user-count", d.MinUserCount)
	add(d.KCore > 0, "--k-core", d.KCore)
	add(d.MinRating > 0, "--min-rating", d.MinRating)
	add(len(d.Kinds) > 0, "--kinds", strings.Join(d.Kinds, ","))
	add(len(d.DropItems) > 0, "--drop-items", strings.Join(d.DropItems, ","))
	return strings.Join(words, " ") + note
}

// quoted is a word as a shell takes it for one.
func quoted(word string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_-./:,+@%=", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
