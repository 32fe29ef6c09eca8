package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"seqrec/internal/features"
	"seqrec/internal/seqmodel/lifelong"
	"seqrec/internal/store"
	"seqrec/internal/train"
)

// nightlyCmd is the work of a night.
type nightlyCmd struct {
	registryFlag
	Source          []string `help:"Where events are: a file; a folder or bucket of files (DIR, file:///DIR, s3://BUCKET/PREFIX?region=...); a store (pebble:DIR, redis://HOST:PORT/DB?prefix=...); a topic (kafka://HOST:PORT/TOPIC?from=720h). May be given more than once; an event that several hold counts once." required:"" placeholder:"PLACE"`
	Erasures        []string `help:"List of erased users, as GET /admin/v1/erasures gives it: a file or its URL. Their events up to the erasure are left out, whatever the source." placeholder:"FILE"`
	ErasuresKeyFile string   `help:"File with the API key (scope admin) for --erasures that are URLs." type:"path" placeholder:"FILE"`

	Recipe string `help:"Settings to begin with; see trainjob recipes." default:"sasrec-ce"`
	Seed   uint64 `help:"Of weights, order, dropout and negatives." default:"1"`
	Cold   bool   `help:"Begin with fresh weights, not with those of the current version."`
	Second string `help:"Train a second stage for the night's version too, by this recipe: dare, twin, twin-v2, eta, sdim, sim, sim-hard or din." placeholder:"RECIPE"`

	JudgeShare   float64  `help:"The share of events, by time the last, that the model is judged on; as many before them choose the epoch." default:"0.05"`
	MinItemCount int      `help:"Leave out items with fewer events." default:"5"`
	MinUserCount int      `help:"Leave out users with fewer events; 0 keeps all." default:"0"`
	MinRating    float64  `help:"Keep ratings of at least this; 0 keeps everything." default:"0"`
	Kinds        []string `help:"Keep only events of these kinds." placeholder:"KIND"`

	Name        string  `help:"What to call the model; by default the recipe's name."`
	Hold        bool    `help:"Publish, but leave the current version."`
	MaxDrop     float64 `help:"Gate: the share of the current version's NDCG@10 that may be lost beyond doubt." default:"0.02"`
	MinNDCG     float64 `name:"min-ndcg" help:"Gate: the least NDCG@10." default:"0"`
	MinCases    int     `help:"Gate: the fewest test cases on which a current version may be replaced." default:"100"`
	NoBaselines bool    `help:"Judge without popularity, last transition and VMIS-kNN beside the model."`
	workersFlag

	Work            string        `help:"Folder for what an interrupted night goes on with; by default .night in the registry." type:"path" placeholder:"DIR"`
	CheckpointEvery time.Duration `help:"Longest time within an epoch without a checkpoint." default:"2m"`
	MaxAge          time.Duration `help:"An unfinished night older than this is begun anew." default:"12h"`
	Override        overrides     `embed:"" group:"Settings that override the recipe:"`
}

// Help implements kong.HelpProvider.
func (*nightlyCmd) Help() string {
	return `Gathers the events of all sources, leaves out those of erased users, begins with the weights of the current version (item vectors by item id, new items fresh), trains, judges on the last part of the time beside popularity, last transition, VMIS-kNN and the current version, and publishes. If the gate lets it, the version becomes current. With --second, a second stage is then trained on the same events, judged against the first alone, and published with it as one more version. Without it, a second stage of the current version is not trained anew: the night says so, and the gate weighs what is lost.

After an interruption, kill -9 included, the same command goes on where it ended, to the very same weights. Two nights on one registry never run at once.

The last line of standard output is one JSON object. Exit codes: 0 done, 1 failed, 2 usage, 3 refused by the gate: published with its report, the current version stays.

  trainjob nightly --source s3://events/2026 --erasures erased.ndjson --registry models --epochs 10`
}

// work is the working folder.
func (c *nightlyCmd) work() string {
	if c.Work != "" {
		return c.Work
	}
	return filepath.Join(c.dir(), ".night")
}

// settings are those of a training run.
func (c *nightlyCmd) settings() trainCmd {
	return trainCmd{Recipe: c.Recipe, Seed: c.Seed, Override: c.Override, dataFlags: dataFlags{
		Split: features.SplitTemporal, TestShare: c.JudgeShare, MinItemCount: c.MinItemCount, MinUserCount: c.MinUserCount,
	}}
}

// plan is the recipe with the overrides.
func (c *nightlyCmd) plan() (train.Plan, error) {
	run := c.settings()
	return run.plan()
}

// suit is that of train, with the night's cut.
func (c *nightlyCmd) suit(split *features.Split, p train.Plan) (train.Plan, string) {
	run := c.settings()
	q, why := run.suit(split, p)
	q.Data = p.Data
	return q, why
}

// Run implements runner.
func (c *nightlyCmd) Run(a *app) (err error) {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	opt, err := c.options(a)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(opt.Work, 0o755); err != nil {
		return fmt.Errorf("make the working folder: %w", err)
	}
	for _, name := range c.Source {
		source, erased, closed, err := c.sourceOf(a, name)
		defer func() { _ = closed() }() // read only
		if err != nil {
			return err
		}
		opt.Sources = append(opt.Sources, source)
		if erased != nil {
			opt.Erasures = append(opt.Erasures, erased)
		}
	}
	for _, name := range c.Erasures {
		list, err := c.erasures(a, name)
		if err != nil {
			return err
		}
		opt.Erasures = append(opt.Erasures, list)
	}
	shown := newDisplay(a.err)
	opt.Progress, opt.Say, opt.SecondProgress = shown.event, shown.say, shown.slates
	s, err := train.Nightly(a.ctx, plan, opt)
	shown.close()
	if errors.Is(err, train.ErrInterrupted) {
		return fmt.Errorf("%w; the same command goes on", err)
	}
	if s == nil {
		return err
	}
	return errors.Join(err, json.NewEncoder(a.out).Encode(s))
}

func (c *nightlyCmd) options(a *app) (train.NightlyOptions, error) {
	publish := publishFlags{
		Name: c.Name, Promote: !c.Hold, Hold: c.Hold, MaxDrop: c.MaxDrop, MinNDCG: c.MinNDCG, NoBaselines: c.NoBaselines, workersFlag: c.workersFlag,
	}
	night, err := publish.options(a, "", c.registryFlag)
	if err != nil {
		return train.NightlyOptions{}, err
	}
	night.Gate.MinCases = c.MinCases
	if err := night.Gate.Validate(); err != nil {
		return train.NightlyOptions{}, fmt.Errorf("%w: %w", errUsage, err)
	}
	night.Suit, night.Work, night.Every = c.suit, c.work(), c.CheckpointEvery
	second, err := c.second()
	if err != nil {
		return train.NightlyOptions{}, err
	}
	return train.NightlyOptions{
		NightOptions: night, Second: second, Cold: c.Cold, MaxAge: c.MaxAge,
		Read: features.ReadOptions{MinRating: c.MinRating, Kinds: c.Kinds},
	}, nil
}

// second are the settings of a second stage, nil when none is asked for.
func (c *nightlyCmd) second() (*train.LifelongPlan, error) {
	if c.Second == "" {
		return nil, nil
	}
	if !isLifelong(c.Second) {
		return nil, fmt.Errorf("%w: --second is %q, want one of %s", errUsage, c.Second, strings.Join(lifelong.Kinds(), ", "))
	}
	plan := lifelongRecipe(c.Second, c.Seed)
	return &plan, nil
}

// erasuresTimeout bounds the reading of a list from a service, which may be long.
const erasuresTimeout = 5 * time.Minute

// erasures reads a list from a file or from a running service.
func (c *nightlyCmd) erasures(a *app, name string) (*store.ErasureList, error) {
	if !strings.HasPrefix(name, "http://") && !strings.HasPrefix(name, "https://") {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read erasures: %w", err)
		}
		defer f.Close() //nolint:errcheck // read only
		return store.ReadErasures(f)
	}
	ctx, cancel := context.WithTimeout(a.ctx, erasuresTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	if c.ErasuresKeyFile != "" {
		key, err := os.ReadFile(c.ErasuresKeyFile)
		if err != nil {
			return nil, fmt.Errorf("read the key for erasures: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(key)))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read erasures %s: %s", name, resp.Status)
	}
	return store.ReadErasures(resp.Body)
}
