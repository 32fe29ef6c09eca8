// Command trainjob is the night of seqrec: it reads interactions, trains and
// judges models, and keeps the registry that recsvc serves from.
//
// What people read goes to standard error; results go to standard output. The
// last line of train and evaluate is one JSON object. Exit codes: 0 done,
// 1 failed, 2 usage, 3 refused by the quality gate.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"seqrec/internal/kernel"
	"seqrec/internal/train"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: arguments in, exit code out.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if path := os.Getenv("SEQREC_CPU"); path != "" {
		if err := kernel.SetPath(path); err != nil {
			fmt.Fprintf(stderr, "trainjob: SEQREC_CPU: %v\n", err)
			return exitUsage
		}
	}
	app := &app{ctx: ctx, out: stdout, err: stderr}
	command, code, err := parse(args, stdout, stderr)
	if command == nil {
		if err != nil {
			fmt.Fprintf(stderr, "trainjob: %v\n", err)
		}
		return code
	}
	err = command.Run(app)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, train.ErrRefused):
		code = exitRefused
	case errors.Is(err, errUsage):
		code = exitUsage
	default:
		code = exitFailed
	}
	fmt.Fprintf(stderr, "trainjob: %v\n", err)
	return code
}

// errUsage marks errors that better arguments would mend.
var errUsage = errors.New("wrong usage")

// app is what every command is given.
type app struct {
	ctx context.Context
	out io.Writer // results
	err io.Writer // words for people
}

// say writes a line for people.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.err, format+"\n", args...)
}
