package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"seqrec/internal/httpapi"
	"seqrec/internal/recommend"
	"seqrec/internal/store/pebblestore"
)

// Config is everything that can be set. A field's key in the YAML file, its
// environment variable and its flag are made from the field names: Listen.Data
// is listen.data, RECSVC_LISTEN_DATA and --listen-data. Defaults stand in the
// tags; a zero means what the room behind it says of its zero.
type Config struct {
	Registry string        `default:"registry" help:"Published model versions: a folder, which need not exist yet, or a bucket (file:///DIR, s3://BUCKET/PREFIX?region=...)."`
	Cache    string        `default:"registry-cache" help:"Folder that mirrors the registry when that is a bucket; made when missing."`
	Store    string        `default:"history" help:"Folder of histories and items; made when missing."`
	Watch    time.Duration `default:"1s" help:"How often to look whether another version was promoted."`

	Listen  ListenConfig  `embed:"" prefix:"listen-" group:"Listeners"`
	Auth    AuthConfig    `embed:"" prefix:"auth-" group:"Keys"`
	Limits  LimitsConfig  `embed:"" prefix:"limits-" group:"Limits"`
	Model   ModelConfig   `embed:"" prefix:"model-" group:"Answering"`
	Shadow  ShadowConfig  `embed:"" prefix:"shadow-" group:"Shadow versions"`
	Guard   GuardConfig   `embed:"" prefix:"guard-" group:"Automatic rollback"`
	History HistoryConfig `embed:"" prefix:"history-" group:"Histories"`
	Redis   RedisConfig   `embed:"" prefix:"redis-" group:"Histories in Redis"`
	Kafka   KafkaConfig   `embed:"" prefix:"kafka-" group:"Kafka"`
	Log     LogConfig     `embed:"" prefix:"log-" group:"Logs"`
	Drain   DrainConfig   `embed:"" prefix:"drain-" group:"Ending"`
}

// ListenConfig holds the addresses of the three planes. Port 0 takes any free
// one.
type ListenConfig struct {
	Data   string `default:":8080" help:"Address of the data plane: /v1, the contract at /docs, the page at /."`
	Admin  string `default:"127.0.0.1:8081" help:"Address of the admin plane. Anything but loopback needs a key with scope admin."`
	Probes string `default:":8082" help:"Address of the probes: /livez, /readyz, /metrics. Never asks for a key."`
}

// AuthConfig says who may ask. Without any key everybody may.
type AuthConfig struct {
	Keys    string   `help:"YAML file of keys: a list of {name, sha256, scopes, rate, burst}; read again when it changes."`
	Key     string   `secret:"" help:"One key with every scope. Better in a file: see --auth-key-file."`
	KeyFile string   `help:"File holding what --auth-key would."`
	Origins []string `help:"Origins whose pages may call the data plane from a browser; * for any."`
}

// LimitsConfig bounds what a request may cost.
type LimitsConfig struct {
	Body       int64         `default:"1048576" help:"Largest request body in bytes."`
	EventsBody int64         `default:"8388608" help:"Largest body of /v1/events in bytes."`
	InFlight   int           `default:"256" help:"Requests of the data plane at once; more get 503."`
	Timeout    time.Duration `default:"10s" help:"Deadline of a request, and the most X-Request-Timeout-Ms may ask for."`
	Rate       float64       `help:"Requests a second for each key; 0 for no limit."`
	Burst      int           `help:"How many may come at once within the rate; 0 for one second's worth."`
}

// ModelConfig is about turning histories into answers.
type ModelConfig struct {
	Workers        int           `help:"Goroutines that run the model; 0 for one a core."`
	MaxBatch       int           `default:"32" help:"Most requests one worker ranks together."`
	BatchDelay     time.Duration `help:"How long a worker that holds two requests waits for more; a lone one never waits."`
	Queue          int           `default:"1024" help:"Requests that may wait for a worker."`
	HistoryTimeout time.Duration `default:"100ms" help:"Longest reading of one stored history."`
	HistoryLimit   int           `default:"5000" help:"Newest events of a stored history that retrieval reads and masks."`
	Reserve        time.Duration `default:"2ms" help:"Part of a deadline kept for the popular items and for writing the answer."`

	RerankCandidates int   `help:"Items retrieved for the second stage; 0 for as many as the version was judged with, 300 where it does not say."`
	RerankHistory    int   `default:"100000" help:"Newest events of a stored history that the second stage searches; of one that is full, up to 2 % fewer."`
	RerankCacheBytes int64 `default:"268435456" help:"Memory for search states of users kept between requests, in bytes; 1 keeps none."`
}

// ShadowConfig is about versions that answer copies of predictions.
type ShadowConfig struct {
	Share float64 `default:"0.1" help:"Share of predictions that a shadow version gets a copy of, 0 to 1."`
}

// GuardConfig is about leaving a new version that turns out bad.
type GuardConfig struct {
	Window   time.Duration `default:"10m" help:"How long a new version is watched; 0 never rolls back."`
	Requests int           `default:"100" help:"Predictions needed for a judgement."`
	Failures float64       `default:"0.02" help:"Largest share of predictions that the model may break on."`
	Latency  time.Duration `help:"From when on a prediction is slow, waiting included; 0 for never."`
	Slow     float64       `default:"0.1" help:"Largest share of slow predictions."`
}

// HistoryConfig is about what is kept.
type HistoryConfig struct {
	Cap   int           `default:"100000" help:"Most events kept of one user; the oldest go."`
	TTL   time.Duration `name:"ttl" help:"Forget histories that did not change for so long; 0 for never."`
	Cache int64         `default:"33554432" help:"Memory for blocks read from disk, in bytes."`
}

// LogConfig is about standard error.
type LogConfig struct {
	Level  slog.Level `default:"INFO" help:"DEBUG, INFO, WARN or ERROR."`
	Format string     `default:"json" enum:"json,text" help:"json or text."`
	Every  int        `default:"100" help:"One of so many requests that went well is logged; failures of ours always."`
}

// DrainConfig is about SIGTERM.
type DrainConfig struct {
	Delay   time.Duration `default:"500ms" help:"How long to answer on after /readyz says no, so that balancers notice."`
	Timeout time.Duration `default:"15s" help:"How long requests under way may take to finish."`
}

// Validate returns everything that is wrong with the values, joined.
func (c *Config) Validate() error {
	var faults []error
	add := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	for _, s := range settingsOf(c) {
		if n, ok := number(s.value); ok && n < 0 {
			add(s.key, "must not be negative, is %s", s.format())
		}
	}
	taken := map[string]string{}
	for _, a := range []struct{ key, addr string }{{"listen.data", c.Listen.Data}, {"listen.admin", c.Listen.Admin}, {"listen.probes", c.Listen.Probes}} {
		_, port, err := net.SplitHostPort(a.addr)
		if _, wrong := strconv.ParseUint(port, 10, 16); err != nil || wrong != nil {
			add(a.key, "must be host:port with a port up to 65535, is %q", a.addr)
			continue
		}
		if before, twice := taken[a.addr]; twice && port != "0" {
			add(a.key, "must not be the address of %s", before)
		}
		taken[a.addr] = a.key
	}
	if c.Limits.Timeout > 0 && c.Model.Reserve >= c.Limits.Timeout {
		add("model.reserve", "must be shorter than limits.timeout, which it is part of")
	}
	if c.Registry == "" {
		add("registry", "must name a folder")
	}
	if c.Store == "" {
		add("store", "must name a folder")
	}
	if c.Watch == 0 {
		add("watch", "must be above zero")
	}
	if c.Auth.Key != "" && c.Auth.KeyFile != "" {
		add("auth.key", "must not be set together with auth.key_file")
	}
	c.Redis.faults(add)
	ofRedis := slices.ContainsFunc(faults, func(err error) bool { return strings.HasPrefix(err.Error(), "redis.") })
	if !ofRedis && len(c.Redis.Addresses) > 0 { // else it would say the same again
		if o, err := c.redis(); err != nil {
			faults = append(faults, err)
		} else if err := o.Validate(); err != nil {
			add("redis", "%v", err)
		}
	}
	faults = append(faults, c.Kafka.validate()...)
	if len(faults) == 0 {
		faults = append(faults, c.recommend().Validate(), c.http().Validate(), c.pebble().Validate())
	}
	return errors.Join(faults...)
}

func (c *Config) recommend() recommend.Config {
	return recommend.Config{
		Workers: c.Model.Workers, MaxBatch: c.Model.MaxBatch, BatchDelay: c.Model.BatchDelay, Queue: c.Model.Queue,
		HistoryTimeout: c.Model.HistoryTimeout, HistoryLimit: c.Model.HistoryLimit, Reserve: c.Model.Reserve,
		RerankCandidates: c.Model.RerankCandidates, RerankHistory: c.rerankHistory(), RerankCacheBytes: c.Model.RerankCacheBytes,
		ShadowShare: c.Shadow.Share,
		Guard: recommend.GuardConfig{
			Window: c.Guard.Window, Requests: c.Guard.Requests, Failures: c.Guard.Failures, Latency: c.Guard.Latency, Slow: c.Guard.Slow,
		},
	}
}

// rerankHistory is how many events the second stage searches: never more than the
// store keeps, so that the service knows whose history is full.
func (c *Config) rerankHistory() int {
	most := c.History.Cap
	if len(c.Redis.Addresses) > 0 {
		most = c.Redis.Cap
	}
	if most <= 0 { // the store says what is wrong with it, or has a default of its own
		return c.Model.RerankHistory
	}
	return min(c.Model.RerankHistory, most)
}

func (c *Config) http() httpapi.Config {
	return httpapi.Config{
		MaxBody: c.Limits.Body, MaxEventsBody: c.Limits.EventsBody, MaxInFlight: c.Limits.InFlight, Timeout: c.Limits.Timeout,
		Rate: c.Limits.Rate, Burst: c.Limits.Burst, AllowedOrigins: c.Auth.Origins, LogEvery: c.Log.Every,
	}
}

func (c *Config) pebble() pebblestore.Options {
	return pebblestore.Options{Cap: c.History.Cap, TTL: c.History.TTL, CacheBytes: c.History.Cache}
}
