package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/services"
)

// benchNightCmd lives two nights with a day between them, by real processes.
type benchNightCmd struct {
	benchFlags
	Set    string   `help:"Data set of the nights." default:"ml-1m"`
	Recsvc string   `help:"The service; by default the program beside this one." placeholder:"FILE" type:"path"`
	Night  []string `help:"Flags of both nights." default:"--recipe=quick,--epochs=6,--warmup=100" placeholder:"FLAG"`
}

// Run implements runner.
func (c *benchNightCmd) Run(a *app) error {
	return c.all(a, "bench night", []measure{
		{"night-ndcg-delta", c.nights},
		{"gate-refused", refusals},
	})
}

// nights trains on the first 90 % of a log, serves, streams the rest in over REST,
// and trains again on what the service gives out.
func (c *benchNightCmd) nights(a *app) (_ row, err error) {
	dir, err := os.MkdirTemp("", "trainjob-bench-night-*")
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	past, today, err := cutByTime(filepath.Join(c.Data, c.Set), 0.9)
	if err != nil {
		return row{}, err
	}
	first := filepath.Join(dir, "past.ndjson")
	if err := writeEvents(first, past); err != nil {
		return row{}, err
	}
	reg := filepath.Join(dir, "models")
	before, err := c.night(a, reg, "--source", first)
	if err != nil {
		return row{}, fmt.Errorf("first night: %w", err)
	}
	service, err := c.serve(a.ctx, dir, reg)
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, service.process.Stop(30*time.Second)) }()
	load := service.askAlways(a.ctx, past)
	defer load.end()
	a.say("streaming %d events in", len(today))
	second := filepath.Join(dir, "today.ndjson")
	if err := errors.Join(service.stream(a.ctx, today), service.export(a.ctx, today, second)); err != nil {
		return row{}, err
	}
	after, err := c.night(a, reg, "--source", first, "--source", second)
	if err != nil {
		return row{}, fmt.Errorf("second night: %w", err)
	}
	if err := service.waitFor(a.ctx, after.Version); err != nil {
		return row{}, err
	}
	load.end()
	if n := load.failed.Load(); n > 0 {
		return row{}, fmt.Errorf("%d of %d predictions failed around the swap", n, load.asked.Load())
	}
	return row{Value: after.Current.Delta, unit: "NDCG@10", wanted: "at least 0: the gate passes, the swap has no error", Detail: map[string]any{
		"data": c.Set, "flags": c.Night, "ndcg@10_new": after.NDCG10, "ndcg@10_old": after.Current.NDCG10, "delta_low": after.Current.Low, "delta_high": after.Current.High,
		"ndcg@10_first_night": before.NDCG10, "cases": after.Cases, "streamed": len(today), "told_twice": after.Gathered.Doubled, "start": after.Start,
		"gate_passed": after.Gate.Passed, "predictions": load.asked.Load(), "failed": load.failed.Load(), "seconds": []float64{before.Seconds, after.Seconds},
	}}, nil
}

// nightLine is what the benchmark reads of a night's last line.
type nightLine struct {
	Version  string  `json:"version"`
	NDCG10   float64 `json:"ndcg@10"`
	Cases    int     `json:"cases"`
	Seconds  float64 `json:"seconds"`
	Promoted bool    `json:"promoted"`
	Start    string  `json:"start"`
	Gate     struct {
		Passed bool `json:"passed"`
	} `json:"gate"`
	Current struct {
		NDCG10 float64 `json:"ndcg@10"`
		Delta  float64 `json:"delta"`
		Low    float64 `json:"low"`
		High   float64 `json:"high"`
	} `json:"current"`
	Gathered struct {
		Doubled int `json:"told_twice"`
	} `json:"gathered"`
}

// night runs one in a process of its own; it must end with a promotion.
func (c *benchNightCmd) night(a *app, reg string, more ...string) (*nightLine, error) {
	args := append(append([]string{"nightly", "--registry", reg}, c.Night...), more...)
	code, out, err := self(a, args...)
	if err != nil {
		return nil, err
	}
	var s nightLine
	if err := json.Unmarshal(lastLine(out), &s); err != nil {
		return nil, fmt.Errorf("exit code %d; read its last line: %w", code, err)
	}
	if code != exitDone || !s.Promoted {
		return nil, fmt.Errorf("exit code %d, promoted %v", code, s.Promoted)
	}
	return &s, nil
}

// self runs this program and gives its exit code and standard output.
func self(a *app, args ...string) (code int, out []byte, err error) {
	name, err := os.Executable()
	if err != nil {
		return 0, nil, err
	}
	cmd := exec.CommandContext(a.ctx, name, args...)
	cmd.Stderr = a.err
	out, err = cmd.Output()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return ended.ExitCode(), out, nil
	}
	return 0, out, err
}

// cutByTime reads a data set and cuts it at a share of its events.
func cutByTime(path string, share float64) (past, later []event.Event, err error) {
	data, _, err := features.Read(path, features.ReadOptions{})
	if err != nil {
		return nil, nil, err
	}
	if data.Times == nil {
		return nil, nil, fmt.Errorf("%s has no times", path)
	}
	all := make([]event.Event, 0, data.Len())
	for u, user := range data.Users {
		items, times := data.User(u)
		for i, item := range items {
			all = append(all, event.Event{User: event.UserID(user), Item: event.ItemID(data.Vocab.ID(item)), Time: times[i]})
		}
	}
	slices.SortStableFunc(all, func(a, b event.Event) int { return cmp.Compare(a.Time, b.Time) })
	n := int(share * float64(len(all)))
	return all[:n], all[n:], nil
}

func writeEvents(path string, events []event.Event) error {
	var b bytes.Buffer
	lines := json.NewEncoder(&b)
	for _, e := range events {
		if err := lines.Encode(e); err != nil {
			return err
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// dayService is a running recsvc.
type dayService struct {
	process *services.Process
	data    string // URL of the data plane
}

func (c *benchNightCmd) serve(ctx context.Context, dir, reg string) (*dayService, error) {
	program := c.Recsvc
	if program == "" {
		own, err := os.Executable()
		if err != nil {
			return nil, err
		}
		program = filepath.Join(filepath.Dir(own), "recsvc")
	}
	ports, err := services.FreePorts(3)
	if err != nil {
		return nil, err
	}
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	s := &dayService{data: "http://" + at(0)}
	s.process, err = services.Start(ctx, services.Spec{
		Name: "recsvc", Path: program, Dir: dir,
		Args: []string{"serve", "--registry", reg, "--store", filepath.Join(dir, "history"), "--listen-data", at(0), "--listen-admin", at(1), "--listen-probes", at(2), "--watch", "200ms", "--drain-delay", "0s"},
		Ready: func(ctx context.Context) error {
			_, err := fetch(ctx, http.MethodGet, "http://"+at(2)+"/readyz", nil)
			return err
		},
	})
	return s, err
}

// fetch sends a request and gives the body of a good answer.
func fetch(ctx context.Context, method, url string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %.200s", method, url, resp.Status, text)
	}
	return text, err
}

// stream sends events in batches.
func (s *dayService) stream(ctx context.Context, events []event.Event) error {
	for batch := range slices.Chunk(events, 1000) {
		body, err := json.Marshal(batch)
		if err != nil {
			return err
		}
		if _, err := fetch(ctx, http.MethodPost, s.data+"/v1/events", body); err != nil {
			return err
		}
	}
	return nil
}

// export writes what the service holds of the users of some events.
func (s *dayService) export(ctx context.Context, events []event.Event, path string) error {
	var all bytes.Buffer
	done := map[event.UserID]bool{}
	for _, e := range events {
		if done[e.User] {
			continue
		}
		done[e.User] = true
		text, err := fetch(ctx, http.MethodGet, s.data+"/v1/users/"+url.PathEscape(string(e.User))+"/export", nil)
		if err != nil {
			return err
		}
		all.Write(text)
	}
	return os.WriteFile(path, all.Bytes(), 0o644)
}

// waitFor waits until a version serves.
func (s *dayService) waitFor(ctx context.Context, version string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		text, err := fetch(ctx, http.MethodGet, s.data+"/v1/models/current", nil)
		if err == nil && bytes.Contains(text, []byte(version)) {
			tick.Stop()
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("version %s never serves: %w", version, errors.Join(err, ctx.Err()))
		}
	}
}

// dayLoad asks for predictions until it is ended.
type dayLoad struct {
	asked, failed atomic.Int64
	stop          context.CancelFunc
	done          chan struct{}
}

// askAlways asks for what follows the newest past events, ten times a second.
func (s *dayService) askAlways(ctx context.Context, past []event.Event) *dayLoad {
	ctx, stop := context.WithCancel(ctx)
	l := &dayLoad{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := 1; ; i++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			body := fmt.Sprintf(`{"history":[{"item":%q}],"k":10,"strict":true}`, past[len(past)-1-i%1000].Item)
			_, err := fetch(ctx, http.MethodPost, s.data+"/v1/predict", []byte(body))
			if ctx.Err() != nil {
				return
			}
			l.asked.Add(1)
			if err != nil {
				l.failed.Add(1)
			}
		}
	}()
	return l
}

func (l *dayLoad) end() {
	l.stop()
	<-l.done
}

// refusals offers bad models to a registry that serves a good one.
func refusals(a *app) (_ row, err error) {
	dir, err := os.MkdirTemp("", "trainjob-bench-gate-*")
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data, _ := features.World(5, features.WorldOptions{Users: 250, Items: 60, MinLength: 8, MaxLength: 16})
	src, reg := filepath.Join(dir, "log"), filepath.Join(dir, "models")
	if err := features.WriteFolder(src, data, nil); err != nil {
		return row{}, err
	}
	night := []string{"nightly", "--registry", reg, "--source", src, "--recipe", "quick", "--width", "16", "--length", "12", "--epochs", "6", "--batch-size", "16", "--warmup", "5", "--min-item-count", "0", "--judge-share", "0.1"}
	if code, _, err := self(a, night...); err != nil || code != exitDone {
		return row{}, fmt.Errorf("the good model: exit code %d: %w", code, err)
	}
	r, err := registry.Open(reg)
	if err != nil {
		return row{}, err
	}
	good, err := r.Current()
	if err != nil {
		return row{}, err
	}
	nan, half, err := badModels(r, good, dir)
	if err != nil {
		return row{}, err
	}
	codes, refused := map[string]int{}, true
	for name, args := range map[string][]string{
		"worse":       append(slices.Clone(night), "--cold", "--epochs", "1", "--rate", "1e-9"),
		"nan":         {"publish", nan, "--registry", reg, "--data", src, "--split", "temporal", "--min-item-count", "0", "--promote"},
		"half-copied": {"promote", half, "--registry", reg},
	} {
		code, _, err := self(a, args...)
		if err != nil {
			return row{}, fmt.Errorf("%s: %w", name, err)
		}
		current, err := r.Current()
		codes[name], refused = code, refused && code == exitRefused && err == nil && current == good
	}
	value := 0.0
	if refused {
		value = 1
	}
	return row{Value: value, wanted: "1: all refused with exit code 3, current untouched", Detail: map[string]any{"exit_codes": codes}}, nil
}

// badModels makes weights with a NaN and a version folder without its weights.
func badModels(r *registry.Registry, good, dir string) (nan, half string, err error) {
	v, err := r.Load(good)
	if err != nil {
		return "", "", err
	}
	weights, err := os.ReadFile(filepath.Join(v.Dir(), registry.WeightsFile))
	if err != nil {
		return "", "", err
	}
	binary.LittleEndian.PutUint32(weights[len(weights)-400:], math.Float32bits(float32(math.NaN())))
	nan = filepath.Join(dir, "nan.safetensors")
	if err := os.WriteFile(nan, weights, 0o644); err != nil {
		return "", "", err
	}
	// A name of its own that sorts after the good one's.
	half = good[:len(good)-1] + string("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(strings.IndexByte("0123456789ABCDEFGHJKMNPQRSTVWXYZ", good[len(good)-1])+1)%32])
	if err := os.CopyFS(filepath.Join(r.Dir(), half), os.DirFS(v.Dir())); err != nil {
		return "", "", err
	}
	return nan, half, os.Remove(filepath.Join(r.Dir(), half, registry.WeightsFile))
}
