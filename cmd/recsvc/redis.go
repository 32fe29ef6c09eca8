package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"seqrec/internal/event"
	"seqrec/internal/store"
	"seqrec/internal/store/pebblestore"
	"seqrec/internal/store/redisstore"
)

// RedisConfig says where histories and items lie when they are not in a folder
// of this machine.
type RedisConfig struct {
	Addresses    []string      `help:"host:port of Redis, of nodes of a cluster, or of sentinels. When set, histories and items are there and --store is not used."`
	MasterName   string        `help:"Name of the primary among the sentinels that the addresses are."`
	Cluster      bool          `help:"The addresses are nodes of a Redis Cluster."`
	Username     string        `help:"ACL user."`
	Password     string        `secret:"" help:"Its password. Better in a file: see --redis-password-file."`
	PasswordFile string        `help:"File holding what --redis-password would."`
	SentinelFile string        `help:"File holding the password of the sentinels, if they ask for one."`
	TLS          bool          `name:"tls" help:"Connect by TLS."`
	CA           string        `name:"ca" help:"PEM file of the authorities to trust; without it those of the system."`
	DB           int           `name:"db" help:"Number of the database; a cluster has only 0."`
	Prefix       string        `default:"sr" help:"Begins every key. Each store needs its own."`
	Cap          int           `default:"10000" help:"Most events kept of one user; the oldest go."`
	TTL          time.Duration `name:"ttl" default:"2160h" help:"Forget histories that did not change for so long."`
	Timeout      time.Duration `default:"1s" help:"Longest reading of one user or of some items."`
	WriteTimeout time.Duration `default:"5s" help:"Longest writing of a batch."`
	DialTimeout  time.Duration `default:"1s" help:"Longest making of a connection."`
	PoolSize     int           `help:"Connections to each node; 0 for ten a core."`
	WaitReplicas int           `help:"Replicas that must have an event before it is acknowledged; more makes a failover lose less."`
}

// redis reads the files that the settings name and returns the options of the
// store.
func (c *Config) redis() (redisstore.Options, error) {
	r := &c.Redis
	o := redisstore.Options{
		Addrs: r.Addresses, MasterName: r.MasterName, Cluster: r.Cluster, Username: r.Username, Password: r.Password, DB: r.DB,
		Prefix: r.Prefix, Cap: r.Cap, TTL: r.TTL, Timeout: r.Timeout, WriteTimeout: r.WriteTimeout, DialTimeout: r.DialTimeout,
		PoolSize: r.PoolSize, WaitReplicas: r.WaitReplicas,
	}
	for _, f := range []struct {
		key, file string
		into      *string
	}{{"redis.password_file", r.PasswordFile, &o.Password}, {"redis.sentinel_file", r.SentinelFile, &o.SentinelPassword}} {
		if f.file == "" {
			continue
		}
		var err error
		if *f.into, err = redisstore.ReadPassword(f.file); err != nil {
			return o, fmt.Errorf("%s: %w", f.key, err)
		}
	}
	if r.TLS {
		var err error
		if o.TLS, err = redisstore.Trust(r.CA); err != nil {
			return o, fmt.Errorf("redis.ca: %w", err)
		}
	}
	return o, nil
}

// faults are those of the settings of Redis, by key.
func (r *RedisConfig) faults(add func(key, format string, args ...any)) {
	if r.Password != "" && r.PasswordFile != "" {
		add("redis.password", "must not be set together with redis.password_file")
	}
	if r.CA != "" && !r.TLS {
		add("redis.ca", "needs redis.tls")
	}
	if len(r.Addresses) == 0 && (r.Cluster || r.MasterName != "") {
		add("redis.addresses", "must be set with redis.cluster or redis.master_name")
	}
}

// openStore opens where histories and items are.
func openStore(ctx context.Context, c *Config, metrics *prometheus.Registry, log *slog.Logger) (store.Store, error) {
	if len(c.Redis.Addresses) == 0 {
		opts := c.pebble()
		opts.Logger = log
		s, err := pebblestore.Open(c.Store, opts)
		if err != nil {
			return nil, fmt.Errorf("open store %s: %w", c.Store, err)
		}
		return s, storeMetrics(metrics, s)
	}
	opts, err := c.redis()
	if err != nil {
		return nil, err
	}
	redisstore.LogTo(log)
	s, err := redisstore.Open(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("open store at redis %s: %w", strings.Join(c.Redis.Addresses, ","), err)
	}
	return s, redisMetrics(metrics, s)
}

// redisMetrics shows what this process did with a shared store.
func redisMetrics(to prometheus.Registerer, s *redisstore.Store) error {
	counter := func(name, help string, fn func(redisstore.Stats) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "recsvc", Name: name, Help: help}, func() float64 { return float64(fn(s.Stats())) })
	}
	for _, c := range []prometheus.Collector{
		counter("store_conflicts_total", "Changes of a history planned anew because another writer was faster.", func(s redisstore.Stats) uint64 { return s.Conflicts }),
		counter("store_name_misses_total", "Look-ups of item and kind names that were not answered from memory.", func(s redisstore.Stats) uint64 { return s.NameMisses }),
	} {
		if err := to.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// counted counts the errors of a store by reason.
type counted struct {
	store.Store
	errors *prometheus.CounterVec
}

func newCounted(s store.Store, to prometheus.Registerer) (counted, error) {
	c := counted{s, prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "recsvc", Name: "store_errors_total", Help: "Calls of the store that failed, by reason.",
	}, []string{"reason"})}
	return c, to.Register(c.errors)
}

// count notes an error and returns it.
func (c counted) count(err error) error {
	if err != nil {
		c.errors.WithLabelValues(store.Reason(err)).Inc()
	}
	return err
}

func (c counted) Append(ctx context.Context, events []event.Event) (store.Result, error) {
	r, err := c.Store.Append(ctx, events)
	return r, c.count(err)
}

func (c counted) AppendSent(ctx context.Context, events []event.Event, sent []int64) (store.Result, error) {
	r, err := c.Store.AppendSent(ctx, events, sent)
	return r, c.count(err)
}

func (c counted) Recent(ctx context.Context, user event.UserID, n int) ([]event.Event, error) {
	events, err := c.Store.Recent(ctx, user, n)
	return events, c.count(err)
}

func (c counted) History(ctx context.Context, user event.UserID, page store.Page) ([]event.Event, string, error) {
	events, next, err := c.Store.History(ctx, user, page)
	return events, next, c.count(err)
}

func (c counted) Erase(ctx context.Context, user event.UserID) (store.Receipt, error) {
	r, err := c.Store.Erase(ctx, user)
	return r, c.count(err)
}

func (c counted) PutItems(ctx context.Context, items []store.Item) error {
	return c.count(c.Store.PutItems(ctx, items))
}

func (c counted) Items(ctx context.Context, ids []event.ItemID) ([]store.Item, error) {
	items, err := c.Store.Items(ctx, ids)
	return items, c.count(err)
}
