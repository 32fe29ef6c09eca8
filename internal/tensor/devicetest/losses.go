package devicetest

import (
	"fmt"
	"math"
	"testing"

	"seqrec/internal/tensor"
)

// lossCase is a random loss problem with gradients that start from something,
// so that adding shows.
type lossCase struct {
	h, table, bias       *host
	dh, dtable, dbias    *host
	targets              []int32
	loss, scale          float64
	rows, items, columns int
}

func (s *suite) lossCase(rows, items, d int) *lossCase {
	c := &lossCase{h: s.random(rows, d), table: s.random(items, d), bias: s.random(1, items),
		dh: s.random(rows, d), dtable: s.random(items, d), dbias: s.random(1, items),
		scale: 0.25, rows: rows, items: items, columns: d}
	for range rows {
		c.targets = append(c.targets, int32(s.rng.IntN(items)))
	}
	return c
}

func (c *lossCase) score(r int, item int32) float64 {
	sum := c.bias.v[item]
	for j := range c.columns {
		sum += c.h.at(r, j) * c.table.at(int(item), j)
	}
	return sum
}

// push adds the gradient g of one score.
func (c *lossCase) push(r int, item int32, g float64) {
	c.dbias.v[item] += g
	for j := range c.columns {
		c.dh.v[r*c.columns+j] += g * c.table.at(int(item), j)
		c.dtable.v[int(item)*c.columns+j] += g * c.h.at(r, j)
	}
}

// softmax adds the loss and gradients of row r over items, of which place own
// is the target; off is taken off each score, and masked items are left out.
func (c *lossCase) softmax(r int, items []int32, own int, off func(item int32) float64) {
	scores, top := make([]float64, len(items)), math.Inf(-1)
	for i, item := range items {
		scores[i] = c.score(r, item) - off(item)
		if i != own && item == items[own] {
			scores[i] = math.Inf(-1)
		}
		top = max(top, scores[i])
	}
	var sum float64
	for _, x := range scores {
		sum += math.Exp(x - top)
	}
	c.loss += c.scale * (top + math.Log(sum) - scores[own])
	for i, item := range items {
		g := c.scale * math.Exp(scores[i]-top) / sum
		if i == own {
			g -= c.scale
		}
		c.push(r, item, g)
	}
}

func (s *suite) verify(t *testing.T, c *lossCase, got float64) {
	t.Helper()
	c.verifyLoss(t, "loss", got)
	s.check(t, "dH", c.dh)
	s.check(t, "dTable", c.dtable)
	s.check(t, "dBias", c.dbias)
}

func (c *lossCase) verifyLoss(t *testing.T, what string, got float64) {
	t.Helper()
	if !(math.Abs(got-c.loss) <= 1e-5*math.Abs(c.loss)) {
		t.Errorf("%s %v, want %v", what, got, c.loss)
	}
}

// crossEntropy covers catalogues below, at and beyond one tile, and many groups
// of rows.
func (s *suite) crossEntropy(t *testing.T) {
	for _, size := range []struct{ rows, items int }{{1, 1}, {1, 3}, {3, 40}, {193, 33}, {400, 130}, {200, 4097}, {193, 9000}, {100, 20_000}} {
		t.Run(fmt.Sprintf("%dx%d", size.rows, size.items), func(t *testing.T) {
			c := s.lossCase(size.rows, size.items, 4)
			a := tensor.CatalogueArgs{H: c.h.on, Table: c.table.on, Bias: c.bias.on, Targets: s.dev.Index(c.targets), Scale: 0.25,
				Scratch: s.zero(1, tensor.CatalogueScratch(size.rows, size.items)).on}
			plain := s.dev.CrossEntropy(a)
			a.Learn, a.DH, a.DTable, a.DBias = true, c.dh.on, c.dtable.on, c.dbias.on
			got := s.dev.CrossEntropy(a)
			all := make([]int32, size.items)
			for i := range all {
				all[i] = int32(i)
			}
			for r, p := range c.targets {
				c.softmax(r, all, int(p), func(int32) float64 { return 0 })
			}
			s.verify(t, c, got)
			c.verifyLoss(t, "loss without learning", plain)
		})
	}
}

func (s *suite) sampled(t *testing.T) {
	for _, withLogQ := range []bool{false, true} {
		c := s.lossCase(150, 30, 6)
		logQ := s.random(1, 30)
		negatives := []int32{3, 9, 27, 0, 11, 5, 6, 7}
		a := tensor.SampledArgs{H: c.h.on, Table: c.table.on, Bias: c.bias.on, Targets: s.dev.Index(c.targets), Negatives: s.dev.Index(negatives),
			Scale: 0.25, Learn: true, DH: c.dh.on, DTable: c.dtable.on, DBias: c.dbias.on,
			Scratch: s.zero(1, tensor.SampledScratch(len(negatives), 6)).on}
		off := func(int32) float64 { return 0 }
		if withLogQ {
			a.LogQ = logQ.on
			off = func(item int32) float64 { return logQ.v[item] }
		}
		got := s.dev.SampledCrossEntropy(a)
		a.Learn, a.DH, a.DTable, a.DBias = false, tensor.Mat{}, tensor.Mat{}, tensor.Mat{}
		plain := s.dev.SampledCrossEntropy(a)
		for r, p := range c.targets {
			c.softmax(r, append([]int32{p}, negatives...), 0, off)
		}
		s.verify(t, c, got)
		c.verifyLoss(t, "loss without learning", plain)
	}
}

func (s *suite) binary(t *testing.T) {
	const k, beta = 3, 0.4
	c := s.lossCase(40, 25, 6)
	negatives := make([]int32, 40*k)
	for i := range negatives {
		negatives[i] = int32(s.rng.IntN(25))
	}
	a := tensor.BinaryArgs{H: c.h.on, Table: c.table.on, Bias: c.bias.on, Targets: s.dev.Index(c.targets),
		Negatives: s.dev.Index(negatives), Beta: beta, Scale: 0.25}
	plain := s.dev.BinaryCrossEntropy(a)
	a.Learn, a.DH, a.DTable, a.DBias = true, c.dh.on, c.dtable.on, c.dbias.on
	got := s.dev.BinaryCrossEntropy(a)
	for r, p := range c.targets {
		x := c.score(r, p)
		c.loss += c.scale * beta * math.Log1p(math.Exp(-x))
		c.push(r, p, -c.scale*beta/(1+math.Exp(x)))
		for _, item := range negatives[r*k : (r+1)*k] {
			x := c.score(r, item)
			c.loss += c.scale * math.Log1p(math.Exp(x))
			c.push(r, item, c.scale/(1+math.Exp(-x)))
		}
	}
	s.verify(t, c, got)
	c.verifyLoss(t, "loss without learning", plain)
}
