package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/cwriter"
	"github.com/vbauerster/mpb/v8/decor"

	"seqrec/internal/train"
)

// quietTime is how long a display without a terminal keeps silent within an
// epoch.
const quietTime = 30 * time.Second

// display shows training: a bar on a terminal, plain lines elsewhere.
type display struct {
	out  io.Writer
	last time.Time // of the last plain line

	bars *mpb.Progress // nil without a terminal
	bar  *mpb.Bar      // made with the first event
	text atomic.Value  // string shown behind the bar
}

func newDisplay(out io.Writer) *display {
	d := &display{out: out, last: time.Now()}
	if isTerminal(out) {
		d.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(40), mpb.WithRefreshRate(200*time.Millisecond))
	}
	return d
}

// isTerminal reports whether a bar can be drawn. A terminal that does not say how
// wide it is, as some consoles of containers, would show none.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	width, _, err := cwriter.New(f).GetTermSize()
	return err == nil && width > 0
}

// say writes a line, above the bar if there is one.
func (d *display) say(format string, args ...any) {
	if d.bar != nil {
		fmt.Fprintf(d.bars, format+"\n", args...)
		return
	}
	fmt.Fprintf(d.out, format+"\n", args...)
}

// event shows what a run is doing.
func (d *display) event(e train.Event) {
	switch e.Kind {
	case train.Resumed:
		d.say("resumed at epoch %d, batch %d of %d", e.Epoch, e.Batch, e.Batches)
	case train.Fresh:
		d.say("there is no checkpoint of a run with these settings and data, made with this instruction set: it begins anew")
	case train.Judged:
		best := ""
		if e.BestEpoch == e.Epoch {
			best = "  best"
		}
		d.say("epoch %3d  loss %.4f  valid NDCG@10 %.4f%s  %s events/s  at most %s left", e.Epoch, e.Loss, e.Valid, best, short(e.TokensPerSecond), round(e.Left))
		d.last = time.Now()
	case train.Stepped:
		if d.bars != nil {
			d.step(e)
		} else if time.Since(d.last) >= quietTime {
			d.last = time.Now()
			d.say("epoch %3d  batch %d of %d  loss %.4f  %s events/s", e.Epoch, e.Batch, e.Batches, e.Loss, short(e.TokensPerSecond))
		}
	}
}

// step moves the bar.
func (d *display) step(e train.Event) {
	d.text.Store(fmt.Sprintf(" epoch %d/%d  loss %.3f  valid %.4f (best %.4f)  %s ev/s  %s", e.Epoch, e.Epochs, e.Loss, e.Valid, e.Best, short(e.TokensPerSecond), round(e.Left)))
	d.show(e.Batch, e.Batches)
}

// show moves the bar, which the first call makes.
func (d *display) show(done, total int) {
	if d.bar == nil {
		// With a total of 0 the bar does not complete by itself: one bar serves all epochs.
		d.bar = d.bars.AddBar(0, mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			s, _ := d.text.Load().(string)
			return s
		})))
	}
	d.bar.SetTotal(int64(total), false)
	d.bar.SetCurrent(int64(done))
}

// close takes the bar away.
func (d *display) close() {
	if d.bars == nil {
		return
	}
	if d.bar != nil {
		d.bar.Abort(true)
		d.bar = nil
	}
	d.bars.Wait()
}

// short writes a large number in three digits.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.2fM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.0fk", v/1e3)
	}
	return fmt.Sprintf("%.0f", v)
}

func round(d time.Duration) time.Duration { return d.Round(time.Second) }

// slates shows the training of a second stage.
func (d *display) slates(p train.LifelongProgress) {
	text := fmt.Sprintf(" step %d/%d  loss %.3f  valid AUC %.4f (best %.4f)", p.Step, p.Steps, p.Loss, p.ValidAUC, max(p.BestAUC, 0))
	if d.bars == nil {
		if time.Since(d.last) >= quietTime || p.Step == p.Steps {
			d.last = time.Now()
			d.say("%s", text[1:])
		}
		return
	}
	d.text.Store(text)
	d.show(p.Step, p.Steps)
}
