package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"seqrec/internal/ingest"
)

// KafkaConfig is about events and items by Kafka. Without brokers there is none: REST writes straight to the store.
type KafkaConfig struct {
	Brokers         []string      `help:"host:port of some brokers; the others are found through them. None: no Kafka."`
	Topic           string        `default:"interactions" help:"Topic of events, keyed by user."`
	DeadLetterTopic string        `default:"interactions.dead-letter" help:"Topic for records that are no events."`
	ItemsTopic      string        `default:"items" help:"Compacted topic of the catalogue, keyed by item."`
	Group           string        `default:"seqrec" help:"Consumer group that fills the store."`
	Start           string        `default:"earliest" help:"Where a new group begins: earliest, latest, a duration ago such as 24h, or a time in RFC 3339."`
	Ingest          bool          `help:"serve also reads events into the store, as ingest does."`
	BatchEvents     int           `default:"8000" help:"Most events of one append. Events of one user in a batch are one write."`
	BatchBytes      int           `default:"1048576" help:"Most bytes of one fetch from a partition."`
	BatchUnpacked   int64         `default:"134217728" help:"Most memory that one fetch may take when it is unpacked. A batch that is too much alone is left out, and that is said."`
	BatchDelay      time.Duration `help:"How long a broker may hold records back to fill a fetch; 0 for not at all."`
	Session         time.Duration `default:"10s" help:"Silence after which a consumer's partitions go to others."`
	Drain           time.Duration `default:"5s" help:"How long the batch under way may take when partitions are given up."`

	SASL         string `name:"sasl" enum:",PLAIN,SCRAM-SHA-256,SCRAM-SHA-512" default:"" help:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty for none."`
	User         string `help:"User of SASL."`
	Password     string `secret:"" help:"Password of SASL. Better in a file: see --kafka-password-file."`
	PasswordFile string `help:"File holding what --kafka-password would."`

	TLS            bool   `name:"tls" help:"Talk to brokers by TLS."`
	Authority      string `help:"PEM file of the authorities trusted with the brokers' certificates; empty for those of the system."`
	Certificate    string `help:"PEM file of our certificate, for brokers that ask for one."`
	CertificateKey string `help:"PEM file of its key."`
}

// enabled reports whether there is Kafka.
func (c *KafkaConfig) enabled() bool { return len(c.Brokers) > 0 }

// validate finds what can be found without opening a file.
func (c *KafkaConfig) validate() []error {
	if !c.enabled() {
		if c.Ingest {
			return []error{errors.New("kafka.ingest: needs kafka.brokers")}
		}
		return nil
	}
	var faults []error
	if c.Password != "" && c.PasswordFile != "" {
		faults = append(faults, errors.New("kafka.password: must not be set together with kafka.password_file"))
	}
	opts, err := c.unsecured()
	if err != nil {
		faults = append(faults, fmt.Errorf("kafka.%w", err))
	}
	if c.PasswordFile != "" && opts.SASL.Password == "" {
		opts.SASL.Password = "in the file"
	}
	if err := opts.Validate(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			faults = append(faults, errors.New("kafka "+line))
		}
	}
	return faults
}

// unsecured is options without what is in the password file.
func (c *KafkaConfig) unsecured() (ingest.Options, error) {
	start, err := ingest.ParseStart(c.Start)
	return ingest.Options{
		Brokers: c.Brokers, Topic: c.Topic, DeadLetterTopic: c.DeadLetterTopic, ItemsTopic: c.ItemsTopic, Group: c.Group, Start: start,
		Batch:   ingest.Batch{Events: c.BatchEvents, Bytes: c.BatchBytes, Delay: c.BatchDelay, Unpacked: c.BatchUnpacked},
		Session: c.Session, Drain: c.Drain,
		SASL: ingest.SASL{Mechanism: c.SASL, User: c.User, Password: c.Password},
		TLS:  ingest.TLS{Enabled: c.TLS, CA: c.Authority, Certificate: c.Certificate, Key: c.CertificateKey},
	}, err
}

// options reads the password file too.
func (c *KafkaConfig) options(log *slog.Logger, watch ingest.Observer) (ingest.Options, error) {
	if !c.enabled() {
		return ingest.Options{}, errors.New("kafka.brokers: must name at least one broker")
	}
	opts, err := c.unsecured()
	if err != nil {
		return opts, err
	}
	opts.Log, opts.Observer = log, watch
	if c.PasswordFile != "" {
		data, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return opts, fmt.Errorf("read the password for Kafka: %w", err)
		}
		if opts.SASL.Password = strings.TrimRight(string(data), "\r\n"); opts.SASL.Password == "" {
			return opts, fmt.Errorf("read the password for Kafka %s: the file is empty", c.PasswordFile)
		}
	}
	return opts, nil
}
