package seqmodel

import (
	"fmt"

	"seqrec/internal/tensor"
)

// Transferred says what Transfer copied.
type Transferred struct {
	Known int  // items whose vectors were copied
	New   int  // items that keep the vectors they were made with
	Whole bool // the rest of the network was copied too
}

// Transfer lets a fresh model begin where another one ended: the rows of items
// that both know are copied, and so is the rest of the network when both have
// the same shape and switches (rates of dropout apart). from[i] is the number
// that item i of dst has in src, -1 for none. Models of different widths share
// nothing; that is an error.
func Transfer(dst, src Model, from []int32) (Transferred, error) {
	a, b := dst.Config(), src.Config()
	if len(from) != a.Items {
		return Transferred{}, fmt.Errorf("transfer weights: %d numbers for %d items", len(from), a.Items)
	}
	if a.Width != b.Width {
		return Transferred{}, fmt.Errorf("transfer weights: the widths are %d and %d", b.Width, a.Width)
	}
	done := Transferred{Whole: sameNetwork(a, b)}
	for _, n := range from {
		if n < -1 || int(n) >= b.Items {
			return Transferred{}, fmt.Errorf("transfer weights: item number %d of %d", n, b.Items)
		}
		if n < 0 {
			done.New++
		} else {
			done.Known++
		}
	}
	sources := map[string]*tensor.Param{}
	for _, p := range src.Params().List() {
		sources[p.Name] = p
	}
	for _, p := range dst.Params().List() {
		q := sources[p.Name]
		switch {
		case q == nil:
		case p.Name == "item" || p.Name == "output":
			copyItems(dst, src, p, q, from, a.Width)
		case p.Name == "output_bias":
			copyItems(dst, src, p, q, from, 1)
		case done.Whole:
			host := make([]float32, q.Val.Len())
			src.Params().Device().Download(host, q.Val)
			dst.Params().Device().Upload(p.Val, host)
		}
	}
	return done, nil
}

// sameNetwork says whether two configs differ in nothing that gives weights a
// meaning.
func sameNetwork(a, b Config) bool {
	for _, c := range []*Config{&a, &b} {
		c.Items, c.Dropout, c.AttentionDropout, c.InitStd = 0, 0, 0, 0
	}
	return a == b
}

// copyItems copies the numbers of each known item, width of them.
func copyItems(dst, src Model, p, q *tensor.Param, from []int32, width int) {
	to, have := make([]float32, p.Val.Len()), make([]float32, q.Val.Len())
	dst.Params().Device().Download(to, p.Val)
	src.Params().Device().Download(have, q.Val)
	for i, n := range from {
		if n >= 0 {
			copy(to[i*width:(i+1)*width], have[int(n)*width:(int(n)+1)*width])
		}
	}
	dst.Params().Device().Upload(p.Val, to)
}
