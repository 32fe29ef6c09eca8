package main

import (
	"strings"
	"testing"

	"seqrec/internal/features"
)

// TestSecondStageFlags: a flag that a recipe has no use for is refused, and said.
func TestSecondStageFlags(t *testing.T) {
	for _, c := range []struct {
		recipe, want string
		flags        []string
	}{
		{"dare", "--split", []string{"--split", "temporal"}},
		{"dare", "--no-baselines", []string{"--no-baselines"}},
		{"dare", "opposite", []string{"--promote", "--hold"}},
		{"dare", "max-drop", []string{"--max-drop", "7"}},
		{"dare", "--heads", []string{"--heads", "2"}},
		{"dare", "--slate-negatives is 0", []string{"--slate-negatives", "0"}},
		{"dare", "--positives is 0", []string{"--positives", "0"}},
		{"dare", "--candidates is 5", []string{"--candidates", "5"}},
		{"dare", "--hard-negatives is -1", []string{"--hard-negatives=-1"}},
		{"dare", "auxiliary loss is -1", []string{"--auxiliary=-1"}},
		{"eta", "--auxiliary", []string{"--auxiliary", "0.5"}},
		{"eta", "--attention-width", []string{"--attention-width", "4"}},
		{"sdim", "--select", []string{"--select", "4"}},
		{"sdim", "--gaps", []string{"--gaps"}},
		{"popularity", "--first", []string{"--first", "latest"}},
		{"popularity", "--candidates", []string{"--candidates", "50"}},
	} {
		o := trainjob(t, append([]string{"train", "--data", "x.csv", "--registry", t.TempDir(), "--recipe", c.recipe}, c.flags...)...)
		if o.code != exitUsage || !strings.Contains(o.errors, c.want) {
			t.Errorf("%s %v: exit code %d, %s", c.recipe, c.flags, o.code, o.errors)
		}
	}
}

// TestSecondStageCommands: what has two stages is shown, judged and validated as
// such.
func TestSecondStageCommands(t *testing.T) {
	data, truth := features.LifelongWorld(1, features.LifelongOptions{Users: 60, History: 200, Items: 300})
	folder, reg := t.TempDir(), t.TempDir()
	if err := features.WriteFolder(folder, data, truth.Items); err != nil {
		t.Fatal(err)
	}
	must(t, "train", "--data", folder, "--registry", reg, "--recipe", "popularity", "--no-baselines")
	two := must(t, "train", "--data", folder, "--registry", reg, "--recipe", "dare", "--name", "both", "--epochs", "1", "--positives", "4", "--width", "4", "--rate", "0.05", "--hard-negatives", "1", "--auxiliary", "0").last(t)
	if two["promoted"] != false {
		t.Errorf("promoted unasked: %v", two)
	}
	o := must(t, "validate", "--registry", reg, "latest")
	if !strings.Contains(o.out, "popularity, then dare") {
		t.Errorf("validate: %s", o.out)
	}
	if o := must(t, "list", "--registry", reg); !strings.Contains(o.out, "baseline + 2nd stage") || !strings.Contains(o.out, "both") {
		t.Errorf("list: %s", o.out)
	}
	judged := must(t, "evaluate", "--data", folder, "--registry", reg, "--model", "latest").last(t)
	if two["blend"] != 0.0 && !strings.Contains(judged["model"].(string), "dare") || judged["ndcg@10"] != two["ndcg@10"] {
		t.Errorf("evaluate: %v, trained with %v", judged, two)
	}
}
