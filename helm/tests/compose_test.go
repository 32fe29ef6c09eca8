package tests

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// project reads compose.yaml with the library that docker compose reads it with.
func project(t *testing.T) *types.Project {
	t.Helper()
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	details := types.ConfigDetails{WorkingDir: top, ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(top, "compose.yaml")}}}
	p, err := loader.LoadWithContext(t.Context(), details, loader.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestCompose gives the commands and the configuration in compose.yaml to the programs they are for.
func TestCompose(t *testing.T) {
	p := project(t)
	recsvc, trainjob := program(t, "recsvc"), program(t, "trainjob")
	if out, err := run(recsvc, "config", "check", "--config", settings(t, p.Configs["recsvc"].Content, t.TempDir())); err != nil {
		t.Errorf("configuration: %v: %s", err, out)
	}
	server := p.Services["recsvc"]
	target := "/etc/seqrec/recsvc.yaml"
	if !slices.Contains(server.Command, target) || server.Configs[0].Target != target {
		t.Errorf("recsvc reads %v, mounted is %s", server.Command, server.Configs[0].Target)
	}
	if out, err := run(trainjob, append(p.Services["train"].Command, "--help")...); err != nil {
		t.Errorf("trainjob %v: %v: %s", p.Services["train"].Command, err, out)
	}
	topics := p.Services["topics"]
	if out, err := run(recsvc, append(topics.Command, "--help")...); err != nil || !slices.Contains(topics.Command, target) {
		t.Errorf("recsvc %v: %v: %s", topics.Command, err, out)
	}
	for _, name := range []string{"recsvc", "train", "topics"} {
		if s := p.Services[name]; !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) {
			t.Errorf("%s may write its root or has capabilities", name)
		}
	}
	for _, port := range server.Ports {
		if port.HostIP != "127.0.0.1" {
			t.Errorf("port %s is open to others", port.Published)
		}
	}
}

// TestDockerfile does by hand what the Dockerfile tells the builder: it takes the files that .dockerignore lets through
// into an empty folder and runs the Dockerfile's own go build there.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	joined := strings.ReplaceAll(string(text), "\\\n", " ")
	build := regexp.MustCompile(`CGO_ENABLED=0 GOOS=\S+ GOARCH=\S+ (go build .*)`).FindStringSubmatch(joined)
	if build == nil {
		t.Fatal("the Dockerfile has no go build without C")
	}
	context, out := t.TempDir(), t.TempDir()
	for _, path := range []string{"go.mod", "go.sum", "api", "cmd", "internal"} {
		copyContext(t, "../..", path, context)
	}
	// Without -trimpath, which would compile every library once more and changes only names in stack traces.
	command := strings.NewReplacer("/out/bin/", out+"/", "-trimpath ", "").Replace(build[1])
	shell := `cd "$0" && CGO_ENABLED=0 ` + command
	if said, err := run("bash", "-ec", shell, context); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, said)
	}
	for _, name := range []string{"recsvc", "trainjob"} {
		if said, err := run(filepath.Join(out, name), "version"); err != nil {
			t.Errorf("%s: %v: %s", name, err, said)
		}
	}
	for _, want := range []string{"USER 65532:65532", "ENTRYPOINT [\"/usr/bin/recsvc\"]", "FROM gcr.io/distroless/static-debian13:nonroot"} {
		if !strings.Contains(joined, "\n"+want+"\n") {
			t.Errorf("the Dockerfile does not say %s", want)
		}
	}
}

// copyContext copies what .dockerignore names by its exceptions and leaves out what it leaves out.
func copyContext(t *testing.T, from, path, to string) {
	t.Helper()
	allowed := false
	ignore, err := os.Open(filepath.Join(from, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	defer ignore.Close()
	for lines := bufio.NewScanner(ignore); lines.Scan(); {
		allowed = allowed || lines.Text() == "!"+path
	}
	if !allowed {
		t.Fatalf(".dockerignore keeps %s from the builder", path)
	}
	err = filepath.WalkDir(filepath.Join(from, path), func(name string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return filepath.SkipDir
		case d.IsDir() || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, rel)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}
