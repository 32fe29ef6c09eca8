package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"seqrec/internal/bucket"
	"seqrec/internal/event"
	"seqrec/internal/features"
	"seqrec/internal/ingest"
	"seqrec/internal/store"
	"seqrec/internal/store/pebblestore"
	"seqrec/internal/store/redisstore"
	"seqrec/internal/train"
)

// sourceOf gives the place that a --source names: files in a folder or bucket, or
// a store. close must be called after use.
func (c *nightlyCmd) sourceOf(a *app, name string) (source train.Source, erased *store.ErasureList, closed func() error, err error) {
	nothing := func() error { return nil }
	scheme, rest, _ := strings.Cut(name, ":")
	switch {
	case scheme == "pebble":
		s, err := openPebble(rest)
		if err != nil {
			return nil, nil, nothing, err
		}
		erased, err := store.ListErasures(a.ctx, s)
		return storeSource{name, s, a.say}, erased, s.Close, err
	case redisstore.IsURL(name):
		s, shown, err := openRedis(a.ctx, name)
		if err != nil {
			return nil, nil, nothing, err
		}
		erased, err := store.ListErasures(a.ctx, s)
		return storeSource{shown, s, a.say}, erased, s.Close, err
	case scheme == "kafka":
		s, err := c.openLog(a, name, time.Now())
		return s, nil, nothing, err
	case scheme == "file" || scheme == "s3" || !bucket.Is(name):
		return fileSource{name: name, work: c.work(), say: a.say}, nil, nothing, nil
	}
	return nil, nil, nothing, fmt.Errorf("%w: source %s: want a path, file:///DIR, s3://BUCKET/PREFIX, pebble:DIR, redis://HOST:PORT or kafka://HOST:PORT/TOPIC", errUsage, scheme+":...")
}

// openPebble opens a store that exists: a name mistyped must not make a new one.
func openPebble(dir string) (*pebblestore.Store, error) {
	dir = strings.TrimPrefix(dir, "//")
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s, err := pebblestore.Open(dir, pebblestore.Options{})
	if errors.Is(err, store.ErrInUse) {
		return nil, fmt.Errorf("%w; while recsvc serves from it, read the export of its users instead, or keep the histories in a store that can be shared", err)
	}
	return s, err
}

// openRedis opens a shared store and asks whether it is there. shown names it without secrets, and no other store.
func openRedis(ctx context.Context, name string) (s *redisstore.Store, shown string, err error) {
	opts, err := redisstore.ParseURL(name)
	if err != nil {
		return nil, "", fmt.Errorf("%w: source: %w", errUsage, err)
	}
	shown = fmt.Sprintf("redis %s/%d", strings.Join(opts.Addrs, ","), opts.DB)
	if opts.Prefix != "" {
		shown += " prefix " + opts.Prefix
	}
	redisstore.LogTo(slog.New(slog.DiscardHandler)) // its client would write to our standard error
	if s, err = redisstore.Open(ctx, opts); err != nil {
		return nil, "", fmt.Errorf("open store: %w", err)
	}
	if err := s.Ping(ctx); err != nil {
		return nil, "", errors.Join(fmt.Errorf("open store: %w", err), s.Close())
	}
	return s, shown, nil
}

// histories is what a night reads of a store.
type histories interface {
	Users(ctx context.Context, fn func(event.UserID) error) error
	Recent(ctx context.Context, user event.UserID, n int) ([]event.Event, error)
	AllItems(ctx context.Context, fn func(store.Item) error) error
}

// storeSource is every history of a store.
type storeSource struct {
	name  string
	store histories
	say   func(string, ...any)
}

// Name implements train.Source.
func (s storeSource) Name() string { return s.name }

// Gather implements train.Source. A history that cannot be read keeps nobody else's from being learned.
func (s storeSource) Gather(ctx context.Context, to *features.Gatherer) ([]features.Item, error) {
	lost, why := 0, error(nil)
	err := s.store.Users(ctx, func(user event.UserID) error {
		events, err := s.store.Recent(ctx, user, math.MaxInt32)
		ofUser := errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNewerFormat)
		if ofUser && !errors.Is(err, store.ErrForeign) {
			lost, why = lost+1, err
			return nil
		}
		for _, e := range events {
			to.Event(e)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if lost > 0 {
		s.say("%s: %d histories cannot be read and are left out: %v", s.name, lost, why)
	}
	var items []features.Item
	err = s.store.AllItems(ctx, func(item store.Item) error {
		items = append(items, features.Item{ID: string(item.ID), Title: item.Title, Categories: item.Categories})
		return nil
	})
	return items, err
}

// logSource is a window of the events in Kafka. Its name must be the same when an interrupted night goes on, so it holds
// the window as it was asked for and not as it fell.
type logSource struct {
	name     string
	opts     ingest.Options
	from, to time.Time
	say      func(string, ...any)
}

// Name implements train.Source.
func (s logSource) Name() string { return s.name }

// Gather implements train.Source.
func (s logSource) Gather(ctx context.Context, to *features.Gatherer) ([]features.Item, error) {
	into := &gathering{to: to}
	read, err := ingest.Replay(ctx, s.opts, ingest.Window{From: s.from, To: s.to}, into, nil)
	if errors.Is(err, ingest.ErrLeftOut) { // all the rest was read, and no later night would do better
		s.say("%s: %v", s.name, err)
	} else if err != nil {
		return nil, err
	}
	for reason, n := range read.Bad {
		s.say("%s: %d records that are no events: %s", s.name, n, reason)
	}
	return nil, nil
}

// gathering lets a gatherer take what is replayed, from several partitions at once.
type gathering struct {
	mu sync.Mutex
	to *features.Gatherer
}

// AppendSent implements ingest.Appender. Who was erased is left out when all is gathered.
func (g *gathering) AppendSent(_ context.Context, events []event.Event, _ []int64) (store.Result, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range events {
		g.to.Event(e)
	}
	return store.Result{Accepted: len(events)}, nil
}

// openLog reads the form in which --source names a part of a topic:
//
//	kafka://HOST:PORT[,HOST:PORT...]/TOPIC?from=&to=&sasl=&user=&password_file=&tls=true&ca=
//
// from and to are times in RFC 3339 or durations ago.
func (c *nightlyCmd) openLog(a *app, name string, now time.Time) (logSource, error) {
	place, query, _ := strings.Cut(strings.TrimPrefix(name, "kafka://"), "?")
	brokers, topic, _ := strings.Cut(place, "/")
	s := logSource{opts: ingest.Options{Brokers: strings.Split(brokers, ","), Topic: topic}, say: a.say}
	settings, err := url.ParseQuery(query)
	if err != nil {
		return s, fmt.Errorf("%w: source kafka://%s: %w", errUsage, place, err)
	}
	var faults []error
	for key, values := range settings {
		value, err := values[len(values)-1], error(nil)
		switch key {
		case "from":
			s.from, err = ingest.ParseMoment(value, now)
		case "to":
			s.to, err = ingest.ParseMoment(value, now)
		case "sasl":
			s.opts.SASL.Mechanism = value
		case "user":
			s.opts.SASL.User = value
		case "password_file":
			s.opts.SASL.Password, err = redisstore.ReadPassword(value)
		case "tls":
			s.opts.TLS.Enabled, err = strconv.ParseBool(value)
		case "ca":
			s.opts.TLS.CA = value
		default:
			err = errors.New("there is no such setting")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", key, err))
		}
	}
	if len(faults) == 0 {
		faults = append(faults, s.opts.Validate())
	}
	s.name = fmt.Sprintf("kafka://%s/%s from %s to %s", brokers, s.opts.Topic, cmp.Or(settings.Get("from"), "the oldest"), cmp.Or(settings.Get("to"), "now"))
	if err := errors.Join(faults...); err != nil {
		return s, fmt.Errorf("%w: source kafka://%s: %w", errUsage, place, err)
	}
	return s, nil
}

// fileSource is the files of a folder or bucket, or one file.
type fileSource struct {
	name string
	work string // folder for copies of what a bucket holds
	say  func(string, ...any)
}

// Name implements train.Source. Of the parameters, which may be secret, it holds the one that makes another bucket.
func (s fileSource) Name() string {
	name, query, _ := strings.Cut(s.name, "?")
	if settings, err := url.ParseQuery(query); err == nil {
		if at, err := url.Parse(settings.Get("endpoint")); err == nil && at.Host != "" {
			name += " at " + at.Host
		}
	}
	return name
}

// Gather implements train.Source.
func (s fileSource) Gather(ctx context.Context, to *features.Gatherer) ([]features.Item, error) {
	if info, err := os.Stat(s.name); err == nil && info.Mode().IsRegular() {
		return nil, gatherFile(s.name, to)
	}
	b, err := bucket.Open(ctx, s.name)
	if err != nil {
		return nil, err
	}
	defer b.Close() //nolint:errcheck // read only
	names, err := b.List(ctx, "")
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !readable(name) })
	if len(names) == 0 {
		return nil, fmt.Errorf("%s holds no file of events (.parquet, .ndjson, .jsonl, .csv; plain, .gz or .zst)", b.Name())
	}
	dir := filepath.Join(s.work, train.FetchedFolder)
	if err := os.RemoveAll(dir); err != nil { // a killed night leaves it
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // cleared with the working folder
	var items []features.Item
	for i, name := range names {
		file := filepath.Join(dir, fmt.Sprint(i, "-", path.Base(name)))
		if err := b.Fetch(ctx, name, file); err != nil {
			return nil, err
		}
		if isCatalogue(name) {
			list, faults, err := features.ReadItems(file)
			if err != nil {
				return nil, err
			}
			s.say("%s: %d items, %d rows with faults", name, len(list), faults.Total)
			items = append(items, list...)
		} else if err := gatherFile(file, to); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := os.Remove(file); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func gatherFile(name string, to *features.Gatherer) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	return to.File(f)
}

// stem is a file's name without what tells its form.
func stem(name string) (stem, form string) {
	name = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(path.Base(name)), ".gz"), ".zst")
	form = path.Ext(name)
	return strings.TrimSuffix(name, form), form
}

// readable says whether a file of a folder holds events or items, by its name:
// what lies beside them, such as tables of users, is passed over.
func readable(name string) bool {
	stem, form := stem(name)
	switch form {
	case ".parquet", ".ndjson", ".jsonl", ".csv":
		return !slices.Contains([]string{"users", "tags", "links"}, stem)
	case ".dat":
		return stem == "ratings" || stem == "movies"
	}
	return form == ".inter"
}

func isCatalogue(name string) bool {
	stem, _ := stem(name)
	return stem == "items" || stem == "movies"
}
