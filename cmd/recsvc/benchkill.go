package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"

	"seqrec/internal/event"
)

type benchKillCmd struct {
	pageFlag
	Seed   uint64 `default:"1" help:"Of the moments of the kills."`
	Kills  int    `default:"20" help:"How often to kill -9."`
	Events int    `default:"100000" help:"Events to send meanwhile."`
}

// Run kills a service of our own again and again.
func (c benchKillCmd) Run(ctx context.Context, m *Main) error {
	return m.all("recsvc bench kill", c.Write, func() ([]row, error) { return c.rows(ctx, m) })
}

const (
	killUsers   = 500
	killBatch   = 100
	killClients = 4
	killPause   = 5 * time.Millisecond // before a batch is tried again
)

// killing is one such run: batches are sent by some clients, each again until it
// is acknowledged, over as many lives as the service needs.
type killing struct {
	dir     childDir
	batches [][]event.Event

	mu       sync.Mutex
	alive    *child
	next     int // batch to be sent
	acked    int // batches
	resent   int
	fresh    *sync.Cond // something of the above changed
	finished error      // why to stop early
}

func (c *benchKillCmd) rows(ctx context.Context, m *Main) (rows []row, err error) {
	if c.Kills < 0 || c.Kills > 1000 || c.Events < killBatch || c.Events > 10_000_000 {
		return nil, fmt.Errorf("--kills must be 0 to 1000, --events %d to 10,000,000", killBatch)
	}
	dir, _, err := newChildDir(1)
	if err != nil {
		return nil, err
	}
	k := &killing{dir: dir, batches: killBatches(c.Events, c.Seed)}
	k.fresh = sync.NewCond(&k.mu)
	if k.alive, err = dir.start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.alive.stop(), os.RemoveAll(string(dir))) }()
	note(m.Stderr, "%d events in batches of %d, killed %d times", c.Events, killBatch, c.Kills)
	start := time.Now()
	if err := k.run(ctx, c.Kills, c.Seed); err != nil {
		return nil, err
	}
	lost, doubled, strange, err := k.compare(ctx)
	if err != nil {
		return nil, err
	}
	detail := map[string]any{
		"events": c.Events, "kills": c.Kills, "batch": killBatch, "clients": killClients, "resent_batches": k.resent,
		"seed": c.Seed, "strange": strange, "seconds": time.Since(start).Seconds(), "cores": runtime.NumCPU(),
	}
	rows = []row{
		{Name: "kill-lost", Value: float64(lost), unit: "events", wanted: "0", Detail: detail},
		{Name: "kill-doubled", Value: float64(doubled), unit: "events", wanted: "0", Detail: detail},
	}
	if lost+doubled+strange > 0 {
		err = fmt.Errorf("%d events lost, %d doubled, %d never sent", lost, doubled, strange)
	}
	return rows, err
}

// killBatches makes distinct events, each user's scattered over the batches and
// not in order of time.
func killBatches(n int, seed uint64) [][]event.Event {
	rng := rand.New(rand.NewPCG(seed, 2))
	events := make([]event.Event, n)
	for i := range events {
		events[i] = event.Event{
			User: event.UserID(fmt.Sprintf("user-%d", i%killUsers)),
			Item: event.ItemID(fmt.Sprintf("item-%d", rng.IntN(benchItems))),
			Kind: event.DefaultKind,
			Time: 1_700_000_000_000 + int64(i/killUsers)*1000, // one event of a user has one time: all are distinct
		}
	}
	rng.Shuffle(n, func(i, j int) { events[i], events[j] = events[j], events[i] })
	var batches [][]event.Event
	for len(events) > 0 {
		size := min(killBatch, len(events))
		batches, events = append(batches, events[:size]), events[size:]
	}
	return batches
}

// run sends everything and kills meanwhile, at moments spread over the sending.
func (k *killing) run(ctx context.Context, kills int, seed uint64) error {
	var wg sync.WaitGroup
	for range killClients {
		wg.Go(func() { k.send(ctx) })
	}
	rng := rand.New(rand.NewPCG(seed, 3))
	for i := range kills {
		lo, hi := i*len(k.batches)/(kills+1), (i+1)*len(k.batches)/(kills+1)
		k.waitFor(lo + rng.IntN(max(hi-lo, 1)))
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond) // not at the beat of an answer
		if err := k.killOnce(ctx); err != nil {
			k.end(err)
			break
		}
	}
	wg.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Join(k.finished, ctx.Err())
}

// waitFor blocks until so many batches are acknowledged.
func (k *killing) waitFor(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.acked < n && k.finished == nil {
		k.fresh.Wait()
	}
}

func (k *killing) end(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.finished == nil {
		k.finished = err
	}
	k.fresh.Broadcast()
}

// killOnce ends one life and begins the next.
func (k *killing) killOnce(ctx context.Context) error {
	k.mu.Lock()
	old := k.alive
	k.mu.Unlock()
	if err := old.kill(); err != nil {
		return fmt.Errorf("kill service: %w", err)
	}
	again, err := k.dir.start(ctx)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.alive = again
	k.fresh.Broadcast()
	return nil
}

// send is one client.
func (k *killing) send(ctx context.Context) {
	for {
		k.mu.Lock()
		i := k.next
		k.next++
		stop := i >= len(k.batches) || k.finished != nil || ctx.Err() != nil
		k.mu.Unlock()
		if stop {
			return
		}
		body, err := json.Marshal(k.batches[i])
		if err != nil {
			k.end(err)
			return
		}
		if err := k.deliver(ctx, body); err != nil {
			k.end(err)
			return
		}
	}
}

// deliver sends a batch until some life of the service acknowledges it.
func (k *killing) deliver(ctx context.Context, body []byte) error {
	for {
		k.mu.Lock()
		to, stop := k.alive, k.finished
		k.mu.Unlock()
		if stop = errors.Join(stop, ctx.Err()); stop != nil {
			return stop
		}
		err := call(ctx, http.MethodPost, to.target().base+"/v1/events", "", body, nil)
		var refused *statusError
		if errors.As(err, &refused) { // the service lives and does not want it
			return err
		}
		k.mu.Lock()
		if err == nil {
			k.acked++
		} else {
			k.resent++
		}
		k.fresh.Broadcast()
		k.mu.Unlock()
		if err == nil {
			return nil
		}
		time.Sleep(killPause)
	}
}

// compare reads every history back and holds it against what was acknowledged:
// all of it, since every batch was.
func (k *killing) compare(ctx context.Context) (lost, doubled, strange int, err error) {
	sent := map[event.Event]int{}
	for _, b := range k.batches {
		for _, e := range b {
			sent[e] = 0
		}
	}
	for u := range killUsers {
		err := export(ctx, k.alive.target().base, fmt.Sprintf("user-%d", u), func(e event.Event) {
			n, known := sent[e.Canonical()]
			switch {
			case !known:
				strange++
			case n > 0:
				doubled++
			}
			if known {
				sent[e.Canonical()] = n + 1
			}
		})
		if err != nil {
			return 0, 0, 0, err
		}
	}
	for _, n := range sent {
		if n == 0 {
			lost++
		}
	}
	return lost, doubled, strange, nil
}

// export reads all events of a user.
func export(ctx context.Context, base, user string, fn func(event.Event)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/users/"+user+"/export", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("export %s: %w", user, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("export %s: %s: %s", user, resp.Status, text)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		e, faults := event.Decode(lines.Bytes(), time.Time{})
		if len(faults) > 0 {
			return fmt.Errorf("export %s: %v: %s", user, faults, lines.Bytes())
		}
		fn(e)
	}
	return lines.Err()
}
