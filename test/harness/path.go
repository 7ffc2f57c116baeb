package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// patience is how long anything may take, with what is killed meanwhile.
const patience = 2 * time.Minute

// Path is a running set of roles, and the way of versions through it.
type Path struct {
	Hub, Runner      *Role
	Staging, Unknown *Role // the agents
	// Agent speaks to unknown's agent.
	Agent kit.Client
	// Front is the URL of unknown's front door.
	Front string

	t        testing.TB
	bin      Binaries
	dir      string
	url      string // of the hub
	tokens   map[string]string
	admin    kit.Client
	agentURL string
}

// The people on the path.
const (
	admin  = "admin"
	author = "ada"
	judge  = "grace"
	signer = "rita"
)

// New starts everything but a version of the platform.
func New(t testing.TB, b Binaries) *Path {
	t.Helper()
	p := &Path{t: t, bin: b, dir: t.TempDir(), tokens: map[string]string{}}
	t.Cleanup(p.end)
	for _, dir := range []string{"logs", "prebuilt"} {
		if err := os.MkdirAll(p.Dir(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(Skew(p.Faults(), 0), SlowDisk(p.Faults(), 0), FillDisk(p.Faults(), false)); err != nil {
		t.Fatal(err)
	}
	hub := FreeAddress(t)
	p.url = "http://" + hub
	chat := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	t.Cleanup(chat.Close)
	p.Hub = p.role("hub", "hub", "--data", p.Dir("hub"), "--listen", hub, "--slack-webhook", chat.URL)
	p.tokens[admin] = p.text("hub/admin.token")
	p.admin = p.client(p.url, p.tokens[admin])
	for name, group := range map[string]string{author: "developers", judge: "developers", signer: "release-managers"} {
		p.Landfall(admin, "user", "create", name, "--name", name, "--email", name+"@example.com", "--group", group)
		p.tokens[name] = strings.TrimSpace(p.Landfall(admin, "token", "create", "users/"+name))
	}
	p.Landfall(admin, "trust", "init", "--keys", p.Dir("keys"))
	p.Runner = p.role("runner", "runner", "--hub", p.url, "--token", p.account("runner1", "--role", "runner"),
		"--data", p.Dir("runner"), "--engine", "process", "--mount", "PREBUILT="+p.Dir("prebuilt"))
	p.Staging, _, _ = p.agent("staging")
	front := ""
	p.Unknown, front, p.agentURL = p.agent("unknown", "--channel", "ledger-stable", "--nodes", "3")
	p.Front = "http://" + front
	p.Agent = p.client(p.agentURL, p.text("unknown/node/admin.token"))
	return p
}

// Dir returns the path of a name in the directory of everything: "hub",
// "staging" and "unknown" are the data of those roles.
func (p *Path) Dir(name string) string { return filepath.Join(p.dir, name) }

// end stops all roles, the latest first, and what the agents run.
func (p *Path) end() {
	for _, r := range []*Role{p.Unknown, p.Staging, p.Runner, p.Hub} {
		if r != nil {
			r.stop()
		}
	}
	for _, name := range []string{"unknown", "staging"} {
		if _, err := os.Stat(p.Dir(name)); err != nil {
			continue // it never ran
		}
		cmd := exec.Command(p.bin.Landfall, "agent", "clear", "--data", p.Dir(name), "--name", name, "--engine", "process")
		if out, err := cmd.CombinedOutput(); err != nil {
			p.t.Errorf("clear %s: %v\n%s", name, err, out)
		}
	}
	if !p.t.Failed() {
		return
	}
	for _, r := range []*Role{p.Hub, p.Runner, p.Staging, p.Unknown} {
		if r != nil {
			p.t.Logf("the end of %s's log:\n%s", r.Name, r.tail())
		}
	}
}

func (p *Path) role(name string, args ...string) *Role {
	p.t.Helper()
	return NewRole(p.t, name, p.Dir("logs"), p.bin.Landfall, args...)
}

// agent makes an environment and starts its agent.
func (p *Path) agent(name string, flags ...string) (r *Role, front, url string) {
	p.t.Helper()
	p.Landfall(admin, append([]string{"env", "create", name}, flags...)...)
	token := p.account("agent-"+name, "--role", "agent", "--environment", name)
	front, own := FreeAddress(p.t), FreeAddress(p.t)
	r = p.role(name, "agent", "--hub", p.url, "--token", token, "--data", p.Dir(name), "--name", name,
		"--engine", "process", "--listen", own, "--front", front)
	return r, front, "http://" + own
}

// account makes a machine's account and returns its token as a flag's value.
func (p *Path) account(name string, flags ...string) string {
	p.t.Helper()
	p.Landfall(admin, append([]string{"account", "create", name}, flags...)...)
	path := p.Dir(name + ".token")
	if err := os.WriteFile(path, []byte(p.Landfall(admin, "token", "create", "accounts/"+name)), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return "@" + path
}

func (p *Path) client(url, token string) kit.Client {
	p.t.Helper()
	c, err := rest.NewClient(url, token, rest.ClientOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// Landfall runs a client command as somebody and returns what it prints.
func (p *Path) Landfall(who string, args ...string) string {
	p.t.Helper()
	out, err := p.landfall(p.t.Context(), who, args...)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

func (p *Path) landfall(ctx context.Context, who string, args ...string) (string, error) {
	return run(ctx, "", []string{"LANDFALL_URL=" + p.url, "LANDFALL_TOKEN=" + p.tokens[who]}, p.bin.Landfall, args...)
}

// run runs a program and returns what it prints.
func run(ctx context.Context, dir string, env []string, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, errs.String())
	}
	return string(out), nil
}

// text waits for a file to have text.
func (p *Path) text(name string) string {
	p.t.Helper()
	text := ""
	p.Insist(name+" has been written", func(context.Context) error {
		b, err := os.ReadFile(p.Dir(name))
		if err == nil && len(b) == 0 {
			err = fmt.Errorf("%s is empty", name)
		}
		text = strings.TrimSpace(string(b))
		return err
	})
	return text
}

// Insist calls f until it returns nil.
func (p *Path) Insist(what string, f func(context.Context) error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var why error // of the last attempt that was not cut off
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil || why == nil {
			why = err
		}
		if p.t.Failed() {
			p.t.FailNow()
		}
		select {
		case <-ctx.Done():
			p.t.Fatalf("%s: not within %s: %v", what, patience, why)
		case <-tick.C:
		}
	}
}

// await waits until the hub's document is as it should be.
func await[T any](p *Path, c kit.Client, k kit.Kind[T], id string, done func(T) bool) T {
	p.t.Helper()
	var found T
	p.Insist(string(k.Link(id))+" has come to its end", func(ctx context.Context) (err error) {
		found, err = k.Await(ctx, c, id, done)
		return err
	})
	return found
}

// Latest returns the latest upgrade of unknown's agent that has a blue side.
func (p *Path) Latest(ctx context.Context) (found api.Upgrade, err error) {
	for u, err := range api.Upgrades.All(ctx, p.Agent, "", "-created") {
		if err != nil || u.Blue.Group != "" {
			return u, err
		}
	}
	return found, errors.New("there is no upgrade")
}
