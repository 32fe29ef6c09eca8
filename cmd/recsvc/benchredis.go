package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/services"
	"seqrec/internal/store/redisstore"
)

type benchRedisCmd struct {
	pageFlag
	Users  int           `default:"100000" help:"Users in Redis."`
	Events int           `default:"50" help:"Events of each."`
	Rate   int           `default:"200" help:"Predictions a second."`
	Time   time.Duration `default:"20s" help:"Length of the measured part; 1 to 600 seconds."`
	Away   time.Duration `default:"10s" help:"How long Redis is stopped."`
}

// Run measures a Redis and a service of our own, both on this machine.
func (c benchRedisCmd) Run(ctx context.Context, m *Main) error {
	return m.all("recsvc bench redis", c.Write, func() ([]row, error) { return c.full(ctx, m) },
		func() ([]row, error) { return c.away(ctx, m) })
}

// redisBench is a Redis with histories and a service that reads them.
type redisBench struct {
	redis   *services.Redis
	store   *redisstore.Store
	service *child
	folders []string
}

// start starts a Redis, fills it, and starts a service before it.
func (c *benchRedisCmd) start(ctx context.Context, opts services.RedisOptions, fill func(*redisBench) error) (b *redisBench, err error) {
	b = &redisBench{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	dir, err := os.MkdirTemp("", "recsvc-bench-redis-")
	if err != nil {
		return b, fmt.Errorf("make a folder for the benchmark: %w", err)
	}
	b.folders = append(b.folders, dir)
	if b.redis, err = services.StartRedis(ctx, dir, "redis", opts); err != nil {
		return b, err
	}
	if b.store, err = redisstore.Open(ctx, redisstore.Options{Addrs: []string{b.redis.Addr}}); err != nil {
		return b, err
	}
	if err := fill(b); err != nil {
		return b, err
	}
	d, _, err := newChildDir(1)
	b.folders = append(b.folders, string(d))
	if err == nil {
		b.service, err = d.start(ctx, "--redis-addresses="+b.redis.Addr)
	}
	return b, err
}

func (b *redisBench) close() error {
	var faults []error
	if b.service != nil {
		faults = append(faults, b.service.stop())
	}
	if b.store != nil {
		faults = append(faults, b.store.Close())
	}
	if b.redis != nil {
		faults = append(faults, b.redis.Kill())
	}
	for _, dir := range b.folders {
		faults = append(faults, os.RemoveAll(dir))
	}
	return errors.Join(faults...)
}

// used is used_memory without the buffers of clients, in bytes.
func (b *redisBench) used(ctx context.Context) (float64, error) {
	info, err := b.redis.Do(ctx, "INFO", "memory")
	if err != nil {
		return 0, fmt.Errorf("ask Redis for its memory: %w", err)
	}
	field := map[string]float64{}
	for line := range strings.Lines(info) {
		if name, text, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			field[name], _ = strconv.ParseFloat(text, 64) // some are no numbers
		}
	}
	return field["used_memory"] - field["mem_clients_normal"], nil
}

// benchGap is the mean time between two events of a user.
const benchGap = 24 * time.Hour

// benchUser is the id of a user of the benchmark.
func benchUser(n int) event.UserID { return event.UserID(fmt.Sprintf("user-%07d", n)) }

// fill appends the histories of users: gaps at random, few items often and many seldom.
func (b *redisBench) fill(ctx context.Context, users, events int) error {
	rng := rand.New(rand.NewPCG(1, 3))
	zipf := rand.NewZipf(rng, 1.05, 10, benchItems-1)
	var batch []event.Event
	for n := range users {
		now := int64(1_700_000_000_000) + rng.Int64N(1e9)
		for range events {
			now += int64(rng.ExpFloat64() * float64(benchGap.Milliseconds()))
			batch = append(batch, event.Event{User: benchUser(n), Item: event.ItemID("item-" + strconv.FormatUint(zipf.Uint64(), 10)), Kind: event.DefaultKind, Time: now})
		}
		if len(batch) < 4000 && n < users-1 {
			continue
		}
		if _, err := b.store.Append(ctx, batch); err != nil {
			return err
		}
		batch = batch[:0]
	}
	return nil
}

// full measures memory and latency of a Redis with all users.
func (c *benchRedisCmd) full(ctx context.Context, m *Main) (rows []row, err error) {
	if c.Users < 1 || c.Events < 1 || c.Rate < 1 || c.Time < time.Second || c.Time > 10*time.Minute || c.Away < 0 || c.Away > time.Minute {
		return nil, errors.New("--users, --events and --rate must be above zero, --time 1s to 10m, --away at most 1m")
	}
	note(m.Stderr, "writing %d users of %d events into a Redis of our own", c.Users, c.Events)
	began, seconds, used := time.Now(), 0.0, 0.0
	b, err := c.start(ctx, services.RedisOptions{}, func(b *redisBench) error {
		if err := b.fill(ctx, c.Users, c.Events); err != nil {
			return err
		}
		seconds = time.Since(began).Seconds()
		used, err = b.used(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	load := redisstore.Load{Users: c.Users, Events: c.Events, Items: benchItems, Gap: benchGap, ItemLen: len("item-1000")}
	planned := redisstore.Plan(load)
	memory := map[string]any{
		"users": c.Users, "events": c.Events, "used_memory": used, "planned": planned.Total, "bytes_a_user": (used - planned.Base) / float64(c.Users),
		"write_eps": float64(c.Users*c.Events) / seconds,
	}
	note(m.Stderr, "%d predictions a second by user id for %v", c.Rate, c.Time)
	t := b.service.target()
	if _, err := c.paced(ctx, t, time.Second, c.Users); err != nil { // warm
		return nil, err
	}
	answers, err := c.paced(ctx, t, c.Time, c.Users)
	if err != nil {
		return nil, err
	}
	l := summed(answers)
	latency := map[string]any{"requests": len(answers), "failures": l.failures, "rate": c.Rate, "seconds": c.Time.Seconds(), "users": c.Users, "cores": runtime.NumCPU(), "max_ms": l.quantile(1)}
	return []row{
		{Name: "redis-gib", Value: used / float64(c.Users) * 1e6 / (1 << 30), unit: "GiB for 1,000,000 users", wanted: "at most 0.5", Detail: memory},
		{Name: "plan-error", Value: 100 * math.Abs(planned.Total/used-1), unit: "%", wanted: "at most 15", Detail: memory},
		{Name: "redis-predict-p50", Value: l.quantile(.5), unit: "ms", wanted: "under 2", Detail: latency},
		{Name: "redis-predict-p99", Value: l.quantile(.99), unit: "ms", wanted: "under 8", Detail: latency},
	}, nil
}

// reply is what one paced request met.
type reply struct {
	due      time.Time // when it was to be sent
	sent     time.Time // when it was: later, if all connections were busy
	end      time.Time
	status   int // 0 when the connection failed
	degraded bool
}

// summed makes a load of replies; times count from when requests were due.
func summed(replies []reply) *load {
	l := load{failures: map[string]int{}}
	for _, r := range replies {
		switch {
		case r.status/100 != 2:
			l.failures["status "+strconv.Itoa(r.status)]++
		case r.degraded:
			l.failures["degraded"]++
		default:
			l.add(load{times: []time.Duration{r.end.Sub(r.due)}})
		}
	}
	return &l
}

// pacers is the number of connections that paced requests are spread over.
const pacers = 64

// paced sends predictions by user id at the rate for some time. A request is due whether or not those before it have been
// answered, as far as there are connections.
func (c *benchRedisCmd) paced(ctx context.Context, t target, d time.Duration, users int) ([]reply, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var out []reply
	var faults []error
	start := time.Now()
	for p := range pacers {
		wg.Go(func() {
			got, err := c.pacer(ctx, t, start, d, p, users)
			mu.Lock()
			defer mu.Unlock()
			out, faults = append(out, got...), append(faults, err)
		})
	}
	wg.Wait()
	return out, errors.Join(faults...)
}

func (c *benchRedisCmd) pacer(ctx context.Context, t target, start time.Time, d time.Duration, p, users int) ([]reply, error) {
	conn, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { conn.close() }()
	rng := rand.New(rand.NewPCG(uint64(p), 5))
	var out []reply
	for i := p; ; i += pacers {
		r := reply{due: start.Add(time.Duration(i) * time.Second / time.Duration(c.Rate))}
		if r.due.Sub(start) > d {
			return out, nil
		}
		if err := sleepUntil(ctx, r.due); err != nil {
			return out, err
		}
		body := fmt.Sprintf(`{"user":%q,"k":10}`, benchUser(rng.IntN(users)))
		r.sent = time.Now()
		status, err := conn.do(t.request("/v1/predict", "application/json", []byte(body)), 10*time.Second)
		r.end = time.Now()
		if err == nil {
			r.status, r.degraded = status, bytes.Contains(conn.body.Bytes(), []byte(`"degraded":"`))
		} else {
			conn.close()
			if conn, err = t.dial(ctx); err != nil {
				return out, err
			}
		}
		out = append(out, r)
	}
}

func sleepUntil(ctx context.Context, at time.Time) error {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// away stops Redis under load and looks at the answers before, while and after.
func (c *benchRedisCmd) away(ctx context.Context, m *Main) (rows []row, err error) {
	const users, settle = 1000, 5 * time.Second
	b, err := c.start(ctx, services.RedisOptions{AOF: "everysec"}, func(b *redisBench) error { return b.fill(ctx, users, c.Events) })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	note(m.Stderr, "stopping Redis for %v under %d predictions a second", c.Away, c.Rate)
	var replies []reply
	loaded := make(chan error, 1)
	go func() {
		var err error
		replies, err = c.paced(ctx, b.service.target(), 2*time.Second+c.Away+settle, users)
		loaded <- err
	}()
	stopped, back, err := c.interrupt(ctx, b)
	if err := errors.Join(err, <-loaded); err != nil {
		return nil, err
	}
	var bad, degraded, answered, whole int
	last := back
	for _, r := range replies {
		switch {
		case r.status/100 != 2:
			bad++
		case r.degraded:
			degraded++
			if r.end.After(last) {
				last = r.end
			}
		}
		if r.sent.After(stopped) && r.end.Before(stopped.Add(c.Away)) {
			answered++
			if !r.degraded {
				whole++
			}
		}
	}
	detail := map[string]any{
		"requests": len(replies), "not_2xx": bad, "degraded": degraded, "while_away": answered, "not_degraded_while_away": whole, "away_s": back.Sub(stopped).Seconds(), "normal_after_s": last.Sub(back).Seconds(), "rate": c.Rate,
	}
	return []row{
		{Name: "redis-away", Value: float64(bad), unit: "answers that are no 2xx", wanted: "0", Detail: detail},
		{Name: "redis-away-back", Value: last.Sub(back).Seconds(), unit: "s until the last degraded answer", wanted: "under 2", Detail: detail},
	}, nil
}

// interrupt kills Redis after two seconds and starts it again.
func (c *benchRedisCmd) interrupt(ctx context.Context, b *redisBench) (stopped, back time.Time, err error) {
	if err := sleepUntil(ctx, time.Now().Add(2*time.Second)); err != nil {
		return stopped, back, err
	}
	if err := b.redis.Stop(5 * time.Second); err != nil {
		return stopped, back, err
	}
	stopped = time.Now()
	if err := sleepUntil(ctx, stopped.Add(c.Away)); err != nil {
		return stopped, back, err
	}
	err = b.redis.Start(ctx)
	return stopped, time.Now(), err
}
