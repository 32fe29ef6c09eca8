package features

import (
	"errors"
	"fmt"
	"slices"
	"sort"
)

// Scheme says which parts of a history make a training sequence.
type Scheme string

// The training-sample schemes. L is SamplerOptions.Length; a sequence takes up
// to L+1 consecutive events, giving up to L inputs and their next items.
const (
	// Shifted takes the newest L+1 events of each user, a loss at every
	// position. Cheapest; events further back are never targets.
	Shifted Scheme = "shifted"
	// Tiled cuts the whole history into windows that share one event, the
	// newest window full, so every event but the first is a target once.
	Tiled Scheme = "tiled"
	// Prefix makes every prefix a sample with one target, at its end. The only
	// scheme for models that are not causal; costs the most.
	Prefix Scheme = "prefix"
	// RandomCut is Shifted ended, for every user and epoch anew, at the newest
	// event (probability 1/2) or at a uniformly drawn earlier one.
	RandomCut Scheme = "random-cut"
)

// SamplerOptions configures NewSampler. Zero values take the defaults named.
type SamplerOptions struct {
	Scheme    Scheme // "" is Shifted
	Length    int    // longest input, in events; 0 is 200
	BatchSize int    // sequences a batch; 0 is 128
	Seed      uint64 // names the order of every epoch
}

// Validate fills in defaults and reports settings that make no sense.
func (o *SamplerOptions) Validate() error {
	if o.Scheme == "" {
		o.Scheme = Shifted
	}
	if o.Length == 0 {
		o.Length = 200
	}
	if o.BatchSize == 0 {
		o.BatchSize = 128
	}
	switch o.Scheme {
	case Shifted, Tiled, Prefix, RandomCut:
	default:
		return fmt.Errorf("unknown sampling scheme %q (want %s, %s, %s or %s)", o.Scheme, Shifted, Tiled, Prefix, RandomCut)
	}
	if o.Length < 1 {
		return fmt.Errorf("sequence length %d is below 1", o.Length)
	}
	if o.BatchSize < 1 {
		return fmt.Errorf("batch size %d is below 1", o.BatchSize)
	}
	return nil
}

// Sampler deals the training sequences of an epoch in packed batches. One
// goroutine uses it at a time.
type Sampler struct {
	opt   SamplerOptions
	train [][]int32
	times [][]int64 // nil, or parallel to train
	first []int     // first[u] is the first sequence number of user u; len(train)+1
	order []int32   // sequence numbers in this epoch's order
	most  int       // inputs of the longest sequence
	epoch int
	next  int // place in order of the next sequence
}

// ErrNoSequences says that no training history has two events.
var ErrNoSequences = errors.New("no training history has two events")

// NewSampler prepares epochs over the training histories; times may be nil or
// must be parallel to train, else it panics. The histories are kept, not copied. Histories with
// fewer than two events give no sequence. The sampler starts at epoch 0.
func NewSampler(train [][]int32, times [][]int64, opt SamplerOptions) (*Sampler, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	s := &Sampler{opt: opt, train: train, times: times, first: make([]int, len(train)+1)}
	if times != nil && len(times) != len(train) {
		panic("features: sampler: times and histories differ in number")
	}
	for u, items := range train {
		if times != nil && len(times[u]) != len(items) {
			panic("features: sampler: times and events of a history differ in number")
		}
		s.first[u+1] = s.first[u] + s.sequences(len(items))
		s.most = max(s.most, min(len(items)-1, opt.Length))
	}
	total := s.first[len(train)]
	if total == 0 {
		return nil, ErrNoSequences
	}
	if int64(total) > 1<<31-1 {
		return nil, fmt.Errorf("%d training sequences are more than this sampler can number", total)
	}
	s.order = make([]int32, total)
	s.Epoch(0)
	return s, nil
}

// sequences returns how many a history of n events gives.
func (s *Sampler) sequences(n int) int {
	switch {
	case n < 2:
		return 0
	case s.opt.Scheme == Tiled:
		return (n - 2 + s.opt.Length) / s.opt.Length // ceil((n-1)/L)
	case s.opt.Scheme == Prefix:
		return n - 1
	default:
		return 1
	}
}

// Len returns the number of sequences in an epoch.
func (s *Sampler) Len() int { return len(s.order) }

// Batches returns the number of batches in an epoch; the last may be smaller.
func (s *Sampler) Batches() int { return (len(s.order) + s.opt.BatchSize - 1) / s.opt.BatchSize }

// Epoch starts epoch e from its first batch. The order depends on the seed and
// e only, so any epoch can be started without running the ones before it.
func (s *Sampler) Epoch(e int) {
	s.epoch, s.next = e, 0
	for i := range s.order {
		s.order[i] = int32(i)
	}
	for i := len(s.order) - 1; i > 0; i-- {
		j := below(draw(s.opt.Seed, uint64(e), uint64(i), 'o'), i+1)
		s.order[i], s.order[j] = s.order[j], s.order[i]
	}
}

// Skip passes over n batches of this epoch, as n calls of Next would.
func (s *Sampler) Skip(n int) {
	s.next = min(s.next+n*s.opt.BatchSize, len(s.order))
}

// Next refills b with the next batch and reports whether there was one. b's
// memory is reused; after its first fill nothing is allocated.
func (s *Sampler) Next(b *Batch) bool {
	if s.next >= len(s.order) {
		return false
	}
	s.reset(b)
	end := min(s.next+s.opt.BatchSize, len(s.order))
	for _, q := range s.order[s.next:end] {
		s.append(b, int(q))
	}
	s.next = end
	return true
}

// reset empties b and makes room for the largest possible batch.
func (s *Sampler) reset(b *Batch) {
	tokens := s.opt.BatchSize * s.most
	b.Items = slices.Grow(b.Items[:0], tokens)
	b.Targets = slices.Grow(b.Targets[:0], tokens)
	b.Offsets = append(slices.Grow(b.Offsets[:0], s.opt.BatchSize+1), 0)
	b.Users = slices.Grow(b.Users[:0], s.opt.BatchSize)
	if s.times != nil {
		b.Times = slices.Grow(b.Times[:0], tokens)
	} else {
		b.Times = nil
	}
}

// append adds sequence q to b.
func (s *Sampler) append(b *Batch, q int) {
	u := sort.Search(len(s.train), func(u int) bool { return s.first[u+1] > q })
	lo, hi := s.window(u, q-s.first[u])
	items := s.train[u]
	b.Items = append(b.Items, items[lo:hi-1]...)
	if s.opt.Scheme == Prefix {
		for range hi - lo - 2 {
			b.Targets = append(b.Targets, -1)
		}
		b.Targets = append(b.Targets, items[hi-1])
	} else {
		b.Targets = append(b.Targets, items[lo+1:hi]...)
	}
	if s.times != nil {
		b.Times = append(b.Times, s.times[u][lo:hi-1]...)
	}
	b.Offsets = append(b.Offsets, int32(len(b.Items)))
	b.Users = append(b.Users, int32(u))
}

// window returns the events [lo, hi) that sequence i of user u is made of;
// event hi-1 is a target only.
func (s *Sampler) window(u, i int) (lo, hi int) {
	n, length := len(s.train[u]), s.opt.Length
	switch s.opt.Scheme {
	case Tiled:
		hi = n - i*length
	case Prefix:
		hi = i + 2
	case RandomCut:
		hi = s.cut(u, n)
	default:
		hi = n
	}
	return max(0, hi-1-length), hi
}

// cut draws where the sequence of user u ends in this epoch, in 2..n: at n with
// probability 1/2, otherwise uniformly.
func (s *Sampler) cut(u, n int) int {
	bits := draw(s.opt.Seed, uint64(s.epoch), uint64(u), 'c')
	if bits&1 == 0 {
		return n
	}
	return 2 + below(bits, n-1)
}
