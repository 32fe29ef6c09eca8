package tensor

import (
	"fmt"
	"math"

	"seqrec/internal/kernel"
)

// Param is one named, learned matrix. A vector (bias, gain) is a matrix of
// one row.
type Param struct {
	Name  string
	Val   Mat
	Decay bool // whether weight decay applies: false for biases and norms
	off   int  // first float inside the Params block
}

// Params is the ordered list of a model's parameters. They lie in one block of
// memory, so zeroing, adding lanes and copying the best weights are one loop.
type Params struct {
	dev   Device
	list  []*Param
	block Block
	n     int
}

// NewParams starts an empty list on a device. Add every parameter, then Alloc.
func NewParams(dev Device) *Params { return &Params{dev: dev} }

// Add appends a rows x cols parameter. It panics on a name used twice or after
// Alloc, both being faults of the caller.
func (p *Params) Add(name string, rows, cols int, decay bool) *Param {
	if p.block.V != nil || p.block.Ptr != 0 {
		panic("tensor: parameter " + name + " added after Alloc")
	}
	for _, q := range p.list {
		if q.Name == name {
			panic("tensor: parameter " + name + " added twice")
		}
	}
	q := &Param{Name: name, Val: Mat{Rows: rows, Cols: cols}, Decay: decay, off: p.n}
	p.list = append(p.list, q)
	p.n += (rows*cols + 15) &^ 15 // rows of different parameters never share a cache line
	return q
}

// Alloc gives every parameter its memory, zeroed.
func (p *Params) Alloc() {
	p.block = p.dev.Alloc(p.n)
	for _, q := range p.list {
		q.Val = p.block.Mat(q.off, q.Val.Rows, q.Val.Cols)
	}
}

// List is every parameter in the order they were added.
func (p *Params) List() []*Param { return p.list }

// Len is the size of the block in floats, alignment gaps included.
func (p *Params) Len() int { return p.n }

// Device is where the parameters live.
func (p *Params) Device() Device { return p.dev }

// All is the whole block as a matrix of one row.
func (p *Params) All() Mat { return p.block.Mat(0, 1, p.n) }

// Gradients holds one gradient for each parameter of a Params, in the same
// layout. A lane of training owns one.
type Gradients struct {
	params *Params
	block  Block
}

// NewGradients makes zeroed gradients for p.
func NewGradients(p *Params) *Gradients {
	return &Gradients{params: p, block: p.dev.Alloc(p.n)}
}

// Of is the gradient of one parameter.
func (g *Gradients) Of(q *Param) Mat { return g.block.Mat(q.off, q.Val.Rows, q.Val.Cols) }

// All is the whole block as a matrix of one row.
func (g *Gradients) All() Mat { return g.block.Mat(0, 1, g.params.n) }

// Reduce adds lanes 1.. into lane 0, always in the order of the slice, so that
// equal seeds give bit-equal weights whatever the number of cores. The block is
// cut into pieces which are spread over the workers; each float still sees the
// same additions in the same order.
func Reduce(lanes []*Gradients, workers int) {
	if len(lanes) < 2 {
		return
	}
	dst := lanes[0]
	const piece = 1 << 15
	n := dst.params.n
	kernel.Parallel((n+piece-1)/piece, workers, func(_, i int) {
		lo := i * piece
		hi := min(lo+piece, n)
		for _, src := range lanes[1:] {
			dst.params.dev.Axpy(dst.block.Mat(lo, 1, hi-lo), 1, src.block.Mat(lo, 1, hi-lo))
		}
	})
}

// AdamState holds the two moments of every parameter (Kingma & Ba 2015), with
// decoupled weight decay (Loshchilov & Hutter 2019).
type AdamState struct {
	params *Params
	M, V   Block
	Step   int
}

// NewAdamState makes zeroed moments for p.
func NewAdamState(p *Params) *AdamState {
	return &AdamState{params: p, M: p.dev.Alloc(p.n), V: p.dev.Alloc(p.n)}
}

// Moments are both moment blocks as matrices of one row, for saving.
func (s *AdamState) Moments() (m, v Mat) {
	return s.M.Mat(0, 1, s.params.n), s.V.Mat(0, 1, s.params.n)
}

// Update makes one step with gradients g, in pieces spread over workers.
func (s *AdamState) Update(g *Gradients, o kernel.AdamW, workers int) {
	s.Step++
	o.Step = s.Step
	for _, q := range s.params.list {
		step := o
		if !q.Decay {
			step.Decay = 0
		}
		const piece = 1 << 15
		n := q.Val.Len()
		kernel.Parallel((n+piece-1)/piece, workers, func(_, i int) {
			lo := i * piece
			c := min(piece, n-lo)
			off := q.off + lo
			s.params.dev.AdamW(s.params.block.Mat(off, 1, c), g.block.Mat(off, 1, c), s.M.Mat(off, 1, c), s.V.Mat(off, 1, c), step)
		})
	}
}

// Norm is the Euclidean length of all gradients together. One goroutine sums
// them in a fixed order, so it does not depend on the number of workers.
func (g *Gradients) Norm() float64 {
	return math.Sqrt(g.params.dev.SquareSum(g.All()))
}

// CheckShape panics unless the parameter is rows x cols.
func (q *Param) CheckShape(rows, cols int) {
	if q.Val.Rows != rows || q.Val.Cols != cols {
		panic(fmt.Sprintf("tensor: parameter %s is %dx%d, want %dx%d", q.Name, q.Val.Rows, q.Val.Cols, rows, cols))
	}
}

// Clear zeroes every gradient.
func (g *Gradients) Clear() { g.params.dev.Zero(g.All()) }
