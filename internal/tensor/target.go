package tensor

// TargetDevice has the verbs of target-aware models, which look at a history
// through the eyes of a candidate: lookups of several tables side by side,
// scores of (candidate, event) pairs and what is aggregated by them, batch
// normalisation. A device without them cannot run those models.
//
// Pairs. Sequence b has nq query rows QOffsets[b].. and nk key rows
// KOffsets[b]..; its nq x nk pairs lie row-major behind those of the sequences
// before it. A matrix over pairs has one row a pair.
type TargetDevice interface {
	Device

	// GatherColumns sets columns col.. of row i of dst to scale times row idx[i]
	// of table; the other columns stay.
	GatherColumns(dst Mat, col int, table Mat, idx Index, scale float32)
	// ScatterAddColumns adds scale times columns col.. of row i of src to row
	// idx[i] of table, i ascending.
	ScatterAddColumns(table Mat, idx Index, src Mat, col int, scale float32)
	// CopyColumns sets (or, with acc, adds to) n columns of dst from column
	// dstCol to those of src from column srcCol.
	CopyColumns(dst Mat, dstCol int, src Mat, srcCol, n int, acc bool)

	// Moments sets mean and variance (1 x D) to those of the columns of x; the
	// variance is the biased one.
	Moments(mean, variance, x Mat)
	// Normalise sets y = (x - mean)/sqrt(variance + eps) * gain + bias, column by
	// column.
	Normalise(y, x, mean, variance, gain, bias Mat, eps float32)
	// NormaliseBackward adds the gradients of a Normalise whose moments are those
	// of x itself, as in learning.
	NormaliseBackward(dx, dgain, dbias, dy, x, mean, variance, gain Mat, eps float32)
	// PReLU sets y = x where x > 0 and slope*x elsewhere; slope is one number.
	PReLU(y, x, slope Mat)
	// PReLUBackward adds the gradients of PReLU.
	PReLUBackward(dx, dslope, dy, x, slope Mat)
	// Sign sets dst to 1 where src >= 0 and to -1 elsewhere.
	Sign(dst, src Mat)

	// PairScores sets s, one row a pair, to Scale * <q, k> + bias of the key; see
	// PairArgs.
	PairScores(a PairArgs)
	// PairScoresBackward adds ds K to dq and ds^T Q to dk, both times Scale. It may
	// write over ds.
	PairScoresBackward(a PairArgs, ds, dq, dk Mat)
	// PairUnit scores every pair by a small network; see PairUnitArgs.
	PairUnit(a PairUnitArgs)
	// PairUnitBackward adds the gradients of all that PairUnit reads.
	PairUnitBackward(a PairUnitArgs, g PairUnitGrads)
	// SelectPairs finds the best pairs of every query; see SelectArgs.
	SelectPairs(a SelectArgs)
	// Aggregate is softmax over the pairs of each query and the sum of V that it
	// weighs; see AggregateArgs.
	Aggregate(a AggregateArgs)
	// AggregateBackward adds the gradients of S and V, from the kept weights.
	AggregateBackward(a AggregateArgs, dout, ds, dv Mat)
	// Collide aggregates the events whose hashes agree with the query's; see
	// CollideArgs.
	Collide(a CollideArgs)
	// CollideBackward adds the gradient of V.
	CollideBackward(a CollideArgs, dout, dv Mat)
}

// PairArgs is the score of every pair: S = Scale * Q K^T + Bias, sequence by
// sequence.
type PairArgs struct {
	S                  Mat // pairs x 1
	Q                  Mat // Tq x D
	K                  Mat // Tk x D
	Bias               Mat // Tk x 1, or empty: added to every score of that key
	QOffsets, KOffsets Index
	Scale              float32
}

// SelectArgs picks the K pairs of each query with the highest scores, ties to
// the later key. They are listed by ascending key, so that what is selected
// keeps its order in time; a query with fewer keys keeps them all, and a score
// that is not a number is never selected.
type SelectArgs struct {
	S                  Mat // pairs x 1
	QOffsets, KOffsets Index
	K                  int
	// Results, in host memory: query row r owns entries Offsets[r]..Offsets[r+1]-1
	// of Pairs (rows of S) and Keys (rows of K). The slices are reused.
	Pairs, Keys, Offsets *[]int32
}

// AggregateArgs is out = softmax(s) V over the pairs of each query.
type AggregateArgs struct {
	Out                Mat // Tq x D
	S                  Mat // pairs x 1
	V                  Mat // Tk x D
	Weights            Mat // pairs x 1, the softmax
	QOffsets, KOffsets Index
}

// CollideArgs is attention by hash collision (SDIM, Cao et al. 2022, arXiv
// 2205.10249, eq. 6). Bits of a signature come in groups of Tau; event i
// collides with query t in group g when their Tau signs agree:
//
//	out_t = mean over groups g of normalise(sum of V_i that collide with t in g)
//
// with normalise(x) = x/|x|, and 0 for 0.
type CollideArgs struct {
	Out                Mat // Tq x D
	QSigns             Mat // Tq x M, from Sign; M is a multiple of Tau
	KSigns             Mat // Tk x M
	V                  Mat // Tk x D
	QOffsets, KOffsets Index
	Tau                int
}

// PairCount is the number of pairs of all sequences.
func PairCount(qOffsets, kOffsets []int32) (n int) {
	for b := range len(qOffsets) - 1 {
		n += int(qOffsets[b+1]-qOffsets[b]) * int(kOffsets[b+1]-kOffsets[b])
	}
	return n
}

// target is the tape's device with the verbs of this file.
func (t *Tape) target() TargetDevice {
	dev, ok := t.dev.(TargetDevice)
	if !ok {
		panic("tensor: device " + t.dev.Name() + " cannot run target-aware models")
	}
	return dev
}
