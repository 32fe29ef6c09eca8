package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"seqrec/internal/registry"
)

// onWord calls do once, when a word is written.
type onWord struct {
	word string
	once sync.Once
	do   func()
}

func (w *onWord) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(w.word)) {
		w.once.Do(w.do)
	}
	return len(b), nil
}

func TestTwoRunsOfOneFolder(t *testing.T) {
	data, reg := world(t), t.TempDir()
	var second, elsewhere, seeded outcome
	during := &onWord{word: "epoch   1", do: func() {
		second = trainjob(t, trainArgs(data, reg)...)
		elsewhere = trainjob(t, trainArgs(data, reg, "--work", t.TempDir(), "--hold")...)
		seeded = trainjob(t, trainArgs(data, reg, "--seed", "2", "--hold")...)
	}}
	if code := run(t.Context(), trainArgs(data, reg), &bytes.Buffer{}, during); code != exitDone {
		t.Errorf("the first run: exit code %d", code)
	}
	if second.code != exitFailed || second.out != "" {
		t.Errorf("the second run: exit code %d\n%s", second.code, second.errors)
	}
	for _, want := range []string{"another run of these settings is under way", fmt.Sprintf("process %d", os.Getpid()), "--work"} {
		if !strings.Contains(second.errors, want) {
			t.Errorf("the second run does not say %q:\n%s", want, second.errors)
		}
	}
	if elsewhere.code != exitDone || seeded.code != exitDone {
		t.Errorf("runs of other folders: exit codes %d, %d\n%s%s", elsewhere.code, seeded.code, elsewhere.errors, seeded.errors)
	}
	if left, _ := filepath.Glob(filepath.Join(reg, ".work", "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What is not reported is no way around the gate, and a floor holds for a first
// version too.
func TestGateHasNoWayAround(t *testing.T) {
	data, reg := world(t), t.TempDir()
	weak := func(more ...string) []string {
		return trainArgs(data, reg, append([]string{"--rate", "1e-9", "--epochs", "1"}, more...)...)
	}
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{weak("--promote", "--no-baselines"), exitRefused, "that of popularity is"},
		{weak("--min-ndcg", "0.9"), exitRefused, "below the floor of 0.9"},
		{weak("--min-ndcg", "0.9", "--hold"), exitDone, "published"},
		{weak(), exitDone, "nothing else can be served"}, // nobody named a floor
	} {
		o := trainjob(t, tt.args...)
		if o.code != tt.code || !strings.Contains(o.errors, tt.says) {
			t.Fatalf("%v: exit code %d, want %d saying %q\n%s", tt.args, o.code, tt.code, tt.says, o.errors)
		}
		if tt.says != "nothing else can be served" && o.last(t)["promoted"] != false {
			t.Errorf("%v: it was promoted", tt.args)
		}
	}
	alone := must(t, trainArgs(data, reg, "--no-baselines")...).last(t)
	if page := readFile(t, filepath.Join(reg, alone["version"].(string), registry.ReportHTMLFile)); strings.Contains(page, "vmis-knn") {
		t.Error("--no-baselines: the report has baselines")
	}
}
