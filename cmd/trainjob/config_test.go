package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// parsed gives the train command that arguments and a config file make.
func parsed(t *testing.T, file string, args ...string) (*trainCmd, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "train.yaml")
	if err := os.WriteFile(path, []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"train", "--config", path, "--data", "d", "--registry", "r"}, args...)
	c, _, err := parse(args, io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	return c.(*trainCmd), nil
}

func TestOrderOfSettings(t *testing.T) {
	t.Setenv("TRAINJOB_WIDTH", "48")
	t.Setenv("TRAINJOB_EPOCHS", "7")
	c, err := parsed(t, "width: 32\nepochs: 5\nbatch_size: 16\nrate: 1e-2\noutput-bias: true\nkinds: [view, buy]\nseed: 9\n", "--epochs", "3")
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.plan()
	if err != nil {
		t.Fatal(err)
	}
	if p.Epochs != 3 {
		t.Errorf("epochs %d: a flag is above the environment", p.Epochs)
	}
	if p.Model.Width != 48 {
		t.Errorf("width %d: the environment is above the file", p.Model.Width)
	}
	if p.Batch != 16 || p.Schedule.Rate != 0.01 || p.Seed != 9 || !p.Model.OutputBias || strings.Join(p.Data.Kinds, " ") != "view buy" {
		t.Errorf("the file is above the recipe: batch %d, rate %v, seed %d, kinds %v", p.Batch, p.Schedule.Rate, p.Seed, p.Data.Kinds)
	}
	r, err := findRecipe("sasrec-ce")
	if err != nil {
		t.Fatal(err)
	}
	if p.Model.Blocks != r.plan.Model.Blocks || p.Patience != r.plan.Patience {
		t.Errorf("what nobody names is the recipe's: %d blocks, patience %d", p.Model.Blocks, p.Patience)
	}
}

func TestConfigFaults(t *testing.T) {
	for name, tt := range map[string]struct{ file, says string }{
		"unknown keys":       {"widht: 3\ncolour: red\n", "yaml:1: no flag is called widht|yaml:2: no flag is called colour"},
		"not YAML":           {"width: [\n", "read config"},
		"two documents":      {"width: 1\n---\nwidth: 2\n", "one document"},
		"a list":             {"- width\n", "yaml:1: the document"},
		"a mapping inside":   {"width: {a: 1}\n", "yaml:1: width: want a plain value"},
		"nothing":            {"width:\n", "yaml:1: width: want a plain value"},
		"twice":              {"batch-size: 1\nbatch_size: 2\n", "yaml:2: batch_size is given twice"},
		"twice the same key": {"width: 1\nwidth: 2\n", "yaml:2: width is given twice"},
		"a list of lists":    {"kinds: [[a]]\n", "plain values"},
		"wrong types":        {"\nwidth: wide\noutput_bias: maybe\ncheckpoint-every: 3 dogs\nrate: 1e-3\n", "yaml:2: width: |yaml:3: output_bias: |yaml:4: checkpoint-every: "},
		"bad values":         {"split: sideways\n", `yaml:1: split: "sideways" is not one of leave-one-out, temporal`},
		"all at once":        {"widht: 3\nrate: fast\nsplit: sideways\nseed: 1\nseed: 2\n", "yaml:1: |yaml:2: |yaml:3: |yaml:5: "},
	} {
		_, err := parsed(t, tt.file)
		for _, says := range strings.Split(tt.says, "|") {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: error %v, want %q", name, err, says)
			}
		}
	}
	if _, _, err := parse([]string{"list", "--config=/nowhere.yaml", "--registry", "r"}, io.Discard, io.Discard); err == nil {
		t.Error("a missing file is no error")
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("width: 3\nkinds: [a, b]\n")
	f.Add("? [1]\n: 2\n")
	f.Add("a: &x [*x]\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := &config{path: "f", values: map[string]entry{}}
		_ = c.parse([]byte(text)) // must not panic, whatever it says
	})
}

func TestAnotherLossHasItsOwnNegatives(t *testing.T) {
	c, err := parsed(t, "", "--recipe", "sasrec-sampled", "--loss", "gbce")
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.plan()
	if err != nil {
		t.Fatal(err)
	}
	if l := p.WithDefaults().Train.Loss; l.Negatives != 256 || l.Calibration != 0.75 {
		t.Errorf("loss %+v: want the defaults of gbce", l)
	}
}
