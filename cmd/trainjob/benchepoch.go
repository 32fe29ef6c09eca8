package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"seqrec/internal/features"
	"seqrec/internal/seqmodel"
)

// torch is PyTorch's side of epoch-ratio: a script that is told how many steps
// to make and answers with their seconds, so that the two sides take turns.
type torch struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// torchReply is a line of the script.
type torchReply struct {
	Ready   bool      `json:"ready"`
	Torch   string    `json:"torch"`
	Attend  string    `json:"attention"`
	Steps   int       `json:"steps_per_epoch"`
	Tokens  float64   `json:"real_tokens_per_step"`
	Seconds []float64 `json:"seconds"`
	PeakRSS int64     `json:"peak_rss_bytes"`
}

func (c *benchSpeedCmd) startTorch(a *app, data string) (*torch, torchReply, error) {
	t := &torch{cmd: exec.CommandContext(a.ctx, c.Python, c.TorchScript, "--data", data, "--threads", strconv.Itoa(c.Threads))}
	t.cmd.Stderr = a.err
	// Settings that choose a slow library path on some machines would flatter us.
	t.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return len(v) > 9 && v[:9] == "OPENBLAS_"
	})
	var first torchReply
	in, err := t.cmd.StdinPipe()
	if err != nil {
		return nil, first, err
	}
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, first, err
	}
	if err := t.cmd.Start(); err != nil {
		return nil, first, fmt.Errorf("%w: %w", errNoTorch, err)
	}
	t.in, t.out = in, bufio.NewScanner(out)
	first, err = t.reply()
	if err != nil || !first.Ready {
		t.close()
		return nil, first, fmt.Errorf("%w: %w", errNoTorch, err)
	}
	return t, first, nil
}

func (t *torch) reply() (r torchReply, err error) {
	if !t.out.Scan() {
		return r, fmt.Errorf("the script ended: %w", t.cmd.Wait())
	}
	if err := json.Unmarshal(t.out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("read the script's line %q: %w", t.out.Text(), err)
	}
	return r, nil
}

// steps asks for n steps and gives the seconds of each.
func (t *torch) steps(n int) (torchReply, error) {
	if _, err := fmt.Fprintln(t.in, n); err != nil {
		return torchReply{}, fmt.Errorf("ask the script: %w", err)
	}
	return t.reply()
}

func (t *torch) close() {
	_ = t.in.Close() // the script ends with its input
	_ = t.cmd.Wait()
}

// epochUsers is the batch of both sides, whatever a recipe's is.
const epochUsers = 128

// epochRatio is PyTorch's time for an epoch of MovieLens-1M over ours. Both
// make steps in turns on the same batches' shape: 128 users, the newest 200
// events, two blocks of width 64, full cross-entropy, dropout, Adam.
func (c *benchSpeedCmd) epochRatio(a *app) (row, error) {
	flags := dataFlags{Data: filepath.Join(c.Data, "ml-1m"), Split: "leave-one-out", MinItemCount: 5}
	ours, batches, err := c.ownSteps(a, flags)
	if err != nil {
		return row{}, err
	}
	t, first, err := c.startTorch(a, flags.Data)
	if err != nil {
		return row{}, err
	}
	defer t.close()
	var mine, theirs, ratios []float64
	var peak int64
	for range c.Rounds {
		r, err := t.steps(c.Steps)
		if err != nil {
			return row{}, err
		}
		own, err := ours(c.Steps)
		if err != nil {
			return row{}, err
		}
		mine, theirs, peak = append(mine, own...), append(theirs, r.Seconds...), r.PeakRSS
		ratios = append(ratios, median(r.Seconds)/median(own))
		a.say("a step: PyTorch %.3f s, ours %.3f s, ratio %.2f", median(r.Seconds), median(own), median(r.Seconds)/median(own))
	}
	return row{Value: median(theirs) * float64(first.Steps) / (median(mine) * float64(batches)), unit: "", wanted: "at least 3", Detail: map[string]any{
		"threads": c.Threads, "users_a_step": epochUsers, "torch": first.Torch, "torch_attention": first.Attend, "torch_epoch_seconds": median(theirs) * float64(first.Steps), "epoch_seconds": median(mine) * float64(batches),
		"torch_step_least": slices.Min(theirs), "step_least": slices.Min(mine), "round_ratios": ratios, "torch_peak_rss_bytes": peak,
	}}, nil
}

// ownSteps prepares our side: a function that makes n steps and gives their
// seconds, and how many steps an epoch has.
func (c *benchSpeedCmd) ownSteps(a *app, flags dataFlags) (func(n int) ([]float64, error), int, error) {
	_, split, err := flags.load(a)
	if err != nil {
		return nil, 0, err
	}
	r, err := findRecipe("sasrec-ce")
	if err != nil {
		return nil, 0, err
	}
	plan := r.plan.WithDefaults()
	plan.Model.Items = split.Items
	m, err := seqmodel.New(plan.Model, 1)
	if err != nil {
		return nil, 0, err
	}
	plan.Train.Workers = c.Threads
	trainer, err := seqmodel.NewTrainer(m, plan.Train)
	if err != nil {
		return nil, 0, err
	}
	sampler, err := features.NewSampler(split.Train, nil, features.SamplerOptions{Length: plan.Model.Length, BatchSize: epochUsers, Seed: 2})
	if err != nil {
		return nil, 0, err
	}
	var batch features.Batch
	step := func(n int) ([]float64, error) {
		var seconds []float64
		for range n {
			if !sampler.Next(&batch) {
				sampler.Epoch(0)
				sampler.Next(&batch)
			}
			begin := time.Now()
			if _, err := trainer.Step(&batch); err != nil {
				return nil, err
			}
			seconds = append(seconds, time.Since(begin).Seconds())
		}
		return seconds, nil
	}
	_, err = step(2) // the first steps take memory
	return step, sampler.Batches(), err
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}
