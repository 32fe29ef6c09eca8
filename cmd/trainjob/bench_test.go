package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPageKeepsOtherRows(t *testing.T) {
	page := "# Benchmarks\n\nWords.\n\n## recsvc bench\n\n| row | value |\n|---|---|\n| rest-p50 | 1 |\n"
	page = withRow(page, "trainjob bench speed", "gemm-avx2", "| gemm-avx2 | 70 |\n")
	page = withRow(page, "trainjob bench quality", "q-beauty", "| q-beauty | 0.05 |\n")
	page = withRow(page, "trainjob bench speed", "gemm-avx512", "| gemm-avx512 | 110 |\n")
	page = withRow(page, "trainjob bench speed", "gemm-avx2", "| gemm-avx2 | 75 |\n")
	want := "# Benchmarks\n\nWords.\n\n## recsvc bench\n\n| row | value |\n|---|---|\n| rest-p50 | 1 |\n" +
		"\n## trainjob bench speed\n\n" + tableHead + "| gemm-avx512 | 110 |\n| gemm-avx2 | 75 |\n" +
		"\n## trainjob bench quality\n\n" + tableHead + "| q-beauty | 0.05 |\n"
	if page != want {
		t.Errorf("page:\n%s\nwant:\n%s", page, want)
	}
}

// benchLines reads the BENCH lines of an output.
func benchLines(t *testing.T, out string) map[string]row {
	t.Helper()
	rows := map[string]row{}
	for line := range strings.Lines(out) {
		text, ok := strings.CutPrefix(line, "BENCH ")
		if !ok {
			continue
		}
		var r row
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		rows[r.Row] = r
	}
	return rows
}

func TestBenchSpeed(t *testing.T) {
	page := filepath.Join(t.TempDir(), "benchmarks.md")
	if err := os.WriteFile(page, []byte("# Benchmarks\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o := must(t, "bench", "speed", "--only", "allocs-predict,encode-ms-50", "--write", page)
	rows := benchLines(t, o.out)
	if rows["allocs-predict"].Value != 0 {
		t.Errorf("a prediction allocates %v times", rows["allocs-predict"].Value)
	}
	if rows["encode-ms-50"].Value <= 0 || len(rows) != 2 {
		t.Errorf("rows %v", rows)
	}
	if text := readFile(t, page); !strings.Contains(text, "| encode-ms-50 | ") || !strings.Contains(text, "`trainjob bench speed --only encode-ms-50`") {
		t.Errorf("page:\n%s", text)
	}
	if o := trainjob(t, "bench", "speed", "--only", "warp", "--write", ""); o.code != exitUsage {
		t.Errorf("an unknown row: exit code %d", o.code)
	}
}

func TestBenchQualityOnASmallWorld(t *testing.T) {
	sets := t.TempDir()
	for _, name := range []string{"ml-1m", "amazon-beauty"} {
		if err := os.Rename(world(t), filepath.Join(sets, name)); err != nil {
			t.Fatal(err)
		}
	}
	o := must(t, "bench", "quality", "--data", sets, "--only", "q-baselines,q-beauty", "--seeds", "1,2", "--epochs", "1", "--write", "")
	rows := benchLines(t, o.out)
	if len(rows) != 2 || rows["q-beauty"].Value <= 0 || len(rows["q-beauty"].Detail["ndcg@10"].([]any)) != 2 {
		t.Errorf("rows %v", rows)
	}
}

func TestEpochRatioNeedsPyTorch(t *testing.T) {
	sets := t.TempDir()
	if err := os.Rename(world(t), filepath.Join(sets, "ml-1m")); err != nil {
		t.Fatal(err)
	}
	o := trainjob(t, "bench", "speed", "--data", sets, "--only", "epoch-ratio", "--python", "/nowhere/python", "--write", "")
	if o.code != exitFailed || !strings.Contains(o.errors, "PyTorch could not be run") || strings.Contains(o.out, "BENCH") {
		t.Errorf("exit code %d\n%s%s", o.code, o.errors, o.out)
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{3: "3", 0.18342: "0.1834", 117.23: "117.2", 123456789: "123456789"} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v) = %s, want %s", v, got, want)
		}
	}
}
