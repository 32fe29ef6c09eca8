package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"seqrec/internal/store/redisstore"
)

// loadOfRedis says what a Redis is to hold.
type loadOfRedis struct {
	Users     int           `required:"" help:"Users with a history."`
	Events    int           `required:"" help:"Events of each; those above the cap are not kept."`
	Cap       int           `default:"10000" help:"As redis.cap: most events kept of one user."`
	Items     int           `default:"100000" help:"Distinct items in all histories."`
	Gap       time.Duration `default:"24h" help:"Mean time between two events of a user."`
	UserBytes int           `default:"12" help:"Length of a user id."`
	ItemBytes int           `default:"10" help:"Length of an item id."`
	Prefix    string        `default:"sr" help:"As redis.prefix."`
	Cluster   bool          `help:"As redis.cluster: entries are larger there."`
}

type planCmd struct {
	loadOfRedis
}

func (l *loadOfRedis) load() redisstore.Load {
	return redisstore.Load{
		Users: l.Users, Events: l.Events, Cap: l.Cap, Items: l.Items, Gap: l.Gap, UserLen: l.UserBytes, ItemLen: l.ItemBytes, Prefix: l.Prefix, Cluster: l.Cluster,
	}
}

// Run prints what a Redis would use.
func (c planCmd) Run(m *Main) error {
	for _, n := range []int{c.Users, c.Events, c.Cap, c.Items, c.UserBytes, c.ItemBytes, int(c.Gap)} {
		if n < 1 {
			return errors.New("plan: every number must be above zero")
		}
	}
	if c.Events > c.Cap {
		fmt.Fprintf(m.Stdout, "Of %d events of a user the newest %d are kept and counted: redis.cap.\n\n", c.Events, c.Cap)
	}
	p := redisstore.Plan(c.load())
	w := tabwriter.NewWriter(m.Stdout, 0, 4, 2, ' ', 0)
	for _, r := range []struct {
		what  string
		bytes float64
	}{{"one user", p.User}, {"histories", p.Histories}, {"names of items", p.Dictionary}, {"Redis itself", p.Base}, {"used_memory", p.Total}} {
		fmt.Fprintf(w, "%s\t%.0f bytes\t%.3f GiB\n", r.what, r.bytes, r.bytes/(1<<30))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "\nSet maxmemory to at least %.0f MiB: a third more, for fragmentation, buffers and copies while Redis writes its files.\n", p.Total*4/3/(1<<20))
	return nil
}
