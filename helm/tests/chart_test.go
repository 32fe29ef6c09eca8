package tests

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite golden files and README.md")

const chartDir = ".."

// cases are the names of the values files.
func cases(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("want at least four values files, have %v, %v", files, err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".yaml")
	}
	return files
}

func readValues(t *testing.T, name string) map[string]any {
	t.Helper()
	values, err := common.ReadValuesFile("testdata/values/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// render gives the chart's files by template name, as `helm install shop --namespace recs` would.
func render(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	chart, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	release := common.ReleaseOptions{Name: "shop", Namespace: "recs", Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(chart, values, release, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, all)
}

func mustRender(t *testing.T, values map[string]any) map[string]string {
	t.Helper()
	files, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// object is one document of a rendered file.
type object map[string]any

func (o object) kind() string { return o["kind"].(string) }

// at walks down by keys; a nil comes from the first that is missing.
func (o object) at(path ...string) any {
	var v any = map[string]any(o)
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[p]
	}
	return v
}

// objects parses the rendered manifests, in order of file name.
func objects(t *testing.T, files map[string]string) []object {
	t.Helper()
	var all []object
	for _, doc := range documents(files) {
		var o object
		if err := yaml.UnmarshalStrict([]byte(doc), &o); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		all = append(all, o)
	}
	return all
}

func documents(files map[string]string) []string {
	var docs []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for doc := range strings.SplitSeq("\n"+files[name], "\n---\n") {
			if bytes.ContainsFunc([]byte(doc), func(r rune) bool { return r > ' ' }) {
				docs = append(docs, strings.TrimSpace(doc)+"\n")
			}
		}
	}
	return docs
}

// TestLint is `helm lint --strict`.
func TestLint(t *testing.T) {
	for _, name := range cases(t) {
		t.Run(name, func(t *testing.T) {
			linter := lint.RunAll(chartDir, readValues(t, name), "recs")
			for _, m := range linter.Messages {
				if m.Severity >= support.WarningSev {
					t.Error(m)
				}
			}
		})
	}
}

// TestGolden shows every change of what is installed in the diff of a commit.
func TestGolden(t *testing.T) {
	for _, name := range cases(t) {
		t.Run(name, func(t *testing.T) {
			files := mustRender(t, readValues(t, name))
			got := strings.Join(documents(files), "---\n") + "--- # NOTES.txt\n" + files["seqrec/templates/NOTES.txt"]
			golden(t, "testdata/golden/"+name+".yaml", got)
		})
	}
}

// golden compares text with a file, or rewrites the file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (go test -update rewrites it):\n%s", file, diff)
	}
}
