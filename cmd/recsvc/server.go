package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"seqrec/internal/httpapi"
	"seqrec/internal/kernel"
	"seqrec/internal/recommend"
	"seqrec/internal/registry"
	"seqrec/internal/store"
)

// server is the running service: store, model and three listeners.
type server struct {
	cfg     Config
	log     *slog.Logger
	store   store.Store
	mirror  *registry.Mirror // nil when the registry is a folder
	service *recommend.Service
	stream  *streaming // nil without Kafka
	api     *httpapi.Server
	planes  []*plane // data, admin, probes
	failed  chan error
	stop    context.CancelFunc // ends the watchers
	wg      sync.WaitGroup     // watchers and listeners
}

// plane is one listener with its server.
type plane struct {
	name string
	addr string // as configured
	ln   net.Listener
	http *http.Server
}

// addresses are where the planes listen: host:port.
type addresses struct{ Data, Admin, Probes string }

// startServer opens the store, loads the current model and listens. A registry
// without a model, or with one that is refused, does not keep it from starting:
// /readyz says so and the watcher goes on looking. Close must be called on a
// server without error.
func startServer(ctx context.Context, cfg Config, log *slog.Logger) (_ *server, err error) {
	s := &server{cfg: cfg, log: log, failed: make(chan error, 3), stop: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.abort())
		}
	}()
	keys, err := readKeys(&cfg.Auth)
	if err != nil {
		return nil, err
	}
	if !isLoopback(cfg.Listen.Admin) && !canOperate(keys) {
		return nil, fmt.Errorf("listen.admin: %s is open to others and no key has scope admin: set auth.key_file or auth.keys, or listen on 127.0.0.1", cfg.Listen.Admin)
	}
	if err := s.listen(ctx); err != nil { // first: a taken port is the commonest fault
		return nil, err
	}
	metrics := prometheus.NewRegistry()
	if err := s.open(ctx, metrics); err != nil {
		return nil, err
	}
	s.api, err = httpapi.New(httpapi.Options{Service: s.facade(), Config: cfg.http(), Keys: keys, Log: log, Registry: metrics})
	if err != nil {
		return nil, err
	}
	watching, stop := context.WithCancel(context.Background())
	s.stop = stop
	if s.stream != nil {
		s.follow(watching)
	}
	if err := s.service.Start(ctx); errors.Is(err, recommend.ErrNoModel) {
		log.Warn("no model yet; waiting for one to be promoted", "registry", cfg.Registry)
	} else if err != nil {
		log.Warn("the current version does not serve; waiting for another to be promoted", "registry", cfg.Registry, "reason", err)
	}
	if len(keys) == 0 && !isLoopback(cfg.Listen.Data) {
		log.Warn("listen.data: open to others without any key: everybody who reaches it may read and erase users; set auth.keys or auth.key_file", "address", cfg.Listen.Data)
	}
	s.serve(watching)
	return s, nil
}

// facade is what REST is served from.
func (s *server) facade() httpapi.Service {
	if s.stream == nil {
		return s.service
	}
	return broadcast{s.service, storage{s.store}, s.stream.producer, time.Now}
}

// open opens what the service stands on.
func (s *server) open(ctx context.Context, metrics *prometheus.Registry) (err error) {
	if s.store, err = openStore(ctx, &s.cfg, metrics, s.log); err != nil {
		return err
	}
	counted, err := newCounted(s.store, metrics)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	reg, err := s.openRegistry(ctx)
	if err != nil {
		return fmt.Errorf("open registry: %w", err)
	}
	watch, err := newObserver(metrics)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	rc := s.cfg.recommend()
	rc.Observer, rc.Log, rc.NewID = watch, s.log, rand.Text
	var keeps recommend.Store = storage{counted}
	if s.cfg.Kafka.enabled() {
		if s.stream, err = openStreaming(s, counted, metrics); err != nil {
			return err
		}
		keeps = produced{storage{counted}, s.stream.producer}
	}
	if s.service, err = recommend.New(rc, keeps, recommend.FromRegistry(reg)); err != nil {
		return err
	}
	if err := stateMetrics(metrics, s.service); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// listen takes the three addresses.
func (s *server) listen(ctx context.Context) error {
	for _, p := range []*plane{
		{name: "data", addr: s.cfg.Listen.Data},
		{name: "admin", addr: s.cfg.Listen.Admin},
		{name: "probes", addr: s.cfg.Listen.Probes},
	} {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", p.addr)
		if err != nil {
			return fmt.Errorf("listen.%s: %w", p.name, err)
		}
		p.ln = ln
		s.planes = append(s.planes, p)
	}
	return nil
}

// serve starts the listeners, and the watchers, which end with ctx.
func (s *server) serve(ctx context.Context) {
	handlers := []http.Handler{s.api.Data(), s.api.Admin(), s.api.Probes()}
	for i, p := range s.planes {
		p.http = s.cfg.http().HTTPServer(handlers[i], s.log)
		s.wg.Go(func() {
			if err := p.http.Serve(p.ln); !errors.Is(err, http.ErrServerClosed) {
				s.failed <- fmt.Errorf("listen.%s: %w", p.name, err)
			}
		})
	}
	if s.stream != nil && s.stream.consumer != nil {
		s.wg.Go(func() {
			if err := s.stream.consumer.Run(ctx); err != nil {
				s.log.Error("ingest ended", "error", err)
			}
		})
	}
	s.wg.Go(func() {
		if err := s.service.Watch(ctx, s.cfg.Watch); err != nil {
			s.log.Error("watch for versions ended", "error", err)
		}
	})
	if s.mirror != nil {
		s.wg.Go(func() { s.pull(ctx) })
	}
	s.wg.Go(func() { watchKeys(ctx, &s.cfg.Auth, s.cfg.Watch, s.api.Keys().Replace, s.log) })
	a := s.addresses()
	s.log.Info("listening", "data", a.Data, "admin", a.Admin, "probes", a.Probes, "cpu", kernel.Features(), "pid", os.Getpid())
}

func (s *server) addresses() addresses {
	at := func(i int) string { return s.planes[i].ln.Addr().String() }
	return addresses{at(0), at(1), at(2)}
}

// wait blocks until ctx ends or a listener fails.
func (s *server) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

// Close drains: /readyz says no while requests are answered as before, then the
// listeners close, those under way finish within the drain timeout, and the
// store closes last. The probes answer until the end.
func (s *server) Close() error {
	s.log.Info("draining")
	s.api.Drain()
	faults := []error{s.pause(s.cfg.Drain.Delay)}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Drain.Timeout)
	defer cancel()
	for _, p := range s.planes[:2] {
		if err := p.http.Shutdown(ctx); err != nil {
			faults = append(faults, fmt.Errorf("drain %s: %w", p.name, err), p.http.Close())
		}
	}
	s.stop()
	faults = append(faults, s.service.Close(), s.planes[2].http.Close())
	s.wg.Wait()
	if s.stream != nil {
		faults = append(faults, s.stream.producer.Close())
	}
	faults = append(faults, s.store.Close(), s.closeMirror())
	s.log.Info("closed")
	return errors.Join(faults...)
}

// pause waits, unless a listener fails meanwhile.
func (s *server) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case err := <-s.failed:
		return err
	}
}

// abort undoes a start that failed half-way.
func (s *server) abort() error {
	var faults []error
	for _, p := range s.planes {
		faults = append(faults, p.ln.Close())
	}
	s.stop()
	s.wg.Wait()
	if s.service != nil {
		faults = append(faults, s.service.Close())
	}
	if s.stream != nil {
		faults = append(faults, s.stream.producer.Close())
	}
	if s.store != nil {
		faults = append(faults, s.store.Close())
	}
	faults = append(faults, s.closeMirror())
	return errors.Join(faults...)
}

// isLoopback reports whether only this machine can reach an address.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// newLogger writes lines of the configured form.
func newLogger(c *LogConfig, to io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(to, opts))
	}
	return slog.New(slog.NewJSONHandler(to, opts))
}
