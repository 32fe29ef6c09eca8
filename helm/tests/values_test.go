package tests

import (
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
)

// TestRefusedValues asks for an error that names the key.
func TestRefusedValues(t *testing.T) {
	for _, c := range []struct{ name, values, want string }{
		{"unknown key", `replica: 2`, "replica"},
		{"unknown key inside", `image: {repo: x}`, "repo"},
		{"unknown key of a list", `auth: {keys: [{name: a, sha: b}]}`, "sha"},
		{"text for a number", `replicas: two`, "replicas"},
		{"number for a text", `image: {tag: 1.10}`, "tag"},
		{"text for a switch", `ingress: {enabled: "yes"}`, "enabled"},
		{"negative", `replicas: -1`, "replicas"},
		{"too high a port", `service: {port: 70000}`, "port"},
		{"service type", `service: {type: ExternalName}`, "type"},
		{"pull policy", `image: {pullPolicy: Sometimes}`, "pullPolicy"},
		{"no image", `image: {repository: ""}`, "repository"},
		{"quantity", `store: {size: 10 GB}`, "size"},
		{"memory", `resources: {limits: {memory: 2GiB}}`, "memory"},
		{"resources", `resources: {limit: {memory: 2Gi}}`, "limit"},
		{"address without port", `redis: {addresses: [redis]}`, "addresses"},
		{"address with scheme", `kafka: {brokers: ["kafka://kafka:9092"]}`, "brokers"},
		{"sasl mechanism", `kafka: {saslMechanism: GSSAPI}`, "saslMechanism"},
		{"topic", `kafka: {topic: a b}`, "topic"},
		{"key hash", `auth: {keys: [{name: a, sha256: secret, scopes: [predict]}]}`, "sha256"},
		{"key scope", `auth: {keys: [{name: a, sha256: ` + strings.Repeat("0", 64) + `, scopes: [root]}]}`, "scopes"},
		{"key without scope", `auth: {keys: [{name: a, sha256: ` + strings.Repeat("0", 64) + `}]}`, "scopes"},
		{"models url", `models: {url: bucket/models}`, "url"},
		{"access mode", `models: {accessMode: ReadOnlyMany}`, "accessMode"},
		{"schedule", `training: {schedule: nightly}`, "schedule"},
		{"empty command", `training: {command: []}`, "command"},
		{"flag of the chart's own", `training: {flags: {registry: /x}}`, "registry"},
		{"setting of the chart's own", `config: {listen: {data: ":1"}}`, "listen"},
		{"gpu resource", `training: {gpuResource: gpu}`, "gpuResource"},
		{"share", `prometheusRule: {errorShare: 5}`, "errorShare"},
		{"interval", `serviceMonitor: {interval: often}`, "interval"},
		{"budget", `podDisruptionBudget: {maxUnavailable: half}`, "maxUnavailable"},
		{"labels", `podLabels: {a: 1}`, "podLabels"},
		{"object's name", `fullnameOverride: My_Service`, "fullnameOverride"},
		{"environment", `extraEnv: [{value: x}]`, "extraEnv"},
		{"drain", `drain: {timeoutSeconds: 0}`, "timeoutSeconds"},

		{"servers on an embedded store", `replicas: 2`, "replicas"},
		{"autoscaling on an embedded store", `autoscaling: {enabled: true}`, "autoscaling.enabled"},
		{"autoscaling upside down", `{redis: {addresses: ["r:1"]}, autoscaling: {enabled: true, minReplicas: 5, maxReplicas: 4}}`, "autoscaling.minReplicas"},
		{"ingesters on an embedded store", `{kafka: {brokers: ["k:1"]}, ingest: {separate: true}}`, "ingest.separate"},
		{"ingesters without Kafka", `{redis: {addresses: ["r:1"]}, ingest: {separate: true}}`, "ingest.separate"},
		{"KEDA without ingesters", `keda: {enabled: true}`, "keda.enabled"},
		{"cluster and Sentinel", `redis: {addresses: ["r:1"], cluster: true, masterName: m}`, "redis.cluster"},
		{"SASL without password", `kafka: {brokers: ["k:1"], saslMechanism: PLAIN}`, "kafka.existingSecret"},
		{"open admin plane without keys", `admin: {expose: true}`, "admin.expose"},
		{"Ingress without host", `ingress: {enabled: true}`, "ingress.hosts"},
		{"route without Gateway", `httpRoute: {enabled: true}`, "httpRoute.parentRefs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			values, err := common.ReadValues([]byte(c.values))
			if err != nil {
				t.Fatal(err)
			}
			_, err = render(t, values)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want an error that names %s, got %v", c.want, err)
			}
		})
	}
}
