package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
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
