package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
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
		kong.WithBeforeResolve(func(ctx *kong.Context) error { return file.check(ctx.Model, ctx.Flags()) }),
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
	values map[string]entry // by flag name
	faults []located
}

// entry is a value of the file.
type entry struct {
	key, text string
	line      int
}

// located is a fault and the line it is in.
type located struct {
	line int
	text string
}

func (c *config) fault(line int, format string, args ...any) {
	c.faults = append(c.faults, located{line, fmt.Sprintf(format, args...)})
}

// readConfig reads the file; no path is an empty file. What is wrong in the file is
// for check to report, all at once.
func readConfig(path string) (*config, error) {
	c := &config{path: path, values: map[string]entry{}}
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
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return fmt.Errorf("read config %s: %w", c.path, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("read config %s: there must be one document", c.path)
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		c.fault(root.Line, "the document must hold flag names and values")
		return nil
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, node := root.Content[i], root.Content[i+1]
		name := strings.ReplaceAll(key.Value, "_", "-")
		if _, double := c.values[name]; double {
			c.fault(key.Line, "%s is given twice", key.Value)
			continue
		}
		text, err := scalar(node)
		if err != nil {
			c.fault(node.Line, "%s: %v", key.Value, err)
			continue
		}
		c.values[name] = entry{key.Value, text, node.Line}
	}
	return nil
}

// scalar gives a YAML value as a flag would have it; lists are joined by commas.
func scalar(n *yaml.Node) (string, error) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag != "!!null":
		return n.Value, nil
	case n.Kind == yaml.SequenceNode:
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

// check holds the file to the flags of the program: every name must be a flag of
// some command, and the value one that it takes; the command that is to run
// decides where it has such a flag. It reports all faults of the file.
func (c *config) check(app *kong.Application, chosen []*kong.Flag) error {
	known := map[string][]*kong.Flag{}
	err := kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if f, ok := node.(*kong.Flag); ok {
			known[f.Name] = append(known[f.Name], f)
		}
		return next(nil)
	})
	if err != nil {
		return err
	}
	for _, f := range chosen {
		known[f.Name] = []*kong.Flag{f}
	}
	for name, e := range c.values {
		if len(known[name]) == 0 || name == "config" || name == "help" {
			c.fault(e.line, "no flag is called %s", e.key)
		} else if err := takes(known[name], e.text); err != nil {
			c.fault(e.line, "%s: %v", e.key, err)
		}
	}
	slices.SortFunc(c.faults, func(a, b located) int { return cmp.Or(cmp.Compare(a.line, b.line), strings.Compare(a.text, b.text)) })
	var faults []error
	for _, f := range c.faults {
		faults = append(faults, fmt.Errorf("%s:%d: %s", c.path, f.line, f.text))
	}
	return errors.Join(faults...)
}

// takes reports why none of the flags of one name takes a value.
func takes(flags []*kong.Flag, text string) (err error) {
	for _, f := range flags {
		target := reflect.New(f.Target.Type()).Elem()
		if target.Kind() == reflect.Pointer {
			target.Set(reflect.New(target.Type().Elem()))
		}
		err = f.Mapper.Decode(&kong.DecodeContext{Value: f.Value, Scan: kong.ScanFromTokens(kong.Token{Value: text, Type: kong.FlagValueToken})}, target)
		if err == nil && f.Enum != "" && !slices.Contains(f.EnumSlice(), text) {
			err = fmt.Errorf("%q is not one of %s", text, strings.Join(f.EnumSlice(), ", "))
		}
		if err == nil {
			return nil
		}
	}
	return err
}

// Validate implements kong.Resolver; check has done it.
func (c *config) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. kong asks it after the environment, so a
// flag whose variable is set is left alone.
func (c *config) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
	}
	if v, ok := c.values[flag.Name]; ok {
		return v.text, nil
	}
	return nil, nil
}
