package lifelong

import "testing"

// TestPositionsAreLearned: no event that a service reads has a position row that
// training never sees, however old it is.
func TestPositionsAreLearned(t *testing.T) {
	for _, c := range []Config{{Length: 20}, {Length: 20, Positions: 16}, {Length: 200, Positions: 64}, {Length: 10_000, Positions: 64}} {
		c = c.WithDefaults()
		learned, last := map[int32]bool{}, int32(1)
		for p := 1; p <= c.Length; p++ {
			row := c.position(p)
			if row < last || row >= int32(c.Positions) {
				t.Fatalf("length %d with %d rows: event %d has row %d after %d", c.Length, c.Positions, p, row, last)
			}
			learned[row], last = true, row
		}
		for _, p := range []int{c.Length + 1, 2 * c.Length, 100_000, maxPosition, 2 * maxPosition} {
			if row := c.position(p); !learned[row] {
				t.Errorf("length %d with %d rows: event %d has row %d, which is never learned", c.Length, c.Positions, p, row)
			}
		}
	}
}
