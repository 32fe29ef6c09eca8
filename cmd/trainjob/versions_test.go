package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seqrec/internal/registry"
)

func TestValidateSaysAFaultALineAndPruneRemovesIt(t *testing.T) {
	data, reg := world(t), t.TempDir()
	fit := func() string {
		return must(t, "train", "--data", data, "--registry", reg, "--recipe", "popularity").last(t)["version"].(string)
	}
	current, a, b := fit(), fit(), fit()
	for _, path := range []string{filepath.Join(a, registry.WeightsFile), filepath.Join(b, registry.VocabFile), filepath.Join(b, registry.WeightsFile)} {
		if err := os.Truncate(filepath.Join(reg, path), 1); err != nil {
			t.Fatal(err)
		}
	}
	o := trainjob(t, "validate", "--registry", reg)
	const advice = "roll back or promote"
	if o.code != exitFailed || strings.Count(o.errors, "corrupt: it has 1 bytes") != 3 || strings.Count(o.errors, advice) != 1 || strings.Count(o.errors, "\n") != 5 {
		t.Errorf("exit code %d, want a line a fault, one of advice and the sum:\n%s", o.code, o.errors)
	}
	if removed := must(t, "prune", "--broken", "--registry", reg).out; removed != b+"\n"+a+"\n" {
		t.Errorf("pruned %q", removed)
	}
	if o := must(t, "validate", "--registry", reg); !strings.Contains(o.out, current) {
		t.Errorf("what is whole is gone: %s", o.out)
	}
}
