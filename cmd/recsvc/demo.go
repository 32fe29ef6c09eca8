package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/recommend"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel"
	"seqrec/internal/train"
)

type demoCmd struct {
	Data   string `placeholder:"PATH" help:"A real data set (file or folder) instead of the invented world; takes as long as its size asks for."`
	Listen string `default:"127.0.0.1:8080" help:"Address of the page and the API; any free port if this one is taken."`
	Dir    string `placeholder:"DIR" help:"Keep registry and store here; otherwise they go when the demo ends."`
	Seed   uint64 `default:"1" help:"Of the world and of the training."`
	Epochs int    `default:"8" help:"Passes over the data, at most."`
	Exit   bool   `help:"End after the prediction instead of serving on."`
}

// demo is one demo in progress.
type demo struct {
	demoCmd
	m       *Main
	dir     string
	began   time.Time
	data    *features.Dataset
	summary *train.Summary
}

// Run makes the world, trains, serves and asks.
func (c demoCmd) Run(ctx context.Context, m *Main) (err error) {
	d := &demo{demoCmd: c, m: m, dir: c.Dir, began: time.Now()}
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "recsvc-demo-"); err != nil {
			return fmt.Errorf("make a folder for the demo: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	}
	source, err := d.source()
	if err != nil {
		return err
	}
	if err := d.train(ctx, source); err != nil {
		return err
	}
	s, err := startServer(ctx, d.config(ctx), newLogger(&LogConfig{Level: slog.LevelWarn, Format: "text"}, m.Stderr))
	if err != nil {
		return err
	}
	err = d.show(ctx, s)
	if err == nil && !c.Exit {
		if m.OnServing != nil {
			m.OnServing(s.addresses())
		}
		err = s.wait(ctx)
	}
	return errors.Join(err, s.Close())
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.m.Stdout, "%5.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// source is where the data lies; the invented world is written there first, in
// the form that any data set has.
func (d *demo) source() (string, error) {
	if d.Data != "" {
		return d.Data, nil
	}
	data, truth := features.World(d.Seed, features.WorldOptions{})
	d.say("a world of %d people, %d things and %d events was invented", len(data.Users), data.Vocab.Len(), data.Len())
	dir := filepath.Join(d.dir, "data")
	return dir, features.WriteFolder(dir, data, truth.Items)
}

// demoPlan is a small SASRec that two cores train in half a minute.
func demoPlan(seed uint64, epochs int) train.Plan {
	return train.Plan{
		Recipe: "demo",
		Model: seqmodel.Config{
			Model: "sasrec", Width: 64, Blocks: 2, Heads: 1, Length: 50, Layout: seqmodel.PreLN, OutputProjection: true,
			Dropout: 0.1, AttentionDropout: 0.1, InitStd: 0.02,
		},
		Train:  seqmodel.TrainConfig{Loss: seqmodel.Loss{Kind: seqmodel.CrossEntropy}},
		Scheme: features.Shifted, Batch: 64, Schedule: train.Schedule{Kind: train.Cosine, Rate: 4e-3, Warmup: 50, Floor: 0.05},
		Epochs: epochs, EvalEvery: 1, ValidCases: 500, Seed: seed,
		Data: train.DataPlan{Split: features.SplitLeaveOneOut},
	}
}

// train learns, judges and publishes: the work that trainjob does at night.
func (d *demo) train(ctx context.Context, source string) (err error) {
	plan := demoPlan(d.Seed, d.Epochs)
	if d.data, _, err = features.Read(source, plan.Data.ReadOptions()); err != nil {
		return fmt.Errorf("read %s: %w", source, err)
	}
	reg, err := registry.Open(d.registry())
	if err != nil {
		return fmt.Errorf("open registry: %w", err)
	}
	bar := newBar(d.m.Stderr)
	d.say("training SASRec on %d histories", len(d.data.Users))
	d.summary, err = train.Night(ctx, plan, train.NightOptions{
		Data: source, Registry: reg, Name: "demo", CPU: kernel.Features(), Progress: bar.training,
	})
	bar.done()
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	// A folder that was used before has a current version already, of another world perhaps.
	if err := reg.Promote(d.summary.Version); err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	s := d.summary
	d.say("learned in %d epochs: the thing that really came next is among the first ten for %.0f %% of %d people", s.Epochs, 100*s.HR10, s.Cases)
	return nil
}

func (d *demo) registry() string { return filepath.Join(d.dir, "models") }

// config serves on loopback only.
func (d *demo) config(ctx context.Context) Config {
	cfg := Config{
		Registry: d.registry(), Store: filepath.Join(d.dir, "store"), Watch: time.Second,
		Listen: ListenConfig{Data: d.Listen, Admin: "127.0.0.1:0", Probes: "127.0.0.1:0"},
		Drain:  DrainConfig{Timeout: 5 * time.Second},
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", d.Listen)
	if err == nil {
		err = ln.Close()
	}
	if err != nil {
		cfg.Listen.Data = "127.0.0.1:0"
	}
	return cfg
}

// show fills the store and prints a prediction made over REST.
func (d *demo) show(ctx context.Context, s *server) error {
	held, err := d.fill(ctx, s.service)
	if err != nil {
		return err
	}
	d.say("%d events were stored; the last one of each person was kept back", held)
	base := "http://" + s.addresses().Data
	user := d.pick()
	if err := d.predict(ctx, base, user); err != nil {
		return err
	}
	fmt.Fprintf(d.m.Stdout, "\nthe page      %s/?user=%s\nthe contract  %s/docs\nby hand       curl -s %s/v1/predict -H 'Content-Type: application/json' -d '{\"user\":\"%s\",\"k\":5}'\n",
		base, url.QueryEscape(d.data.Users[user]), base, base, d.data.Users[user])
	if !d.Exit {
		fmt.Fprintln(d.m.Stdout, "\nCtrl-C ends it.")
	}
	return nil
}

// fill sends every event but the last of each user to the store.
func (d *demo) fill(ctx context.Context, service *recommend.Service) (held int, err error) {
	var batch []event.Event
	flush := func() error {
		_, err := service.Append(ctx, batch)
		held, batch = held+len(batch), batch[:0]
		return err
	}
	for u, name := range d.data.Users {
		items, times := d.data.User(u)
		for i := range max(0, len(items)-1) {
			e := event.Event{User: event.UserID(name), Item: event.ItemID(d.data.Vocab.ID(items[i])), Time: int64(i)}
			if times != nil {
				e.Time = times[i]
			}
			batch = append(batch, e)
		}
		if len(batch) >= 2000 {
			if err := flush(); err != nil {
				return held, fmt.Errorf("store events: %w", err)
			}
		}
	}
	if len(batch) > 0 {
		err = flush()
	}
	return held, err
}

// pick chooses somebody with a history that fits a screen.
func (d *demo) pick() int {
	rng := rand.New(rand.NewPCG(d.Seed, 0))
	user := 0
	for range 1000 {
		user = rng.IntN(len(d.data.Users))
		if items, _ := d.data.User(user); len(items) >= 8 && len(items) <= 40 {
			break
		}
	}
	return user
}

// answer is the part of a prediction that the demo shows.
type answer struct {
	Model    struct{ Name, Version string }
	Items    []answerItem
	History  struct{ Used int }
	Rung     string
	Degraded *string
	Took     float64 `json:"took_ms"`
}

type answerItem struct {
	ID    string
	Title string
	Score float32
}

// names reports whether an item is in the answer.
func (a *answer) names(item string) bool {
	return slices.ContainsFunc(a.Items, func(i answerItem) bool { return i.ID == item })
}

// predict asks over REST and prints a table.
func (d *demo) predict(ctx context.Context, base string, user int) error {
	body, err := json.Marshal(map[string]any{"user": d.data.Users[user], "k": 10})
	if err != nil {
		return err
	}
	var a answer
	if err := call(ctx, http.MethodPost, base+"/v1/predict", "", body, &a); err != nil {
		return err
	}
	items, _ := d.data.User(user)
	last := len(items) - 1
	titles, err := d.titles(ctx, base, items)
	if err != nil {
		return err
	}
	out := d.m.Stdout
	fmt.Fprintf(out, "\nWhat %s did last\n", d.data.Users[user])
	for _, i := range items[max(0, last-5):last] {
		fmt.Fprintf(out, "    %s\n", titles[i])
	}
	fmt.Fprintf(out, "\nWhat comes next, says %s (%d events read, %.2f ms)\n", a.Model.Name, a.History.Used, a.Took)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	actual := d.data.Vocab.ID(items[last])
	for n, item := range a.Items {
		mark := ""
		if item.ID == actual {
			mark = "  <- what really came next"
		}
		fmt.Fprintf(w, "%4d\t%s\t%.3f\t%s\n", n+1, cmp.Or(item.Title, item.ID), item.Score, mark)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !slices.ContainsFunc(a.Items, func(i answerItem) bool { return i.ID == actual }) {
		fmt.Fprintf(out, "      what really came next: %s\n", titles[items[last]])
	}
	return nil
}

// titles asks the service what items are called.
func (d *demo) titles(ctx context.Context, base string, items []int32) (map[int32]string, error) {
	titles := map[int32]string{}
	for _, i := range items[max(0, len(items)-6):] {
		id := d.data.Vocab.ID(i)
		var item struct{ Title string }
		if err := get(ctx, base+"/v1/items/"+url.PathEscape(id), "", &item); err != nil {
			return nil, err
		}
		titles[i] = cmp.Or(item.Title, id)
	}
	return titles, nil
}
