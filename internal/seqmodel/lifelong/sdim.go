package lifelong

import "seqrec/internal/tensor"

// sdim attends by hash collision, without a search (Cao et al., CIKM 2022, arXiv
// 2205.10249): see tensor.CollideArgs. A behaviour at angle a to the target is
// counted with expected weight (1 - a/pi)^Tau. Its state for one history is a
// table of running sums, so a candidate costs the same however long the history.
type sdim struct {
	tables *tables
	hash   *tensor.Param // bits x identity
	tau    int
}

func newSDIM(p *tensor.Params, c Config, represent *tables) *sdim {
	return &sdim{tables: represent, hash: p.Add("hash", c.Bits, represent.identity, true), tau: c.Tau}
}

func (m *sdim) auxiliary() bool { return false }

func (m *sdim) aggregate(t *tensor.Tape, in *input) (u, full *tensor.Var) {
	r := m.tables.vectors(t, &in.history)
	qs := signs(t, m.tables.vectors(t, &in.candidates), m.hash)
	ks := signs(t, r, m.hash)
	qo, ko := in.offsets(t)
	u = t.Collide(r, tensor.CollideArgs{QSigns: qs.Mat, KSigns: ks.Mat, QOffsets: qo, KOffsets: ko, Tau: m.tau})
	if in.explain {
		m.explain(in, qs.Mat, ks.Mat)
	}
	return u, nil
}

// explain lists, for each candidate, the behaviours that collide with it, each
// with the share of groups in which it does over the number of its companions
// there: what its vector counts before the sums are normalised.
func (m *sdim) explain(in *input, qs, ks tensor.Mat) {
	in.sel.Pairs, in.sel.Keys, in.sel.Offsets, in.weights = nil, in.sel.Keys[:0], append(in.sel.Offsets[:0], 0), in.weights[:0]
	bits, groups := qs.Cols, qs.Cols/m.tau
	for b := range len(in.qOffsets) - 1 {
		lo, hi := int(in.kOffsets[b]), int(in.kOffsets[b+1])
		for r := int(in.qOffsets[b]); r < int(in.qOffsets[b+1]); r++ {
			share := make([]float32, hi-lo)
			for g := range groups {
				var hit []int
				for i := lo; i < hi; i++ {
					if equal(qs.V[r*bits+g*m.tau:][:m.tau], ks.V[i*bits+g*m.tau:][:m.tau]) {
						hit = append(hit, i-lo)
					}
				}
				for _, i := range hit {
					share[i] += 1 / float32(groups*len(hit))
				}
			}
			for i, w := range share {
				if w > 0 {
					in.sel.Keys, in.weights = append(in.sel.Keys, int32(lo+i)), append(in.weights, w)
				}
			}
			in.sel.Offsets = append(in.sel.Offsets, int32(len(in.sel.Keys)))
		}
	}
}

func equal(a, b []float32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
