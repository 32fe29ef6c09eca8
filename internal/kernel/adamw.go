package kernel

import "math"

// AdamW is one step of the Adam optimiser with decoupled weight decay
// (Loshchilov, Hutter, Decoupled Weight Decay Regularization, 2019, algorithm
// 2, with the learning rate multiplied into the decay as PyTorch does).
type AdamW struct {
	LR           float32 // learning rate
	Beta1, Beta2 float32 // decay of the first and second moment
	Eps          float32 // added to the root of the second moment
	Decay        float32 // weight decay, 0 for plain Adam
	Step         int     // number of this step, from 1; it corrects the moments' bias
}

// Update moves the weights w against the gradient g and brings the moments m
// and v up to date; all four have one length.
//
//	m[i] = Beta1*m[i] + (1-Beta1)*g[i]
//	v[i] = Beta2*v[i] + (1-Beta2)*g[i]²
//	w[i] = w[i]*(1-LR*Decay) - LR*(m[i]/(1-Beta1^Step)) / (sqrt(v[i]/(1-Beta2^Step)) + Eps)
func (o AdamW) Update(w, g, m, v []float32) {
	checkSame(len(w), len(g))
	checkSame(len(w), len(m))
	checkSame(len(w), len(v))
	step := float64(max(o.Step, 1))
	fix1 := 1 - math.Pow(float64(o.Beta1), step)
	fix2 := 1 - math.Pow(float64(o.Beta2), step)
	adamW(w, g, m, v, &adamFactors{
		beta1: o.Beta1,
		beta2: o.Beta2,
		rest1: 1 - o.Beta1,
		rest2: 1 - o.Beta2,
		keep:  1 - o.LR*o.Decay,
		rate:  float32(float64(o.LR) / fix1),
		root:  float32(1 / math.Sqrt(fix2)),
		eps:   o.Eps,
	})
}

// adamFactors are the numbers of one step that all elements share; the assembly
// reads them in this order.
type adamFactors struct {
	beta1, beta2, rest1, rest2 float32
	keep                       float32 // 1 - LR*Decay
	rate                       float32 // LR / (1-Beta1^Step)
	root                       float32 // 1 / sqrt(1-Beta2^Step)
	eps                        float32
}

func adamWGeneric(w, g, m, v []float32, f *adamFactors) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	for i := range w {
		m[i] = f.beta1*m[i] + f.rest1*g[i]
		v[i] = f.beta2*v[i] + f.rest2*g[i]*g[i]
		root := float32(math.Sqrt(float64(v[i])))
		w[i] = w[i]*f.keep - f.rate*m[i]/(root*f.root+f.eps)
	}
}
