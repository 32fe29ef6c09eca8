package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/kernel/kernelbench"
	"seqrec/internal/seqmodel"
)

// resumeEvery is how often a long benchmark writes a checkpoint.
const resumeEvery = 2 * time.Minute

// benchSpeedCmd measures this program's parts.
type benchSpeedCmd struct {
	benchFlags
	TorchScript string `help:"Script that times PyTorch's steps on the same work; without PyTorch the row is left out." default:"tools/torch_bench/torch_bench.py" type:"path"`
	Python      string `help:"Interpreter that has PyTorch." default:"python3"`
	Rounds      int    `help:"Rounds of epoch-ratio: each times some steps of both." default:"5"`
	Steps       int    `help:"Steps of each in a round." default:"4"`
	Threads     int    `help:"Threads of both in epoch-ratio." default:"2"`
}

// Run implements runner.
func (c *benchSpeedCmd) Run(a *app) error {
	return c.all(a, "bench speed", []measure{
		{"gemm-avx512", gemm("avx512", "at least 110, 0.69 of the ceiling")},
		{"gemm-avx2", gemm("avx2", "at least 70, 0.87 of the ceiling")},
		{"topk-ms-100k", topK},
		{"encode-ms-200", encode(200, "at most 0.5")},
		{"encode-ms-50", encode(50, "at most 0.16")},
		{"allocs-predict", allocs},
		{"train-rss", c.trainRSS},
		{"epoch-ratio", c.epochRatio},
	})
}

// gemm is the speed of a 6400x64x64 product on one core.
func gemm(path, wanted string) func(*app) (row, error) {
	return func(*app) (row, error) {
		speed, ceiling := kernelbench.GEMM(path)
		if speed == 0 {
			return row{}, fmt.Errorf("this processor has no %s", path)
		}
		return row{Value: speed, unit: "GFLOP/s", wanted: wanted, Detail: map[string]any{
			"shape": "6400x64x64 f32", "cores": 1, "ceiling": ceiling, "ratio": speed / ceiling,
		}}, nil
	}
}

func topK(*app) (row, error) {
	k := kernelbench.TopK100k()
	return row{Value: milliseconds(k.F32), unit: "ms", wanted: "at most 1.2 f32, 0.4 int8, the same items", Detail: map[string]any{
		"items": 100000, "width": 64, "k": 100, "int8_ms": milliseconds(k.Int8), "same": k.Same,
	}}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// served is a model of the usual size with a query of n events.
func served(length int) (features.Ranker, []features.Query, error) {
	m, err := seqmodel.New(seqmodel.Config{Items: 3416, Length: length, OutputProjection: true, InitStd: 0.02}, 1)
	if err != nil {
		return nil, nil, err
	}
	rng := rand.New(rand.NewPCG(1, uint64(length)))
	q := features.Query{K: 10, Blocked: make([]uint64, (3416+63)/64)}
	for range length {
		item := int32(rng.IntN(3416))
		q.History = append(q.History, item)
		q.Blocked[item/64] |= 1 << (item % 64)
	}
	return m.NewRanker(), []features.Query{q}, nil
}

// encode is one request: encode the history, take the top 10 of 3,416 items.
func encode(length int, wanted string) func(*app) (row, error) {
	return func(*app) (row, error) {
		ranker, queries, err := served(length)
		if err != nil {
			return row{}, err
		}
		dst := make([][]kernel.Scored, 1)
		times := make([]time.Duration, 0, 1500)
		for i := range cap(times) + 50 {
			begin := time.Now()
			ranker.Rank(dst, queries)
			if i >= 50 { // the first ones fill caches
				times = append(times, time.Since(begin))
			}
		}
		slices.Sort(times)
		return row{Value: milliseconds(times[len(times)/2]), unit: "ms", wanted: wanted, Detail: map[string]any{
			"length": length, "width": 64, "blocks": 2, "items": 3416, "cores": 1, "statistic": "median",
			"least": milliseconds(times[0]), "p99": milliseconds(times[len(times)*99/100]),
		}}, nil
	}
}

// allocs counts heap allocations of predictions after the first ones.
func allocs(*app) (row, error) {
	ranker, queries, err := served(200)
	if err != nil {
		return row{}, err
	}
	dst := make([][]kernel.Scored, 1)
	for range 10 {
		ranker.Rank(dst, queries)
	}
	const calls = 200
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range calls {
		ranker.Rank(dst, queries)
	}
	runtime.ReadMemStats(&after)
	// Whole allocations a call, as testing.AllocsPerRun counts: the runtime's own
	// few in between do not make one.
	value := float64((after.Mallocs - before.Mallocs) / calls)
	return row{Value: value, unit: "", wanted: "0 in encode, score and top-k", Detail: map[string]any{"calls": calls, "length": 200, "items": 3416}}, nil
}

// trainRSS trains one epoch in a process of its own and takes its peak memory.
func (c *benchSpeedCmd) trainRSS(a *app) (row, error) {
	self, err := os.Executable()
	if err != nil {
		return row{}, err
	}
	dir, err := os.MkdirTemp("", "trainjob-bench-*")
	if err != nil {
		return row{}, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	cmd := exec.CommandContext(a.ctx, self, "train", "--data", filepath.Join(c.Data, "ml-1m"), "--recipe", "sasrec-ce", "--epochs", "1", "--registry", dir)
	cmd.Stderr = a.err
	out, err := cmd.Output()
	if err != nil {
		return row{}, fmt.Errorf("train in a process of its own: %w", err)
	}
	var s struct {
		Peak int64   `json:"peak_rss_bytes"`
		Each float64 `json:"seconds_per_epoch"`
	}
	if err := json.Unmarshal(lastLine(out), &s); err != nil {
		return row{}, fmt.Errorf("read its last line: %w", err)
	}
	return row{Value: float64(s.Peak), unit: "bytes", wanted: "under 600,000,000", Detail: map[string]any{"data": "ml-1m", "recipe": "sasrec-ce", "epochs": 1, "seconds_per_epoch": s.Each}}, nil
}

func lastLine(out []byte) []byte {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return lines[len(lines)-1]
}

// errNoTorch says why a comparison was left out.
var errNoTorch = errors.New("PyTorch could not be run")
