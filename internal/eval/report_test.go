package eval

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

// sample is a report with every section.
func sample(t *testing.T) *Report {
	t.Helper()
	a, b := resultOf(t, 1, 300), resultOf(t, 2, 300)
	a.Name, b.Name = "model", `<script>"popularity"</script>`
	third := *b
	third.Name = "last-transition"
	c, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	r := &Report{
		Title: "sasrec-ce on a & b", Version: "01J0", Model: "sasrec d64 b2 L200", Created: time.Unix(1700000000, 0),
		Results: []*Result{a, b, &third}, Comparisons: []*Comparison{c}, Best: 12,
		Data:   []Fact{{"events", "1,000"}, {"file", "<b>.csv"}},
		Faults: []Fault{{"time is not a number", 3, "lines 4, 9, 12"}},
		Run:    []Fact{{"seconds", "12.5"}},
		Gate:   &Gate{Rules: []string{"NDCG@10 above popularity"}, Faults: []string{"NDCG@10 0.1 is below 0.2"}},
		Config: json.RawMessage(`{"width":64,"loss":"ce"}`),
		Notes:  []string{"a note"},
	}
	for e := 1; e <= 20; e++ {
		x := float64(e)
		r.Epochs = append(r.Epochs, Epoch{Epoch: e, Loss: 4 + 4/x, Valid: 0.18 - 0.1/x, HR: 0.3 - 0.2/x, Judged: e%2 == 0})
	}
	return r
}

func TestReportPage(t *testing.T) {
	var b bytes.Buffer
	if err := sample(t).WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"sasrec-ce on a &amp; b", "Refused by the quality gate", "time is not a number", "Paired comparison", "kept: epoch 12", "&#34;width&#34;: 64"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"<script", "http://", "https://", "NaN", "ZgotmplZ", "<b>.csv"} {
		if strings.Contains(page, never) {
			t.Errorf("the page holds %q", never)
		}
	}
	if path := os.Getenv("SEQREC_REPORT_OUT"); path != "" { // to look at it by hand
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPlotsAreWellFormed(t *testing.T) {
	r := sample(t)
	plots := map[string]string{
		"loss": string(r.lossPlot()), "valid": string(r.validPlot()), "results": string(r.resultPlot()),
		"curve": string(r.curvePlot()), "slices": string(slicePlot("a < b", r.Results[0].Lengths)),
	}
	r.Epochs = nil
	plots["nothing to draw"] = string(r.lossPlot())
	r.Epochs = []Epoch{{Epoch: 1, Loss: 2}, {Epoch: 2, Loss: math.NaN()}, {Epoch: 3, Loss: math.Inf(1)}}
	plots["one finite point"] = string(r.lossPlot())
	for name, svg := range plots {
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%s holds a number that cannot be drawn", name)
		}
	}
}

func TestAxisTicks(t *testing.T) {
	for _, tt := range []struct {
		lo, hi float64
		n      int
		want   []float64
	}{
		{0, 1, 5, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{1, 10, 6, []float64{0, 2, 4, 6, 8, 10}},
		{0.13, 0.19, 5, []float64{0.12, 0.14, 0.16, 0.18, 0.2}},
		{5, 5, 5, []float64{4.4, 4.6, 4.8, 5, 5.2, 5.4, 5.6}},
	} {
		got := newAxis(tt.lo, tt.hi, tt.n).ticks
		ok := len(got) == len(tt.want)
		for i := range got {
			ok = ok && math.Abs(got[i]-tt.want[i]) < 1e-9
		}
		if !ok {
			t.Errorf("axis %v..%v has ticks %v, want %v", tt.lo, tt.hi, got, tt.want)
		}
	}
}

func TestReportJSON(t *testing.T) {
	var b bytes.Buffer
	r := sample(t)
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Results[0].NDCG10() != r.Results[0].NDCG10() || len(back.Epochs) != 20 {
		t.Error("the report reads back differently")
	}
}

func TestWhole(t *testing.T) {
	for in, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -100: "-100"} {
		if got := Whole(in); got != want {
			t.Errorf("Whole(%d) = %s, want %s", in, got, want)
		}
	}
}
