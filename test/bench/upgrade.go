package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
	"landfall.dev/kit/rest"
	"landfall.dev/test/bench/server"
)

// upgradeGroup measures live upgrades: the copy against PostgreSQL, and the
// pause against what is demanded.
var upgradeGroup = group{name: "upgrade", run: measureUpgrades}

func measureUpgrades(ctx context.Context, m *measurement) error {
	program, err := m.build(ctx, "test/bench/upgradenode")
	if err != nil {
		return err
	}
	if m.wants("copy", "copy-cpu", "copy-func", "delta", "empty-cycle", "small-delta", "proportion-empty", "proportion") {
		if err := compareCopies(ctx, m, program); err != nil {
			return err
		}
	}
	if m.wants("pause-p50", "pause-p99", "pause-failures") {
		return measurePauses(ctx, m, program)
	}
	return nil
}

// upgraded is how many documents are upgraded.
func (m *measurement) upgraded() int { return max(m.documents/10, 1) }

// platform is one running node of the platform that is upgraded.
type platform struct {
	*server.Server
	url, dir string
	cluster  string // the cluster's token
}

// startPlatform starts a node on a new directory and waits until it serves. In
// standby it can be filled from another.
func (m *measurement) startPlatform(ctx context.Context, program, name string, schema int, standby bool, env ...string) (*platform, error) {
	addresses, err := server.FreeAddresses(1)
	if err != nil {
		return nil, err
	}
	p := &platform{url: "http://" + addresses[0], dir: filepath.Join(m.dir, name)}
	env = append(env, "SCHEMA="+strconv.Itoa(schema), "DATA_DIR="+p.dir, "KIT_LISTEN="+addresses[0], "KIT_JOIN=", "KIT_TOKEN=", "KIT_STANDBY=")
	if standby {
		env[len(env)-1] += "1"
	}
	if p.Server, err = m.start(ctx, name, env, program); err != nil {
		return nil, err
	}
	if err = p.Healthy(ctx, p.url+"/healthz", time.Minute); err == nil {
		p.cluster, err = p.secret(ctx, "cluster.token")
	}
	if err == nil && standby {
		err = p.Server.Await(ctx, "its fence", func() bool {
			s, err := p.migrations().Status(ctx)
			return err == nil && s.Fenced
		})
	}
	if err != nil {
		p.remove()
		return nil, err
	}
	return p, nil
}

// secret waits for a token in the node's directory.
func (p *platform) secret(ctx context.Context, file string) (string, error) {
	var text string
	err := p.Server.Await(ctx, file, func() bool {
		b, err := os.ReadFile(filepath.Join(p.dir, file))
		text = strings.TrimSpace(string(b))
		return err == nil && text != ""
	})
	return text, err
}

// remove ends the node and deletes its data.
func (p *platform) remove() {
	p.Stop()
	_ = os.RemoveAll(p.dir) // what is left goes with the measurement's directory
}

// administrator returns a client of the platform that may do all.
func (p *platform) administrator(ctx context.Context) (kit.Client, error) {
	token, err := p.secret(ctx, "admin.token")
	if err != nil {
		return nil, err
	}
	return rest.NewClient(p.url, token, rest.ClientOptions{})
}

func (p *platform) migrations() *migrate.Client {
	return &migrate.Client{URLs: []string{p.url}, Token: p.cluster}
}

// pull has p take over what changed at from since its last pull.
func (p *platform) pull(ctx context.Context, from *platform) (migrate.Pulled, error) {
	r, err := p.migrations().Pull(ctx, migrate.PullRequest{Source: from.url, Token: from.cluster})
	if err == nil && r.Quarantined > 0 {
		err = fmt.Errorf("%d documents were not transformed: %v", r.Quarantined, r.Failed[0])
	}
	return r, err
}
