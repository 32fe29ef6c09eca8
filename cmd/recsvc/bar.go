package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"seqrec/internal/train"
)

// bar shows long work: one line that is drawn over on a terminal, plain lines
// elsewhere.
type bar struct {
	w        io.Writer
	terminal bool
	drawn    time.Time
	width    int // of the line on the screen
}

const (
	barWidth = 30
	barEvery = 100 * time.Millisecond
)

func newBar(w io.Writer) *bar {
	b := &bar{w: w}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		b.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return b
}

// training shows the progress of a run.
func (b *bar) training(e train.Event) {
	if e.Epochs == 0 || e.Batches == 0 {
		return
	}
	part := (float64(e.Epoch-1) + float64(e.Batch)/float64(e.Batches)) / float64(e.Epochs)
	line := fmt.Sprintf("epoch %d of %d  loss %.3f  ndcg@10 %.3f  %.0f tokens/s  %s left",
		e.Epoch, e.Epochs, e.Loss, e.Valid, e.TokensPerSecond, e.Left.Round(time.Second))
	switch {
	case b.terminal:
		b.draw(part, line)
	case e.Kind == train.Judged:
		fmt.Fprintln(b.w, line)
	}
}

func (b *bar) draw(part float64, line string) {
	if now := time.Now(); now.Sub(b.drawn) > barEvery {
		b.drawn = now
		full := min(barWidth, max(0, int(part*barWidth)))
		line = fmt.Sprintf("[%s%s] %s", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), line)
		fmt.Fprintf(b.w, "\r%-*s", b.width, line)
		b.width = len(line)
	}
}

// done clears the line.
func (b *bar) done() {
	if b.terminal && b.width > 0 {
		fmt.Fprintf(b.w, "\r%s\r", strings.Repeat(" ", b.width))
	}
}
