package main

import (
	"strings"
	"testing"
)

// Figures over items that no model knows are zeros that look like a result.
func TestDataOfAnotherCatalogue(t *testing.T) {
	data, reg := world(t), t.TempDir()
	a := must(t, "train", "--data", data, "--registry", reg, "--recipe", "popularity", "--min-item-count", "12").last(t)["version"].(string)
	b := must(t, "train", "--data", data, "--registry", reg, "--recipe", "markov", "--min-item-count", "0").last(t)["version"].(string)
	o := must(t, "compare", a, b, "--data", data, "--registry", reg, "--min-item-count", "0")
	if strings.Count(o.errors, "unknown to the model of version "+a) != 1 || strings.Count(o.errors, "counted as misses") != 1 {
		t.Errorf("compare does not say that %s knows less:\n%s", a, o.errors)
	}
	var rows strings.Builder
	rows.WriteString("user_id,item_id\n")
	for _, u := range []string{"u", "v"} {
		for _, i := range []string{"x", "y", "z"} {
			rows.WriteString(u + "," + i + "\n")
		}
	}
	other := dataFile(t, "log.csv", rows.String())
	for _, args := range [][]string{{"compare", a, b}, {"evaluate"}} {
		o := trainjob(t, append(args, "--data", other, "--registry", reg, "--min-item-count", "0")...)
		if o.code != exitFailed || o.out != "" || !strings.Contains(o.errors, "none of the 3 items") {
			t.Errorf("%s: exit code %d\n%s%s", args[0], o.code, o.errors, o.out)
		}
	}
}
