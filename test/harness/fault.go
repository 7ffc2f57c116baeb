package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"landfall.dev/api"
)

// In returns p for a part of its test, which is t.
func (p *Path) In(t testing.TB) *Path {
	part := *p
	part.t = t
	return &part
}

// In makes the load report to t, a part of its test, from the next Start on.
func (l *Load) In(t testing.TB) { l.path = l.path.In(t) }

// Faults is the file of faults of the platform's second version, if the
// binaries are of BuildFaulty.
func (p *Path) Faults() string { return p.Dir("faults") }

// Policy says how unknown's upgrades are to be done from now on.
func (p *Path) Policy(policy api.UpgradePolicy) {
	p.t.Helper()
	p.Insist("the environment has another policy", func(ctx context.Context) error {
		_, err := api.Environments.Modify(ctx, p.admin, "unknown", func(e *api.Environment) error {
			e.Upgrades = policy
			return nil
		})
		return err
	})
}

// Offer promotes the n-th version's release once more.
func (p *Path) Offer(n int) {
	p.t.Helper()
	c, err := api.Channels.Read(p.t.Context(), p.admin, channel)
	if err != nil {
		p.t.Fatal(err)
	}
	release, times := project+"-"+version(n), 1
	for _, o := range c.History {
		if o.Release == api.Releases.Link(release) {
			times++
		}
	}
	p.offer(release, times)
}

// Rollback rolls an upgrade back that is in soak.
func (p *Path) Rollback(id string) {
	p.t.Helper()
	p.Insist("the upgrade has been rolled back", func(ctx context.Context) error {
		u, err := api.Upgrades.Read(ctx, p.Agent, id)
		if err != nil || u.State == api.UpgradeRolledBack {
			return err
		}
		why := fmt.Errorf("it is %s: %s", u.State, u.Error)
		if u.State == api.UpgradeSoak {
			_, err = api.Upgrades.Send(ctx, p.Agent, id, "rollback", api.RollbackArgs{})
		}
		return errors.Join(why, err)
	})
}

// Door starts a further front door of unknown, and returns its URL.
func (p *Path) Door(name string) (r *Role, url string) {
	p.t.Helper()
	token, path := "", p.Dir(name+".token")
	p.Insist("there is a token for front doors", func(ctx context.Context) (err error) {
		token, err = run(ctx, "", []string{"LANDFALL_URL=" + p.agentURL, "LANDFALL_TOKEN=" + p.text("unknown/node/admin.token")}, p.bin.Landfall, "front", "token")
		return err
	})
	if err := os.WriteFile(path, []byte(strings.TrimSpace(token)), 0o600); err != nil {
		p.t.Fatal(err)
	}
	address := FreeAddress(p.t)
	r = p.role(name, "front", "--agent", p.agentURL, "--token", "@"+path, "--listen", address, "--name", name)
	p.t.Cleanup(r.stop)
	return r, "http://" + address
}

// Pause stops the role where it is, until Resume.
func (r *Role) Pause() { r.signal(syscall.SIGSTOP) }

// Resume lets the role go on.
func (r *Role) Resume() { r.signal(syscall.SIGCONT) }

func (r *Role) signal(s syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Errorf("signal %s to %s: %v", s, r.Name, err)
	}
}

// Pause stops the instance where it is, until Resume.
func (i Instance) Pause() error { return i.signal(syscall.SIGSTOP) }

// Resume lets the instance go on.
func (i Instance) Resume() error { return i.signal(syscall.SIGCONT) }

// signal sends s, if the instance still is the process that it was.
func (i Instance) signal(s syscall.Signal) error {
	if !i.runs() {
		return fmt.Errorf("process %d is not %s any more", i.PID, i)
	}
	return syscall.Kill(i.PID, s)
}

// Reroute makes everything that the agent tells the addresses of g's nodes
// look for them at the ports, on loopback, but for clients.
func (p *Path) Reroute(g Group, ports []int) {
	p.t.Helper()
	p.Insist("the nodes are looked for elsewhere", func(ctx context.Context) error {
		_, err := instanceGroups.Modify(ctx, p.Agent, g.Link.ID(), func(g *Group) error {
			g.Ports = ports
			return nil
		})
		return err
	})
}

// Rate makes the load send so many requests a second from the next Start on.
func (l *Load) Rate(rate int) { l.rate = rate }

// Post sends a request of one's own through the first front door.
func (l *Load) Post(path string, body []byte) error {
	_, err := l.do(l.path.t.Context(), http.MethodPost, path, body)
	return err
}

// Upload does what Post does, with a body that may take its time, up to a minute.
func (l *Load) Upload(path string, body io.Reader) error {
	_, err := l.through(l.path.t.Context(), l.path.Front, http.MethodPost, path, body)
	return err
}

// Delete sends the deletion of a document through the first front door.
func (l *Load) Delete(path string) error {
	_, err := l.do(l.path.t.Context(), http.MethodDelete, path, nil)
	return err
}

// Stream opens a watch of the transfers through the first front door, from a
// position on, empty for now.
func (l *Load) Stream(ctx context.Context, from string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.path.Front+"/api/transfers?from="+url.QueryEscape(from), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+l.token)
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		return nil, fmt.Errorf("the watch was answered with %s", res.Status)
	}
	return res.Body, nil
}
