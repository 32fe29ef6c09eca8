package kernel

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAssemblyKeepsItsRules reads the generated files. An old SSE instruction among
// AVX ones, in a routine or after it, costs a hundred times its normal price on
// some machines: vector registers are touched by V instructions only, and each
// return has cleared the upper halves.
func TestAssemblyKeepsItsRules(t *testing.T) {
	files, err := filepath.Glob("*_amd64.s")
	if err != nil || len(files) == 0 {
		t.Fatalf("no assembly found: %v", err)
	}
	old := regexp.MustCompile(`^\t[A-UW-Z]\w*\s.*\b[XYZ][0-9]+\b`)
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		before, routines := "", 0
		for i, line := range strings.Split(string(data), "\n") {
			if strings.HasPrefix(line, "TEXT") {
				routines++
				if !strings.Contains(line, "NOSPLIT, $0-") {
					t.Errorf("%s:%d: needs a stack frame: %s", name, i+1, line)
				}
			}
			if old.MatchString(line) {
				t.Errorf("%s:%d: old instruction: %s", name, i+1, line)
			}
			if strings.TrimSpace(line) == "RET" && before != "VZEROUPPER" {
				t.Errorf("%s:%d: returns after %q", name, i+1, before)
			}
			if s := strings.TrimSpace(line); s != "" {
				before = s
			}
		}
		if routines == 0 {
			t.Errorf("%s: no routines", name)
		}
	}
}
