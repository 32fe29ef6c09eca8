package ingest

import (
	"strings"
	"testing"
	"time"

	"seqrec/internal/event"
)

func TestValidate(t *testing.T) {
	good := Options{Brokers: []string{"a:1"}, Topic: "t"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		change func(*Options)
		want   []string
	}{
		"nothing":       {func(o *Options) { *o = Options{} }, []string{"brokers:", "topic:"}},
		"no port":       {func(o *Options) { o.Brokers = []string{"a:1", "b"} }, []string{`is "b"`}},
		"same topics":   {func(o *Options) { o.ItemsTopic = "t" }, []string{"topics: must differ"}},
		"negative":      {func(o *Options) { o.Batch = Batch{-1, -1, -1, -1, -1}; o.Retry = -1 }, []string{"batch events", "batch bytes", "batch delay", "batch record", "batch unpacked", "retry"}},
		"long drain":    {func(o *Options) { o.Drain = time.Hour }, []string{"drain:"}},
		"no mechanism":  {func(o *Options) { o.SASL.User = "ann" }, []string{"needs a mechanism"}},
		"mechanism":     {func(o *Options) { o.SASL = SASL{"GSSAPI", "ann", "p"} }, []string{`is "GSSAPI"`}},
		"no password":   {func(o *Options) { o.SASL = SASL{"PLAIN", "ann", ""} }, []string{"needs a user and a password"}},
		"TLS off":       {func(o *Options) { o.TLS.CA = "f" }, []string{"not enabled"}},
		"half a pair":   {func(o *Options) { o.TLS = TLS{Enabled: true, Key: "f"} }, []string{"go together"}},
		"many at once":  {func(o *Options) { o.Brokers, o.TLS.CA, o.SASL.User = nil, "f", "x" }, []string{"brokers:", "sasl:", "tls:"}},
		"no such files": {func(o *Options) { o.TLS = TLS{Enabled: true, CA: "/no/such"} }, nil},
	} {
		o := good
		c.change(&o)
		err := o.Validate()
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
		if len(c.want) == 0 && err == nil {
			_, err = NewProducer(o)
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestParseStart(t *testing.T) {
	for _, text := range []string{"earliest", "latest", "24h0m0s", "2026-01-02T15:04:05Z"} {
		s, err := ParseStart(text)
		if err != nil || s.String() != text {
			t.Errorf("%s: %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"newest", "-1h", "0s", "2026-01-02"} {
		if s, err := ParseStart(text); err == nil {
			t.Errorf("%s: read as %v", text, s)
		}
	}
	now := time.Now()
	if s, _ := ParseStart("1h"); !s.since(now).Equal(now.Add(-time.Hour)) {
		t.Error("1h is not an hour ago")
	}
}

// TestSecurity: a broker that asks for a password or speaks TLS only is read and written like any other, and a wrong
// password, or an authority that it does not have, is an error that says so.
func TestSecurity(t *testing.T) {
	plain := options(t, 1)
	k := startBroker(t)
	for name, c := range map[string]struct {
		change func(*Options)
		fault  string
	}{
		"PLAIN":          {func(o *Options) { o.Brokers, o.SASL = k.SASL, SASL{"PLAIN", brokerUser, brokerPassword} }, ""},
		"SCRAM":          {func(o *Options) { o.Brokers, o.SASL = k.SASL, SASL{"SCRAM-SHA-512", brokerUser, brokerPassword} }, ""},
		"TLS":            {func(o *Options) { o.Brokers, o.TLS = k.TLS, TLS{Enabled: true, CA: broker.certificate} }, ""},
		"wrong password": {func(o *Options) { o.Brokers, o.SASL = k.SASL, SASL{"PLAIN", brokerUser, "guess"} }, "SASL Authentication Failed"},
		"wrong SCRAM":    {func(o *Options) { o.Brokers, o.SASL = k.SASL, SASL{"SCRAM-SHA-512", brokerUser, "guess"} }, "SASL Authentication Failed"},
		"no password":    {func(o *Options) { o.Brokers = k.SASL }, " "},
		"unknown issuer": {func(o *Options) { o.Brokers, o.TLS = k.TLS, TLS{Enabled: true} }, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := plain
			c.change(&opts)
			if c.fault != "" {
				cluster, err := connect(opts)
				if err != nil {
					t.Fatal(err)
				}
				defer cluster.close()
				if _, err := cluster.partitions(t.Context(), opts.Topic); err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("got %v, want %q", err, c.fault)
				}
				return
			}
			opts.Group = name
			produce(t, opts, []event.Event{{User: "ann", Item: event.ItemID(name), Time: 5}})
			w := newWatcher()
			opts.Observer = w
			stop := consume(t, opts, openStore(t, t.TempDir()))
			w.wait(t, "a record", func() bool { return w.records > 0 })
			stop()
		})
	}
}
