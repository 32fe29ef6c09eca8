// Command recsvc serves next-item predictions over REST. `recsvc demo` shows
// all of it on invented data; `recsvc serve` is the service itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"seqrec/internal/kernel"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends at once
	m := &Main{Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ()}
	os.Exit(m.Execute(ctx, os.Args[1:]))
}

// Main is the program without its process: a test gives it arguments, an
// environment and writers, and stops it by its context.
type Main struct {
	Stdout, Stderr io.Writer
	Environ        []string
	// OnServing, when not nil, is called once the service answers.
	OnServing func(addresses)

	cli  cli
	kong *kong.Context
	conf *settings
}

// settings is what serve and config were told, and by whom.
type settings struct {
	Config
	layers layers
	flags  map[string]bool // set on the command line
}

// cli is the command line.
type cli struct {
	Serve  serveCmd  `cmd:"" help:"Serve the current model of a registry."`
	Ingest ingestCmd `cmd:"" help:"Read events from Kafka into the store; serve nothing but probes."`
	Demo   demoCmd   `cmd:"" help:"Invent a world, train on it, serve it: everything in under a minute."`
	Bench  benchCmd  `cmd:"" help:"Load a running service and print latency and throughput."`

	Copy   copyCmd   `cmd:"" help:"Copy histories and items of one store to another, also while it is written."`
	Plan   planCmd   `cmd:"" help:"Predict the memory that Redis needs for so many users and events."`
	Digest digestCmd `cmd:"" help:"Sum up what a store holds, so that two can be compared."`

	CreateTopics      createTopicsCmd      `cmd:"" help:"Make the topics of Kafka that are missing."`
	Replay            replayCmd            `cmd:"" help:"Append a window of Kafka's log to a store."`
	ReplayDeadLetters replayDeadLettersCmd `cmd:"" help:"Bring dead letters that are good by now back to the topic of events."`

	Config  configCmd  `cmd:"" help:"Show or check the configuration."`
	Version versionCmd `cmd:"" help:"Print version, Go and instruction set."`
}

const about = `Sequential recommendations over REST: who did what, when, goes in; what comes next comes out.

Start here:

  recsvc demo                                     see it work, without data or network
  recsvc serve --registry DIR --store DIR         serve what trainjob has published
  curl -s localhost:8080/v1/predict -H 'Content-Type: application/json' -d '{"history":[{"item":"ID"}],"k":5}'

Settings of serve come from defaults, a YAML file (--config), the environment and flags, later ones winning.
--listen-data is RECSVC_LISTEN_DATA in the environment and data under listen in the file; 'recsvc config print'
shows all of them with their origin. SEQREC_CPU=avx512|avx2|generic overrides the instruction set.

Exit codes: 0 done, 1 failed, 2 usage.`

// errExit asks for an exit code after kong has printed help.
type errExit int

func (e errExit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// Execute parses, runs and closes, and returns the exit code.
func (m *Main) Execute(ctx context.Context, args []string) int {
	err := m.ParseFlags(args)
	var exit errExit
	if errors.As(err, &exit) {
		return int(exit)
	}
	if err != nil {
		fmt.Fprintf(m.Stderr, "recsvc: %v\n", err)
		return exitUsage
	}
	if err := m.Run(ctx); err != nil {
		fmt.Fprintf(m.Stderr, "recsvc: %v\n", err)
		return exitFailed
	}
	return exitDone
}

// ParseFlags reads arguments, environment and configuration file. All faults of
// the last two are reported at once.
func (m *Main) ParseFlags(args []string) (err error) {
	if name := lookup(m.Environ, "SEQREC_CPU"); name != "" {
		if err := kernel.SetPath(name); err != nil {
			return fmt.Errorf("SEQREC_CPU: %w", err)
		}
	}
	file := configFile(args, m.Environ)
	found, fault := readLayers(file, m.Environ)
	parser, err := kong.New(&m.cli,
		kong.Name("recsvc"), kong.Description(about),
		kong.Writers(m.Stdout, m.Stderr), kong.Exit(func(code int) { panic(errExit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.Resolvers(found), kong.Vars{"store": storeHelp},
	)
	if err != nil {
		return fmt.Errorf("build command line: %w", err)
	}
	defer func() {
		if p := recover(); p != nil {
			exit, ok := p.(errExit)
			if !ok {
				panic(p)
			}
			err = exit
		}
	}()
	m.kong, err = parser.Parse(args)
	if err != nil {
		return errors.Join(err, fault)
	}
	if c := m.cli.configured(m.kong.Command()); c != nil {
		m.conf = &settings{Config: *c, layers: found, flags: map[string]bool{}}
		for _, p := range m.kong.Path {
			if p.Flag != nil && !p.Resolved {
				m.conf.flags[p.Flag.Name] = true
			}
		}
		return errors.Join(fault, c.Validate())
	}
	return nil
}

// configured returns the settings of a command that takes them.
func (c *cli) configured(command string) *Config {
	switch command {
	case "serve":
		return &c.Serve.Settings
	case "ingest":
		return &c.Ingest.Settings
	case "create-topics":
		return &c.CreateTopics.Settings
	case "replay":
		return &c.Replay.Settings
	case "replay-dead-letters":
		return &c.ReplayDeadLetters.Settings
	case "config print":
		return &c.Config.Print.Settings
	case "config check":
		return &c.Config.Check.Settings
	}
	return nil
}

// Run runs the command until it is done or ctx ends.
func (m *Main) Run(ctx context.Context) error {
	m.kong.BindTo(ctx, (*context.Context)(nil))
	return m.kong.Run(m)
}

// configFile finds the file before anything else is parsed: its values must be
// there when the flags are.
func configFile(args, environ []string) string {
	file := lookup(environ, "RECSVC_CONFIG")
	for i, a := range args {
		if a == "--" {
			break
		}
		if a == "--config" && i+1 < len(args) {
			file = args[i+1]
		}
		if len(a) > len("--config=") && a[:len("--config=")] == "--config=" {
			file = a[len("--config="):]
		}
	}
	return file
}

// lookup reads a variable of an environment.
func lookup(environ []string, name string) string {
	for _, e := range environ {
		if len(e) > len(name) && e[:len(name)] == name && e[len(name)] == '=' {
			return e[len(name)+1:]
		}
	}
	return ""
}
