package seqmodel

import (
	"slices"
	"testing"
)

func TestTransfer(t *testing.T) {
	base := Config{Items: 4, Width: 8, Blocks: 1, Length: 5, OutputBias: true, SeparateOutput: true, InitStd: 0.02}
	from := []int32{2, -1, 0, 3, -1}
	tests := []struct {
		name   string
		change func(*Config)
		whole  bool
	}{
		{"the same network", func(*Config) {}, true},
		{"other dropout", func(c *Config) { c.Dropout = 0.5 }, true},
		{"another layout", func(c *Config) { c.Layout = PostLN }, false},
		{"another length", func(c *Config) { c.Length = 7 }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := mustNew(t, base, 1)
			config := base
			config.Items = len(from)
			tt.change(&config)
			dst, fresh := mustNew(t, config, 2), mustNew(t, config, 2)
			done, err := Transfer(dst, src, from)
			if err != nil {
				t.Fatal(err)
			}
			if want := (Transferred{Known: 3, New: 2, Whole: tt.whole}); done != want {
				t.Errorf("transferred %+v, want %+v", done, want)
			}
			for i, p := range dst.Params().List() {
				switch p.Name {
				case "item", "output":
					for item, n := range from {
						want := fresh.Params().List()[i].Val.V[item*8 : item*8+8]
						if n >= 0 {
							want = paramOf(t, src, p.Name)[n*8 : n*8+8]
						}
						if !slices.Equal(p.Val.V[item*8:item*8+8], want) {
							t.Errorf("%s of item %d is not that of %d", p.Name, item, n)
						}
					}
				case "block.0.ffn.in.weight":
					if got := slices.Equal(p.Val.V, paramOf(t, src, p.Name)); got != tt.whole {
						t.Errorf("%s copied: %v", p.Name, got)
					}
				}
			}
		})
	}
}

func TestTransferRefuses(t *testing.T) {
	src := mustNew(t, Config{Items: 4, Width: 8, Length: 5}, 1)
	for name, tt := range map[string]struct {
		width int
		from  []int32
	}{
		"another width": {16, []int32{0}}, "too few numbers": {8, nil}, "an item that is not there": {8, []int32{4}},
	} {
		if _, err := Transfer(mustNew(t, Config{Items: 1, Width: tt.width, Length: 5}, 1), src, tt.from); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func mustNew(t *testing.T, c Config, seed uint64) Model {
	t.Helper()
	m, err := New(c, seed)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func paramOf(t *testing.T, m Model, name string) []float32 {
	t.Helper()
	for _, p := range m.Params().List() {
		if p.Name == name {
			return p.Val.V
		}
	}
	t.Fatalf("no parameter %s", name)
	return nil
}
