package soak

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"landfall.dev/api"
	"landfall.dev/engine/enginetest"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
	"landfall.dev/test/harness"
)

// patience is how long anything may take.
const patience = 5 * time.Minute

var landfall string // the binary

func TestMain(m *testing.M) {
	var b harness.Binaries
	os.Exit(harness.Main(m, &b, func(source, dir string) (harness.Binaries, error) {
		landfall = filepath.Join(dir, "landfall")
		cmd := exec.Command("go", "build", "-o", landfall, "./cmd/landfall")
		cmd.Dir, cmd.Stderr = source, os.Stderr
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		return b, cmd.Run()
	}))
}

// place is all that there is: a hub, its runners, and their daemons.
type place struct {
	t       *testing.T
	dir     string
	url     string
	token   string // of the administrator
	client  kit.Client
	hub     *harness.Role
	runners []*harness.Role
	daemons []*daemon
}

// daemon is a Docker daemon of the test's own, whose client needs no runner.
type daemon struct {
	*harness.Role
	docker enginetest.Daemon
	pool   string // of its networks' addresses
	client *client.Client
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, dir: t.TempDir()}
	var engines []string
	for i, name := range []string{"near", "far"} {
		d := enginetest.NewDaemon(t, harness.FreeAddress(t))
		pool := fmt.Sprintf("10.%d.0.0/16", 201+i) // the daemons know nothing of each other's networks
		unbridge(t, pool)
		t.Cleanup(func() { unbridge(t, pool) })
		letThrough(t, pool)
		role := p.role("dockerd-"+name, "dockerd", append(d.Args, "--default-address-pool", "base="+pool+",size=24")...)
		c, err := client.New(client.WithHost(d.Socket))
		if err != nil {
			t.Fatal(err)
		}
		role.MayEnd()
		p.daemons = append(p.daemons, &daemon{role, d, pool, c})
		engines = append(engines, "--engine", name+"="+map[string]string{"near": d.Socket + "?slots=2", "far": d.Address() + "&slots=2"}[name])
	}
	address := harness.FreeAddress(t)
	p.url = "http://" + address
	p.hub = p.role("hub", landfall, "hub", "--data", p.path("hub"), "--listen", address)
	p.awake()
	p.eventually("the administrator's token", func() error { // the hub answers before it has made it
		token, err := os.ReadFile(p.path("hub", "admin.token"))
		p.token = strings.TrimSpace(string(token))
		return err
	})
	var err error
	if p.client, err = rest.NewClient(p.url, p.token, rest.ClientOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(p.path("files", "jobs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.path("files", "jobs", "jobs.yml"), []byte(definitions()), 0o600); err != nil {
		t.Fatal(err)
	}
	p.landfall("project", "create", "demo", "--from", p.path("files"))
	for i := range 2 {
		name := "runner" + strconv.Itoa(i+1)
		p.landfall("account", "create", name, "--role", "runner")
		token := strings.TrimSpace(p.landfall("token", "create", "accounts/"+name))
		p.runners = append(p.runners, p.role(name, landfall, append([]string{"runner", "--hub", p.url, "--token", token,
			"--data", p.path(name), "--name", name}, engines...)...))
	}
	return p
}

// mend starts a daemon again that panics because it was killed while it wrote down
// its networks: only without these does it come up.
func (d *daemon) mend(t *testing.T) {
	t.Helper()
	last, fallen := d.Fallen()
	if !fallen {
		return
	}
	if !strings.Contains(last, "libnetwork.(*controller).reservePools") {
		t.Fatalf("%s ended by itself:\n%s", d.Name, last)
	}
	t.Logf("%s has lost its networks", d.Name)
	d.docker.Bury(t)
	if err := os.Remove(filepath.Join(d.docker.Certs, "data", "network", "files", "local-kv.db")); err != nil {
		t.Fatal(err)
	}
	d.Start()
}

// unbridge removes bridges with addresses of the pool, as a new start of the
// machine would: a daemon that was killed while it removed a network leaves its
// bridge, which then gets the packets of a later network with the same addresses.
func unbridge(t *testing.T, pool string) {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	within := netip.MustParsePrefix(pool)
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addresses {
			if at, err := netip.ParsePrefix(a.String()); err != nil || !within.Contains(at.Addr()) {
				continue
			}
			if text, err := exec.Command("ip", "link", "delete", i.Name).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, text)
			}
		}
	}
}

// letThrough lets packets between addresses of the pool through: the machine's own
// Docker daemon, if there is one, drops what it does not know.
func letThrough(t *testing.T, pool string) {
	t.Helper()
	rule := func(action string) error {
		text, err := exec.Command("iptables", "--wait", action, "FORWARD", "-s", pool, "-d", pool, "-j", "ACCEPT").CombinedOutput()
		if err != nil {
			return fmt.Errorf("iptables %s: %w: %s", action, err, text)
		}
		return nil
	}
	if err := rule("-I"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rule("-D"); err != nil {
			t.Error(err)
		}
	})
}

// role starts a role, which is ended with the test; what it said last is shown if
// that has failed.
func (p *place) role(name, program string, args ...string) *harness.Role {
	p.t.Helper()
	r := harness.NewRole(p.t, name, p.dir, program, args...)
	if p.t.Failed() {
		p.t.FailNow()
	}
	p.t.Cleanup(func() {
		r.End()
		if text, err := os.ReadFile(p.path(name + ".log")); p.t.Failed() && err == nil {
			p.t.Logf("the end of %s.log:\n%s", name, text[max(0, len(text)-3000):])
		}
	})
	return r
}

func (p *place) path(names ...string) string {
	return filepath.Join(append([]string{p.dir}, names...)...)
}

// landfall runs a client command as the administrator.
func (p *place) landfall(args ...string) string {
	p.t.Helper()
	cmd := exec.Command(landfall, args...)
	cmd.Env = append(os.Environ(), "LANDFALL_URL="+p.url, "LANDFALL_TOKEN="+p.token)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("landfall %s: %v: %s", strings.Join(args, " "), err, errs.String())
	}
	return string(out)
}

// awake waits until the hub and the daemons answer.
func (p *place) awake() {
	p.t.Helper()
	p.eventually("the hub answers", func() error {
		_, err := p.read(http.MethodGet, "/")
		return err
	})
	for _, d := range p.daemons {
		p.eventually(d.Name+" answers", func() error {
			d.mend(p.t)
			_, err := d.client.Ping(p.t.Context(), client.PingOptions{NegotiateAPIVersion: true})
			return err
		})
	}
}

// read asks the hub as the administrator.
func (p *place) read(method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, nil)
	if err != nil {
		return nil, err
	}
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= http.StatusInternalServerError {
		err = fmt.Errorf("%s: %s", res.Status, b)
	}
	return b, err
}

// eventually returns once f returns nil.
func (p *place) eventually(what string, f func() error) {
	p.t.Helper()
	end := time.Now().Add(patience)
	for err := f(); err != nil; err = f() {
		if time.Now().After(end) {
			p.t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
		p.pause(50 * time.Millisecond)
	}
}

// pause lets the others work.
func (p *place) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-p.t.Context().Done():
	}
}

// order orders a build of the job.
func (p *place) order(id, job string) {
	p.t.Helper()
	ref, err := api.Refs.Read(p.t.Context(), p.client, api.RefID("demo", "refs/heads/main"))
	if err == nil {
		_, err = api.Builds.Create(p.t.Context(), p.client, id, api.Build{Project: "demo", Job: job, Commit: ref.Commit})
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// builds are those that there are.
func (p *place) builds() (all []api.Build) {
	p.t.Helper()
	p.eventually("the builds", func() error {
		all = nil
		for b, err := range api.Builds.All(p.t.Context(), p.client, "", "") {
			if err != nil {
				return err
			}
			all = append(all, b)
		}
		return nil
	})
	return all
}

// cancel cancels a build that has written something.
func (p *place) cancel(b api.Build) {
	if log := p.log(b); !bytes.Contains(log, []byte("line 5\n")) {
		return
	}
	p.eventually("cancel "+b.Link.ID(), func() error {
		_, err := api.Builds.Send(p.t.Context(), p.client, b.Link.ID(), "cancel", nil)
		return err
	})
}

// settle insists that nothing is left of the builds, ends the runners, and
// insists that nothing is left of what they had ready either.
func (p *place) settle() {
	p.t.Helper()
	p.eventually("nothing is left of the builds", func() error {
		for _, d := range p.daemons {
			left := p.left(d)
			if slices.ContainsFunc(left, func(name string) bool {
				return !strings.Contains(name, "-spare-") && !strings.HasPrefix(name, "volume")
			}) {
				return fmt.Errorf("%s has %q", d.Name, left)
			}
		}
		return nil
	})
	for i, r := range p.runners {
		r.End()
		if entries, err := os.ReadDir(p.path("runner"+strconv.Itoa(i+1), "work")); err != nil || len(entries) > 0 {
			p.t.Errorf("%s has left workspaces: %v, error %v", r.Name, entries, err)
		}
	}
	for _, d := range p.daemons {
		if left := p.left(d); len(left) > 0 {
			p.t.Errorf("%s has %q", d.Name, left)
		}
	}
	p.eventually("no process of a build is left", func() error {
		if left := p.processes(); len(left) > 0 {
			return fmt.Errorf("there are %q", left)
		}
		return nil
	})
}

// processes are those of builds, by their environment, and those in containers of
// the daemons in which something has begun.
func (p *place) processes() (left []string) {
	p.t.Helper()
	var shims []int
	for _, d := range p.daemons {
		shims = append(shims, d.docker.Shims(p.t)...)
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, dir := range dirs {
		environment, _ := os.ReadFile(filepath.Join(dir, "environ")) // of one that has ended nothing can be read
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		command := strings.TrimSpace(string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
		// Of a shell that has begun a build the children are found by their environment.
		idle := command == "runc init" || command == "/sbin/docker-init -- sh"
		if bytes.Contains(environment, []byte(p.url)) || slices.Contains(shims, parent(dir)) && !idle {
			left = append(left, filepath.Base(dir)+" "+command)
		}
	}
	return left
}

// parent is the pid of the parent of the process with the directory, 0 if it has
// ended.
func parent(dir string) int {
	stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
	// The name before the last parenthesis may have spaces.
	if fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])); len(fields) > 1 {
		pid, _ := strconv.Atoi(fields[1])
		return pid
	}
	return 0
}

// left are the containers and volumes of a daemon, and the networks that it did
// not make by itself.
func (p *place) left(d *daemon) (names []string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	containers, err := d.client.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range containers.Items {
		names = append(names, "container "+strings.Join(c.Names, " "))
	}
	volumes, err := d.client.VolumeList(ctx, client.VolumeListOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, v := range volumes.Items {
		names = append(names, "volume "+v.Name)
	}
	networks, err := d.client.NetworkList(ctx, client.NetworkListOptions{Filters: client.Filters{}.Add("type", "custom")})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, n := range networks.Items {
		names = append(names, "network "+n.Name)
	}
	return names
}
