package eval

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// The plots are small SVG drawings of our own: two kinds, styled by the page's
// sheet, so that they follow its light and dark colors and need no fonts.

type point struct{ x, y float64 }

type series struct {
	label  string
	class  string // of the style sheet: s1..s5
	points []point
}

// chart is a line plot.
type chart struct {
	title, x, y string
	format      string // of the labels of the y axis
	series      []series
	mark        float64 // a vertical line at this x; 0: none
	markLabel   string
}

// Size of a line plot and of its frame, in SVG units.
const (
	plotWidth, plotHeight      = 480, 260
	plotLeft, plotRight        = 56, 14
	plotTop, plotBottom        = 46, 40
	innerWidth                 = plotWidth - plotLeft - plotRight
	innerHeight                = plotHeight - plotTop - plotBottom
	barHeight, barLeft, barTop = 26, 130, 30
)

// axis maps values lo..hi to pixels and knows its ticks.
type axis struct {
	lo, hi float64
	ticks  []float64
}

// newAxis rounds lo..hi outward to steps of 1, 2 or 5 times a power of ten.
func newAxis(lo, hi float64, about int) axis {
	if !(hi > lo) { // also when there is nothing to draw
		lo, hi = lo-0.5, lo+0.5
		if math.IsNaN(lo) || math.IsInf(lo, 0) {
			lo, hi = 0, 1
		}
	}
	raw := (hi - lo) / float64(about)
	step := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, f := range []float64{1, 2, 5, 10} {
		if f*step >= raw {
			step *= f
			break
		}
	}
	a := axis{lo: math.Floor(lo/step) * step, hi: math.Ceil(hi/step-1e-9) * step}
	for i := 0; ; i++ {
		v := a.lo + float64(i)*step
		if v > a.hi+step/2 {
			return a
		}
		a.ticks = append(a.ticks, v)
	}
}

func (a axis) at(v float64) float64 { return (v - a.lo) / (a.hi - a.lo) }

// finite says whether a value can be drawn.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func (c *chart) axes() (x, y axis) {
	xlo, xhi, ylo, yhi := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range c.series {
		for _, p := range s.points {
			if !finite(p.y) {
				continue
			}
			xlo, xhi = min(xlo, p.x), max(xhi, p.x)
			ylo, yhi = min(ylo, p.y), max(yhi, p.y)
		}
	}
	if ylo > 0 && ylo < 0.4*yhi {
		ylo = 0
	}
	return newAxis(xlo, xhi, 6), newAxis(ylo, yhi, 5)
}

// lines draws the chart.
func (c *chart) lines() template.HTML {
	var b strings.Builder
	x, y := c.axes()
	px := func(v float64) float64 { return plotLeft + innerWidth*x.at(v) }
	py := func(v float64) float64 { return plotTop + innerHeight*(1-y.at(v)) }
	open(&b, c.title, plotWidth, plotHeight)
	for _, t := range y.ticks {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, plotLeft, plotWidth-plotRight, py(t), py(t))
		text(&b, "tick end", plotLeft-6, py(t)+4, fmt.Sprintf(c.format, t))
	}
	for _, t := range x.ticks {
		text(&b, "tick middle", px(t), plotHeight-plotBottom+16, fmt.Sprintf("%.4g", t))
	}
	text(&b, "tick middle", plotLeft+innerWidth/2, plotHeight-6, c.x)
	text(&b, "name", 8, 16, c.title)
	if c.mark > 0 && c.mark >= x.lo && c.mark <= x.hi {
		fmt.Fprintf(&b, `<line class="mark" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, px(c.mark), px(c.mark), plotTop, plotHeight-plotBottom)
		anchor := "tick"
		at := px(c.mark) + 5
		if x.at(c.mark) > 0.7 {
			anchor, at = "tick end", px(c.mark)-5
		}
		text(&b, anchor, at, plotHeight-plotBottom-6, c.markLabel)
	}
	for _, s := range c.series {
		polyline(&b, s, px, py)
	}
	c.legend(&b)
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) // every text went through escape
}

func polyline(b *strings.Builder, s series, px, py func(float64) float64) {
	fmt.Fprintf(b, `<polyline class="line %s" points="`, s.class)
	for _, p := range s.points {
		if finite(p.y) {
			fmt.Fprintf(b, "%.1f,%.1f ", px(p.x), py(p.y))
		}
	}
	b.WriteString(`"/>`)
	if len(s.points) > 40 {
		return
	}
	for _, p := range s.points {
		if finite(p.y) {
			fmt.Fprintf(b, `<circle class="dot %s" cx="%.1f" cy="%.1f" r="2.4"/>`, s.class, px(p.x), py(p.y))
		}
	}
}

// legend names the series in a line under the title.
func (c *chart) legend(b *strings.Builder) {
	at := 9.0
	for _, s := range c.series {
		if s.label == "" {
			continue
		}
		label := shorten(s.label, 22)
		fmt.Fprintf(b, `<rect class="fill %s" x="%.1f" y="25" width="9" height="9" rx="2"/>`, s.class, at)
		text(b, "tick", at+13, 33, label)
		at += 13 + 7.3*float64(len([]rune(label))) + 12
	}
}

// barRow is one horizontal bar; low is NaN when it has no interval.
type barRow struct {
	label            string
	value, low, high float64
	class, note      string
}

// says is what stands behind the bar.
func (r barRow) says() string {
	if r.note == "" {
		return fmt.Sprintf("%.4f", r.value)
	}
	return fmt.Sprintf("%.4f · %s", r.value, r.note)
}

// noteWidth is the room that the longest text behind a bar needs.
func noteWidth(rows []barRow) (w int) {
	for _, r := range rows {
		w = max(w, 7*len([]rune(r.says()))+16)
	}
	return w
}

// bars draws rows from the top.
func bars(title string, rows []barRow) template.HTML {
	var b strings.Builder
	top := 0.0
	for _, r := range rows {
		top = max(top, r.value)
		if finite(r.low) {
			top = max(top, r.high)
		}
	}
	top = max(top, 1e-9)
	height := barTop + barHeight*len(rows) + 8
	span := float64(plotWidth - barLeft - noteWidth(rows))
	open(&b, title, plotWidth, height)
	text(&b, "name", 8, 16, title)
	for i, r := range rows {
		y := float64(barTop + i*barHeight)
		text(&b, "tick end", barLeft-8, y+14, shorten(r.label, 19))
		fmt.Fprintf(&b, `<rect class="fill %s" x="%d" y="%.1f" width="%.1f" height="%d" rx="3"/>`, r.class, barLeft, y+3, span*r.value/top, barHeight-10)
		end := span * r.value / top
		if finite(r.low) {
			x1, x2 := barLeft+span*r.low/top, barLeft+span*r.high/top
			fmt.Fprintf(&b, `<path class="whisker" d="M%.1f %.1fH%.1fM%.1f %.1fv6M%.1f %.1fv6"/>`, x1, y+11, x2, x1, y+8, x2, y+8)
			end = max(end, x2-barLeft)
		}
		text(&b, "tick", barLeft+end+7, y+14, r.says())
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) // every text went through escape
}

func open(b *strings.Builder, title string, width, height int) {
	fmt.Fprintf(b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, width, height, escape(title))
}

func text(b *strings.Builder, class string, x, y float64, s string) {
	fmt.Fprintf(b, `<text class="%s" x="%.1f" y="%.1f">%s</text>`, class, x, y, escape(s))
}

func escape(s string) string { return template.HTMLEscapeString(s) }

// shorten cuts s to n letters.
func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
