package tests

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const readmeHead = `# The chart seqrec

<!-- Made from values.yaml by go test -update in helm/tests. Do not edit. -->

How to install, upgrade and size it: [docs/deployment.md](../docs/deployment.md).

| value | default | |
|---|---|---|
`

// TestReadme holds README.md to the comments of values.yaml, and asks that no value is without one.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile("../values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(readmeHead)
	rows(t, &b, doc.Content[0], "")
	golden(t, "../README.md", b.String())
}

// rows writes a row for each value that has a comment, and goes into the mappings that have none.
func rows(t *testing.T, b *strings.Builder, n *yaml.Node, prefix string) {
	t.Helper()
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := prefix + key.Value
		comment := strings.TrimSpace(strings.ReplaceAll(strings.TrimPrefix(key.HeadComment, "# "), "\n# ", " "))
		switch {
		case comment != "":
			fmt.Fprintf(b, "| `%s` | `%s` | %s |\n", name, flow(t, value), strings.ReplaceAll(comment, "|", `\|`))
		case value.Kind == yaml.MappingNode && len(value.Content) > 0:
			rows(t, b, value, name+".")
		default:
			t.Errorf("values.yaml: %s has no comment", name)
		}
	}
}

// flow writes a value on one line.
func flow(t *testing.T, n *yaml.Node) string {
	t.Helper()
	inline(n)
	out, err := yaml.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

func inline(n *yaml.Node) {
	n.Style |= yaml.FlowStyle
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, c := range n.Content {
		inline(c)
	}
}
