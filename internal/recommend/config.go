package recommend

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"runtime"
	"time"
)

// Config holds the settings of a Service. The zero value works.
type Config struct {
	// Workers run the model, one goroutine each. 0 means one for each core the
	// runtime uses (GOMAXPROCS).
	Workers int
	// MaxBatch is how many requests one worker takes at once. 0 means 32.
	MaxBatch int
	// BatchDelay is how long a worker that already holds two requests waits for
	// more. 0 means not at all, and is right on a CPU: requests that arrive while
	// the workers are busy meet in the queue anyway. A lone request never waits.
	BatchDelay time.Duration
	// Queue is how many requests may wait for a worker. 0 means 1024. When it is
	// full a strict request fails with ErrBusy and others get popular items.
	Queue int
	// HistoryTimeout bounds the reading of one stored history. 0 means 100 ms.
	HistoryTimeout time.Duration
	// HistoryLimit is how many events of a stored history are read: the model
	// uses the newest, the rest is only there to be masked. 0 means MaxHistory.
	HistoryLimit int
	// RerankCandidates is how many items are retrieved for the second stage, unless
	// the request names its candidates. 0 means as many as the version was judged
	// with, 300 where it does not say.
	RerankCandidates int
	// RerankHistory is how many events of a stored history the second stage
	// searches, the newest; of a user who has as many or more, up to 2 % fewer, so
	// that its first event stays the same for a while and kept states serve. 0 means
	// 100,000.
	RerankHistory int
	// RerankCacheBytes bounds the memory of search states kept between requests.
	// 0 means 256 MiB, 1 keeps none.
	RerankCacheBytes int64
	// Reserve is the part of a request's deadline kept back for the last rung
	// and for writing the answer. 0 means 2 ms.
	Reserve time.Duration
	// ShadowShare is the share of predictions that a shadow version gets a copy
	// of. 0 means 0.1.
	ShadowShare float64
	// Guard leaves a new version that turns out bad.
	Guard GuardConfig
	// Now is the clock. nil means time.Now.
	Now func() time.Time
	// NewID makes recommendation ids. nil means 128 random bits.
	NewID func() string
	// Observer is told what happened. nil means NopObserver.
	Observer Observer
	// Log takes swaps and refusals. nil discards them.
	Log *slog.Logger
}

// withDefaults returns the config with every zero replaced.
func (c Config) withDefaults() Config {
	setDefault(&c.Workers, runtime.GOMAXPROCS(0))
	setDefault(&c.MaxBatch, 32)
	setDefault(&c.Queue, 1024)
	setDefault(&c.HistoryTimeout, 100*time.Millisecond)
	setDefault(&c.HistoryLimit, MaxHistory)
	setDefault(&c.RerankHistory, 100_000)
	setDefault(&c.RerankCacheBytes, 256<<20)
	setDefault(&c.Reserve, 2*time.Millisecond)
	setDefault(&c.ShadowShare, 0.1)
	setDefault(&c.Guard.Requests, 100)
	setDefault(&c.Guard.Failures, 0.02)
	setDefault(&c.Guard.Slow, 0.1)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewID == nil {
		c.NewID = randomID
	}
	if c.Observer == nil {
		c.Observer = NopObserver{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports the first setting that makes no sense.
func (c Config) Validate() error {
	for _, s := range []struct {
		name string
		v    int64
	}{
		{"Workers", int64(c.Workers)},
		{"MaxBatch", int64(c.MaxBatch)},
		{"BatchDelay", int64(c.BatchDelay)},
		{"Queue", int64(c.Queue)},
		{"HistoryTimeout", int64(c.HistoryTimeout)},
		{"HistoryLimit", int64(c.HistoryLimit)},
		{"RerankCandidates", int64(c.RerankCandidates)},
		{"RerankHistory", int64(c.RerankHistory)},
		{"RerankCacheBytes", c.RerankCacheBytes},
		{"Reserve", int64(c.Reserve)},
		{"Guard.Window", int64(c.Guard.Window)},
		{"Guard.Requests", int64(c.Guard.Requests)},
		{"Guard.Latency", int64(c.Guard.Latency)},
	} {
		if s.v < 0 {
			return fmt.Errorf("recommend: %s must not be negative, is %d", s.name, s.v)
		}
	}
	if c.RerankCandidates > MaxK {
		return fmt.Errorf("recommend: RerankCandidates must be at most %d, is %d", MaxK, c.RerankCandidates)
	}
	for _, s := range []struct {
		name string
		v    float64
	}{{"ShadowShare", c.ShadowShare}, {"Guard.Failures", c.Guard.Failures}, {"Guard.Slow", c.Guard.Slow}} {
		if !(s.v >= 0 && s.v <= 1) {
			return fmt.Errorf("recommend: %s must be a share from 0 to 1, is %v", s.name, s.v)
		}
	}
	return nil
}

// defaultCandidates is what RerankCandidates is where nobody says.
const defaultCandidates = 300

func setDefault[T int | int64 | float64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
