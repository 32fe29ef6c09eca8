// Command services starts the real servers of tests and benchmarks for a person who wants to play with them, and stops
// them again. `make services-up` and `make services-down` call it.
//
//	services up FILE      starts all servers on free loopback ports with data in a temporary folder; writes FILE, which a
//	                      shell can source: addresses, process numbers, the folder
//	services down FILE    ends the processes that FILE names and removes folder and FILE
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"seqrec/internal/services"
)

// say tells the person at the terminal.
func say(line string) { fmt.Fprintln(os.Stdout, line) }

// server starts one kind of server in a folder. It returns lines NAME=VALUE for the file and the process numbers.
// One more kind is one more line in kinds.
type server struct {
	name  string
	start func(ctx context.Context, dir string) (lines []string, pids []int, err error)
}

func kinds() []server {
	return []server{
		{"redis", startRedis},
		{"redis-cluster", startCluster},
		{"kafka", startKafka},
	}
}

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "services:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "up":
		return up(ctx, args[1])
	case len(args) == 2 && args[0] == "down":
		return down(args[1])
	}
	return errors.New("usage: services up|down FILE")
}

// up starts all servers. What was started stays noted in the file when a later one fails, so that down ends it.
func up(ctx context.Context, file string) error {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists: the servers run already; make services-down ends them", file)
	} else if err != nil {
		return err
	}
	defer out.Close()
	dir, err := os.MkdirTemp("", "seqrec-services-")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "SEQREC_SERVICES_DIR=%s\n", dir)
	for _, k := range kinds() {
		lines, pids, err := k.start(ctx, filepath.Join(dir, k.name))
		for _, pid := range pids {
			fmt.Fprintf(out, "# pid %d %s\n", pid, k.name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w; make services-down ends what runs", k.name, err)
		}
		for _, line := range lines {
			fmt.Fprintln(out, line)
			say(line)
		}
	}
	say("noted in " + file + "; make services-down ends them")
	return nil
}

// down ends what up noted. A process number that now belongs to somebody else is left alone.
func down(file string) error {
	in, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		say("no servers run")
		return nil
	} else if err != nil {
		return err
	}
	defer in.Close()
	var dir string
	var faults []error
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "SEQREC_SERVICES_DIR="); ok {
			dir = value
		}
		if value, ok := strings.CutPrefix(lines.Text(), "# pid "); ok {
			faults = append(faults, end(value, dir))
		}
	}
	faults = append(faults, lines.Err())
	if strings.HasPrefix(filepath.Base(dir), "seqrec-services-") {
		faults = append(faults, os.RemoveAll(dir))
	}
	return errors.Join(append(faults, os.Remove(file))...)
}

// end kills one process, provided that it works in our folder.
func end(line, dir string) error {
	number, _, _ := strings.Cut(line, " ")
	pid, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("process number %q: %w", number, err)
	}
	cwd, err := os.Readlink(filepath.Join("/proc", number, "cwd"))
	if err != nil || !strings.HasPrefix(cwd, dir) {
		return nil // ended, or another process by now
	}
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Signal(syscall.SIGTERM)
	}
	if err != nil {
		return err
	}
	look, patience := time.NewTicker(20*time.Millisecond), time.After(10*time.Second)
	defer look.Stop()
	for {
		if _, gone := os.Readlink(filepath.Join("/proc", number, "cwd")); gone != nil {
			return nil
		}
		select {
		case <-look.C:
		case <-patience:
			return p.Kill()
		}
	}
}

func startRedis(ctx context.Context, dir string) ([]string, []int, error) {
	r, err := services.StartRedis(ctx, dir, "redis", services.RedisOptions{AOF: "everysec", Detached: true})
	if err != nil {
		return nil, nil, err
	}
	return []string{"RECSVC_REDIS_ADDRESSES=" + r.Addr}, []int{r.Pid()}, nil
}

func startCluster(ctx context.Context, dir string) ([]string, []int, error) {
	c, err := services.StartRedisCluster(ctx, dir, 3, 1, services.RedisOptions{AOF: "everysec", Detached: true})
	if err != nil {
		return nil, nil, err
	}
	var pids []int
	for _, node := range c.Nodes {
		pids = append(pids, node.Pid())
	}
	return []string{"SEQREC_REDIS_CLUSTER=" + strings.Join(c.Addrs, ",")}, pids, nil
}

func startKafka(ctx context.Context, dir string) ([]string, []int, error) {
	k, err := services.StartKafka(ctx, services.KafkaOptions{Dir: dir, Detached: true})
	if err != nil {
		return nil, nil, err
	}
	var pids []int
	for _, broker := range k.Brokers {
		pids = append(pids, broker.Pid())
	}
	return []string{"RECSVC_KAFKA_BROKERS=" + strings.Join(k.Addresses, ",")}, pids, nil
}
