package services

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Spec says how a server is started.
type Spec struct {
	Name  string                      // for errors and the name of the log file
	Path  string                      // program: a path, or a name on PATH
	Args  []string                    //
	Env   []string                    // added to our own environment
	Dir   string                      // working folder; the log NAME.log is written there too
	Ready func(context.Context) error // nil once the server answers; asked again and again until then
	// Detached lets the server live on when this process ends, for `make services-up`.
	Detached bool
}

// Process is a running server, or one that was stopped and can be started again with the same data.
// Its methods must not be called concurrently.
type Process struct {
	spec Spec
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{} // closed when the server has ended
	err  error         // of its end; read after done
}

// startTimeout is how long a server may take to answer: a JVM on a busy machine of two cores takes its time.
const startTimeout = 90 * time.Second

// Start runs a server and returns when it is ready. On error nothing is left running; the error carries the end of the log.
func Start(ctx context.Context, spec Spec) (*Process, error) {
	p := &Process{spec: spec}
	return p, p.Start(ctx)
}

// Start runs the server again after Kill or Stop, and returns when it is ready.
func (p *Process) Start(ctx context.Context) (err error) {
	if p.cmd != nil {
		return fmt.Errorf("start %s: it is running", p.spec.Name)
	}
	program, err := exec.LookPath(p.spec.Path)
	if err != nil {
		return fmt.Errorf("start %s: %w; scripts/install-test-deps.sh installs it", p.spec.Name, err)
	}
	if p.log, err = os.OpenFile(p.logName(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
		return fmt.Errorf("start %s: %w", p.spec.Name, err)
	}
	cmd := exec.Command(program, p.spec.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.spec.Dir, p.log, p.log
	cmd.Env = append(os.Environ(), p.spec.Env...)
	cmd.SysProcAttr = attributes(p.spec.Detached)
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", p.spec.Name, err), p.log.Close())
	}
	p.cmd, p.done = cmd, make(chan struct{})
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := p.waitReady(ctx); err != nil {
		err = fmt.Errorf("start %s: %w\n%s", p.spec.Name, err, p.Tail(2000))
		return errors.Join(err, p.Kill())
	}
	return nil
}

func (p *Process) logName() string { return filepath.Join(p.spec.Dir, p.spec.Name+".log") }

func (p *Process) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.spec.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("it ended: %w", errors.Join(p.err, err))
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w", errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// Pid is the process number, 0 when it does not run.
func (p *Process) Pid() int {
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Kill ends the server as a power cut would (SIGKILL) and waits for the end. Killing one that does not run does nothing.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL, 0) }

// Stop asks the server to end (SIGTERM), waits, and kills it after patience.
func (p *Process) Stop(patience time.Duration) error { return p.end(syscall.SIGTERM, patience) }

func (p *Process) end(sig syscall.Signal, patience time.Duration) error {
	if p.cmd == nil {
		return nil
	}
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-p.done:
		case <-timer.C:
			err = errors.Join(err, p.cmd.Process.Kill())
		}
	}
	<-p.done
	p.cmd = nil
	return errors.Join(err, p.log.Close())
}

// Tail returns at most the last n bytes of the log.
func (p *Process) Tail(n int) string {
	data, err := os.ReadFile(p.logName())
	if err != nil {
		return err.Error()
	}
	return string(bytes.ToValidUTF8(data[max(0, len(data)-n):], nil))
}

// given are the ports that FreePorts has handed out, so that two callers of one process never get the same.
var given struct {
	sync.Mutex
	ports map[int]bool
}

// Ports that are given out lie below those that systems hand to outgoing connections (32768 and up on Linux, 49152 and up
// elsewhere): among these, some connection would take one before its server is up.
const firstPort, lastPort = 12_000, 32_000

// FreePorts returns n different loopback ports that nobody listens on. Another process that also looks may take one before
// it is used; whoever starts a server tries again with others then.
func FreePorts(n int) ([]int, error) {
	given.Lock()
	defer given.Unlock()
	if given.ports == nil {
		given.ports = map[int]bool{}
	}
	var ports []int
	for range 100 * (n + 1) {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + rand.IntN(lastPort-firstPort)
		if given.ports[port] {
			continue
		}
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // taken
		}
		if err := ln.Close(); err != nil {
			return nil, fmt.Errorf("look for a free port: %w", err)
		}
		given.ports[port] = true
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("look for %d free ports between %d and %d: there are too few", n, firstPort, lastPort)
}
