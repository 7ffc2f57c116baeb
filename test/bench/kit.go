package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/test/bench/server"
)

// kitGroup measures kit: three nodes against three of etcd, and one node
// against what is demanded of it.
var kitGroup = group{name: "kit", run: measureKit}

const (
	kitClients = 64
	kitKeys    = 10_000
)

func measureKit(ctx context.Context, m *measurement) error {
	program, err := m.build(ctx, "test/bench/kitload")
	if err != nil {
		return err
	}
	for _, part := range []struct {
		bars []string
		run  func(context.Context, *measurement, string) error
	}{
		{[]string{"writes", "writes-p99", "write-latency-1", "linearizable-reads", "eventual-reads"}, compareClusters},
		{[]string{"reads-in-process"}, measureReads},
		{[]string{"memory-per-document", "gc-pause"}, measureHeld},
		{[]string{"index-filter"}, measureIndex},
		{[]string{"restart"}, measureRestart},
		{[]string{"snapshot-pause"}, measurePause},
		{[]string{"watchers"}, measureWatchers},
	} {
		if m.wants(part.bars...) {
			if err := part.run(ctx, m, program); err != nil {
				return err
			}
		}
	}
	return nil
}

// nodes are the running nodes of kit; the first one leads.
type nodes struct {
	name    string // which starts that of each node, its directory and its log
	program string
	flags   []string // of kitload node
	urls    []string
	token   string // of users/admin
	running []*server.Server
}

// startNodes starts a cluster and waits until all nodes vote.
func startNodes(ctx context.Context, m *measurement, name, program string, count int) (*nodes, error) {
	addresses, err := server.FreeAddresses(count)
	if err != nil {
		return nil, err
	}
	n := &nodes{name: name, program: program}
	for i, address := range addresses {
		n.urls = append(n.urls, "http://"+address)
		if err := n.startNode(ctx, m, i); err != nil {
			n.stop()
			return nil, err
		}
	}
	if err := n.voting(ctx, count-1); err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

// startNode starts the node with that index, which joins the first one.
func (n *nodes) startNode(ctx context.Context, m *measurement, i int) error {
	name, first := n.name+strconv.Itoa(i+1), filepath.Join(m.dir, n.name+"1")
	env := []string{
		"DATA_DIR=" + filepath.Join(m.dir, name), "KIT_LISTEN=" + strings.TrimPrefix(n.urls[i], "http://"),
		"KIT_JOIN=", "KIT_TOKEN=", "KIT_STANDBY=",
	}
	if i > 0 {
		secret, err := os.ReadFile(filepath.Join(first, "cluster.token"))
		if err != nil {
			return err
		}
		env = append(env, "KIT_JOIN="+n.urls[0], "KIT_TOKEN="+strings.TrimSpace(string(secret)))
	}
	p, err := m.start(ctx, name, env, n.program, append([]string{"node"}, n.flags...)...)
	if err != nil {
		return err
	}
	n.running = append(n.running, p)
	if err := p.Healthy(ctx, n.urls[i]+"/healthz", 10*time.Minute); err != nil {
		return err
	}
	if i > 0 || n.token != "" {
		return nil
	}
	return p.Await(ctx, "an administrator's token", func() bool {
		token, err := os.ReadFile(filepath.Join(first, "admin.token"))
		n.token = strings.TrimSpace(string(token))
		return err == nil
	})
}

// voting waits until the leader has given a vote to others.
func (n *nodes) voting(ctx context.Context, others int) error {
	return n.running[0].Await(ctx, "votes for all nodes", func() bool {
		said, err := os.ReadFile(n.running[0].Log)
		return err == nil && strings.Count(string(said), "gave a vote") >= others
	})
}

func (n *nodes) stop() {
	for _, p := range slices.Backward(n.running) {
		p.Stop()
	}
	n.running = nil
}

// run has kitload do something to the nodes at urls.
func (n *nodes) run(ctx context.Context, m *measurement, v any, command string, urls []string, args ...string) error {
	args = append([]string{command, "-urls", strings.Join(urls, ","), "-token", n.token}, args...)
	_, err := m.result(ctx, v, n.program, args...)
	return err
}

// profile keeps the CPU profiles of all nodes for a time in which they are
// under load. Without a directory it does nothing.
func (n *nodes) profile(ctx context.Context, dir, name string, span time.Duration) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for i, url := range n.urls {
		file := filepath.Join(dir, fmt.Sprintf("%s-node%d.pprof", name, i+1))
		g.Go(func() error {
			return n.fetch(ctx, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", url, max(int(span.Seconds()), 1)), file)
		})
	}
	return g.Wait()
}

// fetch saves what is at url, for which the token is needed.
func (n *nodes) fetch(ctx context.Context, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+n.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, res.Status, b)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}
