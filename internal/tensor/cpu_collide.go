package tensor

import (
	"math"

	"seqrec/internal/kernel"
)

// collider has the hash tables of one sequence: for each group of Tau bits a
// bucket for each of its 2^Tau signatures, with the sum of the values in it.
type collider struct {
	a       *CollideArgs
	groups  int
	sums    []float32 // groups x 2^Tau x D
	touched []float32 // gradient of sums, in the backward
}

func newCollider(a *CollideArgs) *collider {
	if a.Tau < 1 || a.Tau > 16 || a.QSigns.Cols%a.Tau != 0 || a.KSigns.Cols != a.QSigns.Cols {
		panic("tensor: Collide: bits do not divide into groups")
	}
	return &collider{a: a, groups: a.QSigns.Cols / a.Tau}
}

// bucket is where row r of signs lies in group g.
func (c *collider) bucket(signs Mat, r, g int) int {
	code := 0
	for _, s := range signs.V[r*signs.Cols+g*c.a.Tau:][:c.a.Tau] {
		code <<= 1
		if s > 0 {
			code |= 1
		}
	}
	return g<<c.a.Tau | code
}

// fill adds up the values of a sequence.
func (c *collider) fill(p pairBlock) {
	d := c.a.V.Cols
	c.sums = resizeZero(c.sums, c.groups<<c.a.Tau*d)
	for i := p.k; i < p.k+p.nk; i++ {
		v := c.a.V.V[i*d:][:d]
		for g := range c.groups {
			sum := c.sums[c.bucket(c.a.KSigns, i, g)*d:][:d]
			kernel.Add(sum, sum, v)
		}
	}
}

func resizeZero(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// length is the Euclidean length of x, or 0 where it is too small to divide by.
func length(x []float32) float32 {
	n := float32(math.Sqrt(float64(kernel.Dot(x, x))))
	if n < 1e-12 {
		return 0
	}
	return n
}

// Collide costs M*D for an event and M/Tau*D for a query, however long the
// history.
func (CPU) Collide(a CollideArgs) {
	c, d := newCollider(&a), a.V.Cols
	pairBlocks(a.QOffsets, a.KOffsets, func(p pairBlock) {
		c.fill(p)
		for r := p.q; r < p.q+p.nq; r++ {
			out := a.Out.V[r*d:][:d]
			clear(out)
			for g := range c.groups {
				sum := c.sums[c.bucket(a.QSigns, r, g)*d:][:d]
				if n := length(sum); n > 0 {
					kernel.Axpy(out, 1/(n*float32(c.groups)), sum)
				}
			}
		}
	})
}

// CollideBackward gives every event of a bucket the bucket's gradient: with
// y = x/|x|, dx = (dy - y <y, dy>)/|x|.
func (CPU) CollideBackward(a CollideArgs, dout, dv Mat) {
	c, d := newCollider(&a), a.V.Cols
	pairBlocks(a.QOffsets, a.KOffsets, func(p pairBlock) {
		c.fill(p)
		c.touched = resizeZero(c.touched, len(c.sums))
		for r := p.q; r < p.q+p.nq; r++ {
			dy := dout.V[r*d:][:d]
			for g := range c.groups {
				at := c.bucket(a.QSigns, r, g) * d
				sum, into := c.sums[at:][:d], c.touched[at:][:d]
				n := length(sum)
				if n == 0 {
					continue
				}
				share := 1 / (n * float32(c.groups))
				kernel.Axpy(into, share, dy)
				kernel.Axpy(into, -share*kernel.Dot(sum, dy)/(n*n), sum)
			}
		}
		for i := p.k; i < p.k+p.nk; i++ {
			into := dv.V[i*d:][:d]
			for g := range c.groups {
				kernel.Add(into, into, c.touched[c.bucket(a.KSigns, i, g)*d:][:d])
			}
		}
	})
}
