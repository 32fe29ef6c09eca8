package main

import (
	"context"
	"errors"
	"fmt"

	"seqrec/internal/bucket"
	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/train"
)

// commands is the command line.
type commands struct {
	Config string `help:"YAML file of flag names and values." type:"path" placeholder:"FILE"`

	Import   importCmd   `cmd:"" help:"Read interactions of any known form, report on them, and write them as plain CSV."`
	Train    trainCmd    `cmd:"" help:"Train a model, judge it beside baselines, publish it."`
	Nightly  nightlyCmd  `cmd:"" help:"The work of a night: gather events, train from the current version on, judge, publish, promote."`
	Evaluate evaluateCmd `cmd:"" help:"Judge a published version on the test cases of a data set."`
	Compare  compareCmd  `cmd:"" help:"Compare two published versions on the same cases, paired."`
	Study    studyCmd    `cmd:"" help:"Compare second stages over lifelong histories by AUC on a log, as their papers do."`
	Publish  publishCmd  `cmd:"" help:"Judge and publish weights that another program made."`
	Promote  promoteCmd  `cmd:"" help:"Make a version the current one."`
	Rollback rollbackCmd `cmd:"" help:"Make the version promoted before the current one current again."`
	List     listCmd     `cmd:"" help:"List the versions."`
	Prune    pruneCmd    `cmd:"" help:"Remove old versions."`
	Validate validateCmd `cmd:"" help:"Verify a version, or the whole registry, byte by byte."`
	Recipes  recipesCmd  `cmd:"" help:"List the recipes and what they set."`
	Bench    benchCmd    `cmd:"" help:"Measure quality or speed and write the benchmark page."`
	Version  versionCmd  `cmd:"" help:"Say which build this is."`
}

// registryFlag names the registry.
type registryFlag struct {
	Registry      string `help:"Published versions: a folder, or a bucket (file:///DIR, s3://BUCKET/PREFIX?region=...) that is mirrored into a folder." required:"" placeholder:"DIR"`
	RegistryCache string `help:"Folder that mirrors a bucket." type:"path" default:".registry" placeholder:"DIR"`
}

// open gives the registry; that of a bucket has the bucket's current version.
func (f registryFlag) open() (*registry.Registry, error) {
	reg, mirror, err := f.mirrored()
	if err != nil || mirror == nil {
		return reg, err
	}
	if err := mirror.Pull(context.Background()); err != nil && !errors.Is(err, registry.ErrNoCurrent) {
		return nil, err
	}
	return reg, nil
}

// mirrored gives the registry and, if it is in a bucket, what mirrors it; nothing is fetched yet.
func (f registryFlag) mirrored() (*registry.Registry, *registry.Mirror, error) {
	if !bucket.Is(f.Registry) {
		reg, err := registry.Open(f.Registry)
		return reg, nil, err
	}
	b, err := bucket.Open(context.Background(), f.Registry)
	if err != nil {
		return nil, nil, err
	}
	return registry.OpenMirror(b, f.RegistryCache, registry.Options{})
}

// dir is the folder of the registry on this machine.
func (f registryFlag) dir() string {
	if bucket.Is(f.Registry) {
		return f.RegistryCache
	}
	return f.Registry
}

// workersFlag is that of every command that computes.
type workersFlag struct {
	Workers int `help:"Goroutines; 0 is one a core. It changes no result." default:"0"`
}

// Validate is asked by kong before a command runs, wherever the value comes from.
func (f workersFlag) Validate() error {
	if f.Workers < 0 {
		return fmt.Errorf("--workers is %d, want 0 (one a core) or more", f.Workers)
	}
	return nil
}

// dataFlags say what is read and how it is cut.
type dataFlags struct {
	Data         string   `help:"Interactions: a file (CSV, MovieLens .dat, RecBole .inter, NDJSON, Parquet; plain, .gz or .zst) or a folder that holds one." required:"" type:"path" placeholder:"PATH"`
	Split        string   `help:"leave-one-out: each user's last event is the test, the one before it validation. temporal: one moment cuts all users." enum:"leave-one-out,temporal" default:"leave-one-out"`
	TestShare    float64  `help:"Of a temporal split: the share of events after the test's cut, and as many for validation." default:"0.1"`
	MinItemCount int      `help:"Leave out items with fewer events. The usual 5 makes MovieLens-1M the 3,416 items that papers use; 0 keeps all." default:"5"`
	MinUserCount int      `help:"Leave out users with fewer events; 0 keeps all." default:"0"`
	KCore        int      `help:"Leave out users and items with fewer events, again and again until none is left." default:"0"`
	MinRating    float64  `help:"Keep ratings of at least this; 0 keeps everything." default:"0"`
	Kinds        []string `help:"Keep only events of these kinds." placeholder:"KIND"`
	DropItems    []string `help:"Leave these items out." placeholder:"ITEM"`
}

func (f dataFlags) plan() train.DataPlan {
	p := train.DataPlan{
		Split: f.Split, MinItemCount: f.MinItemCount, MinUserCount: f.MinUserCount, KCore: f.KCore,
		MinRating: f.MinRating, Kinds: f.Kinds, DropItems: f.DropItems,
	}
	if f.Split == features.SplitTemporal {
		p.TestShare = f.TestShare
	}
	return p
}

// load reads and cuts the data.
func (f dataFlags) load(a *app) (*features.Dataset, *features.Split, error) {
	return load(a, f.Data, f.plan(), false)
}

// load reads data and cuts it as a plan says. With places, what the plan leaves out
// for its item keeps its place in the histories of the test cases.
func load(a *app, path string, plan train.DataPlan, places bool) (*features.Dataset, *features.Split, error) {
	if err := plan.Validate(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	opt := plan.ReadOptions()
	opt.KeepPlaces = places
	all, report, err := features.ReadContext(a.ctx, path, opt)
	if err != nil {
		return nil, nil, err
	}
	data := all.Known()
	a.say("data: %d events of %d users on %d items, %d rows with faults, %d left out (kept: %s)",
		report.Events, report.Users, report.Items, report.Faults.Total, report.Filtered, plan.Filter())
	split, err := plan.Cut(data)
	if err != nil {
		return nil, nil, err
	}
	split.Test = all.InPlace(split.Test)
	return data, split, nil
}

// cutFlags are the dataFlags of commands that judge versions: what is not given
// is as the version's own plan has it. Else a version would be judged on other
// questions than those of its report.
type cutFlags struct {
	Data         string   `help:"Interactions: a file or folder as train reads." required:"" type:"path" placeholder:"PATH"`
	Split        *string  `help:"leave-one-out or temporal. This and what follows is by default as the version was trained." placeholder:"NAME"`
	TestShare    *float64 `help:"Of a temporal split: the share of events after the test's cut." placeholder:"X"`
	MinItemCount *int     `help:"Leave out items with fewer events; 0 keeps all." placeholder:"N"`
	MinUserCount *int     `help:"Leave out users with fewer events; 0 keeps all." placeholder:"N"`
	KCore        *int     `help:"Leave out users and items with fewer events, again and again until none is left; 0 keeps all." placeholder:"N"`
	MinRating    *float64 `help:"Keep ratings of at least this; 0 keeps everything." placeholder:"X"`
	Kinds        []string `help:"Keep only events of these kinds." placeholder:"KIND"`
	DropItems    []string `help:"Leave these items out." placeholder:"ITEM"`
}

// plan is a version's own plan with what was given.
func (f cutFlags) plan(own train.DataPlan) train.DataPlan {
	p := own
	if own.Split == "" { // a version that does not say
		p.MinItemCount = 5
	}
	set(&p.Split, f.Split)
	set(&p.MinItemCount, f.MinItemCount)
	set(&p.MinUserCount, f.MinUserCount)
	set(&p.KCore, f.KCore)
	set(&p.MinRating, f.MinRating)
	if f.Kinds != nil {
		p.Kinds = f.Kinds
	}
	if f.DropItems != nil {
		p.DropItems = f.DropItems
	}
	p = train.Plan{Data: p}.WithDefaults().Data
	set(&p.TestShare, f.TestShare)
	if p.Split != features.SplitTemporal {
		p.TestShare = 0
	}
	return p
}
