package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/store"
	"seqrec/internal/store/pebblestore"
	"seqrec/internal/store/redisstore"
)

// storeHelp says how a store is named on a command line.
const storeHelp = "a folder, or redis://USER@HOST:PORT[,HOST:PORT...]/DB?prefix=&password_file=&cluster=true&master_name=&cap=&ttl=; rediss:// for TLS"

// openNamed opens the store that a folder or URL names. A folder must exist
// unless it may be made.
func openNamed(ctx context.Context, name string, make bool) (store.Store, error) {
	if !strings.HasPrefix(name, "redis://") && !strings.HasPrefix(name, "rediss://") {
		if _, err := os.Stat(name); err != nil && !make {
			return nil, fmt.Errorf("open store: %w", err)
		}
		s, err := pebblestore.Open(name, pebblestore.Options{})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	cfg, err := parseRedisURL(name)
	if err != nil {
		return nil, err
	}
	opts, err := cfg.redis()
	if err != nil {
		return nil, err
	}
	s, err := redisstore.Open(ctx, opts)
	if err != nil {
		return nil, err
	}
	if err := s.Ping(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// parseRedisURL reads the URL form of the settings of Redis.
func parseRedisURL(name string) (*Config, error) {
	// A URL has one host: the others are cut out of it.
	scheme, rest, _ := strings.Cut(name, "://")
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	hosts := strings.Split(authority[strings.LastIndex(authority, "@")+1:], ",")
	u, err := url.Parse(scheme + "://" + strings.TrimSuffix(authority, strings.Join(hosts, ",")) + hosts[0] + path)
	if err != nil || u.Host == "" {
		return nil, errors.New("a Redis is named like redis://127.0.0.1:6379/0?prefix=sr") // the text may hold a password
	}
	c := &Config{}
	r := &c.Redis
	r.Addresses, r.TLS = hosts, u.Scheme == "rediss"
	if u.User != nil {
		r.Username = u.User.Username()
		r.Password, _ = u.User.Password()
	}
	var faults []error
	fault := func(key string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s in the URL of a Redis: %w", key, err))
		}
	}
	if path := strings.Trim(u.Path, "/"); path != "" {
		r.DB, err = strconv.Atoi(path)
		fault("database", err)
	}
	for key, values := range u.Query() {
		value, err := values[len(values)-1], error(nil)
		switch key {
		case "prefix":
			r.Prefix = value
		case "password_file":
			r.PasswordFile = value
		case "ca":
			r.CA = value
		case "master_name":
			r.MasterName = value
		case "cluster":
			r.Cluster, err = strconv.ParseBool(value)
		case "cap":
			r.Cap, err = strconv.Atoi(value)
		case "ttl":
			r.TTL, err = time.ParseDuration(value)
		default:
			err = errors.New("there is no such setting")
		}
		fault(key, err)
	}
	if r.CA != "" && !r.TLS {
		fault("ca", errors.New("needs rediss://"))
	}
	return c, errors.Join(faults...)
}

type copyCmd struct {
	From   string `required:"" placeholder:"STORE" help:"Store to read: ${store}. A folder must not be in use by a service."`
	To     string `required:"" placeholder:"STORE" help:"Store to write; what it holds already stays."`
	Passes int    `default:"20" help:"How often to go over the source, which may be written meanwhile, before giving up on its coming to rest."`
}

// Run copies until nothing has changed during a whole pass.
func (c copyCmd) Run(ctx context.Context, m *Main) (err error) {
	if c.From == c.To {
		return errors.New("copy: --from and --to are the same store")
	}
	from, err := openNamed(ctx, c.From, false)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := openNamed(ctx, c.To, true)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	total := 0
	if err := from.Users(ctx, func(event.UserID) error { total++; return nil }); err != nil {
		return fmt.Errorf("count users: %w", err)
	}
	b, pass, started := newBar(m.Stderr), 0, time.Now()
	done, err := store.Copy(ctx, from, to, c.Passes, func(p store.Copied) {
		line := fmt.Sprintf("pass %d  %d users  %d events  %.0f events/s", p.Pass, p.Users, p.Events, float64(p.Events)/time.Since(started).Seconds())
		if b.terminal {
			b.draw(float64(p.Users)/float64(max(total, 1)), line)
		} else if p.Pass != pass {
			pass = p.Pass
			note(m.Stderr, "%s", line)
		}
	})
	b.done()
	if err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "copied %d events of %d users and %d items in %d passes\n", done.Events, done.Users, done.Items, done.Pass)
	return nil
}

type digestCmd struct {
	Store  string `arg:"" help:"Store to read: ${store}."`
	Export string `placeholder:"FILE" help:"Also write every event as a line of JSON; - for standard output."`
}

// Run prints the digest as one line of JSON.
func (c digestCmd) Run(ctx context.Context, m *Main) (err error) {
	s, err := openNamed(ctx, c.Store, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	export, end, err := c.export(m)
	if err != nil {
		return err
	}
	d, err := store.TakeDigest(ctx, s, export)
	if err := errors.Join(err, end()); err != nil {
		return err
	}
	line, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("write digest: %w", err)
	}
	fmt.Fprintf(m.Stdout, "%s\n", line)
	return nil
}

// export opens the file of events, if one is wanted.
func (c digestCmd) export(m *Main) (fn func([]event.Event) error, end func() error, err error) {
	out, closeFile := m.Stdout, func() error { return nil }
	switch c.Export {
	case "":
		return nil, closeFile, nil
	case "-":
	default:
		f, err := os.Create(c.Export)
		if err != nil {
			return nil, nil, fmt.Errorf("export: %w", err)
		}
		out, closeFile = f, f.Close
	}
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(events []event.Event) error {
		for _, e := range events {
			if err := enc.Encode(e); err != nil {
				return fmt.Errorf("export: %w", err)
			}
		}
		return nil
	}, func() error { return errors.Join(w.Flush(), closeFile()) }, nil
}
