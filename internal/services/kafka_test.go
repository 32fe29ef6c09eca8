package services

import (
	"os"
	"strings"
	"testing"
)

// TestKafkaRestarts starts a broker, kills it, and starts it again on its data.
func TestKafkaRestarts(t *testing.T) {
	k, err := StartKafka(t.Context(), KafkaOptions{Dir: t.TempDir(), User: "ann", Password: "s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Kill(); err != nil {
			t.Error(err)
		}
	})
	if len(k.Addresses) != 1 || len(k.SASL) != 1 || len(k.TLS) != 0 {
		t.Errorf("listeners: %v %v %v", k.Addresses, k.SASL, k.TLS)
	}
	if err := k.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := kafkaAnswers(t.Context(), k.Addresses[0]); err == nil {
		t.Error("it answers after the kill")
	}
	if err := k.Brokers[0].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestKafkaVersion: the script that fetches the jars reads the version elsewhere.
func TestKafkaVersion(t *testing.T) {
	pom, err := os.ReadFile("../../tools/kafka/pom.xml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(pom), "<kafka.version>"+KafkaVersion+"</kafka.version>") {
		t.Errorf("tools/kafka/pom.xml is not about version %s", KafkaVersion)
	}
}
