package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// RedisCluster is a Redis Cluster of local processes.
type RedisCluster struct {
	Nodes []*Redis // the first Primaries of them began as primaries, the others replicate them in turn
	Addrs []string // of all nodes

	Primaries int
}

// nodeTimeout is after how many milliseconds a silent node counts as failed.
const nodeTimeout = "1000"

// slots is the number of hash slots of every Redis Cluster.
const slots = 16384

// StartRedisCluster starts primaries, each with so many replicas, and returns when the cluster takes commands. On error
// nothing is left running.
func StartRedisCluster(ctx context.Context, dir string, primaries, replicas int, opts RedisOptions) (_ *RedisCluster, err error) {
	c := &RedisCluster{Primaries: primaries}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Kill())
		}
	}()
	for i := range primaries * (1 + replicas) {
		node, err := startRedis(ctx, dir, fmt.Sprintf("node-%d", i), opts, func(r *Redis) []string {
			return []string{
				"--cluster-enabled", "yes", "--cluster-port", fmt.Sprint(r.bus), "--cluster-node-timeout", nodeTimeout,
				"--cluster-config-file", "nodes.conf", "--repl-diskless-sync-delay", "0",
			}
		})
		if err != nil {
			return nil, err
		}
		c.Nodes = append(c.Nodes, node)
		c.Addrs = append(c.Addrs, node.Addr)
	}
	if err := c.join(ctx); err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	return c, nil
}

// join does what redis-cli --cluster create does, with bus ports of our own.
func (c *RedisCluster) join(ctx context.Context) error {
	for i, node := range c.Nodes {
		words := [][]string{{"CLUSTER", "SET-CONFIG-EPOCH", fmt.Sprint(i + 1)}}
		if i < c.Primaries {
			from, to := i*slots/c.Primaries, (i+1)*slots/c.Primaries-1
			words = append(words, []string{"CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(from), fmt.Sprint(to)})
		}
		if i > 0 {
			host, port, _ := net.SplitHostPort(c.Nodes[0].Addr)
			words = append(words, []string{"CLUSTER", "MEET", host, port, fmt.Sprint(c.Nodes[0].bus)})
		}
		for _, w := range words {
			if _, err := node.Do(ctx, w...); err != nil {
				return fmt.Errorf("%s: %w", strings.Join(w, " "), err)
			}
		}
	}
	if err := until(ctx, "all nodes to know each other", func() error { return c.agree(ctx, len(c.Nodes)) }); err != nil {
		return err
	}
	for i, node := range c.Nodes[c.Primaries:] {
		id, err := c.Nodes[i%c.Primaries].Do(ctx, "CLUSTER", "MYID")
		if err != nil {
			return err
		}
		if _, err := node.Do(ctx, "CLUSTER", "REPLICATE", id); err != nil {
			return err
		}
	}
	return until(ctx, "the replicas", func() error { return c.replicated(ctx) })
}

// agree is nil when every node sees a whole cluster of n nodes.
func (c *RedisCluster) agree(ctx context.Context, n int) error {
	for _, node := range c.Nodes {
		info, err := node.Do(ctx, "CLUSTER", "INFO")
		if err != nil {
			return err
		}
		if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", n)) {
			return fmt.Errorf("%s sees: %.60q", node.Addr, info)
		}
	}
	return nil
}

// replicated is nil when every replica follows its primary and every node knows about it.
func (c *RedisCluster) replicated(ctx context.Context) error {
	for _, node := range c.Nodes {
		view, err := node.Do(ctx, "CLUSTER", "NODES")
		if err != nil {
			return err
		}
		if got := strings.Count(view, "slave"); got != len(c.Nodes)-c.Primaries {
			return fmt.Errorf("%s knows of %d replicas", node.Addr, got)
		}
	}
	for _, node := range c.Nodes[c.Primaries:] {
		if err := node.follows(ctx); err != nil {
			return err
		}
	}
	return nil
}

// follows is nil when a replica has a living connection to its primary.
func (r *Redis) follows(ctx context.Context) error {
	info, err := r.Do(ctx, "INFO", "replication")
	if err == nil && !strings.Contains(info, "master_link_status:up") {
		err = fmt.Errorf("%s does not follow yet", r.Addr)
	}
	return err
}

// Leaders returns the nodes that are primaries now. A node that does not answer is none.
func (c *RedisCluster) Leaders(ctx context.Context) (leaders []*Redis) {
	for _, node := range c.Nodes {
		if node.Pid() == 0 {
			continue
		}
		if role, err := node.Do(ctx, "ROLE"); err == nil && strings.HasPrefix(role, "master\n") {
			leaders = append(leaders, node)
		}
	}
	return leaders
}

// FailOver ends a primary as a power cut would, waits until one of its replicas has taken its place, starts it
// again, and returns when it follows the new primary.
func (c *RedisCluster) FailOver(ctx context.Context, primary *Redis) error {
	if err := primary.Kill(); err != nil {
		return err
	}
	err := until(ctx, "a replica to take over", func() error {
		if n := len(c.Leaders(ctx)); n < c.Primaries {
			return fmt.Errorf("%d of %d primaries are there", n, c.Primaries)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := primary.Start(ctx); err != nil {
		return err
	}
	return until(ctx, "the old primary to follow", func() error { return primary.follows(ctx) })
}

// Kill ends every node at once.
func (c *RedisCluster) Kill() error {
	var faults []error
	for _, node := range c.Nodes {
		faults = append(faults, node.Kill())
	}
	return errors.Join(faults...)
}

// RedisSentinel is a primary, its replicas, and three sentinels that watch over them.
type RedisSentinel struct {
	Nodes     []*Redis // the first began as the primary
	Sentinels []*Redis
	Addrs     []string // of the sentinels
	Master    string   // the name by which the sentinels know the primary
}

// StartRedisSentinel starts the set and returns when every sentinel knows of all replicas and of the other sentinels. On
// error nothing is left running.
func StartRedisSentinel(ctx context.Context, dir string, replicas int, opts RedisOptions) (_ *RedisSentinel, err error) {
	s := &RedisSentinel{Master: "seqrec"}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Kill())
		}
	}()
	for i := range 1 + replicas {
		node, err := startRedis(ctx, dir, fmt.Sprintf("node-%d", i), opts, func(*Redis) []string {
			args := []string{"--repl-diskless-sync-delay", "0"}
			if i > 0 {
				host, port, _ := net.SplitHostPort(s.Nodes[0].Addr)
				args = append(args, "--replicaof", host, port)
			}
			return args
		})
		if err != nil {
			return nil, err
		}
		s.Nodes = append(s.Nodes, node)
	}
	for _, node := range s.Nodes[1:] {
		if err := until(ctx, "the replica", func() error { return node.follows(ctx) }); err != nil {
			return nil, err
		}
	}
	for i := range 3 {
		if err := s.startSentinel(ctx, dir, i, opts); err != nil {
			return nil, err
		}
	}
	return s, until(ctx, "the sentinels", func() error { return s.agree(ctx, replicas) })
}

func (s *RedisSentinel) startSentinel(ctx context.Context, dir string, i int, opts RedisOptions) error {
	watch := opts
	watch.AOF, watch.MaxMemory, watch.Password, watch.Args = "", "", "", nil
	name := fmt.Sprintf("sentinel-%d", i)
	// A sentinel keeps what it learns in its configuration file, which is the first argument.
	file := filepath.Join(dir, name+".conf")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	watch.Config = file
	node, err := startRedis(ctx, dir, name, watch, func(*Redis) []string { return []string{"--sentinel"} })
	if err != nil {
		return err
	}
	s.Sentinels = append(s.Sentinels, node)
	s.Addrs = append(s.Addrs, node.Addr)
	host, port, _ := net.SplitHostPort(s.Nodes[0].Addr)
	words := [][]string{
		{"SENTINEL", "MONITOR", s.Master, host, port, "2"},
		{"SENTINEL", "SET", s.Master, "down-after-milliseconds", nodeTimeout},
		{"SENTINEL", "SET", s.Master, "failover-timeout", "5000"},
	}
	if opts.Password != "" {
		words = append(words, []string{"SENTINEL", "SET", s.Master, "auth-pass", opts.Password})
	}
	for _, w := range words {
		if _, err := node.Do(ctx, w...); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(w[:2], " "), err)
		}
	}
	return nil
}

func (s *RedisSentinel) agree(ctx context.Context, replicas int) error {
	for _, node := range s.Sentinels {
		info, err := node.Do(ctx, "INFO", "sentinel")
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("status=ok,address=%s,slaves=%d,sentinels=3", s.Nodes[0].Addr, replicas); !strings.Contains(info, want) {
			return fmt.Errorf("%s does not see %q", node.Addr, want)
		}
	}
	return nil
}

// Kill ends every process of the set at once.
func (s *RedisSentinel) Kill() error {
	var faults []error
	for _, node := range append(s.Sentinels, s.Nodes...) {
		faults = append(faults, node.Kill())
	}
	return errors.Join(faults...)
}

// stopPatience is how long a server has to write down what it holds.
const stopPatience = 10 * time.Second

// Stop asks every node to end and waits.
func (c *RedisCluster) Stop() error {
	var faults []error
	for _, node := range c.Nodes {
		faults = append(faults, node.Stop(stopPatience))
	}
	return errors.Join(faults...)
}
