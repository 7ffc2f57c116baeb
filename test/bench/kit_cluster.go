package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/test/bench/load"
	"landfall.dev/test/bench/server"
)

// duel is one kind of request, made to both clusters in turns.
type duel struct {
	name       string
	bars       []string
	ours, peer string // the names of the operation
	clients    int
	spread     bool // over all nodes; else the leader is asked
}

var duels = []duel{
	{"writes", []string{"writes", "writes-p99"}, "update", "put", kitClients, false},
	{"writes of one client", []string{"write-latency-1"}, "update", "put", 1, false},
	{"linearizable reads", []string{"linearizable-reads"}, "linearizable", "linearizable", kitClients, false},
	{"eventual reads", []string{"eventual-reads"}, "eventual", "serializable", kitClients, true},
}

// compareClusters measures three nodes of each.
func compareClusters(ctx context.Context, m *measurement, program string) error {
	e, err := startEtcd(ctx, m)
	if err != nil {
		return err
	}
	defer e.stop()
	n, err := startNodes(ctx, m, "kit", program, 3)
	if err != nil {
		return err
	}
	defer n.stop()
	m.peers = append(m.peers, "etcd "+e.version+" (Debian's etcd-server)")
	m.setup = append(m.setup, clusterSetup)
	if err := n.run(ctx, m, nil, "fill", n.urls[:1], "-keys", strconv.Itoa(kitKeys)); err != nil {
		return err
	}
	for _, d := range duels {
		if !m.wants(d.bars...) {
			continue
		}
		if err := d.fight(ctx, m, n, e); err != nil {
			return err
		}
	}
	return nil
}

const clusterSetup = `Three nodes of each on loopback, each a process of its own, all six at once,
their data on the same disk. Both sync the log before they acknowledge, as
they do by default; both authenticate every request: kit by a token of
users/admin, etcd by --auth-token=simple as root. The 64 clients are users of
one program, which share a client of the store in both: kit/rest's Client
with Coalesce over HTTP/1.1, which has one request of many writes, or two of
many reads, under way, and etcd's clientv3, which has one gRPC connection for all; more connections
made etcd slower. Where all three nodes are asked, kit's users share three
clients, one for each node, and etcd's one has a connection to each. They wait
for each answer; both run the same loop (test/bench/load). A write updates one
of 10,000 documents, or keys, with a new value of 256 bytes. Writes and
linearizable reads are sent to the leader, eventual (etcd: serializable) ones
to all three nodes.`

// turn is one load, and the CPU time that a request took in it, in
// microseconds: of all servers, and of the clients.
type turn struct {
	load.Result
	servers, clients float64
}

// fight lets ours and the peer take turns, and judges them. Ours have another
// turn as 64 clients with a connection each, which share no requests.
func (d duel) fight(ctx context.Context, m *measurement, n *nodes, e *etcd) error {
	urls, endpoints := n.urls[:1], []string{e.leader}
	if d.spread {
		urls, endpoints = n.urls, e.endpoints
	}
	args := []string{"-clients", strconv.Itoa(d.clients), "-keys", strconv.Itoa(kitKeys), "-warm", m.warm.String(), "-for", m.per.String()}
	kitArgs := append([]string{"load", "-urls", strings.Join(urls, ","), "-token", n.token, "-op", d.ours}, args...)
	etcdArgs := append([]string{"load", "-endpoints", strings.Join(endpoints, ","), "-password", etcdPassword, "-op", d.peer}, args...)
	var ours, peer, separate []turn
	for range m.rounds {
		profiled := make(chan error, 1)
		go func() { profiled <- n.profile(ctx, m.profiles, strings.ReplaceAll(d.name, " ", "-"), m.per) }()
		o, err := m.turn(ctx, n.running, n.program, kitArgs)
		if err = errors.Join(err, <-profiled); err != nil {
			return err
		}
		p, err := m.turn(ctx, e.running, e.load, etcdArgs)
		if err != nil {
			return err
		}
		ours, peer = append(ours, o), append(peer, p)
		if d.clients == 1 {
			continue
		}
		s, err := m.turn(ctx, n.running, n.program, append(kitArgs, "-separate"))
		if err != nil {
			return err
		}
		separate = append(separate, s)
	}
	d.judge(m, ours, peer)
	if len(separate) > 0 {
		m.tell("%s, ours by 64 clients with a connection and requests of their own: %s", d.name, spread(separate))
	}
	return nil
}

// turn has the program load the servers. It is an error if more than one in a
// thousand requests has failed: then the others were not measured under the
// same load.
func (m *measurement) turn(ctx context.Context, servers []*server.Server, program string, args []string) (turn, error) {
	var t turn
	before := server.CPUOf(servers)
	clients, err := m.result(ctx, &t.Result, program, args...)
	if err != nil {
		return t, err
	}
	if t.Failed*1000 > t.Requests {
		return t, fmt.Errorf("%d requests of %s failed, %d were answered; the first failed by: %s", t.Failed, filepath.Base(program), t.Requests, t.Failure)
	}
	requests := t.PerSecond * (m.warm + m.per).Seconds()
	t.servers = float64((server.CPUOf(servers) - before).Microseconds()) / requests
	t.clients = float64(clients.Microseconds()) / requests
	return t, nil
}

// judge makes the bars of what came of d.
func (d duel) judge(m *measurement, ours, peer []turn) {
	rate := func(t turn) float64 { return t.PerSecond }
	mean := func(t turn) float64 { return t.Mean }
	p99 := func(t turn) float64 { return t.P99 }
	both := func(by func(turn) float64) (float64, float64) { return median(ours, by), median(peer, by) }
	for _, name := range d.bars {
		switch name {
		case "writes":
			o, p := both(rate)
			m.bar(name, "writes a second, 64 clients", o, p, atLeast(3))
		case "writes-p99":
			o, p := both(p99)
			m.bar(name, "ms, 99th percentile of these", o, p, atMost(1))
		case "write-latency-1":
			o, p := both(mean)
			m.bar(name, "ms, mean of one client's writes", o, p, atMost(1.5))
		case "linearizable-reads":
			o, p := both(rate)
			m.bar(name, "reads a second, 64 clients", o, p, atLeast(1.5))
		case "eventual-reads":
			o, p := both(rate)
			m.bar(name, "reads a second, 64 clients", o, p, atLeast(3))
		}
	}
	m.tell("%s: ours %s; etcd %s", d.name, spread(ours), spread(peer))
}

// spread tells the median times and costs of turns, and the rates of all.
func spread(turns []turn) string {
	var rates []string
	for _, t := range turns {
		rates = append(rates, figure(t.PerSecond))
	}
	p50 := median(turns, func(t turn) float64 { return t.P50 })
	p99 := median(turns, func(t turn) float64 { return t.P99 })
	servers := median(turns, func(t turn) float64 { return t.servers })
	clients := median(turns, func(t turn) float64 { return t.clients })
	return fmt.Sprintf("%s a second by round, p50 %s ms, p99 %s ms, CPU of a request %.0f µs in the servers and %.0f µs in the clients",
		strings.Join(rates, ", "), figure(p50), figure(p99), servers, clients)
}

// median returns the median over turns of what by says.
func median(turns []turn, by func(turn) float64) float64 {
	values := make([]float64, len(turns))
	for i, t := range turns {
		values[i] = by(t)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
