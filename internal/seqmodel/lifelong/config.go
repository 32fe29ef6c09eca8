package lifelong

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Config names a network. The zero value of every field but Items means the
// default that WithDefaults fills in; a stored Config is always complete.
type Config struct {
	Model          string `json:"model"`           // a name Kinds lists
	Items          int    `json:"items"`           // catalogue size
	Categories     int    `json:"categories"`      // category codes, 0 for no category table
	Kinds          int    `json:"kinds"`           // codes of kinds of behaviour, 0 for no such table
	Gaps           bool   `json:"gaps"`            // whether there is a table of time gaps
	Width          int    `json:"width"`           // dR, of each representation table
	AttentionWidth int    `json:"attention_width"` // dA, of each attention table; dare only, else Width
	Length         int    `json:"length"`          // N, newest events a training history keeps
	// Positions is how many rows the position tables have. The default is
	// Length+1, one a position; fewer share rows: exact for the newest half of
	// the rows, then logarithmic up to a million events.
	Positions int `json:"positions"`
	Select    int `json:"select"` // K, events that search keeps
	// Heads of the attention of sim; they must divide its width.
	Heads int `json:"heads"`
	// Bits of a hash code (eta, sdim) and how many of them make one signature (sdim).
	Bits int `json:"bits"`
	Tau  int `json:"tau"`
	// Cluster is the most events that become one (twin-v2).
	Cluster int `json:"cluster"`
	// Hidden are the widths of the two hidden layers of the head.
	Hidden [2]int `json:"hidden"`
	// NoAuxiliary leaves out the head that learns from the whole history,
	// NoProduct the feature u*r_t. SharedTables makes dare attend with its
	// representation tables, which is twin. Projections puts a learned linear map
	// before the scores of twin. They are there for ablations.
	NoAuxiliary  bool `json:"no_auxiliary"`
	NoProduct    bool `json:"no_product"`
	SharedTables bool `json:"shared_tables"`
	Projections  bool `json:"projections"`
	// InitStd is the standard deviation of every initial weight that is not a
	// bias, gains of batch norms and slopes of PReLUs included, as the authors of
	// DARE draw them.
	InitStd float32 `json:"init_std"`
	Epsilon float32 `json:"epsilon"` // of the batch norms
}

// WithDefaults fills in what is zero: DARE of width 16 over 200 events, of which
// 20 are kept.
func (c Config) WithDefaults() Config {
	setDefault(&c.Model, "dare")
	setDefault(&c.Width, 16)
	if c.Model != "dare" || c.SharedTables {
		c.AttentionWidth = c.Width
	}
	setDefault(&c.AttentionWidth, c.Width)
	setDefault(&c.Length, 200)
	setDefault(&c.Positions, c.Length+1)
	setDefault(&c.Select, 20)
	setDefault(&c.Heads, 2)
	setDefault(&c.Tau, 3)
	if c.Model == "sdim" {
		setDefault(&c.Bits, 48)
	}
	setDefault(&c.Bits, 32)
	setDefault(&c.Cluster, 8)
	setDefault(&c.Hidden, [2]int{200, 80})
	setDefault(&c.InitStd, 0.01)
	setDefault(&c.Epsilon, 1e-5)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// maxFloats bounds the parameters a Config may ask for, so that a hostile model
// file cannot exhaust memory.
const maxFloats = 1 << 31

// maxSums bounds the running sums of one history (sdim), which no file holds: a
// small one may ask for gigabytes of them.
const maxSums = 1 << 22

// sums is how many numbers they are.
func (c Config) sums() int {
	tau := min(max(c.Tau, 1), 12)
	return c.Bits / tau << tau * c.Width * c.parts()
}

// Validate reports every fault of a complete Config at once.
func (c Config) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(slices.Contains(Kinds(), c.Model), "model %q is unknown, want one of %v", c.Model, Kinds())
	check(c.Items >= 1 && c.Items <= math.MaxInt32, "items is %d, want at least 1", c.Items)
	check(c.Categories >= 0 && c.Categories <= math.MaxInt32, "categories is %d, want 0 or more", c.Categories)
	check(c.Kinds >= 0 && c.Kinds <= 1<<16, "kinds is %d, want 0 to 65536", c.Kinds)
	check(c.Width >= 1 && c.Width <= 1<<12, "width is %d, want 1 to 4096", c.Width)
	check(c.AttentionWidth >= 1 && c.AttentionWidth <= 1<<12, "attention_width is %d, want 1 to 4096", c.AttentionWidth)
	check(c.AttentionWidth == c.Width || c.Model == "dare" && !c.SharedTables, "attention_width is %d and width %d: only dare with tables of its own parts them", c.AttentionWidth, c.Width)
	check(c.Length >= 1 && c.Length <= maxPosition, "length is %d, want 1 to %d", c.Length, maxPosition)
	check(c.Positions >= 4 && c.Positions <= maxPosition+1 || c.Positions == c.Length+1, "positions is %d, want 4 to %d", c.Positions, maxPosition+1)
	check(c.Select >= 1 && c.Select <= 1<<16, "select is %d, want 1 to 65536", c.Select)
	check(c.Heads >= 1 && (c.Width*c.parts())%max(c.Heads, 1) == 0 || !c.multiHead(), "heads is %d, want a divisor of %d", c.Heads, c.Width*c.parts())
	check(c.Bits >= 1 && c.Bits <= 256, "bits is %d, want 1 to 256", c.Bits)
	check(c.Tau >= 1 && c.Tau <= 12 && (c.Bits%max(c.Tau, 1) == 0 || c.Model != "sdim"), "tau is %d, want a divisor of bits %d up to 12", c.Tau, c.Bits)
	check(c.sums() <= maxSums || c.Model != "sdim", "bits %d in signatures of %d and width %d: the sums of a history take %d M numbers, more than the %d M allowed", c.Bits, c.Tau, c.Width, c.sums()>>20, maxSums>>20)
	check(c.Cluster >= 1 && c.Cluster <= 1<<20, "cluster is %d, want 1 to 1048576", c.Cluster)
	check(c.Hidden[0] >= 1 && c.Hidden[0] <= 1<<14 && c.Hidden[1] >= 1 && c.Hidden[1] <= 1<<14, "hidden is %v, want widths of 1 to 16384", c.Hidden)
	check(c.Model != "sim-hard" || c.Categories > 0, "sim-hard searches by category, and there are none: use sim")
	check(c.InitStd > 0 && c.InitStd < 10, "init_std is %v, want above 0 and below 10", c.InitStd)
	check(c.Epsilon > 0 && c.Epsilon < 1, "epsilon is %v, want above 0 and below 1", c.Epsilon)
	check(len(faults) > 0 || c.floats() <= maxFloats, "the model has %.1f G parameters, more than the %d G allowed", c.floats()/1e9, maxFloats>>30)
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("lifelong model config: %w", err)
	}
	return nil
}

// parts is how many tables make a vector.
func (c Config) parts() int {
	n := 1 // item
	for _, has := range []bool{c.Categories > 0, c.Kinds > 0, c.temporal(), c.temporal() && c.Gaps} {
		if has {
			n++
		}
	}
	return n
}

// temporal says whether vectors have positions and gaps. sdim has none: its sums
// are to grow by new events alone, and those would move every event's position.
func (c Config) temporal() bool { return c.Model != "sdim" }

func (c Config) multiHead() bool { return c.Model == "sim" || c.Model == "sim-hard" }

// floats is about the number of parameters.
func (c Config) floats() float64 {
	rows := float64(c.Items) + float64(c.Categories) + float64(c.Kinds) + float64(c.Positions) + gapRows
	z := float64(3 * c.parts() * c.Width)
	return rows*float64(c.Width+c.AttentionWidth) + 2*z*float64(c.Hidden[0]) + float64(c.Hidden[0])*float64(c.Hidden[1])
}

// maxPosition is the oldest position that is told apart from older ones.
const maxPosition = 1 << 20

// position is the row of the position tables for the p-th newest event, from 1;
// the candidate is position 0. Events older than training looks at share the row of
// the oldest that it does look at: those behind it are never learned.
func (c *Config) position(p int) int32 {
	p = min(p, c.Length)
	if c.Positions == c.Length+1 {
		return int32(p)
	}
	half := c.Positions / 2
	if p < half {
		return int32(p)
	}
	octaves := math.Log(float64(p)/float64(half)) / math.Log(float64(maxPosition)/float64(half))
	return int32(min(c.Positions-1, half+int(octaves*float64(c.Positions-half))))
}

// gapRows are the rows of the time gap tables: one for the candidate, one for
// each power of two of seconds.
const gapRows = 34

// gap is the row for the milliseconds between an event and the candidate; the
// past is what counts, an event of the future is as near as can be.
func gap(ms int64) int32 {
	seconds := uint64(max(ms, 0)) / 1000
	return int32(min(1+bits.Len64(seconds), gapRows-1))
}
