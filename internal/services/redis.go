package services

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// RedisOptions says how a Redis is set up. The zero value keeps everything in memory and asks for no password.
type RedisOptions struct {
	AOF       string   // appendfsync of the append-only file: "always" or "everysec"; "" keeps no file
	MaxMemory string   // such as "10mb"; "" means no limit. What does not fit is refused, never evicted
	Password  string   // of the default user; "" asks for none
	Args      []string // further arguments of redis-server, such as "--user", "reader on >secret ~* +@read"
	Config    string   // configuration file; "" for none
	Detached  bool     // see Spec
}

// Redis is one redis-server.
type Redis struct {
	*Process
	Addr string // host:port

	opts RedisOptions
	bus  int // cluster bus port
}

// StartRedis starts a Redis on a free port with its data in dir/name.
func StartRedis(ctx context.Context, dir, name string, opts RedisOptions) (*Redis, error) {
	return startRedis(ctx, dir, name, opts, func(r *Redis) []string { return nil })
}

// startRedis takes ports, and others again when somebody else was faster.
func startRedis(ctx context.Context, dir, name string, opts RedisOptions, more func(*Redis) []string) (*Redis, error) {
	var faults []error
	for range 3 {
		ports, err := FreePorts(2)
		if err != nil {
			return nil, err
		}
		r := &Redis{Addr: fmt.Sprintf("127.0.0.1:%d", ports[0]), opts: opts, bus: ports[1]}
		folder := filepath.Join(dir, name)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		args := append(r.arguments(folder, ports[0]), more(r)...)
		r.Process, err = Start(ctx, Spec{
			Name: name, Path: "redis-server", Args: args, Dir: folder, Ready: r.answers, Detached: opts.Detached,
		})
		if err == nil {
			return r, nil
		}
		faults = append(faults, err)
		if !strings.Contains(err.Error(), "Address already in use") {
			break
		}
	}
	return nil, errors.Join(faults...)
}

func (r *Redis) arguments(folder string, port int) []string {
	var args []string
	if r.opts.Config != "" {
		args = append(args, r.opts.Config)
	}
	args = append(args,
		"--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--daemonize", "no",
		"--maxmemory-policy", "noeviction", "--appendonly", map[bool]string{true: "yes", false: "no"}[r.opts.AOF != ""],
	)
	if r.opts.AOF != "" {
		args = append(args, "--appendfsync", r.opts.AOF)
	}
	if r.opts.MaxMemory != "" {
		args = append(args, "--maxmemory", r.opts.MaxMemory)
	}
	if r.opts.Password != "" {
		args = append(args, "--requirepass", r.opts.Password, "--masterauth", r.opts.Password)
	}
	return append(args, r.opts.Args...)
}

// answers is nil once the server takes commands: also when it asks for a password first, but not while it loads.
func (r *Redis) answers(ctx context.Context) error {
	_, err := r.Do(ctx, "PING")
	if err != nil && strings.HasPrefix(err.Error(), "NOAUTH") {
		return nil
	}
	return err
}

// Do sends one command of words without blanks and returns the answer as text: of an array its elements, one a line.
// An error of Redis comes back as it is. It is for setting servers up, not for speed.
func (r *Redis) Do(ctx context.Context, words ...string) (string, error) {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	if r.opts.Password != "" {
		if _, err := fmt.Fprintf(conn, "AUTH %s\r\n", r.opts.Password); err != nil {
			return "", err
		}
		if _, err := reply(in); err != nil {
			return "", err
		}
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " ")); err != nil {
		return "", err
	}
	return reply(in)
}

// reply reads one answer of the protocol RESP2.
func reply(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	kind, rest := line[:1], line[1:]
	var n int
	switch kind {
	case "+", ":":
		return rest, nil
	case "-":
		return "", errors.New(rest)
	}
	if _, err := fmt.Sscan(rest, &n); err != nil {
		return "", fmt.Errorf("answer %q: %w", line, err)
	}
	if kind == "*" {
		parts := make([]string, max(n, 0))
		for i := range parts {
			if parts[i], err = reply(in); err != nil {
				return "", err
			}
		}
		return strings.Join(parts, "\n"), nil
	}
	var text strings.Builder
	for text.Len() < n+2 && n >= 0 {
		c, err := in.ReadByte()
		if err != nil {
			return "", err
		}
		text.WriteByte(c)
	}
	return strings.TrimSuffix(text.String(), "\r\n"), nil
}

// until asks again and again until ask says yes.
func until(ctx context.Context, what string, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}
