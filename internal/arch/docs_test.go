package arch

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestDocs holds the pages to the tree: every relative link leads to a file
// (and a heading of it), every make target that is named exists.
func TestDocs(t *testing.T) {
	faults, err := checkPages(os.DirFS(top(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
}

var (
	linkForm    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headingForm = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	targetForm  = regexp.MustCompile("(?m)(?:`| {4}|^)make ([a-z][a-z-]*)(?:`| *$| +#| +[A-Z]+=)")
	ruleForm    = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
)

// checkPages returns what the Markdown pages of a tree promise and the tree
// does not keep.
func checkPages(fsys fs.FS) ([]string, error) {
	makefile, err := fs.ReadFile(fsys, "Makefile")
	if err != nil {
		return nil, err
	}
	var targets []string
	for _, m := range ruleForm.FindAllSubmatch(makefile, -1) {
		targets = append(targets, string(m[1]))
	}
	var faults []string
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enterDir(name)
		}
		if path.Ext(name) != ".md" {
			return nil
		}
		page, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		for _, m := range linkForm.FindAllSubmatch(page, -1) {
			if why := checkLink(fsys, name, string(m[1])); why != "" {
				faults = append(faults, fmt.Sprintf("%s: link %s: %s", name, m[1], why))
			}
		}
		for _, m := range targetForm.FindAllSubmatch(page, -1) {
			if !slices.Contains(targets, string(m[1])) {
				faults = append(faults, fmt.Sprintf("%s: the Makefile has no target %s", name, m[1]))
			}
		}
		return nil
	})
	return faults, err
}

// checkLink says why a link of a page leads nowhere, "" when it leads
// somewhere or out of the tree.
func checkLink(fsys fs.FS, page, link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return err.Error()
	}
	if u.Scheme != "" {
		return ""
	}
	to := page
	if u.Path != "" {
		to = path.Join(path.Dir(page), u.Path)
	}
	if _, err := fs.Stat(fsys, to); err != nil {
		return "no such file"
	}
	if u.Fragment == "" {
		return ""
	}
	text, err := fs.ReadFile(fsys, to)
	if err != nil {
		return err.Error()
	}
	for _, m := range headingForm.FindAllSubmatch(text, -1) {
		if anchor(string(m[1])) == u.Fragment {
			return ""
		}
	}
	return "no such heading"
}

// anchor turns a heading into the fragment that hosting pages give it.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return -1
	}, strings.ToLower(strings.TrimSpace(heading)))
}

func TestCheckPages(t *testing.T) {
	good := fstest.MapFS{
		"Makefile":      {Data: []byte("test: build\n\tgo test\nbuild:\n")},
		"README.md":     {Data: []byte("[a](docs/a.md) [b](docs/a.md#what-it-is-not-yet) [c](https://example.org/x) [d](docs/) [e](#here)\n\n# Here\n\n`make test`\n\n    make build   # both\n\nmake up your mind\n")},
		"docs/a.md":     {Data: []byte("## What it is not, yet\n[up](../README.md#here)\n")},
		"docs/photo.go": {Data: []byte("package docs")},
	}
	cases := []struct{ name, page, want string }{
		{"as it is", "", ""},
		{"a missing file", "[x](docs/b.md)", "no such file"},
		{"a path out of the tree", "[x](../../b.md)", "no such file"},
		{"a missing heading", "[x](docs/a.md#gone)", "no such heading"},
		{"a missing heading of its own", "[x](#gone)", "no such heading"},
		{"a missing target", "run `make tests`", "no target tests"},
		{"a missing target in a block", "    make tests", "no target tests"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for name, f := range good {
				tree[name] = f
			}
			tree["extra.md"] = &fstest.MapFile{Data: []byte(c.page)}
			faults, err := checkPages(tree)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" && len(faults) > 0 || c.want != "" && (len(faults) != 1 || !strings.Contains(faults[0], c.want)) {
				t.Fatalf("want %q, got %q", c.want, faults)
			}
		})
	}
}
