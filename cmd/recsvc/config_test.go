package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seqrec/internal/httpapi"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "recsvc.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestConfigPrintShowsOrigins(t *testing.T) {
	file := writeFile(t, "registry: /from/file\nlisten:\n  data: 127.0.0.1:1\n  probes: 127.0.0.1:2\nauth:\n  origins: [https://a, https://b]\nlog: {level: warn}\n")
	environ := []string{"RECSVC_CONFIG=" + file, "RECSVC_LISTEN_PROBES=127.0.0.1:3", "RECSVC_LISTEN_ADMIN=127.0.0.1:4", "RECSVC_AUTH_KEY=hush", "RECSVC_SERVICE_HOST=10.0.0.1"}
	code, out, errs := execute(t, environ, "config", "print", "--listen-admin=127.0.0.1:5")
	if code != 0 {
		t.Fatalf("%d: %s", code, errs)
	}
	for _, want := range []string{
		"registry /from/file file " + file + ":1",
		"listen.data 127.0.0.1:1 file " + file + ":3",
		"listen.probes 127.0.0.1:3 environment RECSVC_LISTEN_PROBES",
		"listen.admin 127.0.0.1:5 flag --listen-admin",
		"auth.key ****** environment RECSVC_AUTH_KEY",
		"auth.origins https://a,https://b file " + file + ":6",
		"log.level WARN file " + file + ":7",
		"model.max_batch 32 default",
		"history.ttl 0s default",
	} {
		if !strings.Contains(squeeze(out), want) {
			t.Errorf("missing %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "hush") {
		t.Error("the secret is printed")
	}
}

// squeeze makes each run of spaces one.
func squeeze(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(l), " ")
	}
	return strings.Join(lines, "\n")
}

func TestConfigCheckReportsAllFaultsAtOnce(t *testing.T) {
	cases := []struct {
		name, text string
		environ    []string
		args       []string
		want       []string
	}{
		{"everything", "registri: x\nlisten: {data: 1, dta: 2}\nwatch: soon\nlimits:\n  body: many\n  body: 3\nmodel: 7\nauth: {origins: {a: b}}\n",
			[]string{"RECSVC_LIMITS_RATE=fast", "RECSVC_LOG_LEVEL=LOUD"}, nil,
			[]string{":1: there is no setting registri", ":2: there is no setting listen.dta", ":3: watch:", ":5: limits.body:", ":6: limits.body is given twice", ":7: model must hold", ":8: auth.origins must be", "RECSVC_LIMITS_RATE:", "RECSVC_LOG_LEVEL:", "listen.data: must be host:port"}},
		{"values", "limits: {in_flight: -1}\nlisten: {admin: nowhere}\nstore: \"\"\n", nil, nil,
			[]string{"limits.in_flight: must not be negative", "listen.admin: must be host:port", "store: must name"}},
		{"both keys", "auth: {key: a, key_file: b}\n", nil, nil, []string{"auth.key: must not be set together"}},
		{"Kafka", "kafka: {brokers: [a], tls: maybe, drain: 1h}\n", []string{"RECSVC_KAFKA_INGEST=often"}, []string{"--kafka-start=noon", "--kafka-user=ann"},
			[]string{"kafka.tls:", "RECSVC_KAFKA_INGEST:", "kafka.start:", `kafka brokers: must be host:port, is "a"`, "kafka drain:", "kafka sasl:"}},
		{"Kafka's passwords", "kafka: {brokers: [a:1], sasl: PLAIN, user: ann, password: a, password_file: b}\n", nil, nil, []string{"kafka.password: must not be set together"}},
		{"Redis beside others", "redis: {addresses: [\"a:1\"], prefix: \"a:b\"}\nlimits: {in_flight: -1}\n", nil, nil, []string{"limits.in_flight:", `Prefix "a:b"`}},
		{"ingest without Kafka", "kafka: {ingest: true}\n", nil, nil, []string{"kafka.ingest: needs kafka.brokers"}},
		{"not YAML", "a: [", nil, nil, []string{"read configuration"}},
		{"a list", "- a\n", nil, nil, []string{"the document must hold keys"}},
		{"null", "registry:\n", nil, nil, []string{"registry must be a plain value"}},
		{"two documents", "registry: a\n---\nstore: b\n", nil, nil, []string{"one document"}},
		{"no such flag", "", nil, []string{"--listen-dta=x"}, []string{"--listen-dta"}},
		{"no such format", "log: {format: xml}\n", nil, nil, []string{":1: log.format: \"xml\" is not one of"}},
		{"clashes", "listen: {data: \"127.0.0.1:99999\", admin: \"127.0.0.1:7\", probes: \"127.0.0.1:7\"}\nmodel: {reserve: 99h}\n", nil, nil,
			[]string{"listen.data: must be host:port", "listen.probes: must not be the address of listen.admin", "model.reserve: must be shorter"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"config", "check", "--config", writeFile(t, c.text)}, c.args...)
			code, out, errs := execute(t, c.environ, args...)
			if code != 2 {
				t.Errorf("exit code %d: %s", code, out)
			}
			for _, want := range c.want {
				if !strings.Contains(errs, want) {
					t.Errorf("missing %q in\n%s", want, errs)
				}
			}
		})
	}
	keys := writeFile(t, "- {name: a, sha256: zz, scopes: [foo], rate: -3}\n- {name: a, sha256: ff}\n")
	if code, _, errs := execute(t, nil, "config", "check", "--auth-keys", keys); code != 1 || strings.Count(errs, "64 hexadecimal") != 2 ||
		!strings.Contains(errs, `"foo"`) || !strings.Contains(errs, "negative") || !strings.Contains(errs, "another key has this name") {
		t.Errorf("keys: %d %s", code, errs)
	}
	if code, out, errs := execute(t, nil, "config", "check"); code != 0 || !strings.Contains(out, "sound") {
		t.Errorf("defaults: %d %s", code, errs)
	}
	if code, _, errs := execute(t, nil, "config", "check", "--config=/no/such/file"); code != 2 || !strings.Contains(errs, "/no/such/file") {
		t.Errorf("missing file: %d %s", code, errs)
	}
	if code, _, errs := execute(t, nil, "config", "check", "--listen-admin=:1"); code != 1 || !strings.Contains(errs, "listen.admin") {
		t.Errorf("open admin plane: %d %s", code, errs)
	}
}

func FuzzConfigFile(f *testing.F) {
	f.Add("registry: a\nlisten: {data: \":1\"}\n")
	f.Add("auth: {origins: [a, b]}\n---\n")
	f.Add("a: &a [*a]\n<<: *a\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		l := layers{}
		known := map[string]bool{}
		settings := settingsOf(&Config{})
		for _, s := range settings {
			known[s.flag] = true
		}
		l.readFile(file, settings)
		for flag := range l {
			if !known[flag] {
				t.Errorf("unknown flag %q got a value", flag)
			}
		}
	})
}

func TestKeysFile(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	good := writeFile(t, "- {name: shop, sha256: "+sum+", scopes: [predict, events], rate: 5, burst: 9}\n- {name: ops, sha256: "+sum+", scopes: [admin]}\n")
	keys, err := readKeys(&AuthConfig{Keys: good})
	if err != nil || len(keys) != 2 || keys[0].Rate != 5 || !canOperate(keys) || canOperate(keys[:1]) {
		t.Errorf("%+v, %v", keys, err)
	}
	for name, text := range map[string]string{
		"empty": "", "not a list": "name: a\n", "unknown field": "- {title: a}\n", "no YAML": "- [", "no keys": "[]\n",
	} {
		if _, err := readKeys(&AuthConfig{Keys: writeFile(t, text)}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := readKeys(&AuthConfig{KeyFile: writeFile(t, "\n")}); err == nil {
		t.Error("an empty key file: accepted")
	}
}

func TestHelpAndVersion(t *testing.T) {
	code, out, _ := execute(t, nil, "--help")
	for _, want := range []string{"recsvc demo", "curl", "RECSVC_LISTEN_DATA", "SEQREC_CPU", "Exit codes"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("--help (%d) lacks %q:\n%s", code, want, out)
		}
	}
	if code, out, errs := execute(t, nil, "serve", "--help"); code != 0 || !strings.Contains(out, "--model-max-batch") {
		t.Errorf("serve --help: %d\n%s%s", code, out, errs)
	}
	if code, out, _ := execute(t, nil, "version"); code != 0 || !strings.Contains(out, "cpu ") {
		t.Errorf("version: %d\n%s", code, out)
	}
	if code, _, errs := execute(t, []string{"SEQREC_CPU=abacus"}, "version"); code != 2 || !strings.Contains(errs, "SEQREC_CPU") {
		t.Errorf("an unknown instruction set: %d %s", code, errs)
	}
	if code, _, _ := execute(t, nil); code != 2 {
		t.Errorf("no command: %d", code)
	}
}

// FuzzKeysFile: whatever the file of keys holds, there are sound keys or an error.
func FuzzKeysFile(f *testing.F) {
	for _, text := range []string{
		"- {name: a, sha256: " + strings.Repeat("0f", 32) + ", scopes: [predict], rate: 2, burst: 3}\n", "", "[]", "- 1", "a: b", "- {name: [x]}", "- &a {name: *a}", "- {rate: .nan}",
	} {
		f.Add([]byte(text))
	}
	file := filepath.Join(f.TempDir(), "keys.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := readKeys(&AuthConfig{Keys: file})
		if err == nil {
			err = httpapi.CheckKeys(keys)
		}
		if err == nil && len(keys) == 0 {
			t.Fatalf("%q opens the door", data)
		}
	})
}

// TestRerankHistory: the second stage searches no more than the store keeps.
func TestRerankHistory(t *testing.T) {
	for _, c := range []struct{ want, folder, redis, got int }{
		{want: 100_000, folder: 100_000, redis: 10_000, got: 100_000},
		{want: 100_000, folder: 2000, redis: 10_000, got: 2000},
		{want: 1000, folder: 2000, got: 1000},
		{want: 1000, folder: 0, got: 1000},
	} {
		config := Config{Model: ModelConfig{RerankHistory: c.want}, History: HistoryConfig{Cap: c.folder}, Redis: RedisConfig{Cap: c.redis}}
		if got := config.recommend().RerankHistory; got != c.got {
			t.Errorf("%+v: %d", c, got)
		}
		if config.Redis.Addresses = []string{"redis:6379"}; c.redis > 0 && config.recommend().RerankHistory != min(c.want, c.redis) {
			t.Errorf("%+v: %d in Redis", c, config.recommend().RerankHistory)
		}
	}
}
