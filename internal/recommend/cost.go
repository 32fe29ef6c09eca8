package recommend

import "time"

// cost predicts how long a ranker needs, so that the ladder can choose a rung
// before paying for it. The shape (a fixed part for scoring the catalogue and a
// part for each token) is measured once, by the golden requests of the warm-up;
// how busy the machine is comes in as one factor learnt from every batch.
type cost struct {
	strain
	fixed float64 // ns for a request, whatever its history
	token float64 // ns for each event of the history
	scan  float64 // ns for the neighbours of one item
}

// rank is the predicted time of one request with that many tokens.
func (c *cost) rank(tokens int) time.Duration { return c.of(c.fixed + c.token*float64(tokens)) }

// near is the predicted time of the item-to-item rung.
func (c *cost) near() time.Duration { return c.of(c.scan) }
