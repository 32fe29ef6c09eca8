package main

import (
	"strings"
	"testing"
)

func TestPlanCommand(t *testing.T) {
	code, out, errs := execute(t, nil, "plan", "--users=1000000", "--events=50")
	if code != 0 || !strings.Contains(out, "used_memory") || !strings.Contains(out, "maxmemory") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if code, _, errs := execute(t, nil, "plan", "--users=0", "--events=50"); code != 1 || !strings.Contains(errs, "above zero") {
		t.Errorf("no users: %d %s", code, errs)
	}
}

// What the service does not keep is not counted, and its cap is that of the service unless told.
func TestPlanCommandCap(t *testing.T) {
	plan := func(args ...string) (out string, capped bool) {
		t.Helper()
		code, out, errs := execute(t, nil, append([]string{"plan", "--users=1000"}, args...)...)
		if code != 0 {
			t.Fatalf("%v: %d %s", args, code, errs)
		}
		if note, table, ok := strings.Cut(out, "redis.cap.\n\n"); ok {
			if !strings.Contains(note, "newest") {
				t.Errorf("%v says %q", args, note)
			}
			return table, true
		}
		return out, false
	}
	if code, out, errs := execute(t, nil, "config", "print"); code != 0 || !strings.Contains(squeeze(out), "redis.cap 10000 default") {
		t.Errorf("the service's default is another one: %d %s%s", code, out, errs)
	}
	all, capped := plan("--events=10000")
	if capped {
		t.Error("nothing was above the cap")
	}
	if more, capped := plan("--events=1000000"); !capped || more != all {
		t.Errorf("above the cap:\n%s\nat the cap:\n%s", more, all)
	}
	if more, capped := plan("--events=1000000", "--cap=200"); !capped || more == all {
		t.Errorf("with a cap of 200:\n%s", more)
	}
	if code, _, errs := execute(t, nil, "plan", "--users=1", "--events=1", "--cap=0"); code != 1 || !strings.Contains(errs, "above zero") {
		t.Errorf("a cap of 0: %d %s", code, errs)
	}
}
