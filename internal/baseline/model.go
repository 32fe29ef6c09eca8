package baseline

import (
	"fmt"
	"slices"

	"seqrec/internal/features"
)

// Kind names a baseline, in files and on the command line.
type Kind string

// The baselines.
const (
	// Popularity scores an item by its training events, whatever the history.
	Popularity Kind = "popularity"
	// Transition scores an item by how often it came right after the last item
	// of the history: a first-order Markov chain. See [Fit] for ties.
	Transition Kind = "transition"
	// VMISKNN scores by the most similar of the newest training sessions
	// (Kersbergen, Sprangers & Schelter, SIGMOD 2022).
	VMISKNN Kind = "vmis-knn"
)

// Kinds lists all baselines, simplest first.
func Kinds() []Kind { return []Kind{Popularity, Transition, VMISKNN} }

// Options configures VMISKNN; the others take none. Zero values take the
// defaults named, which were chosen by NDCG@10 on the validation events of
// MovieLens-1M and Amazon Beauty.
type Options struct {
	Sample        int `json:"m,omitempty"`              // m: newest sessions looked at; 0 is 5,000
	Neighbours    int `json:"k,omitempty"`              // k: most similar of them that vote; 0 is 100
	MaxLength     int `json:"max_length,omitempty"`     // newest events of the history that are looked up; 0 is 5
	SessionLength int `json:"session_length,omitempty"` // training histories are cut into sessions of at most this; 0 is 20, Whole does not cut
}

// Whole is the session length that leaves training histories whole.
const Whole = -1

// Validate fills in defaults and reports settings that make no sense.
func (o *Options) Validate() error {
	for _, d := range [...]struct {
		name  string
		value *int
		zero  int
		least int
		most  int
	}{
		{"m", &o.Sample, 5000, 1, 1 << 24},
		{"k", &o.Neighbours, 100, 1, 1 << 24},
		{"longest history", &o.MaxLength, 5, 1, 1000},
		{"longest session", &o.SessionLength, 20, Whole, 1 << 24},
	} {
		if *d.value == 0 {
			*d.value = d.zero
		}
		if *d.value < d.least || *d.value > d.most {
			return fmt.Errorf("VMIS-kNN: %s %d is outside %d to %d", d.name, *d.value, d.least, d.most)
		}
	}
	return nil
}

// Model is a fitted baseline. It does not change and is safe for concurrent
// use; its rankers are for one goroutine each.
type Model struct {
	kind   Kind
	opt    Options   // of VMISKNN
	counts []float32 // training events of each item
	rest   []float32 // backoff score of each item in (0, 1), see backoff
	next   *followers
	knn    *neighbours
}

// Fit learns a baseline from the training part of a split.
//
// Transition and VMISKNN know nothing about most items. Those they score by
// popularity: item j gets (N - rank(j)) / (N + 1), where N is the catalogue size
// and rank 0 is the most popular; it lies between 0 and 1. Transition adds it to
// the count of j after the last item, so it also settles ties of counts as far
// as a float32 can tell; VMISKNN puts what its neighbours voted for above 1.
func Fit(kind Kind, s *features.Split, opt Options) (*Model, error) {
	m := &Model{kind: kind}
	for _, c := range features.Counts(s.Train, s.Items) {
		m.counts = append(m.counts, float32(c))
	}
	if s.Items == 0 {
		return nil, fmt.Errorf("fit %s: the catalogue is empty", kind)
	}
	switch kind {
	case Popularity:
	case Transition:
		m.next = countFollowers(s)
	case VMISKNN:
		if err := opt.Validate(); err != nil {
			return nil, fmt.Errorf("fit: %w", err)
		}
		m.opt = opt
		m.knn = newNeighbours(cutSessions(s, opt.SessionLength), s.Items, opt.Sample)
	default:
		return nil, fmt.Errorf("fit: unknown baseline %q (want one of %q)", kind, Kinds())
	}
	m.rest = backoff(m.counts)
	return m, nil
}

// backoff turns counts into scores between 0 and 1 of the same order, equal
// counts by lower item first.
func backoff(counts []float32) []float32 {
	order := make([]int32, len(counts))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		switch {
		case counts[a] > counts[b]:
			return -1
		case counts[a] < counts[b]:
			return 1
		}
		return 0
	})
	rest := make([]float32, len(counts))
	for rank, item := range order {
		rest[item] = float32(float64(len(counts)-rank) / float64(len(counts)+1))
	}
	return rest
}

// Kind returns which baseline it is.
func (m *Model) Kind() Kind { return m.kind }

// Items returns the size of the catalogue.
func (m *Model) Items() int { return len(m.counts) }

// ItemVectors returns nil: baselines have none.
func (m *Model) ItemVectors() (data []float32, width int) { return nil, 0 }

// Window returns how many events of a history, from its end, count.
func (m *Model) Window() int {
	switch m.kind {
	case Transition:
		return 1
	case VMISKNN:
		return m.opt.MaxLength
	}
	return 0
}

// Describe names the model and its settings.
func (m *Model) Describe() string {
	if m.kind != VMISKNN {
		return string(m.kind)
	}
	s := fmt.Sprintf("%s m%d k%d L%d", m.kind, m.opt.Sample, m.opt.Neighbours, m.opt.MaxLength)
	if m.opt.SessionLength > 0 {
		s += fmt.Sprintf(" S%d", m.opt.SessionLength)
	}
	return s
}
