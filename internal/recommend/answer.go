package recommend

import (
	"fmt"

	"seqrec/internal/event"
	"seqrec/internal/kernel"
)

// reasonWindow is how many of the newest events an explanation looks through.
const reasonWindow = 50

// answer turns ranked numbers into items. ranked may hold fewer than the job
// wanted (a neighbourhood model knows only neighbours): popular items fill it
// up, named as such, so that a list is short only when the catalogue is.
func (s *Service) answer(snap *snapshot, j *job, ranked []kernel.Scored, rung string, explain bool) Answer {
	source := rung
	all := snap.popularInto(ranked, j.k, j.mask, j.candidates, j.only)
	ans := Answer{
		RecommendationID: s.cfg.NewID(),
		Model:            ModelRef{Name: snap.info.Name, Version: snap.info.Version},
		Items:            make([]Item, len(all)),
		Rung:             rung,
	}
	for i, r := range all {
		if i == len(ranked) {
			source = RungPopular
		}
		ans.Items[i] = Item{
			ID:     event.ItemID(snap.vocab.ID(r.Item)),
			Title:  snap.cat.titles[r.Item],
			Score:  r.Score,
			Source: source,
		}
		if explain {
			ans.Items[i].Reason = snap.reason(j, r.Item, source)
		}
	}
	ans.Short = short(snap, j, len(all))
	return ans
}

// short says why an answer holds fewer items than were wanted.
func short(snap *snapshot, j *job, n int) string {
	switch {
	case n >= j.k:
		return ""
	case j.only && n == 0:
		return "none of the candidates may be answered: each is unknown, seen, hidden or excluded"
	case j.only:
		return fmt.Sprintf("only %d of the candidates may be answered: the rest is unknown, seen, hidden or excluded", n)
	default:
		return fmt.Sprintf("only %d of the model's %d items may be answered: the rest is seen, hidden or excluded", n, snap.vocab.Len())
	}
}

// reason says in one sentence what speaks for an item.
func (s *snapshot) reason(j *job, item int32, source string) string {
	if source == RungPopular || len(j.items) == 0 {
		return "one of the most frequent items"
	}
	last := j.items[len(j.items)-1]
	if source == RungItem {
		return "close to the newest item, " + s.name(last)
	}
	if !s.vectors.known() {
		return "often follows histories that end like this one, with " + s.name(last)
	}
	near := last
	for _, n := range j.items[max(0, len(j.items)-reasonWindow):] {
		if s.vectors.cosine(n, item) > s.vectors.cosine(near, item) {
			near = n
		}
	}
	return "follows from the history, in which " + s.name(near) + " is closest to it"
}

// name is the title of an item, its id when it has none.
func (s *snapshot) name(item int32) string {
	if t := s.cat.titles[item]; t != "" {
		return t
	}
	return s.vocab.ID(item)
}
