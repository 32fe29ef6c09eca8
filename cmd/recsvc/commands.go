package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"text/tabwriter"

	"seqrec/internal/httpapi"
	"seqrec/internal/kernel"
)

// fileFlag names the configuration file.
type fileFlag struct {
	ConfigFile string `name:"config" placeholder:"FILE" help:"YAML file of settings (also RECSVC_CONFIG)."`
}

type serveCmd struct {
	fileFlag `group:"Settings"`
	Settings Config `embed:"" group:"Settings"`
}

// Run serves until ctx ends, then drains.
func (serveCmd) Run(ctx context.Context, m *Main) error {
	cfg := m.conf.Config
	log := newLogger(&cfg.Log, m.Stderr)
	s, err := startServer(ctx, cfg, log)
	if err != nil {
		return err
	}
	if m.OnServing != nil {
		m.OnServing(s.addresses())
	}
	return errors.Join(s.wait(ctx), s.Close())
}

type configCmd struct {
	Print configPrintCmd `cmd:"" help:"Print every setting, its value and where that comes from. Secrets are masked."`
	Check configCheckCmd `cmd:"" help:"Report every fault of the configuration and exit."`
}

type configPrintCmd struct {
	fileFlag
	Settings Config `embed:""`
}

// Run prints the settings in force.
func (configPrintCmd) Run(m *Main) error {
	w := tabwriter.NewWriter(m.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SETTING\tVALUE\tORIGIN")
	for _, s := range settingsOf(&m.conf.Config) {
		value := s.format()
		if s.secret && value != "" {
			value = "******"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.key, value, m.conf.origin(s))
	}
	return w.Flush()
}

// origin says where a value comes from.
func (c *settings) origin(s setting) string {
	if c.flags[s.flag] {
		return "flag --" + s.flag
	}
	if l, ok := c.layers[s.flag]; ok {
		return l.origin
	}
	return "default"
}

type configCheckCmd struct {
	fileFlag
	Settings Config `embed:""`
}

// Run finds what only opening the files can find; ParseFlags found the rest.
func (configCheckCmd) Run(m *Main) error {
	keys, err := readKeys(&m.conf.Auth)
	if err == nil {
		err = httpapi.CheckKeys(keys)
	}
	if err == nil && !isLoopback(m.conf.Listen.Admin) && !canOperate(keys) {
		err = fmt.Errorf("listen.admin: %s is open to others and no key has scope admin", m.conf.Listen.Admin)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(m.Stdout, "the configuration is sound")
	return nil
}

type versionCmd struct{}

// Run prints what this binary is and what it runs on.
func (versionCmd) Run(m *Main) error {
	version, revision, dirty := "(devel)", "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = " (modified)"
			}
		}
	}
	fmt.Fprintf(m.Stdout, "recsvc %s\nrevision %s%s\n%s %s/%s\ncpu %s of %v, %d cores\n",
		version, revision, dirty, runtime.Version(), runtime.GOOS, runtime.GOARCH, kernel.Features(), kernel.Paths(), runtime.NumCPU())
	return nil
}
