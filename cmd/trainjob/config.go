package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

// envPrefix begins the environment variable of every flag: --batch-size is
// TRAINJOB_BATCH_SIZE.
const envPrefix = "TRAINJOB"

const description = `Train, judge and publish sequence models.

Settings come from, later winning: the recipe, a YAML file (--config), the environment (TRAINJOB_RATE is --rate), flags. A YAML file holds the names of flags; one that no command has is an error.

A first night:
  trainjob train --data ratings.csv --recipe sasrec-ce --registry models
  trainjob list --registry models
  trainjob evaluate --registry models --model current --data ratings.csv

Exit codes: 0 done, 1 failed, 2 usage, 3 refused by the quality gate.`

// runner is a command.
type runner interface{ Run(*app) error }

// exit is the panic by which kong's Exit leaves parse.
type exit struct{ code int }

// parse reads the command line. A nil runner means that there is nothing more
// to do: help was shown, or err says what is wrong.
func parse(args []string, stdout, stderr io.Writer) (command runner, code int, err error) {
	file, err := readConfig(configPath(args))
	if err != nil {
		return nil, exitUsage, err
	}
	parser, err := kong.New(&commands{},
		kong.Name("trainjob"), kong.Description(description), kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exit{code}) }),
		kong.DefaultEnvars(envPrefix), kong.Resolvers(file),
		// The description tells how a flag's variable is called; each line need not.
		kong.ValueFormatter(func(v *kong.Value) string { return v.Help }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
	)
	if err != nil {
		return nil, exitFailed, err
	}
	defer func() { // kong leaves by Exit after --help; a test must not end with it
		if r := recover(); r != nil {
			e, ok := r.(exit)
			if !ok {
				panic(r)
			}
			command, code, err = nil, e.code, nil
		}
	}()
	ctx, err := parser.Parse(args)
	if err != nil {
		return nil, exitUsage, fmt.Errorf("%w (try --help)", err)
	}
	command, ok := ctx.Selected().Target.Addr().Interface().(runner)
	if !ok {
		return nil, exitFailed, fmt.Errorf("command %s cannot run", ctx.Command())
	}
	return command, exitDone, nil
}

// configPath finds --config before the rest is parsed, since it gives values to
// what is parsed.
func configPath(args []string) string {
	for i, a := range args {
		if a == "--" {
			break
		}
		if v, ok := strings.CutPrefix(a, "--config="); ok {
			return v
		}
		if a == "--config" && i+1 < len(args) {
			return args[i+1]
		}
	}
	return os.Getenv(envPrefix + "_CONFIG")
}

// config is a YAML file of flag names and values. It resolves flags for kong,
// below the environment and the command line.
type config struct {
	path   string
	values map[string]string // by flag name
}

// readConfig reads the file; no path is an empty file.
func readConfig(path string) (*config, error) {
	c := &config{path: path, values: map[string]string{}}
	if path == "" {
		return c, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	return c, c.parse(data)
}

func (c *config) parse(data []byte) error {
	var nodes map[string]yaml.Node
	if err := yaml.Unmarshal(data, &nodes); err != nil {
		return fmt.Errorf("read config %s: %w", c.path, err)
	}
	var faults []error
	for key, node := range nodes {
		name := strings.ReplaceAll(key, "_", "-")
		if _, double := c.values[name]; double {
			faults = append(faults, fmt.Errorf("config %s, line %d: %s is given twice", c.path, node.Line, key))
		}
		value, err := scalar(&node)
		if err != nil {
			faults = append(faults, fmt.Errorf("config %s, line %d: %s: %w", c.path, node.Line, key, err))
		}
		c.values[name] = value
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

// scalar gives a YAML value as a flag would have it; lists are joined by commas.
func scalar(n *yaml.Node) (string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Value, nil
	case yaml.SequenceNode:
		var list []string
		for _, e := range n.Content {
			if e.Kind != yaml.ScalarNode {
				return "", errors.New("a list may hold plain values only")
			}
			list = append(list, e.Value)
		}
		return strings.Join(list, ","), nil
	}
	return "", errors.New("want a plain value or a list of such")
}

// Validate implements kong.Resolver: every name must be a flag of some command.
func (c *config) Validate(app *kong.Application) error {
	known := map[string]bool{}
	err := kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if f, ok := node.(*kong.Flag); ok {
			known[f.Name] = true
		}
		return next(nil)
	})
	if err != nil {
		return err
	}
	var unknown []string
	for name := range c.values {
		if !known[name] || name == "config" || name == "help" {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return fmt.Errorf("config %s: no flag is called %s", c.path, strings.Join(unknown, ", "))
	}
	return nil
}

// Resolve implements kong.Resolver. kong asks it after the environment, so a
// flag whose variable is set is left alone.
func (c *config) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
	}
	if v, ok := c.values[flag.Name]; ok {
		return v, nil
	}
	return nil, nil
}
