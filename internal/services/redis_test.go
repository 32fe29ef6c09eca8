package services

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRedisKeepsDataOverKill(t *testing.T) {
	ctx := t.Context()
	r, err := StartRedis(ctx, t.TempDir(), "redis", RedisOptions{AOF: "always", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Kill(); err != nil {
			t.Error(err)
		}
	})
	if _, err := r.Do(ctx, "SET", "key", "value"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Kill(), r.Start(ctx)); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Do(ctx, "GET", "key"); err != nil || got != "value" {
		t.Errorf("after the restart: %q, %v", got, err)
	}
}

func TestRedisClusterFailsOver(t *testing.T) {
	ctx := t.Context()
	c, err := StartRedisCluster(ctx, t.TempDir(), 3, 1, RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
	})
	if err := c.Nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = until(wait, "the replica to take over", func() error {
		role, err := c.Nodes[3].Do(wait, "ROLE")
		if err == nil && !strings.HasPrefix(role, "master") {
			err = errors.New(role)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
