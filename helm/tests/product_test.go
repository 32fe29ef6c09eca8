package tests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// program builds one command of the tree and gives its path.
func program(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	build := exec.Command("go", "build", "-o", path, "./cmd/"+name)
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return path
}

// run gives what a command says.
func run(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}

// configs gives the files of that name in the rendered ConfigMaps, by ConfigMap.
func configs(all []object, file string) map[string]string {
	found := map[string]string{}
	for _, o := range all {
		if text, ok := o.at("data", file).(string); ok && o.kind() == "ConfigMap" {
			found[o.at("metadata", "name").(string)] = text
		}
	}
	return found
}

// settings writes a configuration for use outside a container: mounts become files below dir, addresses free ports.
func settings(t *testing.T, text, dir string) string {
	t.Helper()
	var config map[string]any
	if err := yaml.UnmarshalStrict([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	if config["redis"] == nil {
		config["store"] = "/var/lib/seqrec/history"
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	text = strings.NewReplacer("/etc/seqrec/", dir+"/etc/", "/var/lib/seqrec/", dir+"/var/").Replace(string(data))
	for name, content := range map[string]string{
		"etc/keys/keys.yaml":    "- {name: ops, sha256: " + strings.Repeat("0", 64) + ", scopes: [admin]}\n",
		"etc/redis/password":    "secret\n",
		"etc/kafka/password":    "secret\n",
		"etc/config/recsvc.yml": text,
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "etc/config/recsvc.yml")
}

// TestConfiguration gives every rendered configuration to the recsvc of this tree.
func TestConfiguration(t *testing.T) {
	recsvc := program(t, "recsvc")
	for _, name := range cases(t) {
		all := configs(objects(t, mustRender(t, readValues(t, name))), "recsvc.yaml")
		if len(all) == 0 {
			t.Errorf("%s: no configuration is rendered", name)
		}
		for component, text := range all {
			t.Run(name+"/"+component, func(t *testing.T) {
				if out, err := run(recsvc, "config", "check", "--config", settings(t, text, t.TempDir())); err != nil {
					t.Errorf("%v: %s\n%s", err, out, text)
				}
			})
		}
	}
	t.Run("an unknown key is seen", func(t *testing.T) {
		if out, err := run(recsvc, "config", "check", "--config", settings(t, "limits: {in_flights: 1}", t.TempDir())); err == nil {
			t.Errorf("recsvc says %s", out)
		}
	})
}

// TestTraining gives the rendered flags to the trainjob of this tree, which refuses names that no command has, and
// asks that it has the command.
func TestTraining(t *testing.T) {
	trainjob := program(t, "trainjob")
	for _, name := range []string{"embedded", "everything"} {
		all := objects(t, mustRender(t, readValues(t, name)))
		file := filepath.Join(t.TempDir(), "trainjob.yaml")
		for _, text := range configs(all, "trainjob.yaml") {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		i := slices.IndexFunc(all, func(o object) bool { return o.kind() == "CronJob" })
		spec, _ := pods(all[i])
		args := spec["containers"].([]any)[0].(map[string]any)["args"].([]any)
		command := []string{}
		for _, arg := range args {
			command = append(command, strings.ReplaceAll(arg.(string), "/etc/seqrec/config/trainjob.yaml", file))
		}
		// There is no /data here, so it fails; but not with 2, wrong usage.
		out, err := run(trainjob, append(command, "--registry", t.TempDir())...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out, "/data") {
			t.Errorf("%s: trainjob %v: %v: %s", name, args, err, out)
		}
	}
}

// service is a recsvc that runs on the chart's default configuration and a model that was made for it.
type service struct{ data, probes string }

func startService(t *testing.T) service {
	t.Helper()
	recsvc, dir := program(t, "recsvc"), t.TempDir()
	if out, err := run(recsvc, "demo", "--exit", "--epochs", "1", "--listen", "127.0.0.1:0", "--dir", dir+"/demo"); err != nil {
		t.Fatal(err, out)
	}
	text := configs(objects(t, mustRender(t, nil)), "recsvc.yaml")["shop-seqrec-serve"]
	cmd := exec.Command(recsvc, "serve", "--config", settings(t, text, dir), "--registry", dir+"/demo/models",
		"--listen-data", "127.0.0.1:0", "--listen-admin", "127.0.0.1:0", "--listen-probes", "127.0.0.1:0", "--drain-delay", "0s")
	lines, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	t.Cleanup(func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("recsvc ended with %v: %s", err, said.String())
		}
	})
	from := bufio.NewReader(io.TeeReader(lines, &said))
	for {
		line, err := from.ReadBytes('\n')
		if err != nil {
			t.Fatalf("recsvc does not listen: %s", said.String())
		}
		var l struct{ Msg, Data, Probes string }
		if json.Unmarshal(line, &l) == nil && l.Msg == "listening" {
			go io.Copy(io.Discard, from) //nolint:errcheck // ends with the process
			return service{"http://" + l.Data, "http://" + l.Probes}
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestService asks a running recsvc what the chart lets Kubernetes, Prometheus and `helm test` ask.
func TestService(t *testing.T) {
	s := startService(t)
	all := objects(t, mustRender(t, nil))
	for _, o := range all {
		spec, _ := pods(o)
		if spec == nil {
			continue
		}
		for _, c := range spec["containers"].([]any) {
			c := object(c.(map[string]any))
			for _, probe := range []string{"startupProbe", "readinessProbe", "livenessProbe"} {
				if path, ok := c.at(probe, "httpGet", "path").(string); ok {
					if code, body := get(t, s.probes+path); code != http.StatusOK {
						t.Errorf("%s %s: %d %s", probe, path, code, body)
					}
				}
			}
			if c["name"] == "predict" {
				askAsHelmTest(t, s, c["args"].([]any))
			}
		}
	}
	_, scraped := get(t, s.probes+"/metrics")
	checkMetrics(t, scraped)
}

// askAsHelmTest sends what the test pod's curl would.
func askAsHelmTest(t *testing.T, s service, args []any) {
	t.Helper()
	data := args[slices.Index(args, any("--data"))+1].(string)
	_, path, _ := strings.Cut(strings.TrimPrefix(args[len(args)-1].(string), "http://"), "/")
	resp, err := http.Post(s.data+"/"+path, "application/json", strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"items":[{`)) {
		t.Errorf("POST /%s %s: %d %s, %v", path, data, resp.StatusCode, body, err)
	}
}
