package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seqrec/internal/baseline"
	"seqrec/internal/train"
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
	if l := p.WithDefaults().Train.Loss; l.Negatives != 256 || *l.Calibration != 0.75 {
		t.Errorf("loss %+v: want the defaults of gbce", l)
	}
}

// TestZerosAreNotDefaults holds that a zero that was asked for is taken or
// refused, on the command line and in the file, and never something else.
func TestZerosAreNotDefaults(t *testing.T) {
	for flag, holds := range map[string]func(train.Plan) bool{
		"session-length": func(p train.Plan) bool { return p.KNN.SessionLength == baseline.Whole },
		"calibration":    func(p train.Plan) bool { return p.Train.Loss.Beta(1000) == 1 },
		"valid-cases":    func(p train.Plan) bool { return p.ValidCases == train.AllCases },
		"patience":       func(p train.Plan) bool { return p.Patience == 0 },
		"dropout":        func(p train.Plan) bool { return p.Model.Dropout == 0 },
		"init-std":       func(p train.Plan) bool { return p.Model.InitStd == 0 },
		"clip-norm":      func(p train.Plan) bool { return p.Train.ClipNorm == 0 },
	} {
		eachWay(t, flag, "0", func(c *trainCmd) {
			p, err := c.plan()
			if err != nil {
				t.Errorf("--%s 0: %v", flag, err)
			} else if !holds(p.WithDefaults()) {
				t.Errorf("--%s 0 is replaced by something else", flag)
			}
		}, "--recipe", "sasrec-gbce", "--split", "temporal")
	}
	for flag, zero := range map[string]string{
		"epochs": "0", "eval-every": "0", "width": "0", "blocks": "0", "heads": "0", "length": "0", "hidden": "0", "key-width": "0", "batch-size": "0",
		"rate": "0", "beta1": "0", "beta2": "0", "negatives": "0", "neighbours": "0", "sessions": "0", "layout": "", "loss": "", "schedule": "",
	} {
		eachWay(t, flag, zero, func(c *trainCmd) {
			if _, err := c.plan(); !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "--"+flag+" ") {
				t.Errorf("--%s %q: error %v, want one of usage that names the flag", flag, zero, err)
			}
		})
	}
	eachWay(t, "test-share", "0", func(c *trainCmd) {
		if _, err := c.plan(); !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "test share") {
			t.Errorf("--test-share 0: error %v", err)
		}
	}, "--split", "temporal")
}

// eachWay gives a flag its value on the command line, then in the file.
func eachWay(t *testing.T, flag, value string, check func(*trainCmd), args ...string) {
	t.Helper()
	for _, way := range []struct {
		file string
		args []string
	}{{"", append(args, "--"+flag+"="+value)}, {flag + ": \"" + value + "\"\n", args}} {
		c, err := parsed(t, way.file, way.args...)
		if err != nil {
			t.Fatal(err)
		}
		check(c)
	}
}

// TestWorkersBelowNone: every command refuses them before it reads anything,
// wherever they come from.
func TestWorkersBelowNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("workers: -1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{
		"study --data x.csv", "train --data x.csv --registry r", "train --data x.csv --registry r --recipe dare", "evaluate --data x.csv --registry r",
		"compare a b --data x.csv --registry r", "publish config.go --data x.csv --registry r", "nightly --source x --registry r",
	} {
		for _, how := range []string{"--workers=-1", "--config=" + file} {
			o := trainjob(t, append(strings.Fields(command), how)...)
			if o.code != exitUsage || !strings.Contains(o.errors, "--workers is -1") {
				t.Errorf("%s %s: exit code %d, %s", command, how, o.code, o.errors)
			}
		}
	}
}
