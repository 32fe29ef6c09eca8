package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// loadFlags say how a running service is loaded.
type loadFlags struct {
	URL     string        `placeholder:"URL" help:"Address of a running service, such as http://127.0.0.1:8080; loopback only. Without it a service of our own is started."`
	Key     string        `placeholder:"KEY" help:"API key."`
	Time    time.Duration `default:"5s" help:"Length of each part; 1 to 600 seconds."`
	History int           `default:"200" help:"Events of the history in each request."`
	Clients int           `default:"16" help:"Clients of the saturated part."`
}

// target is a service that is loaded.
type target struct {
	base string // http://host:port
	host string // host:port
	key  string
}

// newTarget refuses what is not on this machine: a benchmark must not be pointed
// at somebody's service by mistake.
func newTarget(base, key string) (target, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return target{}, fmt.Errorf("--url must be like http://127.0.0.1:8080, is %q", base)
	}
	if !isLoopback(u.Host) {
		return target{}, fmt.Errorf("--url must be on this machine, is %q", base)
	}
	return target{base: "http://" + u.Host, host: u.Host, key: key}, nil
}

// request is the bytes of one HTTP request.
func (t target) request(path, contentType string, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n", path, t.host, contentType, len(body))
	if t.key != "" {
		fmt.Fprintf(&b, "X-API-Key: %s\r\n", t.key)
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// caller is one kept-alive connection. It does as little as it can, since it
// shares the cores with what it measures.
type caller struct {
	conn net.Conn
	in   *bufio.Reader
	body bytes.Buffer // of the last answer
}

func (t target) dial(ctx context.Context) (*caller, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.host)
	if err != nil {
		return nil, err
	}
	return &caller{conn: conn, in: bufio.NewReader(conn)}, nil
}

// do sends a request and reads the whole answer into c.body.
func (c *caller) do(request []byte, timeout time.Duration) (status int, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return 0, err
	}
	if _, err := c.conn.Write(request); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, err
	}
	c.body.Reset()
	_, err = io.Copy(&c.body, resp.Body)
	resp.Body.Close()
	return resp.StatusCode, err
}

// close hangs up. What that says is no news: the answers are read or lost.
func (c *caller) close() { _ = c.conn.Close() }

// load is what some clients saw.
type load struct {
	times    []time.Duration // of those that went well, sorted
	failures map[string]int  // by what went wrong
	seconds  float64
}

func (l *load) failed() int {
	n := 0
	for _, k := range l.failures {
		n += k
	}
	return n
}

// add takes up what others saw.
func (l *load) add(o load) {
	l.times = append(l.times, o.times...)
	slices.Sort(l.times)
	for why, n := range o.failures {
		l.failures[why] += n
	}
	l.seconds += o.seconds
}

// quantile of the times in milliseconds.
func (l *load) quantile(q float64) float64 {
	if len(l.times) == 0 {
		return 0
	}
	i := min(int(q*float64(len(l.times))), len(l.times)-1)
	return float64(l.times[i]) / 1e6
}

func (l *load) perSecond() float64 { return float64(len(l.times)) / l.seconds }

// drive has clients send requests, each as soon as its last was answered, until
// ctx ends. next gives client c its i-th request.
func (t target) drive(ctx context.Context, clients int, next func(c, i int) []byte) load {
	out := load{failures: map[string]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := time.Now()
	for c := range clients {
		wg.Go(func() {
			times, failures := t.client(ctx, func(i int) []byte { return next(c, i) })
			mu.Lock()
			defer mu.Unlock()
			out.add(load{times: times, failures: failures})
		})
	}
	wg.Wait()
	out.seconds = time.Since(start).Seconds()
	return out
}

// client is one of them. A request that ctx interrupts is not counted.
func (t target) client(ctx context.Context, next func(i int) []byte) (times []time.Duration, failures map[string]int) {
	failures = map[string]int{}
	var conn *caller
	defer func() {
		if conn != nil {
			conn.close()
		}
	}()
	for i := 0; ctx.Err() == nil; i++ {
		if conn == nil {
			var err error
			if conn, err = t.dial(ctx); err != nil {
				if ctx.Err() == nil {
					failures["connect"]++
				}
				return times, failures
			}
		}
		request := next(i)
		start := time.Now()
		status, err := conn.do(request, 10*time.Second)
		took := time.Since(start)
		switch {
		case err != nil:
			failures["connection"]++
			conn.close()
			conn = nil
		case status/100 != 2:
			failures["status "+strconv.Itoa(status)]++
		case bytes.Contains(conn.body.Bytes(), []byte(`"degraded":"`)):
			failures["degraded"]++
		default:
			times = append(times, took)
		}
	}
	return times, failures
}

// catalogue asks a service for ids of items it knows: those it answers to
// somebody of whom nothing is known.
func (t target) catalogue(ctx context.Context) ([]string, error) {
	var a answer
	if err := call(ctx, http.MethodPost, t.base+"/v1/predict", t.key, []byte(`{"history":[],"k":1000}`), &a); err != nil {
		return nil, fmt.Errorf("list items: %w", err)
	}
	if len(a.Items) == 0 {
		return nil, fmt.Errorf("list items of %s: there are none", t.base)
	}
	ids := make([]string, len(a.Items))
	for i, item := range a.Items {
		ids[i] = item.ID
	}
	return ids, nil
}

// predictions makes some different requests with a bare history each.
func (t target) predictions(ids []string, history int, seed uint64) [][]byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	requests := make([][]byte, 64)
	for r := range requests {
		var b strings.Builder
		b.WriteString(`{"k":10,"history":[`)
		for i := range history {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"item":%q,"time":%d}`, ids[rng.IntN(len(ids))], 1700000000000+int64(i)*60000)
		}
		b.WriteString(`]}`)
		requests[r] = t.request("/v1/predict", "application/json", []byte(b.String()))
	}
	return requests
}

// cycle hands requests out in turn.
func cycle(requests [][]byte) func(c, i int) []byte {
	return func(c, i int) []byte { return requests[(c*17+i)%len(requests)] }
}
