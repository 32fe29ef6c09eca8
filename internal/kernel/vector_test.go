package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// loop is an element-wise function and the float64 loop it must equal. Both get
// the same streams of n values; the written ones are compared afterwards, and so
// are the others, which must not change.
type loop struct {
	name    string
	streams int
	run     func(s [][]float32) float32
	want    func(s [][]float64) float64
	tol     float64 // of a value near 1
}

func none(run func(s [][]float32)) func(s [][]float32) float32 {
	return func(s [][]float32) float32 { run(s); return 0 }
}

// each makes the loop s[0][i] = f(s, i).
func each(f func(s [][]float64, i int) float64) func(s [][]float64) float64 {
	return func(s [][]float64) float64 {
		for i := range s[0] {
			s[0][i] = f(s, i)
		}
		return 0
	}
}

func sigma(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
func phi(x float64) float64   { return 0.5 * math.Erfc(-x/math.Sqrt2) }
func bell(x float64) float64  { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }

const alpha = float32(0.37)

var loops = []loop{
	{"Dot", 2, func(s [][]float32) float32 { return Dot(s[0], s[1]) },
		func(s [][]float64) (r float64) {
			for i := range s[0] {
				r += s[0][i] * s[1][i]
			}
			return r
		}, 1e-6},
	{"Sum", 1, func(s [][]float32) float32 { return Sum(s[0]) },
		func(s [][]float64) (r float64) {
			for _, v := range s[0] {
				r += v
			}
			return r
		}, 1e-6},
	{"Max", 1, func(s [][]float32) float32 { return Max(s[0]) },
		func(s [][]float64) float64 {
			r := math.Inf(-1)
			for _, v := range s[0] {
				r = math.Max(r, v)
				if v != v {
					return v
				}
			}
			return r
		}, 0},
	{"Axpy", 2, none(func(s [][]float32) { Axpy(s[0], alpha, s[1]) }),
		each(func(s [][]float64, i int) float64 { return s[0][i] + float64(alpha)*s[1][i] }), 2e-7},
	{"Add", 3, none(func(s [][]float32) { Add(s[0], s[1], s[2]) }),
		each(func(s [][]float64, i int) float64 { return s[1][i] + s[2][i] }), 1e-7},
	{"Mul", 3, none(func(s [][]float32) { Mul(s[0], s[1], s[2]) }),
		each(func(s [][]float64, i int) float64 { return s[1][i] * s[2][i] }), 1e-7},
	{"Scale", 2, none(func(s [][]float32) { Scale(s[0], alpha, s[1]) }),
		each(func(s [][]float64, i int) float64 { return float64(alpha) * s[1][i] }), 1e-7},
	{"Exp", 2, none(func(s [][]float32) { Exp(s[0], s[1]) }),
		each(func(s [][]float64, i int) float64 { return math.Exp(s[1][i]) }), 3e-7},
	{"ExpSum", 2, func(s [][]float32) float32 { return ExpSum(s[0], s[1], alpha, 0.5) },
		func(s [][]float64) (r float64) {
			for i, v := range s[1] {
				s[0][i] = math.Exp(float64(alpha)*v - 0.5)
				r += s[0][i]
			}
			return r
		}, 5e-7},
	{"SoftmaxBackward", 3, none(func(s [][]float32) { SoftmaxBackward(s[0], s[1], s[2], alpha) }),
		func(s [][]float64) float64 {
			inner := 0.0
			for i := range s[0] {
				inner += s[1][i] * s[2][i]
			}
			for i := range s[0] {
				s[0][i] = float64(alpha) * s[1][i] * (s[2][i] - inner)
			}
			return 0
		}, 2e-5},
	{"Relu", 2, none(func(s [][]float32) { Relu(s[0], s[1]) }),
		each(func(s [][]float64, i int) float64 { return math.Max(s[1][i], 0) }), 0},
	{"ReluBackward", 3, none(func(s [][]float32) { ReluBackward(s[0], s[1], s[2]) }),
		each(func(s [][]float64, i int) float64 {
			if s[2][i] > 0 {
				return s[0][i] + s[1][i]
			}
			return s[0][i]
		}), 1e-7},
	{"Gelu", 2, none(func(s [][]float32) { Gelu(s[0], s[1]) }),
		each(func(s [][]float64, i int) float64 { return s[1][i] * phi(s[1][i]) }), 1e-6},
	{"GeluBackward", 3, none(func(s [][]float32) { GeluBackward(s[0], s[1], s[2]) }),
		each(func(s [][]float64, i int) float64 {
			return s[0][i] + s[1][i]*(phi(s[2][i])+s[2][i]*bell(s[2][i]))
		}), 2e-6},
	{"Silu", 2, none(func(s [][]float32) { Silu(s[0], s[1]) }),
		each(func(s [][]float64, i int) float64 { return s[1][i] * sigma(s[1][i]) }), 5e-7},
	{"SiluBackward", 3, none(func(s [][]float32) { SiluBackward(s[0], s[1], s[2]) }),
		each(func(s [][]float64, i int) float64 {
			p := sigma(s[2][i])
			return s[0][i] + s[1][i]*p*(1+s[2][i]*(1-p))
		}), 1e-6},
	{"Sigmoid", 2, none(func(s [][]float32) { Sigmoid(s[0], s[1]) }),
		each(func(s [][]float64, i int) float64 { return sigma(s[1][i]) }), 5e-7},
	{"SigmoidBackward", 3, none(func(s [][]float32) { SigmoidBackward(s[0], s[1], s[2]) }),
		each(func(s [][]float64, i int) float64 {
			p := sigma(s[2][i])
			return s[0][i] + s[1][i]*p*(1-p)
		}), 1e-6},
	{"AdamW", 4, none(func(s [][]float32) {
		// A second moment is never negative.
		for i := range s[3] {
			s[3][i] = float32(math.Abs(float64(s[3][i])))
		}
		AdamW{LR: 0.01, Beta1: 0.9, Beta2: 0.98, Eps: 1e-8, Decay: 0.1, Step: 7}.Update(s[0], s[1], s[2], s[3])
	}), func(s [][]float64) float64 {
		lr, b1, b2, eps := float64(float32(0.01)), float64(float32(0.9)), float64(float32(0.98)), float64(float32(1e-8))
		for i := range s[0] {
			g := s[1][i]
			s[2][i] = b1*s[2][i] + (1-b1)*g
			s[3][i] = b2*math.Abs(s[3][i]) + (1-b2)*g*g
			m, v := s[2][i]/(1-math.Pow(b1, 7)), s[3][i]/(1-math.Pow(b2, 7))
			s[0][i] = s[0][i]*(1-lr*float64(float32(0.1))) - lr*m/(math.Sqrt(v)+eps)
		}
		return 0
	}, 1e-6},
}

// check compares the function with its loop on the given values, each stream in
// memory of the given kind.
func (l loop) check(t *testing.T, mem memory, values [][]float32) {
	t.Helper()
	n := len(values[0])
	var got [][]float32
	var want [][]float64
	var intact []func() bool
	for _, v := range values {
		x, ok := mem.floats(t, n)
		copy(x, v)
		got, intact = append(got, x), append(intact, ok)
		wide := make([]float64, n)
		for i := range v {
			wide[i] = float64(v[i])
		}
		want = append(want, wide)
	}
	result, expected := l.run(got), l.want(want)
	if !close32(result, expected, l.tol*float64(n+1)) {
		t.Errorf("%s, %v, n %d: result %g, want %g", l.name, mem, n, result, expected)
	}
	for s := range got {
		if !intact[s]() {
			t.Errorf("%s, %v, n %d: wrote outside stream %d", l.name, mem, n, s)
		}
		for i := range got[s] {
			if !close32(got[s][i], want[s][i], l.tol) {
				t.Fatalf("%s, %v, n %d: stream %d at %d is %g, want %g", l.name, mem, n, s, i, got[s][i], want[s][i])
			}
		}
	}
}

// close32 tells whether got is the float32 nearest to want, give or take tol of
// its size (of 1 if it is smaller).
func close32(got float32, want, tol float64) bool {
	narrow := float64(float32(want))
	if math.IsNaN(narrow) || math.IsInf(narrow, 0) {
		return float64(got) == narrow || math.IsNaN(narrow) && got != got
	}
	return math.Abs(float64(got)-want) <= tol*math.Max(1, math.Abs(want))
}

func TestLoopsAtAllLengths(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 1))
		for _, l := range loops {
			for n := range 131 {
				values := make([][]float32, l.streams)
				for s := range values {
					values[s] = make([]float32, n)
					for i := range values[s] {
						values[s][i] = float32(rng.NormFloat64() * 2)
					}
				}
				mem := memories()[n%len(memories())]
				l.check(t, mem, values)
			}
		}
	})
}

// TestLoopsAtPageEdges runs the lengths around whole vectors at both guard pages.
func TestLoopsAtPageEdges(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for _, l := range loops {
			for _, mem := range memories() {
				for _, n := range []int{1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100} {
					values := make([][]float32, l.streams)
					for s := range values {
						values[s] = make([]float32, n)
						for i := range values[s] {
							values[s][i] = float32(i%7-3) / 2
						}
					}
					l.check(t, mem, values)
				}
			}
		}
	})
}

func TestLoopsAcrossChunks(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		const n = 40000
		for _, l := range loops {
			values := make([][]float32, l.streams)
			for s := range values {
				values[s] = make([]float32, n)
				for i := range values[s] {
					values[s][i] = float32((i*7919+s)%2001-1000) / 4000
				}
			}
			l.check(t, guardValues{1}, values)
		}
	})
}

// TestLoopsWithOddValues puts infinities, NaN, zeros and extremes in every lane.
func TestLoopsWithOddValues(t *testing.T) {
	inf := float32(math.Inf(1))
	odd := []float32{
		0, float32(math.Copysign(0, -1)), inf, -inf, float32(math.NaN()), 1e-45, -1e-40,
		3e38, -3e38, 88, 88.7, 89, 90, -87, -87.4, -90, -103, -103.9, -104, -105, 1e4, -1e4, 5, -5, 1e-20,
	}
	skip := map[string]bool{"AdamW": true, "SoftmaxBackward": true, "ExpSum": true}
	onEachPath(t, func(t *testing.T) {
		for _, l := range loops {
			if skip[l.name] {
				continue // sums and quotients of infinities; Softmax has its own test
			}
			for _, v := range odd {
				for at := range 40 {
					values := make([][]float32, l.streams)
					for s := range values {
						values[s] = make([]float32, 40)
						for i := range values[s] {
							values[s][i] = 0.5
						}
					}
					values[l.streams-1][at] = v
					l.check(t, guardValues{0}, values)
				}
			}
		}
	})
}

func TestExpAccuracy(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		worst := 0.0
		x, y := make([]float32, 1000), make([]float32, 1000)
		for block := range 176 {
			for i := range x {
				x[i] = float32(block-88) + float32(i)/1000
			}
			Exp(y, x)
			for i := range x {
				want := math.Exp(float64(x[i]))
				if want > 1.2e-38 && want < 3.4e38 {
					worst = max(worst, math.Abs(float64(y[i])/want-1))
				}
			}
		}
		if worst > 1.5e-7 {
			t.Errorf("largest relative error of exp is %g", worst)
		}
	})
}

func TestLengthsMustAgree(t *testing.T) {
	a, b := make([]float32, 3), make([]float32, 4)
	for name, call := range map[string]func(){
		"Dot":       func() { Dot(a, b) },
		"Axpy":      func() { Axpy(a, 1, b) },
		"Exp":       func() { Exp(a, b) },
		"Gelu":      func() { Gelu(b, a) },
		"AdamW":     func() { AdamW{}.Update(a, a, a, b) },
		"GemmNN":    func() { GemmNN(2, 2, 2, a, 2, b, 2, b, 2, false) },
		"GemmTN ld": func() { GemmTN(2, 2, 2, b, 1, b, 2, b, 2, false) },
		"AddBias":   func() { AddBias(b, 2, 2, a) },
		"Gather":    func() { Gather(a, b, 3, []int32{1}) },
		"negative":  func() { Gather(a, b, 3, []int32{-1}) },
		"Dropout":   func() { Dropout(a, a, 1, 0, 0) },
		"ScoreRows": func() { ScoreRows(a, b, 2, 2, b[:2]) },
		"PackPanel": func() { PackPanel(make([]float32, PanelWidth), make([]float32, 99), 1, PanelWidth+1, 1) },
		"no rows":   func() { PackPanel(make([]float32, PanelWidth), a, 1, 0, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			call()
		})
	}
}
