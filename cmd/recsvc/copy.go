package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
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
	if !redisstore.IsURL(name) {
		if _, err := os.Stat(name); err != nil && !make {
			return nil, fmt.Errorf("open store: %w", err)
		}
		s, err := pebblestore.Open(name, pebblestore.Options{})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	opts, err := redisstore.ParseURL(name)
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

type copyCmd struct {
	From     string `required:"" placeholder:"STORE" help:"Store to read: ${store}. A folder must not be in use by a service."`
	To       string `required:"" placeholder:"STORE" help:"Store to write; what it holds already stays."`
	Erasures string `placeholder:"FILE" help:"Also write the list of erased users of the source, for --erasures of trainjob nightly and of recsvc replay: receipts are not copied, since each store hashes users under a secret of its own."`
	Passes   int    `default:"20" help:"How often to go over the source, which may be written meanwhile, before giving up on its coming to rest."`
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
	if done.Dropped > 0 {
		fmt.Fprintf(m.Stdout, "left out %d events, the oldest of their users: the target keeps fewer of each (cap in its URL, redis.cap)\n", done.Dropped)
	}
	if c.Erasures == "" && done.Receipts > 0 {
		note(m.Stderr, "the receipts of %d erasures stay in the source: write them by --erasures and give them to every trainjob nightly and recsvc replay", done.Receipts)
	}
	return c.writeErasures(ctx, from)
}

// writeErasures writes the list of the source, if it is wanted. Who holds it can test ids, so it is nobody else's to read.
func (c copyCmd) writeErasures(ctx context.Context, from store.Store) error {
	if c.Erasures == "" {
		return nil
	}
	list, err := store.ListErasures(ctx, from)
	if err != nil {
		return fmt.Errorf("--erasures: %w", err)
	}
	f, err := os.OpenFile(c.Erasures, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("--erasures: %w", err)
	}
	return errors.Join(list.Write(f), f.Close())
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
