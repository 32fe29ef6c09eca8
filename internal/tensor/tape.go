package tensor

import "fmt"

// Var is a value on a tape and, while learning, its gradient.
type Var struct {
	Mat
	grad    Mat
	touched bool // whether grad holds anything yet
}

// Tape runs operations and, when it learns, remembers how to undo them.
// Everything it hands out lives until the next Reset. A tape belongs to one
// goroutine.
type Tape struct {
	dev   Device
	grads *Gradients // where parameter gradients go; nil when the tape does not learn
	back  []func()
	arena arena
	vars  slab
	drops dropSource
}

// NewTape makes a tape that does not learn.
func NewTape(dev Device) *Tape { return &Tape{dev: dev, arena: arena{dev: dev}} }

// NewLearningTape makes a tape whose Backward adds parameter gradients to g.
func NewLearningTape(dev Device, g *Gradients) *Tape {
	t := NewTape(dev)
	t.grads = g
	return t
}

// Learning says whether the tape records.
func (t *Tape) Learning() bool { return t.grads != nil }

// Device is where the tape computes.
func (t *Tape) Device() Device { return t.dev }

// Reset forgets everything and takes all memory back for the next pass.
// stream picks the dropout masks of that pass.
func (t *Tape) Reset(stream uint64) {
	clear(t.back)
	t.back = t.back[:0]
	t.arena.reset()
	t.vars.reset()
	t.drops = dropSource{stream: stream}
}

// Backward undoes the tape from its end. Losses seed the gradients themselves.
func (t *Tape) Backward() {
	for i := len(t.back) - 1; i >= 0; i-- {
		t.back[i]()
	}
}

// Const puts a host matrix on the tape; no gradient flows into it.
func (t *Tape) Const(rows, cols int, src []float32) *Var {
	v := t.newVar(rows, cols)
	t.dev.Upload(v.Mat, src)
	return v
}

// NewVar makes an uninitialised value for an operation defined outside this
// package (attention variants).
func (t *Tape) NewVar(rows, cols int) *Var { return t.newVar(rows, cols) }

// Scratch is uninitialised memory until the next Reset.
func (t *Tape) Scratch(rows, cols int) Mat { return t.arena.mat(rows, cols) }

// Record remembers how to undo an operation. Call it only while Learning.
func (t *Tape) Record(undo func()) { t.back = append(t.back, undo) }

// Grad is where gradients of v are added up. The first call zeroes it.
func (t *Tape) Grad(v *Var) Mat {
	t.ensureGrad(v)
	if !v.touched {
		t.dev.Zero(v.grad)
		v.touched = true
	}
	return v.grad
}

// Reached says whether any gradient has flowed into v, so that an operation
// off the path to the loss costs nothing.
func (t *Tape) Reached(v *Var) bool { return v.touched }

// gradOrFirst is Grad for operations that can overwrite: acc is false when
// they should store instead of add.
func (t *Tape) gradOrFirst(v *Var) (g Mat, acc bool) {
	t.ensureGrad(v)
	acc = v.touched
	v.touched = true
	return v.grad, acc
}

func (t *Tape) ensureGrad(v *Var) {
	if v.grad.V == nil && v.grad.Ptr == 0 {
		v.grad = t.arena.mat(v.Rows, v.Cols)
	}
}

func (t *Tape) newVar(rows, cols int) *Var {
	v := t.vars.next()
	v.Mat = t.arena.mat(rows, cols)
	return v
}

// arena hands out device memory in order and takes it all back at once. It
// asks the device for a block only when no unused one is large enough, and only
// for powers of two, so passes of ever new sizes settle on a few blocks.
type arena struct {
	dev    Device
	blocks []arenaBlock // the first used are in use, the last of them open
	used   int
	off    int // first free float of the open block
}

type arenaBlock struct {
	Block
	size int
}

const arenaFloats = 1 << 18 // of the smallest block: 1 MiB

func (a *arena) reset() { a.used, a.off = 0, 0 }

func (a *arena) mat(rows, cols int) Mat {
	if rows < 0 || cols < 0 {
		panic(fmt.Sprintf("tensor: a matrix of %dx%d", rows, cols))
	}
	n := (rows*cols + 15) &^ 15 // whole cache lines
	if a.used == 0 || a.off+n > a.blocks[a.used-1].size {
		a.open(n)
	}
	m := a.blocks[a.used-1].Mat(a.off, rows, cols)
	a.off += n
	return m
}

// open takes the smallest unused block of at least n floats into use.
func (a *arena) open(n int) {
	best := -1
	for i := a.used; i < len(a.blocks); i++ {
		if size := a.blocks[i].size; size >= n && (best < 0 || size < a.blocks[best].size) {
			best = i
		}
	}
	if best < 0 {
		size := arenaFloats
		for size < n {
			size *= 2
		}
		best = len(a.blocks)
		a.blocks = append(a.blocks, arenaBlock{a.dev.Alloc(size), size})
	}
	a.blocks[a.used], a.blocks[best] = a.blocks[best], a.blocks[a.used]
	a.used, a.off = a.used+1, 0
}

// slab hands out Vars with stable addresses and takes them all back at once.
type slab struct {
	pages [][]Var
	n     int
}

const slabPage = 64

func (s *slab) reset() { s.n = 0 }

func (s *slab) next() *Var {
	page := s.n / slabPage
	if page == len(s.pages) {
		s.pages = append(s.pages, make([]Var, slabPage))
	}
	v := &s.pages[page][s.n%slabPage]
	*v = Var{}
	s.n++
	return v
}

// dropSource numbers the random decisions of one pass, so that every dropout
// of the pass uses counters of its own.
type dropSource struct{ stream, next uint64 }

// NextDrop reserves n random decisions with probability p. It drops nothing
// when the tape does not learn.
func (t *Tape) NextDrop(p float32, n int) Drop {
	if !t.Learning() || p <= 0 {
		return Drop{}
	}
	d := Drop{P: p, Key: DropKey{Stream: t.drops.stream, Offset: t.drops.next}}
	t.drops.next += uint64(n)
	return d
}
