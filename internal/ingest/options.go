package ingest

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// Options says where Kafka is and how it is read. Brokers and Topic must be given; zeros elsewhere mean what the comments
// say.
type Options struct {
	Brokers         []string // host:port of some brokers; the others are found through them
	Topic           string   // of events
	DeadLetterTopic string   // for records that cannot be used; "" means Topic with ".dead-letter"
	ItemsTopic      string   // compacted, of the catalogue; "" means "items"
	Group           string   // consumer group; "" means "seqrec"
	Start           Start    // where a group without offsets begins; the zero value is earliest
	Batch           Batch
	SASL            SASL
	TLS             TLS

	// Session is how long the broker waits for a sign of life before it gives a consumer's partitions to others; 0 means
	// 10 s. Three heartbeats fit in.
	Session time.Duration
	// Drain is how long the batch under way may take when a consumer has to give its partitions up; 0 means 5 s. It
	// should be shorter than Session.
	Drain time.Duration
	// Retry is the pause after a first failure, doubled up to 64 times with each further one; 0 means 50 ms.
	Retry time.Duration

	Now      func() time.Time // nil means time.Now
	Log      *slog.Logger     // nil means none
	Observer Observer         // nil means none
}

// Batch bounds what is appended at once. Whatever has piled up while the last batch was appended makes the next one, so
// batches grow with the load by themselves and an event on a quiet topic waits for nothing.
type Batch struct {
	Events int           // most events of an append; 0 means 8000
	Bytes  int           // most bytes of a fetch, though always one batch as its producer made it; 0 means 1 MiB
	Delay  time.Duration // how long the broker may hold records back to fill Bytes; 0 for not at all
	Record int           // longest event in bytes; a longer record is bad; 0 means 64 KiB, as over REST
	// Unpacked is the most memory that what one fetch brings may take unpacked, in bytes: the records, 256 for each and 80
	// for each of their headers. A fetch brings fewer batches then; one batch that is too much alone is left out. 0 means
	// 128 MiB.
	Unpacked int64
}

// SASL is how to name ourselves to the brokers. The zero value is not at all.
type SASL struct {
	Mechanism string // "", "PLAIN", "SCRAM-SHA-256" or "SCRAM-SHA-512"
	User      string
	Password  string
}

// TLS is about encrypted connections. The zero value is plain text.
type TLS struct {
	Enabled     bool
	CA          string // PEM file of the authorities that are trusted; "" means those of the system
	Certificate string // PEM file of our own certificate, for brokers that ask for one
	Key         string // PEM file of its key
	ServerName  string // name that the brokers' certificates must have; "" means that of the address
}

// withDefaults fills the zeros in.
func (o Options) withDefaults() Options {
	o.DeadLetterTopic = cmp.Or(o.DeadLetterTopic, o.Topic+".dead-letter")
	o.ItemsTopic = cmp.Or(o.ItemsTopic, "items")
	o.Group = cmp.Or(o.Group, "seqrec")
	o.Batch.Events = cmp.Or(o.Batch.Events, 8000)
	o.Batch.Bytes = cmp.Or(o.Batch.Bytes, 1<<20)
	o.Batch.Record = cmp.Or(o.Batch.Record, 64<<10)
	o.Batch.Unpacked = cmp.Or(o.Batch.Unpacked, 128<<20)
	o.Session = cmp.Or(o.Session, 10*time.Second)
	o.Drain = cmp.Or(o.Drain, 5*time.Second)
	o.Retry = cmp.Or(o.Retry, 50*time.Millisecond)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	return o
}

// Validate returns everything that is wrong with the values, joined. It opens no file and no connection.
func (o Options) Validate() error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(o.Brokers) == 0 {
		add("brokers: must name at least one")
	}
	for _, b := range o.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			add("brokers: must be host:port, is %q", b)
		}
	}
	if o.Topic == "" {
		add("topic: must not be empty")
	}
	if o = o.withDefaults(); o.Topic == o.DeadLetterTopic || o.Topic == o.ItemsTopic || o.DeadLetterTopic == o.ItemsTopic {
		add("topics: must differ, are %q, %q and %q", o.Topic, o.DeadLetterTopic, o.ItemsTopic)
	}
	for _, n := range []struct {
		name string
		less bool
	}{
		{"batch events", o.Batch.Events < 0}, {"batch bytes", o.Batch.Bytes < 0}, {"batch delay", o.Batch.Delay < 0},
		{"batch record", o.Batch.Record < 0}, {"batch unpacked", o.Batch.Unpacked < 0}, {"session", o.Session < 0}, {"drain", o.Drain < 0}, {"retry", o.Retry < 0},
	} {
		if n.less {
			add("%s: must not be negative", n.name)
		}
	}
	if o.Drain >= o.Session {
		add("drain: %v must be shorter than the session, %v", o.Drain, o.Session)
	}
	return errors.Join(append(faults, o.SASL.validate(), o.TLS.validate())...)
}

func (s SASL) validate() error {
	switch {
	case s.Mechanism == "" && (s.User != "" || s.Password != ""):
		return errors.New("sasl: a user or password needs a mechanism")
	case s.Mechanism == "":
		return nil
	case s.User == "" || s.Password == "":
		return fmt.Errorf("sasl: %s needs a user and a password", s.Mechanism)
	}
	_, err := s.mechanism()
	return err
}

// mechanism returns nil without SASL.
func (s SASL) mechanism() (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "":
		return nil, nil
	case "PLAIN":
		return plain.Mechanism{Username: s.User, Password: s.Password}, nil
	case "SCRAM-SHA-256":
		return scram.Mechanism(scram.SHA256, s.User, s.Password)
	case "SCRAM-SHA-512":
		return scram.Mechanism(scram.SHA512, s.User, s.Password)
	}
	return nil, fmt.Errorf("sasl: must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, is %q", s.Mechanism)
}

func (t TLS) validate() error {
	switch {
	case !t.Enabled && (t.CA != "" || t.Certificate != "" || t.Key != "" || t.ServerName != ""):
		return errors.New("tls: files are named and it is not enabled")
	case (t.Certificate == "") != (t.Key == ""):
		return errors.New("tls: certificate and key go together")
	}
	return nil
}

// config reads the files. It returns nil without TLS.
func (t TLS) config() (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read authorities: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read authorities %s: no certificate in it", t.CA)
		}
	}
	if t.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
