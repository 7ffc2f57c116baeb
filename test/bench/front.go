package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"landfall.dev/test/bench/server"
)

// frontGroup measures the front door: against HAProxy and Caddy, and what it
// costs to let requests wait.
var frontGroup = group{name: "front", run: measureFront}

const (
	frontConnections = 64
	wantAdded        = 1  // ms
	wantHeldMemory   = 50 // KB
)

func measureFront(ctx context.Context, m *measurement) error {
	program, err := m.build(ctx, "test/bench/frontload")
	if err != nil {
		return err
	}
	b, err := m.listening(ctx, "backend", nil, program, "backend", "-listen")
	if err != nil {
		return err
	}
	defer b.Stop()
	if m.wants("requests", "requests-caddy", "p99", "added") {
		if err := compareProxies(ctx, m, program, b); err != nil {
			return err
		}
	}
	if m.wants("held-memory", "held-failures") {
		return measureWaiting(ctx, m, program, b)
	}
	return nil
}

// listener is a process that serves HTTP at an address.
type listener struct {
	*server.Server
	address string
}

// listening starts a program whose last argument, a free address, it serves
// at, and waits until it does.
func (m *measurement) listening(ctx context.Context, name string, env []string, program string, args ...string) (listener, error) {
	addresses, err := server.FreeAddresses(1)
	if err != nil {
		return listener{}, err
	}
	return m.listeningAt(ctx, addresses[0], name, env, program, append(args, addresses[0])...)
}

// listeningAt starts a program that serves at the address, and waits until it
// does.
func (m *measurement) listeningAt(ctx context.Context, address, name string, env []string, program string, args ...string) (listener, error) {
	p, err := m.start(ctx, name, env, program, args...)
	if err != nil {
		return listener{}, err
	}
	l := listener{p, address}
	if err := p.Healthy(ctx, "http://"+address+"/healthz", time.Minute); err != nil {
		l.Stop()
		return listener{}, err
	}
	return l, nil
}

// frontDoor is ours, with its control.
type frontDoor struct {
	listener
	control string // URL
}

func startDoor(ctx context.Context, m *measurement, program, name, backend string) (frontDoor, error) {
	addresses, err := server.FreeAddresses(1)
	if err != nil {
		return frontDoor{}, err
	}
	l, err := m.listening(ctx, name, nil, program, "door", "-backend", backend, "-control", addresses[0],
		"-clients", fmt.Sprint(max(m.held, frontConnections)), "-listen")
	return frontDoor{l, "http://" + addresses[0]}, err
}

// installed returns the path of a program that test/setup.sh installs from
// Debian's package.
func installed(program string) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is missing: sh test/setup.sh bench installs it", program)
}

const haproxyConfig = `global
	nbthread 2
defaults
	mode http
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	http-reuse always
frontend door
	bind %s
	default_backend platform
backend platform
	server instance %s
`

const caddyConfig = `{
	admin off
	auto_https off
}
:%s {
	bind 127.0.0.1
	reverse_proxy %s
}
`

// startHAProxy starts HAProxy before the backend.
func startHAProxy(ctx context.Context, m *measurement, backend string) (listener, error) {
	program, err := installed("haproxy")
	if err != nil {
		return listener{}, err
	}
	addresses, err := server.FreeAddresses(1)
	if err != nil {
		return listener{}, err
	}
	file := filepath.Join(m.dir, "haproxy.cfg")
	if err := os.WriteFile(file, fmt.Appendf(nil, haproxyConfig, addresses[0], backend), 0o600); err != nil {
		return listener{}, err
	}
	version, err := exec.CommandContext(ctx, program, "-v").Output()
	if err != nil {
		return listener{}, err
	}
	m.peers = append(m.peers, "HAProxy "+word(string(version), 2)+" (Debian's haproxy)")
	return m.listeningAt(ctx, addresses[0], "haproxy", nil, program, "-db", "-f", file)
}

// startCaddy starts Caddy before the backend.
func startCaddy(ctx context.Context, m *measurement, backend string) (listener, error) {
	program, err := installed("caddy")
	if err != nil {
		return listener{}, err
	}
	addresses, err := server.FreeAddresses(1)
	if err != nil {
		return listener{}, err
	}
	_, port, _ := strings.Cut(addresses[0], ":")
	file := filepath.Join(m.dir, "Caddyfile")
	if err := os.WriteFile(file, fmt.Appendf(nil, caddyConfig, port, backend), 0o600); err != nil {
		return listener{}, err
	}
	version, err := exec.CommandContext(ctx, program, "version").Output()
	if err != nil {
		return listener{}, err
	}
	m.peers = append(m.peers, "Caddy "+word(string(version), 0)+" (Debian's caddy)")
	env := []string{"HOME=" + m.dir, "XDG_CONFIG_HOME=" + m.dir, "XDG_DATA_HOME=" + m.dir}
	return m.listeningAt(ctx, addresses[0], "caddy", env, program, "run", "--adapter", "caddyfile", "--config", file)
}

// word returns the nth word of text, from 0 on.
func word(text string, n int) string {
	if words := strings.Fields(text); n < len(words) {
		return words[n]
	}
	return "of unknown version"
}

// compareProxies measures ours, both peers and the backend alone in turns.
func compareProxies(ctx context.Context, m *measurement, program string, backend listener) (err error) {
	wrk, err := installed("wrk")
	if err != nil {
		return err
	}
	door, err := startDoor(ctx, m, program, "door", backend.address)
	if err != nil {
		return err
	}
	defer door.Stop()
	haproxy, err := startHAProxy(ctx, m, backend.address)
	if err != nil {
		return err
	}
	defer haproxy.Stop()
	caddy, err := startCaddy(ctx, m, backend.address)
	if err != nil {
		return err
	}
	defer caddy.Stop()
	m.setup = append(m.setup, proxySetup)
	c := contest{wrk: wrk, door: door, sides: []contender{
		{name: "ours", process: door.Server, address: door.address},
		{name: "HAProxy", process: haproxy.Server, address: haproxy.address},
		{name: "Caddy", process: caddy.Server, address: caddy.address},
		{name: "no proxy", address: backend.address},
	}}
	if m.wants("requests", "requests-caddy", "p99") {
		if err := c.crowded(ctx, m); err != nil {
			return err
		}
	}
	if m.wants("added") {
		return c.alone(ctx, m)
	}
	return nil
}

const proxySetup = `All proxies stand before one backend, a program with Go's net/http that answers
204 bytes of JSON, all on loopback, each a process of its own. HAProxy runs with
nbthread 2 and http-reuse always, Caddy with reverse_proxy and what that does by
default. Ours is the front door as the agent runs it, in a process with nothing
else. The load is that of wrk, with one thread and 64 connections that stay
open: it is the same for all, and takes least of the machine that the proxy and
the backend share with it. So the ratio of requests understates what a proxy
takes; the CPU time of a request, below, does not.`

// measureWaiting measures what requests cost that wait.
func measureWaiting(ctx context.Context, m *measurement, program string, backend listener) error {
	var memory []float64
	failed := 0
	var failure string
	var took []time.Duration
	for round := range m.rounds {
		w, err := waitOnce(ctx, m, program, fmt.Sprintf("waiting%d", round+1), backend.address)
		if err != nil {
			return err
		}
		memory = append(memory, w.memory)
		took = append(took, w.released)
		if failed += w.failed; failure == "" {
			failure = w.failure
		}
	}
	m.bar("held-memory", "KB of resident memory for each of "+count(m.held)+" requests that wait", middle(memory), wantHeldMemory, atMost(1))
	m.bar("held-failures", "requests that failed, of "+count(m.held)+" that waited in each of "+count(m.rounds)+" rounds", float64(failed), float64(m.held*m.rounds), atMost(0))
	m.tell("from the release until all %s were answered: %v ms", count(m.held), milliseconds(took))
	if failure != "" {
		m.tell("the first of them failed by: %s", failure)
	}
	return nil
}

// holdTime is the time in which all requests have to have come; the door lets
// none wait longer than 10 s.
const holdTime = 9 * time.Second

// wave is what came of requests that waited at once.
type wave struct {
	memory   float64       // KB for each
	released time.Duration // until all were answered
	failed   int
	failure  string
}

// waitOnce holds a new front door, lets requests come and releases them.
func waitOnce(ctx context.Context, m *measurement, program, name, backend string) (wave, error) {
	var w wave
	d, err := startDoor(ctx, m, program, name, backend)
	if err != nil {
		return w, err
	}
	defer d.Stop()
	before := d.Resident()
	if _, err := d.tell(ctx, "POST", "/hold"); err != nil {
		return w, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	var result struct {
		Failed  int
		Failure string
	}
	go func() {
		_, err := m.result(ctx, &result, program, "wait", "-address", d.address, "-requests", fmt.Sprint(m.held))
		ended <- err
	}()
	if err := d.allWait(ctx, m.held); err != nil {
		cancel()
		return w, errors.Join(err, <-ended)
	}
	w.memory = float64(d.Resident()-before) / 1000 / float64(m.held)
	opened := time.Now()
	if _, err := d.tell(ctx, "POST", "/open"); err != nil {
		return w, err
	}
	err = <-ended
	w.released, w.failed, w.failure = time.Since(opened), result.Failed, result.Failure
	return w, err
}
