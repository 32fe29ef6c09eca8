package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func normals(rng *rand.Rand, x []float32) []float32 {
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// placed copies values into memory of the given kind.
func placed(t *testing.T, mem memory, values []float32) []float32 {
	t.Helper()
	x, intact := mem.floats(t, len(values))
	copy(x, values)
	t.Cleanup(func() {
		if !intact() {
			t.Errorf("%v: wrote out of bounds", mem)
		}
	})
	return x
}

func wantClose(t *testing.T, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	for i := range want {
		if !close32(got[i], want[i], tol) {
			t.Fatalf("%s at %d is %g, want %g", what, i, got[i], want[i])
		}
	}
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func TestAddBiasAndSumRows(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		for cols := range 131 {
			addBiasAndSumRows(t, []int{0, 1, 2, 5}[cols%4], cols)
		}
		// Rows longer than one call takes.
		for _, cols := range []int{1<<14 - 1, 1 << 14, 1<<14 + 1, 2<<14 + 37} {
			addBiasAndSumRows(t, 3, cols)
		}
	})
}

func addBiasAndSumRows(t *testing.T, rows, cols int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(cols), 3))
	mem := memories()[cols%len(memories())]
	x := placed(t, mem, normals(rng, make([]float32, rows*cols)))
	bias := placed(t, mem, normals(rng, make([]float32, cols)))
	sums := placed(t, mem, normals(rng, make([]float32, cols)))
	wantX, wantSums := widen(x), widen(sums)
	for i := range x {
		wantX[i] += float64(bias[i%cols])
	}
	AddBias(x, rows, cols, bias)
	wantClose(t, "AddBias", x, wantX, 1e-6)
	for i := range x {
		wantSums[i%cols] += float64(x[i])
	}
	SumRows(sums, x, rows, cols)
	wantClose(t, "SumRows", sums, wantSums, 1e-6)
}

func TestGatherAndScatterAdd(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 4))
		for cols := range 131 {
			idx := []int32{3, 0, 3, 6, 3, 1}[:cols%7%6+1]
			mem := memories()[cols%len(memories())]
			table := placed(t, mem, normals(rng, make([]float32, 7*cols)))
			rows := placed(t, mem, make([]float32, len(idx)*cols))
			Gather(rows, table, cols, idx)
			want := widen(table)
			for i, r := range idx {
				for c := range cols {
					if rows[i*cols+c] != table[int(r)*cols+c] {
						t.Fatalf("Gather: row %d, column %d", i, c)
					}
					want[int(r)*cols+c] += float64(rows[i*cols+c])
				}
			}
			ScatterAdd(table, cols, idx, rows)
			wantClose(t, "ScatterAdd", table, want, 1e-6)
		}
	})
}

func TestGatherSum(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 6))
		for cols := range 131 {
			for _, n := range []int{0, 1, 6, 5000} {
				mem := memories()[cols%len(memories())]
				table := placed(t, mem, normals(rng, make([]float32, 7*cols)))
				weights := placed(t, mem, normals(rng, make([]float32, n)))
				dst := placed(t, mem, normals(rng, make([]float32, cols)))
				idx := make([]int32, n)
				for i := range idx {
					idx[i] = int32(rng.IntN(7))
				}
				want := widen(dst)
				for i, r := range idx {
					for c := range cols {
						want[c] += float64(weights[i]) * float64(table[int(r)*cols+c])
					}
				}
				GatherSum(dst, table, idx, weights)
				wantClose(t, "GatherSum", dst, want, 1e-3)
				if n > 100 && cols > 20 {
					break // long lists at some widths are enough
				}
			}
		}
	})
	for name, call := range map[string]func(){
		"row past the table": func() { GatherSum(make([]float32, 2), make([]float32, 4), []int32{2}, make([]float32, 1)) },
		"row before it":      func() { GatherSum(make([]float32, 2), make([]float32, 4), []int32{-1}, make([]float32, 1)) },
		"a weight too few":   func() { GatherSum(make([]float32, 2), make([]float32, 4), []int32{0, 1}, make([]float32, 1)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}

func TestSoftmax(t *testing.T) {
	inf := float32(math.Inf(1))
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 5))
		for n := 1; n < 131; n++ {
			x := placed(t, memories()[n%len(memories())], normals(rng, make([]float32, n)))
			if n > 3 {
				x[n/2] = -inf
			}
			want, total := widen(x), 0.0
			for i := range want {
				want[i] = math.Exp(0.5 * want[i])
				total += want[i]
			}
			for i := range want {
				want[i] /= total
			}
			lse := Softmax(x, 0.5)
			wantClose(t, "Softmax", x, want, 5e-7)
			if !close32(lse, math.Log(total), 1e-6) {
				t.Errorf("n %d: log-sum-exp %g, want %g", n, lse, math.Log(total))
			}
			if n > 3 && x[n/2] != 0 {
				t.Errorf("n %d: weight %g of a masked position", n, x[n/2])
			}
		}
	})
}

func TestSoftmaxOddRows(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	onEachPath(t, func(t *testing.T) {
		if lse := Softmax(nil, 1); lse != -inf {
			t.Errorf("empty row: %g", lse)
		}
		x := []float32{-inf, -inf, -inf}
		if lse := Softmax(x, 1); lse != -inf || x[0] != 0 || x[2] != 0 {
			t.Errorf("masked row: %v, %g", x, lse)
		}
		x = []float32{1, nan, -inf, 2}
		if lse := Softmax(x, 1); lse == lse || x[0] == x[0] || x[3] == x[3] {
			t.Errorf("a NaN is hidden: %v, %g", x, lse)
		}
		x = []float32{1e30, -1e30, 1e30}
		if Softmax(x, 1); x[0] != 0.5 || x[1] != 0 || x[2] != 0.5 {
			t.Errorf("huge values: %v", x)
		}
	})
}

func TestLayerNorm(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 6))
		for cols := 1; cols < 131; cols++ {
			rows := cols%3 + 1
			mem := memories()[cols%len(memories())]
			take := func(n int) []float32 { return placed(t, mem, normals(rng, make([]float32, n))) }
			x, y, dx, dy := take(rows*cols), take(rows*cols), take(rows*cols), take(rows*cols)
			gain, bias, dgain, dbias := take(cols), take(cols), take(cols), take(cols)
			mean, rstd := take(rows), take(rows)
			wantY, wantDx, wantDgain, wantDbias := make([]float64, rows*cols), widen(dx), widen(dgain), widen(dbias)
			for r := range rows {
				normReference(x[r*cols:(r+1)*cols], dy[r*cols:(r+1)*cols], gain, bias, 1e-3, wantY[r*cols:], wantDx[r*cols:], wantDgain, wantDbias)
			}
			LayerNorm(y, x, gain, bias, rows, cols, 1e-3, mean, rstd)
			wantClose(t, "LayerNorm", y, wantY, 3e-5)
			LayerNormBackward(dx, dgain, dbias, dy, x, gain, rows, cols, mean, rstd)
			wantClose(t, "dx", dx, wantDx, 3e-4)
			wantClose(t, "dgain", dgain, wantDgain, 3e-5)
			wantClose(t, "dbias", dbias, wantDbias, 1e-6)
			LayerNorm(x, x, gain, bias, rows, cols, 1e-3, nil, nil)
			wantClose(t, "LayerNorm in place", x, wantY, 3e-5)
		}
	})
}

// normReference is one row of layer normalisation forward and backward.
func normReference(x, dy, gain, bias []float32, eps float64, y, dx, dgain, dbias []float64) {
	n := float64(len(x))
	var mu, square, se, seh float64
	for _, v := range x {
		mu += float64(v) / n
	}
	for _, v := range x {
		square += (float64(v) - mu) * (float64(v) - mu) / n
	}
	rs := 1 / math.Sqrt(square+eps)
	for c := range x {
		h, e := (float64(x[c])-mu)*rs, float64(dy[c])*float64(gain[c])
		y[c] = h*float64(gain[c]) + float64(bias[c])
		dgain[c] += float64(dy[c]) * h
		dbias[c] += float64(dy[c])
		se += e / n
		seh += e * h / n
	}
	for c := range x {
		h, e := (float64(x[c])-mu)*rs, float64(dy[c])*float64(gain[c])
		dx[c] += rs * (e - se - h*seh)
	}
}

func TestDropout(t *testing.T) {
	const n, seed, p = 5000, 42, 0.3
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i%9) + 1
	}
	for _, offset := range []uint64{0, 7, 1<<32 - 2000, 1 << 40} {
		var first []float32
		onEachPath(t, func(t *testing.T) {
			y, _ := guardValues{1}.floats(t, n)
			Dropout(y, x, p, seed, offset)
			if first == nil {
				first = y
			}
			kept := 0
			for i := range y {
				if y[i] != first[i] {
					t.Fatalf("offset %d, element %d: %g, but %g on another instruction set", offset, i, y[i], first[i])
				}
				if y[i] != 0 {
					kept++
					if want := x[i] / (1 - p); math.Abs(float64(y[i]-want)) > 1e-5 {
						t.Fatalf("element %d is %g, want %g", i, y[i], want)
					}
				}
			}
			if share := float64(kept) / n; math.Abs(share-(1-p)) > 0.02 {
				t.Errorf("offset %d: kept %g", offset, share)
			}
			// Any cut into calls gives the same mask.
			for at := 0; at < n; at += 37 {
				z := make([]float32, min(37, n-at))
				Dropout(z, x[at:at+len(z)], p, seed, offset+uint64(at))
				for i := range z {
					if z[i] != first[at+i] {
						t.Fatalf("offset %d: element %d depends on the cut", offset, at+i)
					}
				}
			}
		})
	}
}

func TestDropoutSeedsAndNaN(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		x, a, b := make([]float32, 4096), make([]float32, 4096), make([]float32, 4096)
		for i := range x {
			x[i] = 1
		}
		Dropout(a, x, 0.5, 1, 0)
		Dropout(b, x, 0.5, 2, 0)
		same := 0
		for i := range a {
			if a[i] == b[i] {
				same++
			}
		}
		if same < 1900 || same > 2200 {
			t.Errorf("two seeds agree on %d of 4096", same)
		}
		nan := float32(math.NaN())
		for i := range x {
			x[i] = nan
		}
		Dropout(b, x, 0.5, 1, 0)
		for i := range a {
			if kept := a[i] != 0; kept == (b[i] == 0) {
				t.Fatalf("element %d: kept %v, but NaN became %g", i, kept, b[i])
			}
		}
		Dropout(x, x, 0, 3, 0)
		for i := range x {
			if x[i] == x[i] {
				t.Fatalf("rate 0 dropped element %d", i)
			}
		}
	})
}
