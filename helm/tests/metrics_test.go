package tests

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	promql "github.com/prometheus/prometheus/promql/parser"
)

// query is one expression of an alert or a panel.
type query struct{ where, expr string }

// queries gives all of them, as the values file "everything" renders them.
func queries(t *testing.T) []query {
	t.Helper()
	var found []query
	all := objects(t, mustRender(t, readValues(t, "everything")))
	for _, o := range all {
		groups, _ := o.at("spec", "groups").([]any)
		for _, g := range groups {
			for _, r := range g.(map[string]any)["rules"].([]any) {
				r := r.(map[string]any)
				found = append(found, query{r["alert"].(string), r["expr"].(string)})
			}
		}
	}
	for _, text := range configs(all, "seqrec.json") {
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal([]byte(text), &board); err != nil {
			t.Fatal(err)
		}
		for _, p := range board.Panels {
			for _, target := range p.Targets {
				found = append(found, query{p.Title, strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")})
			}
		}
	}
	return found
}

// declared are the metrics of ours that the code registers, by name: those with labels show themselves only once used.
func declared(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for file, prefix := range map[string]string{
		"../../internal/httpapi/metrics.go": "recsvc_", "../../cmd/recsvc/metrics.go": "recsvc_", "../../cmd/recsvc/ingestmetrics.go": "recsvc_ingest_",
	} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		metric := regexp.MustCompile(`^[a-z]+(_[a-z]+)+$`)
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && metric.MatchString(s) {
					names[prefix+s] = true
				}
			}
			return true
		})
	}
	return names
}

// checkMetrics asks that each expression is PromQL and that each series in it is there: among those scraped, or declared.
func checkMetrics(t *testing.T, scraped string) {
	t.Helper()
	names := declared(t)
	for line := range strings.Lines(scraped) {
		name, _, _ := strings.Cut(line, " ")
		name, _, _ = strings.Cut(name, "{")
		names[name] = true
	}
	all := queries(t)
	if len(all) < 20 {
		t.Errorf("only %d expressions found", len(all))
	}
	for _, q := range all {
		for _, name := range series(t, q) {
			if !names[name] {
				t.Errorf("%s: there is no metric %s", q.where, name)
			}
		}
	}
}

// series gives the names of the metrics in an expression.
func series(t *testing.T, q query) []string {
	t.Helper()
	expr, err := promql.NewParser(promql.Options{}).ParseExpr(q.expr)
	if err != nil {
		t.Errorf("%s: %v in %s", q.where, err, q.expr)
		return nil
	}
	var names []string
	promql.Inspect(expr, func(n promql.Node, _ []promql.Node) error {
		if v, ok := n.(*promql.VectorSelector); ok {
			names = append(names, v.Name)
			checkLabels(t, q, v.LabelMatchers)
		}
		return nil
	})
	return names
}

// checkLabels holds the values that expressions ask for to those that the code uses.
func checkLabels(t *testing.T, q query, matchers []*labels.Matcher) {
	t.Helper()
	values := map[string][]string{
		"operation": operations(t), "result": {"served", "refused"}, "reason": {"store"}, "code": {"5..", "4..|5.."},
	}
	for _, m := range matchers {
		if want, ok := values[m.Name]; ok && !slices.Contains(want, m.Value) {
			t.Errorf("%s: label %s is never %q", q.where, m.Name, m.Value)
		}
	}
}

// operations are those of the contract.
func operations(t *testing.T) []string {
	t.Helper()
	contract, err := os.ReadFile("../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range regexp.MustCompile(`(?m)operationId: (\w+)$`).FindAllSubmatch(contract, -1) {
		ids = append(ids, string(m[1]))
	}
	return ids
}

// TestOperationsPage asks that every metric of ours that alerts and dashboard use is explained to operators.
func TestOperationsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queries(t) {
		for _, name := range series(t, q) {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, suffix)
			}
			if strings.HasPrefix(name, "recsvc_") && !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("%s: docs/operations.md says nothing of %s", q.where, name)
			}
		}
	}
}
