package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// defaultCap is how many events of one user are kept unless Options say otherwise.
const defaultCap = 10_000

// Options configures a store. Addrs must be set; every other field works at its zero.
type Options struct {
	Addrs      []string // host:port of the server, of some nodes of the cluster, or of the sentinels
	MasterName string   // name of the primary among the sentinels of Addrs; "" means that Addrs are no sentinels
	Cluster    bool     // Addrs are nodes of a Redis Cluster

	Username, Password                 string // of an ACL user; without Username the password of the default user
	SentinelUsername, SentinelPassword string
	TLS                                *tls.Config // nil means a plain connection
	DB                                 int         // numbered database; a cluster has only 0

	Prefix string        // begins every key; "" means "sr". Memory: it is in every key
	Cap    int           // most events kept of one user, oldest dropped; 0 means 10,000
	TTL    time.Duration // forget histories that have not changed for longer; 0 means 90 days

	Timeout      time.Duration // bound of a call that reads one user or some items; 0 means 1 s
	WriteTimeout time.Duration // bound of any other call, and of each step of a walk over all users; 0 means 5 s
	DialTimeout  time.Duration // bound of making one connection; 0 means 1 s
	PoolSize     int           // connections to each node; 0 means 10 for each CPU
	WaitReplicas int           // replicas that must have an append before it returns; 0 means none
	NameCache    int           // items whose number and name are kept in memory; 0 means 131,072 (about 16 MB)

	Now func() time.Time // clock; nil means time.Now
}

// prefixes are the forms that a prefix may have: nothing that a pattern or a hash tag would read.
var prefixes = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,32}$`)

// Validate returns an error that names every field that cannot be used.
func (o Options) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	check := func(name string, value int64) {
		if value < 0 {
			add("%s is %d, less than 0", name, value)
		}
	}
	check("DB", int64(o.DB))
	check("Cap", int64(o.Cap))
	check("Timeout", int64(o.Timeout))
	check("WriteTimeout", int64(o.WriteTimeout))
	check("DialTimeout", int64(o.DialTimeout))
	check("PoolSize", int64(o.PoolSize))
	check("WaitReplicas", int64(o.WaitReplicas))
	check("NameCache", int64(o.NameCache))
	if len(o.Addrs) == 0 {
		add("Addrs is empty")
	}
	for _, a := range o.Addrs {
		if _, _, err := net.SplitHostPort(a); err != nil {
			add("Addrs holds %q, which is not host:port", a)
		}
	}
	if len(o.Addrs) > 1 && !o.Cluster && o.MasterName == "" {
		add("Addrs has %d addresses, but neither Cluster nor MasterName is set", len(o.Addrs))
	}
	if o.Cluster && o.MasterName != "" {
		add("Cluster and MasterName exclude each other")
	}
	if o.Cluster && o.DB != 0 {
		add("DB is %d, but a cluster has only 0", o.DB)
	}
	if o.Prefix != "" && !prefixes.MatchString(o.Prefix) {
		add("Prefix %q must be 1 to 32 letters, digits, dots, dashes or underscores", o.Prefix)
	}
	if o.TTL < 0 || o.TTL > 0 && o.TTL < time.Minute {
		add("TTL is %v, less than a minute", o.TTL)
	}
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	if o.Prefix == "" {
		o.Prefix = "sr"
	}
	if o.Cap == 0 {
		o.Cap = defaultCap
	}
	if o.TTL == 0 {
		o.TTL = 90 * 24 * time.Hour
	}
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 5 * time.Second
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = time.Second
	}
	if o.NameCache == 0 {
		o.NameCache = 1 << 17
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// newClient makes the client that the options ask for. It does not connect yet.
func newClient(o *Options) redis.UniversalClient {
	u := &redis.UniversalOptions{
		Addrs: o.Addrs, MasterName: o.MasterName, DB: o.DB, TLSConfig: o.TLS,
		Username: o.Username, Password: o.Password, SentinelUsername: o.SentinelUsername, SentinelPassword: o.SentinelPassword,
		DialTimeout: o.DialTimeout, PoolSize: o.PoolSize,
		DialerRetries: 1, MaxRetries: 1, // a reader should know soon that Redis is away; writers try again
		// The deadline of the call is the one that counts; these only catch a call without.
		ContextTimeoutEnabled: true, ReadTimeout: 2 * o.WriteTimeout, WriteTimeout: 2 * o.WriteTimeout,
		// Nothing that an ACL user would need rights for.
		DisableIdentity: true, Protocol: 2,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		PipelinePoolSize:         -1,
	}
	switch {
	case o.MasterName != "":
		return redis.NewFailoverClient(u.Failover())
	case o.Cluster:
		return redis.NewClusterClient(u.Cluster())
	}
	return redis.NewClient(u.Simple())
}

// LogTo sends what the client library has to say, such as failed connections, to log at level debug. The library has one
// logger for the whole process, so this is called once, by the command, before any store is opened.
func LogTo(log *slog.Logger) { redis.SetLogger(clientLog{log}) }

type clientLog struct{ log *slog.Logger }

// Printf implements the logger of go-redis.
func (l clientLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, fmt.Sprintf(format, v...))
}
