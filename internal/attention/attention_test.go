package attention_test

import (
	"testing"

	"seqrec/internal/attention"
	"seqrec/internal/attention/attentiontest"
	"seqrec/internal/tensor"
	"seqrec/internal/tensor/tensortest"
)

func TestConformance(t *testing.T) {
	for _, c := range []attentiontest.Case{
		{Name: "softmax causal", Heads: 1, Dk: 16, Dv: 16, Causal: true},
		{Name: "softmax both ways", Heads: 1, Dk: 16, Dv: 16},
		{Name: "softmax, three heads, values wider than keys", Heads: 3, Dk: 5, Dv: 8, Causal: true},
		{Name: "softmax both ways, keys wider than values", Heads: 2, Dk: 9, Dv: 3},
	} {
		c.Make = func() attention.Attention {
			a, err := attention.New("softmax", attention.Config{Heads: c.Heads, Causal: c.Causal})
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		attentiontest.Run(t, c)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		kind  string
		heads int
	}{{"softmax", 0}, {"softmax", -1}, {"no such kind", 1}, {"", 1}} {
		if _, err := attention.New(c.kind, attention.Config{Heads: c.heads}); err == nil {
			t.Errorf("kind %q with %d heads was accepted", c.kind, c.heads)
		}
	}
}

func TestNewMultiHeadRefuses(t *testing.T) {
	good := attention.MultiHeadConfig{Kind: "softmax", Width: 8, KeyWidth: 4, ValueWidth: 8, Config: attention.Config{Heads: 2}}
	for name, change := range map[string]func(c *attention.MultiHeadConfig){
		"unknown kind":               func(c *attention.MultiHeadConfig) { c.Kind = "x" },
		"heads do not divide keys":   func(c *attention.MultiHeadConfig) { c.KeyWidth = 5 },
		"heads do not divide values": func(c *attention.MultiHeadConfig) { c.Width, c.ValueWidth = 9, 9 },
		"no keys":                    func(c *attention.MultiHeadConfig) { c.KeyWidth = 0 },
		"other width, no projection": func(c *attention.MultiHeadConfig) { c.ValueWidth = 6 },
	} {
		c := good
		change(&c)
		if _, err := attention.NewMultiHead(tensor.NewParams(tensor.CPU{}), "", c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := attention.NewMultiHead(tensor.NewParams(tensor.CPU{}), "", good); err != nil {
		t.Error(err)
	}
}

// TestMultiHead checks that gradients reach every projection, with and without
// the output one.
func TestMultiHead(t *testing.T) {
	for _, output := range []bool{false, true} {
		p := tensor.NewParams(tensor.CPU{})
		x := p.Add("x", 6, 8, true)
		m, err := attention.NewMultiHead(p, "", attention.MultiHeadConfig{Kind: "softmax", Width: 8, KeyWidth: 4, ValueWidth: 8,
			Output: output, Config: attention.Config{Heads: 2, Causal: true}})
		if err != nil {
			t.Fatal(err)
		}
		p.Alloc()
		tensortest.Fill(p, 9, 0.5)
		dev := p.Device()
		idx, offsets := dev.Index([]int32{0, 1, 2, 3, 4, 5}), dev.Index([]int32{0, 4, 6})
		// A key bias moves all scores of a query alike, so softmax ignores it.
		tensortest.Gradients(t, p, func(tape *tensor.Tape) float64 {
			v := tape.Gather(x, idx, 1)
			return tensortest.Weigh(tape, m.Forward(tape, v, v, offsets, offsets), 2)
		}, "key.bias")
	}
}
