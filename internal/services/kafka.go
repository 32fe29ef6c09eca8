package services

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// KafkaVersion is the version of the broker whose jars scripts/kafka-jars.sh fetches; tools/kafka/pom.xml says the same.
const KafkaVersion = "4.1.2"

// KafkaOptions says which brokers are wanted. The zero value with a Dir is one broker on a plain listener.
type KafkaOptions struct {
	Dir     string // for logs, settings and data; kept, so that a broker can be killed and started again
	Brokers int    // 0 means 1; each is broker and controller
	// User and Password, when given, open one more listener on each broker that asks for them, by SASL/PLAIN or
	// SCRAM-SHA-512.
	User, Password string
	// Certificate, when given, names a PEM file of a key and its certificate; one more listener on each broker uses it.
	Certificate string
	Detached    bool // see Spec.Detached
}

// Kafka is a cluster of Apache Kafka brokers in KRaft mode that are processes of this machine.
type Kafka struct {
	Brokers   []*Process
	Addresses []string // host:port of the plain listeners
	SASL      []string // of the listeners that ask for a password; empty without KafkaOptions.User
	TLS       []string // of the listeners with a certificate; empty without KafkaOptions.Certificate
}

// kafkaHeap bounds the memory of a broker.
const kafkaHeap = "-Xmx384m"

// StartKafka formats and starts the brokers and returns when all of them answer. On error nothing is left running.
func StartKafka(ctx context.Context, opts KafkaOptions) (_ *Kafka, err error) {
	jars, err := kafkaJars()
	if err != nil {
		return nil, err
	}
	n := max(opts.Brokers, 1)
	const perBroker = 4 // controller, plain, SASL, TLS
	ports, err := FreePorts(perBroker * n)
	if err != nil {
		return nil, err
	}
	var id [16]byte
	rand.Read(id[:])
	plan := kafkaPlan{opts: opts, jars: jars, brokers: n, cluster: base64.RawURLEncoding.EncodeToString(id[:])}
	if opts.Certificate != "" {
		pem, err := os.ReadFile(opts.Certificate)
		if err != nil {
			return nil, fmt.Errorf("read the certificate for Kafka: %w", err)
		}
		plan.certificate = string(pem)
	}
	for i := range n {
		plan.voters = append(plan.voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, ports[i*perBroker]))
	}
	k := &Kafka{}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.Kill())
		}
	}()
	started := make(chan error, n)
	for i := range n {
		at := ports[i*perBroker : (i+1)*perBroker]
		spec, err := plan.broker(ctx, i+1, at)
		if err != nil {
			return nil, err
		}
		p := &Process{spec: spec}
		k.Brokers = append(k.Brokers, p)
		k.Addresses = append(k.Addresses, loopback(at[1]))
		if opts.User != "" {
			k.SASL = append(k.SASL, loopback(at[2]))
		}
		if opts.Certificate != "" {
			k.TLS = append(k.TLS, loopback(at[3]))
		}
	}
	for _, p := range k.Brokers { // together: a controller is ready only when a majority is there
		go func() { started <- p.Start(ctx) }()
	}
	for range k.Brokers {
		err = errors.Join(err, <-started)
	}
	return k, err
}

// Kill ends all brokers at once, as a power cut would.
func (k *Kafka) Kill() error {
	var faults []error
	for _, p := range k.Brokers {
		faults = append(faults, p.Kill())
	}
	return errors.Join(faults...)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// kafkaJars returns the folder that scripts/kafka-jars.sh fills.
func kafkaJars() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the jars of Kafka: %w", err)
	}
	dir := filepath.Join(cache, "seqrec-tools", "kafka-"+KafkaVersion)
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("find the jars of Kafka: %w; scripts/install-test-deps.sh fetches them", err)
	}
	return dir, nil
}

// kafkaPlan is what the brokers of one cluster share.
type kafkaPlan struct {
	opts    KafkaOptions
	jars    string
	cluster string
	brokers int
	voters  []string

	certificate string // content of the file
}

// broker writes the settings of one broker, formats its storage, and says how it is started.
func (k *kafkaPlan) broker(ctx context.Context, id int, ports []int) (Spec, error) {
	dir := filepath.Join(k.opts.Dir, fmt.Sprintf("kafka-%d", id))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Spec{}, fmt.Errorf("make a folder for Kafka: %w", err)
	}
	file := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(file, []byte(k.properties(dir, id, ports)), 0o600); err != nil {
		return Spec{}, fmt.Errorf("write the settings of Kafka: %w", err)
	}
	java, err := k.java()
	if err != nil {
		return Spec{}, err
	}
	format := []string{"kafka.tools.StorageTool", "format", "--ignore-formatted", "--cluster-id=" + k.cluster, "--config", file} // one in 64 begins with a dash
	if k.opts.User != "" {
		format = append(format, "--add-scram", fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", k.opts.User, k.opts.Password))
	}
	if out, err := exec.CommandContext(ctx, "java", append(java[:len(java):len(java)], format...)...).CombinedOutput(); err != nil {
		return Spec{}, fmt.Errorf("format the storage of Kafka: %w; scripts/install-test-deps.sh installs Java\n%s", err, out)
	}
	return Spec{
		Name: fmt.Sprintf("kafka-%d", id), Path: "java", Args: append(java, "kafka.Kafka", file), Dir: dir, Detached: k.opts.Detached,
		Ready: func(ctx context.Context) error { return kafkaAnswers(ctx, loopback(ports[1])) },
	}, nil
}

// java returns the arguments that every start of the JVM begins with. With the archive that scripts/kafka-jars.sh makes a
// broker starts in half the time; the JVM passes over one that does not suit it.
func (k *kafkaPlan) java() ([]string, error) {
	jars, err := filepath.Glob(filepath.Join(k.jars, "*.jar")) // sorted, as the archive wants it
	if err != nil || len(jars) == 0 {
		return nil, fmt.Errorf("find the jars of Kafka in %s: %w", k.jars, cmp.Or(err, os.ErrNotExist))
	}
	return []string{
		kafkaHeap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:SharedArchiveFile=" + filepath.Join(k.jars, "kafka.jsa"),
		"-Dlog4j2.level=WARN", "-cp", strings.Join(jars, string(os.PathListSeparator)),
	}, nil
}

// properties are the settings of one broker: small, quick to elect and to rebalance, and no topic made by a misspelling.
func (k *kafkaPlan) properties(dir string, id int, ports []int) string {
	listeners := []string{"CONTROLLER://" + loopback(ports[0]), "PLAIN://" + loopback(ports[1])}
	var more []string
	if k.opts.User != "" {
		listeners = append(listeners, "SASL://"+loopback(ports[2]))
		more = append(more, "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512",
			fmt.Sprintf("listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_%s=%q;", k.opts.User, k.opts.Password),
			"listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;")
	}
	if k.opts.Certificate != "" {
		listeners = append(listeners, "TLS://"+loopback(ports[3]))
		pem := strings.ReplaceAll(k.certificate, "\n", `\n`) // each setting finds its part in it
		more = append(more, "listener.name.tls.ssl.keystore.type=PEM",
			"listener.name.tls.ssl.keystore.key="+pem, "listener.name.tls.ssl.keystore.certificate.chain="+pem)
	}
	replicas := min(k.brokers, 3)
	return strings.Join(append([]string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", id),
		"controller.quorum.voters=" + strings.Join(k.voters, ","),
		"controller.listener.names=CONTROLLER",
		"listeners=" + strings.Join(listeners, ","),
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL",
		"inter.broker.listener.name=PLAIN",
		"log.dirs=" + filepath.Join(dir, "data"),
		"auto.create.topics.enable=false",
		"offsets.topic.num.partitions=4",
		fmt.Sprintf("offsets.topic.replication.factor=%d", replicas),
		fmt.Sprintf("default.replication.factor=%d", replicas),
		fmt.Sprintf("min.insync.replicas=%d", (replicas+2)/2),
		"group.initial.rebalance.delay.ms=0",
		"group.min.session.timeout.ms=500",
		"log.cleaner.dedupe.buffer.size=16777216",
		"num.network.threads=2",
		"num.io.threads=4",
	}, more...), "\n") + "\n"
}

// kafkaAnswers asks a broker for the versions of the protocol that it speaks, the question that every client begins with.
func kafkaAnswers(ctx context.Context, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was left to say
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	// Size, then api 18 (ApiVersions) version 0, correlation 1, no client id.
	if _, err := conn.Write([]byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff}); err != nil {
		return err
	}
	var head [10]byte // size, correlation, error
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if code := binary.BigEndian.Uint16(head[8:]); code != 0 {
		return fmt.Errorf("kafka at %s answers with error %d", addr, code)
	}
	return nil
}
