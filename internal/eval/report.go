package eval

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"time"
)

// Report is all that is told about one trained or evaluated model. Every field
// but Title and Results may be empty; its section is then left out.
type Report struct {
	Title       string          `json:"title"`
	Version     string          `json:"version,omitempty"` // of the model in the registry
	Model       string          `json:"model,omitempty"`   // what kind of model, in words
	Created     time.Time       `json:"created"`
	Results     []*Result       `json:"results"` // the judged model first, then what it is compared with
	Comparisons []*Comparison   `json:"comparisons,omitempty"`
	Epochs      []Epoch         `json:"epochs,omitempty"`
	Best        int             `json:"best_epoch,omitempty"` // whose weights were kept, from 1
	Data        []Fact          `json:"data,omitempty"`
	Faults      []Fault         `json:"faults,omitempty"` // rows of the source that were not used
	Run         []Fact          `json:"run,omitempty"`    // time, memory, machine
	Gate        *Gate           `json:"gate,omitempty"`
	Config      json.RawMessage `json:"config,omitempty"`
	Notes       []string        `json:"notes,omitempty"`
}

// Epoch is one point of the training curves.
type Epoch struct {
	Epoch   int     `json:"epoch"` // from 1
	Loss    float64 `json:"loss"`  // mean over the epoch's steps
	Rate    float64 `json:"rate"`  // learning rate of the last step
	Valid   float64 `json:"valid_ndcg@10"`
	HR      float64 `json:"valid_hr@10"`
	Judged  bool    `json:"judged"` // whether Valid and HR were measured
	Seconds float64 `json:"seconds"`
	Tokens  int     `json:"tokens"`
}

// Fact is one line of a table of names and values.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Fault says how often a source broke one rule, and where first.
type Fault struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
	Where string `json:"where"`
}

// Gate is the verdict on whether a model may be published.
type Gate struct {
	Passed bool     `json:"passed"`
	Rules  []string `json:"rules"`   // what was asked
	Faults []string `json:"reasons"` // which rules were broken, and by how much
	// Against is the version that was in service when this was decided; "" for none.
	Against string `json:"against,omitempty"`
}

// WriteJSON writes the report as one indented JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

//go:embed report.html.tmpl
var page embed.FS

// WriteHTML writes the report as one page that needs no other file: styles and
// plots are inside.
func (r *Report) WriteHTML(w io.Writer) error {
	t, err := template.New("report.html.tmpl").Funcs(r.funcs()).ParseFS(page, "report.html.tmpl")
	if err != nil {
		return fmt.Errorf("parse report page: %w", err)
	}
	if err := t.Execute(w, r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// funcs are what the page may call.
func (r *Report) funcs() template.FuncMap {
	return template.FuncMap{
		"lossPlot":    r.lossPlot,
		"validPlot":   r.validPlot,
		"resultPlot":  r.resultPlot,
		"slicePlot":   slicePlot,
		"curvePlot":   r.curvePlot,
		"metric":      func(res *Result, name string) Interval { i, _ := res.Metric(name); return i },
		"f4":          func(v float64) string { return fmt.Sprintf("%.4f", v) },
		"signed":      func(v float64) string { return fmt.Sprintf("%+.4f", v) },
		"f2":          func(v float64) string { return fmt.Sprintf("%.2f", v) },
		"percent":     func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) },
		"whole":       Whole,
		"date":        func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
		"pretty":      pretty,
		"cutoffs":     func() []int { return cutoffs[:] },
		"at":          func(res *Result, i int) Cutoff { return res.At[i] },
		"first":       func() *Result { return r.Results[0] },
		"main":        mainMetrics,
		"pvalue":      pvalue,
		"hasEpochs":   func() bool { return len(r.Epochs) > 1 },
		"totalFaults": r.totalFaults,
	}
}

func (r *Report) totalFaults() (n int) {
	for _, f := range r.Faults {
		n += f.Count
	}
	return n
}

// mainMetrics are the rows of a comparison that the page shows.
func mainMetrics(c *Comparison) (out []Delta) {
	for _, name := range []string{"ndcg@10", "hr@10", "mrr"} {
		if d, ok := c.Find(name); ok {
			out = append(out, d)
		}
	}
	return out
}

func pvalue(p float64) string {
	if p < 0.005 {
		return "< 0.005"
	}
	return fmt.Sprintf("%.3f", p)
}

// Whole writes an int or float64 without decimals, thousands apart.
func Whole(v any) string {
	s := ""
	switch n := v.(type) {
	case int:
		s = fmt.Sprint(n)
	case float64:
		s = fmt.Sprintf("%.0f", n)
	}
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func pretty(raw json.RawMessage) string {
	var b strings.Builder
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // a value that was decoded from JSON can be encoded
	return b.String()
}

func (r *Report) lossPlot() template.HTML {
	c := chart{title: "Training loss", x: "epoch", y: "mean loss", format: "%.3g"}
	var s series
	for _, e := range r.Epochs {
		s.points = append(s.points, point{float64(e.Epoch), e.Loss})
	}
	s.class = "s1"
	c.series = []series{s}
	return c.lines()
}

func (r *Report) validPlot() template.HTML {
	c := chart{title: "Validation", x: "epoch", y: "metric at 10", format: "%.3f"}
	n := series{class: "s1", label: "NDCG@10"}
	h := series{class: "s2", label: "HR@10"}
	for _, e := range r.Epochs {
		if e.Judged {
			n.points = append(n.points, point{float64(e.Epoch), e.Valid})
			h.points = append(h.points, point{float64(e.Epoch), e.HR})
		}
	}
	c.series = []series{n, h}
	if r.Best > 0 {
		c.mark, c.markLabel = float64(r.Best), fmt.Sprintf("kept: epoch %d", r.Best)
	}
	return c.lines()
}

// resultPlot draws NDCG@10 of each result with its interval.
func (r *Report) resultPlot() template.HTML {
	var rows []barRow
	for i, res := range r.Results {
		v, _ := res.Metric("ndcg@10")
		class := "s2"
		if i == 0 {
			class = "s1"
		}
		rows = append(rows, barRow{label: res.Name, value: v.Mean, low: v.Low, high: v.High, class: class})
	}
	return bars("NDCG@10 with 95 % intervals", rows)
}

// curvePlot draws HR at each cutoff for every result.
func (r *Report) curvePlot() template.HTML {
	c := chart{title: "Hit rate by list length", x: "list length", y: "HR", format: "%.2f"}
	for i, res := range r.Results {
		s := series{class: fmt.Sprintf("s%d", min(i, 4)+1), label: res.Name}
		for _, cut := range res.At {
			s.points = append(s.points, point{float64(cut.K), cut.HR.Mean})
		}
		c.series = append(c.series, s)
	}
	return c.lines()
}

func slicePlot(title string, list []Slice) template.HTML {
	var rows []barRow
	for _, s := range list {
		rows = append(rows, barRow{
			label: s.Label, value: s.NDCG, low: math.NaN(), class: "s1",
			note: Whole(s.Cases) + " cases",
		})
	}
	return bars(title, rows)
}
