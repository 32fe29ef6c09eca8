package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel"
	"seqrec/internal/seqmodel/lifelong"
)

// The model of the benchmarks: the size that MovieLens-1M asks for.
const (
	benchItems  = 3416
	benchLength = 200
)

// publishBench publishes an untrained model.
func publishBench(reg *registry.Registry, seed uint64) (version string, err error) {
	return publishStages(reg, seed, nil)
}

// publishStages publishes an untrained model with a second stage, unless that is
// nil.
func publishStages(reg *registry.Registry, seed uint64, second *lifelong.Model) (version string, err error) {
	model, err := seqmodel.New(seqmodel.Config{Model: "sasrec", Items: benchItems, Length: benchLength}.WithDefaults(), seed)
	if err != nil {
		return "", fmt.Errorf("make model: %w", err)
	}
	draft, err := reg.Begin()
	if err != nil {
		return "", fmt.Errorf("begin version: %w", err)
	}
	defer draft.Abort() //nolint:errcheck // the benchmark's folder goes anyway
	vocab, counts := features.NewVocab(), make([]int64, benchItems)
	for i := range counts {
		vocab.Add("item-" + strconv.Itoa(i))
		counts[i] = int64(benchItems - i)
	}
	manifest := registry.Manifest{Name: "bench", Kind: "seqmodel", Items: benchItems, CPU: kernel.Features()}
	files := map[string]func(io.Writer) error{
		registry.WeightsFile: func(w io.Writer) error { return seqmodel.Save(w, model) },
		registry.VocabFile:   func(w io.Writer) error { return features.WriteVocab(w, vocab) },
		registry.PopularFile: func(w io.Writer) error { return features.WriteCounts(w, counts) },
	}
	if second != nil {
		files[registry.RerankerFile] = second.Save
		manifest.Reranker = &registry.Reranker{Blend: 0.3, Candidates: benchCandidates}
	}
	for name, fill := range files {
		w, err := draft.Create(name)
		if err != nil {
			return "", fmt.Errorf("create %s: %w", name, err)
		}
		if err := errors.Join(fill(w), w.Close()); err != nil {
			return "", fmt.Errorf("write %s: %w", name, err)
		}
	}
	return draft.Publish(manifest)
}

// child is a service of our own in another process.
type child struct {
	cmd  *exec.Cmd
	addr addresses
	logs *os.File
	done chan error
}

// childDir is the folder of a child: registry, store, log.
type childDir string

func (d childDir) registry() string { return filepath.Join(string(d), "registry") }

// newChildDir makes a folder with versions of the benchmark's model, the first
// of them current.
func newChildDir(versions int) (d childDir, names []string, err error) {
	dir, err := os.MkdirTemp("", "recsvc-bench-")
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for the benchmark: %w", err)
	}
	d = childDir(dir)
	reg, err := registry.Open(d.registry())
	if err != nil {
		return d, nil, fmt.Errorf("open registry: %w", err)
	}
	for i := range versions {
		version, err := publishBench(reg, uint64(i+1))
		if err != nil {
			return d, nil, err
		}
		names = append(names, version)
	}
	if err := reg.Promote(names[0]); err != nil {
		return d, nil, fmt.Errorf("promote %s: %w", names[0], err)
	}
	return d, names, nil
}

// start runs `serve` on the folder, with more flags if any, and waits until it
// listens with a model.
func (d childDir) start(ctx context.Context, more ...string) (*child, error) {
	return d.launch(ctx, nil, append([]string{
		"serve", "--registry", d.registry(), "--store", filepath.Join(string(d), "store"),
		"--listen-data=127.0.0.1:0", "--listen-admin=127.0.0.1:0", "--listen-probes=127.0.0.1:0", "--drain-delay=0s", "--log-format=json",
	}, more...)...)
}

// launch runs this program with arguments, something added to our environment, and waits until it listens.
func (d childDir) launch(ctx context.Context, environ []string, args ...string) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	logs, err := os.OpenFile(filepath.Join(string(d), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	c := &child{logs: logs, done: make(chan error, 1)}
	c.cmd = exec.CommandContext(ctx, exe, args...)
	c.cmd.Env = append(os.Environ(), environ...)
	out, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start service: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start service: %w", err)
	}
	listening := make(chan addresses, 1)
	go c.follow(out, listening)
	select {
	case c.addr = <-listening:
		return c, nil
	case err := <-c.done:
		return nil, fmt.Errorf("the service ended at once; its log is %s: %w", logs.Name(), errors.Join(err, logs.Close()))
	case <-time.After(60 * time.Second):
		return nil, errors.Join(fmt.Errorf("the service does not listen after a minute; its log is %s", logs.Name()), c.kill())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), c.kill())
	}
}

// follow copies the log, picks the addresses out of it, and reaps the process.
func (c *child) follow(out io.Reader, listening chan<- addresses) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fmt.Fprintf(c.logs, "%s\n", lines.Bytes())
		var line struct{ Msg, Data, Admin, Probes string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			listening <- addresses{line.Data, line.Admin, line.Probes}
		}
	}
	c.done <- c.cmd.Wait()
}

// kill ends it as a power cut would, and waits until it is gone.
func (c *child) kill() error {
	err := c.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-c.done //nolint:errcheck // how it ended is no news
	return errors.Join(err, c.logs.Close())
}

// stop ends it as an operator would.
func (c *child) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop service: %w", errors.Join(err, c.logs.Close()))
	}
	if err := errors.Join(<-c.done, c.logs.Close()); err != nil {
		return fmt.Errorf("stop service; its log is %s: %w", c.logs.Name(), err)
	}
	return nil
}

// target is the data plane of a child.
func (c *child) target() target {
	return target{base: "http://" + c.addr.Data, host: c.addr.Data}
}
