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
