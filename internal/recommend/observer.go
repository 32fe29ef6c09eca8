package recommend

import "time"

// Observer is told what happened, for metrics. Its methods are called from
// many goroutines and must return at once. NopObserver is the default.
type Observer interface {
	// Predicted is called once for each Predict and Similar.
	Predicted(Prediction)
	// Batched is called once for each batch a worker ran: how many requests it
	// held and how long encode, score and top-k took together.
	Batched(size int, took time.Duration)
	// Swapped is called for each attempt to serve a version; err is why it was
	// refused, nil when it serves.
	Swapped(version string, took time.Duration, err error)
	// Shadowed is called for each copy that a shadow version was to answer.
	Shadowed(Comparison)
	// RolledBack is called when the service left a version by itself; err is why
	// that did not work, nil when it did.
	RolledBack(from, to string, err error)
}

// Prediction describes one finished request. Durations are zero for stages it
// did not reach.
type Prediction struct {
	Rung     string // "" when Err is set
	Degraded bool
	Err      error
	Used     int     // events the answer rests on
	Unknown  int     // events dropped
	Items    int     // items answered
	Best     float32 // score of the first item, for score quantiles; 0 without items
	Stages   Stages
	Rerank   *RerankUse    // as in the Answer
	Took     time.Duration // all of it
}

// NopObserver ignores everything.
type NopObserver struct{}

// Predicted does nothing.
func (NopObserver) Predicted(Prediction) {}

// Batched does nothing.
func (NopObserver) Batched(int, time.Duration) {}

// Swapped does nothing.
func (NopObserver) Swapped(string, time.Duration, error) {}

// Shadowed does nothing.
func (NopObserver) Shadowed(Comparison) {}

// RolledBack does nothing.
func (NopObserver) RolledBack(string, string, error) {}
