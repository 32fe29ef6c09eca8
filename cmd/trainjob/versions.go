package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"seqrec/internal/kernel"
	"seqrec/internal/registry"
	"seqrec/internal/train"
)

// publishCmd publishes weights made elsewhere.
type publishCmd struct {
	Weights string `arg:"" help:"A safetensors file as docs/format/weights.md describes it; item numbers are those that reading the data gives." type:"existingfile"`
	dataFlags
	registryFlag
	publishFlags
}

// Run implements runner.
func (c *publishCmd) Run(a *app) error {
	opt, err := c.options(a, c.Data, c.registryFlag)
	if err != nil {
		return err
	}
	opt.Weights = c.Weights
	if opt.Name == "" {
		opt.Name = "published"
	}
	return night(a, train.Plan{Data: c.dataFlags.plan()}, opt)
}

// promoteCmd makes a version current.
type promoteCmd struct {
	registryFlag
	Model string `arg:"" name:"version" help:"The version: its name or latest."`
}

// Run implements runner.
func (c *promoteCmd) Run(a *app) error {
	reg, mirror, err := c.mirrored()
	if err != nil {
		return err
	}
	version, err := c.resolve(reg, mirror)
	if err != nil {
		return err
	}
	if err := train.Promote(reg, version); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.out, version)
	return err
}

// resolve finds the version that is meant. That of a bucket is in the folder then, and the folder knows what is current;
// a current that is broken is what promoting another mends.
func (c *promoteCmd) resolve(reg *registry.Registry, mirror *registry.Mirror) (string, error) {
	if mirror == nil {
		return reg.Resolve(c.Model)
	}
	ctx := context.Background()
	var fault *registry.Fault
	if err := mirror.Pull(ctx); err != nil && !errors.As(err, &fault) {
		return "", err
	}
	return mirror.Resolve(ctx, c.Model)
}

// rollbackCmd goes back to the version before.
type rollbackCmd struct{ registryFlag }

// Run implements runner.
func (c *rollbackCmd) Run(a *app) error {
	version, err := c.rollback()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.out, version)
	return err
}

// rollback rolls back; in a bucket along the promotions of all machines.
func (c *rollbackCmd) rollback() (string, error) {
	reg, mirror, err := c.mirrored()
	if err != nil {
		return "", err
	}
	if mirror == nil {
		return reg.Rollback()
	}
	ctx := context.Background()
	if err := mirror.Pull(ctx); err != nil {
		return "", err
	}
	return mirror.Rollback(ctx)
}

// listCmd lists versions.
type listCmd struct {
	registryFlag
	JSON bool `name:"json" help:"One JSON object a line."`
}

// versions lists those of the folder or of the bucket.
func (c *listCmd) versions() ([]registry.Info, error) {
	reg, mirror, err := c.mirrored()
	if err != nil {
		return nil, err
	}
	if mirror == nil {
		return published(reg)
	}
	return mirror.List(context.Background())
}

// published lists the versions. To somebody who names a folder that is not there, an empty list would be a wrong answer.
func published(reg *registry.Registry) ([]registry.Info, error) {
	if _, err := os.Stat(reg.Dir()); err != nil {
		return nil, fmt.Errorf("no registry: %w (publish a version, which makes it)", err)
	}
	return reg.List()
}

// listed is a line of list --json.
type listed struct {
	registry.Manifest
	Bytes    int64  `json:"bytes"`
	Current  bool   `json:"current"`
	Rollback bool   `json:"rollback"`
	Fault    string `json:"fault,omitempty"`
}

// Run implements runner.
func (c *listCmd) Run(a *app) error {
	infos, err := c.versions()
	if err != nil {
		return err
	}
	if !c.JSON {
		return registry.WriteTable(a.out, infos)
	}
	e := json.NewEncoder(a.out)
	for _, i := range infos {
		l := listed{Manifest: i.Manifest, Bytes: i.Bytes, Current: i.Current, Rollback: i.Rollback}
		l.Manifest.Version = i.Version
		if i.Fault != nil {
			l.Fault = i.Fault.Error()
		}
		if err := e.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

// pruneCmd removes old versions.
type pruneCmd struct {
	registryFlag
	Keep   int  `help:"Keep so many of the newest, besides the current one and the one before it." default:"5"`
	Broken bool `help:"Instead of old versions, remove those that are not what was published; the current one stays."`
}

// Run implements runner.
func (c *pruneCmd) Run(a *app) error {
	reg, err := c.open()
	if err != nil {
		return err
	}
	prune := func() ([]string, error) { return reg.Prune(c.Keep) }
	if c.Broken {
		prune = reg.PruneBroken
	}
	removed, err := prune()
	for _, version := range removed {
		fmt.Fprintln(a.out, version)
	}
	return err
}

// validateCmd verifies versions.
type validateCmd struct {
	registryFlag
	Model   string `arg:"" name:"version" optional:"" help:"One version: its name, current or latest; without it the whole registry."`
	Receipt string `help:"Receipt of an erasure that the versions must obey." placeholder:"ID"`
}

// Run implements runner. Besides checksums it loads the model, so that what
// passes can be served.
func (c *validateCmd) Run(a *app) error {
	reg, err := c.open()
	if err != nil {
		return err
	}
	names, faults, err := c.check(reg)
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return tellFaults(a, faults)
	}
	for _, name := range names {
		p, err := train.Open(reg, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.out, "%s is whole: %s, %d items\n", p.Version, p.Whole().Describe(), p.Model.Items())
		if err := c.erasures(a, reg, p.Version); err != nil {
			return err
		}
	}
	return nil
}

// check verifies what the command names: the versions, and all that is wrong.
func (c *validateCmd) check(reg *registry.Registry) (names []string, faults registry.Faults, err error) {
	if c.Model != "" {
		version, err := reg.Resolve(c.Model)
		return []string{version}, reg.Validate(version), err
	}
	if faults, err = reg.Check(); err != nil {
		return nil, nil, err
	}
	infos, err := published(reg)
	for _, i := range infos {
		names = append(names, i.Version)
	}
	return names, faults, err
}

// tellFaults writes a line a fault, then each advice once.
func tellFaults(a *app, faults registry.Faults) error {
	var mends []string
	for _, f := range faults {
		a.say("%s: %v: %s", f.Path, f.Kind, f.Detail)
		if !slices.Contains(mends, f.Mend) {
			mends = append(mends, f.Mend)
		}
	}
	for _, mend := range mends {
		a.say("what helps: %s", mend)
	}
	return fmt.Errorf("the registry has %d faults", len(faults))
}

// erasures shows which erasures of users a version obeys.
func (c *validateCmd) erasures(a *app, reg *registry.Registry, version string) error {
	erased, receipts, err := train.ErasuresOf(reg, version)
	if err != nil {
		return err
	}
	if erased != nil {
		fmt.Fprintf(a.out, "%s obeys %d erasures (%d events of %d users left out), SHA-256 of the receipts %s\n",
			version, erased.Receipts, erased.Events, erased.Users, erased.SHA256)
	}
	if c.Receipt == "" {
		return nil
	}
	for _, r := range receipts {
		if r.ID == c.Receipt {
			fmt.Fprintf(a.out, "%s is among them: user %s, erased %s\n", r.ID, r.UserHash, r.At.Format(time.RFC3339))
			return nil
		}
	}
	return fmt.Errorf("version %s does not obey erasure %s", version, c.Receipt)
}

// versionCmd tells about the build.
type versionCmd struct{}

// Run implements runner.
func (c *versionCmd) Run(a *app) error {
	_, err := fmt.Fprintf(a.out, "trainjob %s %s %s/%s, kernels %s\n", revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH, kernel.Features())
	return err
}

// revision is that of the source, as the Go tool stamped it.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	rev, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			rev = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	if rev == "" {
		return "unknown"
	}
	return rev[:min(12, len(rev))] + dirty
}
