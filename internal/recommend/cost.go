package recommend

import (
	"math"
	"sync/atomic"
	"time"
)

// cost predicts how long a ranker needs, so that the ladder can choose a rung
// before paying for it. The shape (a fixed part for scoring the catalogue and a
// part for each token) is measured once, by the golden requests of the warm-up;
// how busy the machine is comes in as one factor learnt from every batch.
type cost struct {
	fixed float64       // ns for a request, whatever its history
	token float64       // ns for each event of the history
	scan  float64       // ns for the neighbours of one item
	load  atomic.Uint64 // bits of the float64 factor, 1 on the idle machine
}

const (
	costWeight  = 0.1 // of the newest batch in the load factor
	costLoadMin = 0.5
	costLoadMax = 20
)

func newCost() *cost {
	c := &cost{}
	c.load.Store(math.Float64bits(1))
	return c
}

func (c *cost) factor() float64 { return math.Float64frombits(c.load.Load()) }

// rank is the predicted time of one request with that many tokens.
func (c *cost) rank(tokens int) time.Duration {
	return time.Duration(c.factor() * (c.fixed + c.token*float64(tokens)))
}

// near is the predicted time of the item-to-item rung.
func (c *cost) near() time.Duration { return time.Duration(c.factor() * c.scan) }

// learn moves the load factor towards what a batch took. Two workers may
// overwrite each other; either value is a fair one.
func (c *cost) learn(predicted, took time.Duration) {
	if predicted <= 0 {
		return
	}
	f := c.factor()
	seen := f * float64(took) / float64(predicted)
	f += costWeight * (seen - f)
	c.load.Store(math.Float64bits(min(max(f, costLoadMin), costLoadMax)))
}
