package train

import (
	"fmt"
	"strings"
	"testing"
)

// TestBestBlend: the blend is the one that adds most, if that is beyond doubt, and
// what is said of it is true.
func TestBestBlend(t *testing.T) {
	for _, tt := range []struct {
		name    string
		gain    map[int]float64 // by number of the blend; 0 of all others
		squares float64
		want    float64
		says    string
	}{
		{"nothing is retrieved that is wanted", nil, 0, 0, "no weight of the second stage adds anything"},
		{"every weight loses", map[int]float64{1: -3, 2: -4}, 1, 0, "no weight of the second stage adds anything"},
		{"one may win by chance", map[int]float64{3: 1.9}, 1, 0, "the best one, 0.2, adds 0.0190 to NDCG@10, which may be chance (standard error 0.0100)"},
		{"one wins", map[int]float64{3: 2, 4: 2.5, 5: 2.5}, 1, 0.3, "blend 0.3: it adds most to NDCG@10 on validation events, 0.0250"},
	} {
		var gains, squares [len(blends)]float64
		for i := range squares[1:] {
			squares[1+i] = tt.squares
		}
		for i, x := range tt.gain {
			gains[i] = x
		}
		said := ""
		s := &second{opt: SecondOptions{Say: func(format string, args ...any) { said += fmt.Sprintf(format, args...) }}}
		if got := s.bestBlend(gains, squares, 100); got != tt.want || !strings.Contains(said, tt.says) {
			t.Errorf("%s: blend %g, said %q", tt.name, got, said)
		}
	}
}
