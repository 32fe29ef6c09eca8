package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seqrec/internal/registry"
	"seqrec/internal/services"
)

// startRedis starts a Redis for one test.
func startRedis(t *testing.T, o services.RedisOptions) *services.Redis {
	t.Helper()
	r, err := services.StartRedis(t.Context(), t.TempDir(), "redis", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Kill(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// publishCurrent publishes a model that can be served at once.
func publishCurrent(t *testing.T, dir string) {
	t.Helper()
	reg, err := registry.Open(filepath.Join(dir, "registry"))
	if err != nil {
		t.Fatal(err)
	}
	version, err := publishBench(reg, 1)
	if err == nil {
		err = reg.Promote(version)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestRedisAway takes Redis away under a service, by a hang and by a kill: predictions degrade and say so, the service is
// not ready, nothing fails, and all is well when Redis is back. Two servers share what it holds.
func TestRedisAway(t *testing.T) {
	dir := t.TempDir()
	publishCurrent(t, dir)
	redis := startRedis(t, services.RedisOptions{AOF: "always", Password: "s3cret"})
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := serveArgs(dir, "--redis-addresses="+redis.Addr, "--redis-password-file="+secret, "--redis-timeout=200ms")
	r, other := run(t, nil, args...), run(t, nil, args...)
	predict := func(from *running, body string) (a answer) {
		t.Helper()
		if err := call(t.Context(), "POST", "http://"+from.Data+"/v1/predict", "", []byte(body), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	predict(r, `{"user":"ann","k":3,"events":[{"item":"item-7","time":1700000000000}]}`)
	for what, fault := range map[string]struct{ away, back func() error }{
		"hangs": {redis.Pause, redis.Resume},
		"ends":  {redis.Kill, func() error { return redis.Start(context.Background()) }},
	} {
		if a := predict(other, `{"user":"ann","k":3}`); a.Degraded != nil || a.History.Used != 1 {
			t.Fatalf("before it %s: %+v", what, a)
		}
		if err := fault.away(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if a := predict(r, `{"user":"ann","k":3}`); a.Degraded == nil || len(a.Items) != 3 {
				t.Errorf("while it %s: %+v, want a degraded answer", what, a)
			}
			if a := predict(r, `{"history":[{"item":"item-7"}],"k":3}`); a.Degraded != nil || a.Rung != "model" {
				t.Errorf("with a bare history while it %s: %+v", what, a)
			}
		}
		if got := status(t, "http://"+r.Probes+"/readyz"); got != 503 {
			t.Errorf("readyz while it %s: %d", what, got)
		}
		if err := fault.back(); err != nil {
			t.Fatal(err)
		}
		await(t, "http://"+r.Probes+"/readyz", 200)
		await(t, "http://"+other.Probes+"/readyz", 200)
		if a := predict(r, `{"user":"ann","k":3}`); a.Degraded != nil || a.History.Used != 1 {
			t.Errorf("after it %s: %+v", what, a)
		}
	}
	if metrics := text(t, "http://"+r.Probes+"/metrics"); !strings.Contains(metrics, `recsvc_store_errors_total{reason="unavailable"}`) &&
		!strings.Contains(metrics, `recsvc_store_errors_total{reason="timeout"}`) {
		t.Error("no metric counts the errors")
	}
	if strings.Contains(r.err.String(), "s3cret") {
		t.Error("the password is in the log")
	}
}

// TestRedisAbsentAtStart: a service starts without Redis and serves once it is there.
func TestRedisAbsentAtStart(t *testing.T) {
	dir := t.TempDir()
	publishCurrent(t, dir)
	redis := startRedis(t, services.RedisOptions{})
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	r := run(t, nil, serveArgs(dir, "--redis-addresses="+redis.Addr)...)
	if got := status(t, "http://"+r.Probes+"/readyz"); got != 503 {
		t.Errorf("readyz without Redis: %d", got)
	}
	if err := redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "http://"+r.Probes+"/readyz", 200)
}

func TestRedisSettings(t *testing.T) {
	redis := startRedis(t, services.RedisOptions{Password: "right"})
	for want, more := range map[string][]string{
		"redis.password: must not": {"--redis-addresses=a:1", "--redis-password=x", "--redis-password-file=y"},
		"redis.ca: needs":          {"--redis-addresses=a:1", "--redis-ca=x"},
		"redis.addresses: must":    {"--redis-cluster"},
		"not host:port":            {"--redis-addresses=nowhere"},
		"check username":           {"--redis-addresses=" + redis.Addr, "--redis-password=wrong"},
		"set a password":           {"--redis-addresses=" + redis.Addr},
	} {
		if code, _, errs := execute(t, nil, serveArgs(t.TempDir(), more...)...); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %s, want %q", more, code, errs, want)
		}
	}
}

// text reads a page.
func text(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
