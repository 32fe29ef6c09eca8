package recommend

import (
	"errors"
	"strings"
	"testing"

	"seqrec/internal/features"
)

// Golden requests that came with a version are asked before it serves.
func TestPublishedGolden(t *testing.T) {
	answer := func(ns ...int) (out []string) {
		for _, n := range ns {
			out = append(out, string(id(n)))
		}
		return out
	}
	tests := []struct {
		name   string
		golden features.Golden
		says   string // "" is served
	}{
		{"the same", features.Golden{History: answer(3), Answer: answer(4, 5, 6, 7, 8)}, ""},
		{"one out of five differs", features.Golden{History: answer(3), Answer: answer(4, 5, 6, 7, 19)}, ""},
		{"two differ", features.Golden{History: answer(3), Answer: answer(4, 5, 6, 18, 19)}, "3 of the 5 items"},
		{"another model", features.Golden{History: answer(3), Answer: answer(12, 13, 14, 15, 16)}, "0 of the 5 items"},
		{"another vocabulary", features.Golden{History: []string{"elsewhere"}, Answer: answer(1)}, "unknown to the model"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := New(Config{Workers: 1}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			l := load(newRing(20), "v1")
			l.Golden = []features.Golden{tt.golden}
			err = s.Serve(t.Context(), l)
			if tt.says == "" && err != nil || tt.says != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("error %v, want one saying %q", err, tt.says)
			}
		})
	}
}
