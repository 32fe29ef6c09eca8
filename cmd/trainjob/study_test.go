package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// taobaoLog writes a log in Taobao's public form in which users stay in one of a
// few groups of items.
func taobaoLog(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	rng := rand.New(rand.NewPCG(1, 1))
	for user := range 120 {
		group := user % 6
		for i := range 40 {
			item := group*20 + rng.IntN(20)
			fmt.Fprintf(&b, "%d,%d,%d,pv,%d\n", user+1, item+1, item/40+1, 1511544000+i*600+user)
		}
	}
	path := filepath.Join(t.TempDir(), "UserBehavior.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestStudy compares two members on a log as it comes, and checks that both know
// more than chance.
func TestStudy(t *testing.T) {
	out := must(t, "study", "--data", taobaoLog(t), "--models", "dare,sdim", "--seeds", "1,2", "--min-events", "40", "--positives", "6", "--length", "30",
		"--select", "10", "--width", "8", "--epochs", "6", "--batch-size", "128", "--eval-every", "10")
	var got struct {
		Train  int       `json:"train_slates"`
		Test   int       `json:"test_slates"`
		Models []studied `json:"models"`
	}
	if err := json.Unmarshal([]byte(out.out), &got); err != nil {
		t.Fatalf("%v in %q", err, out.out)
	}
	if got.Train != 120*6 || got.Test != 120 || len(got.Models) != 2 {
		t.Fatalf("%+v", got)
	}
	for _, m := range got.Models {
		if len(m.AUC) != 2 || m.Interval == nil || len(m.Search) != 2 || !(m.Search[0] > 0 && m.Search[0] <= 1) || mean(m.AUC) < 0.6 {
			t.Errorf("%+v", m)
		}
	}
}

func TestStudyRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"--models", "sasrec"}, {"--width", "-1"}, {"--select", "-3"}, {"--epochs", "-1"}, {"--negatives", "-2"}, {"--rate", "-1"}, {"--attention-width", "100000"},
		{"--width", "0"}, {"--negatives", "0"}, {"--rate", "0"}, {"--min-events", "0"},
	} {
		if o := trainjob(t, append([]string{"study", "--data", "x.csv"}, args...)...); o.code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args, o.code, o.errors)
		}
	}
	for flags, want := range map[string]string{
		"--models ,":         `model "" is unknown`,
		"--models dare,dare": "dare is named twice",
		"--models ,dare":     `model "" is unknown`,
		"--seeds 1,2,1":      "1 is named twice",
	} {
		if o := trainjob(t, append([]string{"study", "--data", "x.csv"}, strings.Fields(flags)...)...); o.code != exitUsage || !strings.Contains(o.errors, want) {
			t.Errorf("%s: exit code %d, %s", flags, o.code, o.errors)
		}
	}
	if o := trainjob(t, "study", "--data", filepath.Join(t.TempDir(), "none.csv")); o.code != exitFailed {
		t.Errorf("no such file: exit code %d, %s", o.code, o.errors)
	}
}
