package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"landfall.dev/test/bench/server"
)

// etcd is a running cluster of the peer, with authentication on.
type etcd struct {
	load      string // the program etcdload
	version   string
	endpoints []string
	leader    string
	running   []*server.Server
}

// etcdPassword is that of root in a cluster that lives as long as the
// measurement, on loopback.
const etcdPassword = "bench"

// installEtcd installs Debian's etcd-server where etcd is missing, and returns
// etcd's version.
func installEtcd(ctx context.Context, m *measurement) (version string, err error) {
	if _, err := exec.LookPath("etcd"); err != nil {
		if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 {
			return "", errors.New("etcd is missing, and installing it takes root and apt-get: install Debian's etcd-server")
		}
		fmt.Fprintln(m.out, "installing: etcd-server")
		const install = "apt-get -qq update && apt-get -qq install -y -o DPkg::Lock::Timeout=120 --no-install-recommends etcd-server"
		cmd := exec.CommandContext(ctx, "sh", "-c", install)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("apt-get did not install etcd-server: %w\n%s", err, out)
		}
	}
	out, err := exec.CommandContext(ctx, "etcd", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("etcd --version: %w", err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimPrefix(line, "etcd Version: "), nil
}

// startEtcd starts a cluster of three, makes root and the keys.
func startEtcd(ctx context.Context, m *measurement) (*etcd, error) {
	var e etcd
	var err error
	if e.version, err = installEtcd(ctx, m); err != nil {
		return nil, err
	}
	if e.load, err = m.build(ctx, "test/bench/etcdload"); err != nil {
		return nil, err
	}
	const members = 3
	addresses, err := server.FreeAddresses(2 * members)
	if err != nil {
		return nil, err
	}
	e.endpoints = addresses[:members]
	if err := e.start(ctx, m, addresses[members:]); err != nil {
		e.stop()
		return nil, err
	}
	return &e, nil
}

func (e *etcd) start(ctx context.Context, m *measurement, peers []string) error {
	var cluster []string
	for i, address := range peers {
		cluster = append(cluster, fmt.Sprintf("etcd%d=http://%s", i+1, address))
	}
	for i, endpoint := range e.endpoints {
		name, client, peer := "etcd"+strconv.Itoa(i+1), "http://"+endpoint, "http://"+peers[i]
		p, err := m.start(ctx, name, nil, "etcd", "--name", name, "--data-dir", name,
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(cluster, ","), "--initial-cluster-state", "new",
			"--auth-token", "simple", "--logger", "zap", "--log-level", "warn")
		if err != nil {
			return err
		}
		e.running = append(e.running, p)
	}
	for i, p := range e.running {
		if err := p.Healthy(ctx, "http://"+e.endpoints[i]+"/health", time.Minute); err != nil {
			return err
		}
	}
	if err := e.run(ctx, m, nil, "prepare", e.endpoints, "-keys", strconv.Itoa(kitKeys)); err != nil {
		return err
	}
	return e.run(ctx, m, &e.leader, "leader", e.endpoints)
}

// run has etcdload do something to the members at endpoints.
func (e *etcd) run(ctx context.Context, m *measurement, v any, command string, endpoints []string, args ...string) error {
	args = append([]string{command, "-endpoints", strings.Join(endpoints, ","), "-password", etcdPassword}, args...)
	_, err := m.result(ctx, v, e.load, args...)
	return err
}

func (e *etcd) stop() {
	for _, p := range slices.Backward(e.running) {
		p.Stop()
	}
}
