package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/ingest"
	"seqrec/internal/services"
)

type benchStreamCmd struct {
	pageFlag
	Events  int      `default:"1000000" help:"Events to read from Kafka."`
	Users   int      `default:"20000" help:"Users they are of."`
	Looks   int      `default:"1000" help:"Events to wait for one by one."`
	Hides   int      `default:"50" help:"Items to hide on one server and wait for on another."`
	In      string   `enum:"redis,pebble" default:"redis" help:"Store of the histories: a Redis of our own, with its append-only file synced every second, or a folder."`
	Setting []string `placeholder:"FLAG" help:"More flags for the ingester and the service, such as --setting=--store=ADDRESS."`
}

// Run measures how fast events reach a store by Kafka, and how soon; and how soon a hidden item is hidden everywhere.
func (c benchStreamCmd) Run(ctx context.Context, m *Main) error {
	return m.all("recsvc bench stream", c.Write, func() ([]row, error) { return c.rows(ctx, m) })
}

// streamPartitions is how many partitions the topic of the benchmarks has.
const streamPartitions = 4

// stream is a real broker of our own with topics, and a store: a real Redis or Redis Cluster of our own, or a folder.
type stream struct {
	dir     childDir
	broker  *services.Kafka
	redis   *services.Redis        // nil unless it is the store
	cluster *services.RedisCluster // the same
	opts    ingest.Options
	flags   []string // what children are told
}

// newStream starts a broker and a store: "redis" is one whose append-only file is synced as fsync says, "cluster" one of
// three primaries with a replica each, "pebble" a folder. Close must be called.
func newStream(ctx context.Context, in, fsync string, settings []string) (s *stream, err error) {
	dir, _, err := newChildDir(1)
	if err != nil {
		return nil, err
	}
	s = &stream{dir: dir}
	if s.broker, err = services.StartKafka(ctx, services.KafkaOptions{Dir: string(dir)}); err != nil {
		return nil, errors.Join(err, os.RemoveAll(string(dir)))
	}
	s.opts = ingest.Options{
		Brokers: s.broker.Addresses, Topic: "interactions", Group: "seqrec",
		Session: 2 * time.Second, Drain: time.Second, // soon after a kill the next may have its partitions
	}
	s.flags = append([]string{
		"--store", filepath.Join(string(dir), "store"), "--listen-probes=127.0.0.1:0",
		"--kafka-brokers", s.opts.Brokers[0], "--kafka-session=2s", "--kafka-drain=1s",
	}, settings...)
	switch in {
	case "redis":
		if s.redis, err = services.StartRedis(ctx, string(dir), "redis", services.RedisOptions{AOF: fsync}); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.flags = append(s.flags, "--redis-addresses", s.redis.Addr)
	case "cluster":
		if s.cluster, err = services.StartRedisCluster(ctx, string(dir), 3, 1, services.RedisOptions{}); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.flags = append(s.flags, "--redis-cluster", "--redis-addresses", strings.Join(s.cluster.Addrs, ","))
	}
	for range 20 { // a broker that has just started may not know itself yet
		if err = ingest.CreateTopics(ctx, s.opts, streamPartitions, 1); err == nil {
			return s, nil
		}
	}
	return nil, errors.Join(err, s.Close())
}

// Close ends broker and Redis and removes the folder.
func (s *stream) Close() error {
	err := s.broker.Kill()
	if s.redis != nil {
		err = errors.Join(err, s.redis.Kill())
	}
	if s.cluster != nil {
		err = errors.Join(err, s.cluster.Kill())
	}
	return errors.Join(err, os.RemoveAll(string(s.dir)))
}

// streamEvents makes distinct events; each user's times are in no order.
func streamEvents(n, users int, seed uint64) []event.Event {
	rng := rand.New(rand.NewPCG(seed, 4))
	events := make([]event.Event, n)
	for i := range events {
		events[i] = event.Event{
			User: event.UserID("user-" + strconv.Itoa(i%users)), Item: event.ItemID("item-" + strconv.Itoa(rng.IntN(benchItems))),
			Kind: event.DefaultKind, Time: 1_700_000_000_000 + int64(i/users)*1000,
		}
	}
	rng.Shuffle(n, func(i, j int) { events[i], events[j] = events[j], events[i] })
	return events
}

func (c *benchStreamCmd) rows(ctx context.Context, m *Main) (rows []row, err error) {
	if c.Events < 1000 || c.Users < 1 || c.Looks < 10 || c.Hides < 1 || c.Hides > benchItems/2 {
		return nil, fmt.Errorf("--events must be at least 1000, --users 1, --looks 10, --hides 1 to %d", benchItems/2)
	}
	s, err := newStream(ctx, c.In, "everysec", c.Setting)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	p, err := ingest.NewProducer(s.opts)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	note(m.Stderr, "%d events into Kafka, then out of it by an ingester on one core", c.Events)
	for some := range slices.Chunk(streamEvents(c.Events, c.Users, 1), 10_000) {
		if err := p.Produce(ctx, some); err != nil {
			return nil, err
		}
	}
	speed, err := c.speed(ctx, s)
	if err != nil {
		return nil, err
	}
	seen, err := c.visible(ctx, s, p)
	if err != nil {
		return []row{speed}, err
	}
	hidden, err := c.hidden(ctx, s)
	return []row{speed, seen, hidden}, err
}

// speed lets an ingester on one core read all that is there.
func (c *benchStreamCmd) speed(ctx context.Context, s *stream) (row, error) {
	child, err := s.dir.launch(ctx, []string{"GOMAXPROCS=1"}, append([]string{"ingest"}, s.flags...)...)
	if err != nil {
		return row{}, err
	}
	var from, now time.Time
	var first, done, cpu float64
	for done < float64(c.Events) && err == nil {
		if err = ctx.Err(); err != nil {
			break
		}
		time.Sleep(50 * time.Millisecond) // the child has better to do than to answer us
		var all map[string]float64
		if all, err = child.metrics(ctx); err != nil {
			break
		}
		done, now = all["recsvc_ingest_records_total"], time.Now()
		cpu = all["process_cpu_seconds_total"]
		if from.IsZero() && done > 0 {
			from, first = now, done
		}
	}
	if err = errors.Join(err, child.stop()); err != nil {
		return row{}, err
	}
	seconds := now.Sub(from).Seconds()
	return row{Name: "stream-eps", Value: (done - first) / max(seconds, 1e-3), unit: "events/s", wanted: "50,000 or more", Detail: map[string]any{
		"events": c.Events, "users": c.Users, "partitions": streamPartitions, "seconds": seconds, "cpu_seconds": cpu, "gomaxprocs": 1, "cores": runtime.NumCPU(), "store": c.In, "settings": c.Setting,
	}}, nil
}

// visible produces events one by one and asks the service until a prediction rests on each.
func (c *benchStreamCmd) visible(ctx context.Context, s *stream, p *ingest.Producer) (_ row, err error) {
	child, err := s.dir.start(ctx, append([]string{"--kafka-ingest"}, s.flags...)...)
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, child.stop()) }()
	var took []float64
	const warm = 20 // looks that do not count: joining the group, first connections
	for i := range c.Looks + warm {
		user := "look-" + strconv.Itoa(i)
		e := event.Event{User: event.UserID(user), Item: "item-1", Time: 1_700_000_000_000}
		if err := p.Produce(ctx, []event.Event{e}); err != nil {
			return row{}, err
		}
		acknowledged := time.Now()
		body, err := json.Marshal(map[string]any{"user": user, "k": 1})
		if err != nil {
			return row{}, err
		}
		for a := (answer{}); a.History.Used == 0; {
			if err := call(ctx, http.MethodPost, child.target().base+"/v1/predict", "", body, &a); err != nil {
				return row{}, err
			}
		}
		if i >= warm {
			took = append(took, time.Since(acknowledged).Seconds()*1000)
		}
	}
	at := quantiles(took)
	return row{Name: "visible-p99-ms", Value: at(.99), unit: "ms", wanted: "under 50", Detail: map[string]any{
		"looks": len(took), "p50": at(.5), "max": at(1), "cores": runtime.NumCPU(), "store": c.In, "settings": c.Setting,
	}}, nil
}

// quantiles sorts values and returns a function that finds those of them below which a part lies.
func quantiles(values []float64) func(q float64) float64 {
	slices.Sort(values)
	return func(q float64) float64 { return values[min(int(q*float64(len(values))), len(values)-1)] }
}

// hidden hides items on one server, the best of its answer each time, and asks another until it does not name them. Times
// count from the sending of the request that hides.
func (c *benchStreamCmd) hidden(ctx context.Context, s *stream) (_ row, err error) {
	var bases []string
	for _, folder := range []string{"first", "second"} { // of a store that is none of Redis
		child, fault := s.dir.start(ctx, append(slices.Clip(s.flags), "--store", filepath.Join(string(s.dir), folder))...)
		if fault != nil {
			return row{}, fault
		}
		defer func() { err = errors.Join(err, child.stop()) }()
		bases = append(bases, child.target().base)
	}
	body := []byte(`{"k":10,"history":[{"item":"item-1","time":1700000000000}]}`)
	look := func() (a answer, err error) {
		return a, call(ctx, http.MethodPost, bases[1]+"/v1/predict", "", body, &a)
	}
	var took []float64
	for range c.Hides {
		a, err := look()
		if err != nil {
			return row{}, err
		}
		if len(a.Items) == 0 {
			return row{}, errors.New("the answer names no item to hide")
		}
		item := a.Items[0].ID
		sent := time.Now()
		if err := call(ctx, http.MethodPut, bases[0]+"/v1/items/"+item, "", []byte(`{"hidden":true}`), nil); err != nil {
			return row{}, err
		}
		for a.names(item) {
			if a, err = look(); err != nil {
				return row{}, err
			}
		}
		if a.Degraded != nil {
			return row{}, fmt.Errorf("the answer is degraded: %s", *a.Degraded)
		}
		took = append(took, time.Since(sent).Seconds()*1000)
	}
	at := quantiles(took)
	return row{Name: "hide-visible-ms", Value: at(1), unit: "ms, the longest", wanted: "under 1000", Detail: map[string]any{
		"hides": len(took), "p50": at(.5), "servers": len(bases), "cores": runtime.NumCPU(), "store": c.In, "settings": c.Setting,
	}}, nil
}

// metrics reads what a child counts; labels are left out of the names, and their values added up.
func (c *child) metrics(ctx context.Context) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.addr.Probes+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer resp.Body.Close()
	all := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		v, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			continue
		}
		name, _, _ = strings.Cut(name, "{")
		all[name] += v
		all["count:"+name]++
	}
	return all, lines.Err()
}
