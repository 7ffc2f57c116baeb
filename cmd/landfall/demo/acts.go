package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"landfall.dev/api"
)

// environment is one that the demo makes, with its agent.
type environment struct {
	name  string
	flags []string
	front bool
}

var environments = []environment{
	{"automation", []string{"--strategy", "throwaway", "--parallel", "2"}, false},
	{"staging", nil, true},
	{"production", nil, true},
	{"unknown", []string{"--channel", "ledger-stable", "--nodes", "3"}, true},
}

// play is what the acts know of each other.
type play struct {
	*stage
	admin, ada, grace, rita person

	front     string // of the unknown environment
	notices   chan string
	clone     string
	change    string
	run       string // of the change, once it has landed
	upgradeID string
	load      *process
}

// raise starts the hub, its people, the runner, the environments and their
// agents.
func (p *play) raise(ctx context.Context, tools toolchain) error {
	p.say("a hub, people, a runner, four environments with an agent each")
	chat, notices, err := p.chat()
	if err != nil {
		return err
	}
	p.notices = notices
	if _, err := p.start("hub", nil, p.Landfall, "hub", "--data", p.path("hub"), "--listen", p.hub, "--slack-webhook", chat); err != nil {
		return err
	}
	token, err := p.fileText(ctx, p.path("hub/admin.token"))
	if err != nil {
		return err
	}
	p.admin = person{"admin", token}
	if err := p.people(ctx); err != nil {
		return err
	}
	if _, err := p.landfall(ctx, p.admin, "trust", "init", "--keys", p.path("keys")); err != nil {
		return err
	}
	if err := p.startRunner(ctx, tools); err != nil {
		return err
	}
	for _, e := range environments {
		if err := p.startAgent(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (p *play) people(ctx context.Context) error {
	for _, x := range []struct {
		who   *person
		name  string
		group string
	}{{&p.ada, "ada", "developers"}, {&p.grace, "grace", "developers"}, {&p.rita, "rita", "release-managers"}} {
		if _, err := p.landfall(ctx, p.admin, "user", "create", x.name, "--name", strings.ToUpper(x.name[:1])+x.name[1:],
			"--email", x.name+"@example.com", "--group", x.group); err != nil {
			return err
		}
		token, err := p.secret(ctx, p.admin, "token", "create", "users/"+x.name)
		if err != nil {
			return err
		}
		*x.who = person{x.name, token}
	}
	return nil
}

// tokenFile makes an account's token and keeps it in a file.
func (p *play) tokenFile(ctx context.Context, account string, flags ...string) (string, error) {
	if _, err := p.landfall(ctx, p.admin, append([]string{"account", "create", account}, flags...)...); err != nil {
		return "", err
	}
	token, err := p.secret(ctx, p.admin, "token", "create", "accounts/"+account)
	if err != nil {
		return "", err
	}
	path := p.path(account + ".token")
	return path, os.WriteFile(path, []byte(token+"\n"), 0o600)
}

func (p *play) startRunner(ctx context.Context, t toolchain) error {
	token, err := p.tokenFile(ctx, "runner1", "--role", "runner")
	if err != nil {
		return err
	}
	// Go would write an index of a checkout that is older than two seconds into
	// its cache, and not build it where it cannot.
	_, err = p.start("runner", nil, p.Landfall, "runner", "--hub", p.hubURL(), "--token", "@"+token,
		"--data", p.path("runner"), "--engine", p.Engine, "--parallel", "2",
		"--mount", "GOROOT="+t.root, "--mount", "GOMODCACHE="+t.modules, "--mount", "GOCACHE="+t.cache,
		"--env", "PATH="+filepath.Join(t.root, "bin")+":/usr/bin:/bin", "--env", "CGO_ENABLED=0",
		"--env", "GOFLAGS=-trimpath -buildvcs=false", "--env", "GOTOOLCHAIN=local", "--env", "GOPROXY=off", "--env", "GOWORK=off",
		"--env", "GODEBUG=goindex=0")
	return err
}

func (p *play) startAgent(ctx context.Context, e environment) error {
	if _, err := p.landfall(ctx, p.admin, append([]string{"env", "create", e.name}, e.flags...)...); err != nil {
		return err
	}
	token, err := p.tokenFile(ctx, "agent-"+e.name, "--role", "agent", "--environment", e.name)
	if err != nil {
		return err
	}
	args := []string{"agent", "--hub", p.hubURL(), "--token", "@" + token, "--name", e.name,
		"--data", p.path("agent-" + e.name), "--engine", p.Engine, "--listen", "127.0.0.1:0"}
	if e.front {
		address, err := freeAddress()
		if err != nil {
			return err
		}
		if e.name == "unknown" {
			p.front = "http://" + address
		}
		args = append(args, "--front", address)
	}
	_, err = p.start("agent-"+e.name, nil, p.Landfall, args...)
	return err
}

// deliverFirst carries version 1 to the unknown environment.
func (p *play) deliverFirst(ctx context.Context) error {
	p.say("the project, and its first version's way to the unknown environment")
	if _, err := p.landfall(ctx, p.admin, "project", "create", "ledger", "--type", "platform", "--from", p.path("ledger")); err != nil {
		return err
	}
	run, err := p.newestRun(ctx, "merged", "")
	if err != nil {
		return err
	}
	if err := p.watch(ctx, p.ada, "pipeline", "watch", run); err != nil {
		return err
	}
	if _, err := p.landfall(ctx, p.rita, "channel", "create", "ledger", "stable"); err != nil {
		return err
	}
	return p.releaseTo(ctx, "ledger-1.0.0")
}

// releaseTo signs a release and puts it on the channel.
func (p *play) releaseTo(ctx context.Context, release string) error {
	if _, err := p.landfall(ctx, p.rita, "release", "sign", release, "--keys", p.path("keys")); err != nil {
		return err
	}
	if _, err := p.landfall(ctx, p.rita, "channel", "promote", "ledger-stable", release, "-m", "tried in production"); err != nil {
		return err
	}
	if release != "ledger-1.0.0" {
		return nil // the upgrade is watched
	}
	_, err := p.landfall(ctx, p.admin, "env", "wait", "unknown", release)
	return err
}

// newestRun waits for a run of the event that is not the one before.
func (p *play) newestRun(ctx context.Context, event, before string) (string, error) {
	id := ""
	err := p.await(ctx, "a run", func() bool {
		var runs []api.Run
		if p.quiet(ctx, p.admin, &runs, "pipeline", "list", fmt.Sprintf("event == %q", event)) != nil || len(runs) == 0 {
			return false
		}
		id = runs[0].Link.ID()
		return id != before
	})
	return id, err
}

// fill puts documents into the platform, and starts the load.
func (p *play) fill(ctx context.Context) error {
	p.say("%d documents, then a load of %d requests a second through the front door, half of them writes", p.Documents, p.Rate)
	token, err := p.fileText(ctx, p.path("agent-unknown/groups/*/0/admin.token"))
	if err != nil {
		return err
	}
	file := p.path("ledger.token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		return err
	}
	target := []string{"-url", p.front, "-token", "@" + file}
	if err := p.ledger(ctx, append([]string{"seed", "-count", fmt.Sprint(p.Documents)}, target...)...); err != nil {
		return err
	}
	args := append([]string{"load", "-rate", fmt.Sprint(p.Rate), "-accounts", fmt.Sprint(p.Documents), "-timeline", p.path("timeline")}, target...)
	p.load, err = p.start("load", nil, p.Ledger, args...)
	return err
}

// refuse pushes a patch whose message names nothing.
func (p *play) refuse(ctx context.Context) error {
	p.say("ada pushes a patch with a bad message: it is refused at the push")
	p.clone = p.path("clone")
	url := strings.Replace(p.hubURL(), "://", "://ada:"+p.ada.token+"@", 1) + "/git/ledger"
	if _, err := p.git(ctx, p.ada, p.Dir, "clone", "-q", url, p.clone); err != nil {
		return err
	}
	if err := p.hook(ctx); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.clone, "NOTES"), []byte("nothing yet\n"), 0o644); err != nil {
		return err
	}
	if err := p.commit(ctx, "fix bug", false); err != nil {
		return err
	}
	out, err := p.git(ctx, p.ada, p.clone, "push", "origin", "HEAD:refs/for/main")
	if err == nil || !strings.Contains(out, "names nothing") {
		return fmt.Errorf("%w: the push of a bad message was not refused", errBroken)
	}
	_, err = p.git(ctx, p.ada, p.clone, "reset", "-q", "--hard", "HEAD~1")
	return err
}

// hook installs the hub's commit-msg hook.
func (p *play) hook(ctx context.Context) error {
	text, err := fetch(ctx, p.hubURL()+"/tools/hooks/commit-msg")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.clone, ".git/hooks/commit-msg"), text, 0o755)
}

// edit replaces old by new in a file of the clone.
func (p *play) edit(name, old, new string) error {
	path := filepath.Join(p.clone, name)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.Contains(string(b), old) {
		return fmt.Errorf("%w: %s has no %q", errBroken, name, old)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(b), old, new, 1)), 0o644)
}

func (p *play) commit(ctx context.Context, message string, amend bool) error {
	if _, err := p.git(ctx, p.ada, p.clone, "add", "-A"); err != nil {
		return err
	}
	args := []string{"commit", "-q", "-m", message}
	if amend {
		args = []string{"commit", "-q", "--amend", "--no-edit"}
	}
	_, err := p.git(ctx, p.ada, p.clone, args...)
	return err
}

// fail pushes version 2 with a mistake that its tests find.
func (p *play) fail(ctx context.Context) error {
	p.say("ada pushes version 2 with a mistake: the gating job votes -1, and she gets a notice")
	if _, err := p.git(ctx, p.ada, p.clone, "apply", filepath.Join(p.Source, "examples/ledger/v2.patch")); err != nil {
		return err
	}
	if err := p.edit("account.go", "a.Balance = cents", "a.Balance = cents + 1"); err != nil {
		return err
	}
	const message = "feat: keep amounts in cents, and a currency\n\nAn account's owner becomes its holder, and every account has a currency."
	if err := p.commit(ctx, message, false); err != nil {
		return err
	}
	if _, err := p.git(ctx, p.ada, p.clone, "push", "origin", "HEAD:refs/for/main"); err != nil {
		return err
	}
	var changes []api.Change
	if err := p.quiet(ctx, p.ada, &changes, "change", "list"); err != nil || len(changes) == 0 {
		return fmt.Errorf("%w: there is no change after the push (%v)", errBroken, err)
	}
	p.change = changes[0].Link.ID()
	out, err := p.landfall(ctx, p.ada, "change", "wait", p.change, "verified")
	if err != nil {
		return err
	}
	if !strings.Contains(out, "Verified -1") {
		return fmt.Errorf("%w: a failing test got no Verified -1", errBroken)
	}
	select {
	case n := <-p.notices:
		fmt.Fprintf(p.out, "  chat: %s\n", strings.ReplaceAll(n, "\n", "\n        "))
	case <-ctx.Done():
		return fmt.Errorf("%w: no notice came", errBroken)
	}
	return nil
}

// pass amends the patch; it passes and is reviewed.
func (p *play) pass(ctx context.Context) error {
	p.say("she mends it: the next patch set passes, and grace reviews it")
	if err := p.edit("account.go", "a.Balance = cents + 1", "a.Balance = cents"); err != nil {
		return err
	}
	if err := p.commit(ctx, "", true); err != nil {
		return err
	}
	if _, err := p.git(ctx, p.ada, p.clone, "push", "origin", "HEAD:refs/for/main"); err != nil {
		return err
	}
	out, err := p.landfall(ctx, p.ada, "change", "wait", p.change, "verified")
	if err != nil {
		return err
	}
	if !strings.Contains(out, "Verified +1") {
		return fmt.Errorf("%w: the good patch got no Verified +1", errBroken)
	}
	_, err = p.landfall(ctx, p.grace, "change", "vote", "-m", "Good: the inverse is there too.", p.change, "+2")
	return err
}

// land submits the change and follows what has landed to a release.
func (p *play) land(ctx context.Context) error {
	p.say("it lands, is built, tried out, deployed to staging and production by the same digest, and released")
	before, err := p.newestRun(ctx, "merged", "")
	if err != nil {
		return err
	}
	if _, err := p.landfall(ctx, p.ada, "change", "submit", p.change); err != nil {
		return err
	}
	if _, err := p.landfall(ctx, p.ada, "change", "wait", p.change, "merged"); err != nil {
		return err
	}
	if p.run, err = p.newestRun(ctx, "merged", before); err != nil {
		return err
	}
	if err := p.watch(ctx, p.ada, "pipeline", "watch", p.run); err != nil {
		return err
	}
	return p.releaseTo(ctx, "ledger-2.0.0")
}

// upgrade watches the unknown environment's live upgrade.
func (p *play) upgrade(ctx context.Context) error {
	p.say("the unknown environment's agent upgrades its ledger live")
	err := p.await(ctx, "the upgrade", func() bool {
		var upgrades []api.Upgrade
		if p.quiet(ctx, p.admin, &upgrades, "upgrade", "list") != nil {
			return false
		}
		for _, u := range upgrades {
			if u.Environment == "unknown" && u.Blue.Group != "" {
				p.upgradeID = u.Link.ID()
			}
		}
		return p.upgradeID != ""
	})
	if err != nil {
		return err
	}
	if err := p.watch(ctx, p.admin, "upgrade", "watch", p.upgradeID); err != nil {
		return err
	}
	if _, err := p.landfall(ctx, p.admin, "env", "wait", "unknown", "ledger-2.0.0"); err != nil {
		return err
	}
	select {
	case <-time.After(3 * time.Second): // the load goes on for a while on green
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return p.load.cmd.Process.Signal(syscall.SIGINT)
}
