// Package builds_test runs builds on a hub and a runner that are processes of
// their own, kills these with SIGKILL, and reads the logs line by line.
package builds_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// patience is how long anything may take.
const patience = 2 * time.Minute

var landfall string // the binary

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "landfall-builds-")
	if err == nil {
		landfall = filepath.Join(dir, "landfall")
		cmd := exec.Command("go", "build", "-o", landfall, "landfall.dev/cmd/landfall")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		err = cmd.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir) // of temporary files
	os.Exit(code)
}

// place is a hub and a runner.
type place struct {
	t      *testing.T
	dir    string
	url    string
	token  string // of the administrator
	client kit.Client
	hub    *role
	runner *role
}

// role is a process that can be killed and started again.
type role struct {
	t    *testing.T
	args []string
	log  string
	cmd  *exec.Cmd
}

func (r *role) start() {
	r.t.Helper()
	out, err := os.OpenFile(r.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer out.Close()
	r.cmd = exec.Command(landfall, r.args...)
	r.cmd.Stdout, r.cmd.Stderr = out, out
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
}

// kill ends the process and returns when it is gone.
func (r *role) kill() {
	_ = r.cmd.Process.Kill() // it may have ended already
	_ = r.cmd.Wait()
}

// newPlace starts a hub with a project demo whose files are given, and a runner.
func newPlace(t *testing.T, files map[string]string, flags ...string) *place {
	t.Helper()
	p := &place{t: t, dir: t.TempDir()}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	p.url = "http://" + address
	p.hub = &role{t: t, args: []string{"hub", "--data", p.path("hub"), "--listen", address}, log: p.path("hub.log")}
	p.hub.start()
	t.Cleanup(p.end)
	p.eventually("the hub answers", func() error {
		b, err := os.ReadFile(p.path("hub", "admin.token"))
		if err != nil {
			return err
		}
		p.token = strings.TrimSpace(string(b))
		res, err := http.Get(p.url + "/")
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
	if p.client, err = rest.NewClient(p.url, p.token, rest.ClientOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		to := p.path("files", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	p.landfall("project", "create", "demo", "--from", p.path("files"))
	p.landfall("account", "create", "runner1", "--role", "runner")
	token := strings.TrimSpace(p.landfall("token", "create", "accounts/runner1"))
	p.runner = &role{t: t, args: append([]string{"runner", "--hub", p.url, "--token", token, "--data", p.path("runner"),
		"--name", "runner1-" + strconv.Itoa(os.Getpid())}, flags...), log: p.path("runner.log")}
	p.runner.start()
	return p
}

func (p *place) path(names ...string) string {
	return filepath.Join(append([]string{p.dir}, names...)...)
}

func (p *place) end() {
	if p.runner != nil && p.runner.cmd.ProcessState == nil {
		_ = p.runner.cmd.Process.Signal(os.Interrupt) // what it runs ends with it
		_ = p.runner.cmd.Wait()
	}
	if p.hub.cmd.ProcessState != nil {
		return
	}
	p.hub.kill()
	if !p.t.Failed() {
		return
	}
	for _, name := range []string{"hub.log", "runner.log"} {
		b, _ := os.ReadFile(p.path(name))
		p.t.Logf("the end of %s:\n%s", name, b[max(0, len(b)-4000):])
	}
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

// eventually returns once f returns nil.
func (p *place) eventually(what string, f func() error) {
	p.t.Helper()
	end := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-end:
			p.t.Fatalf("%s: not within %s: %v", what, patience, err)
		case <-tick.C:
		}
	}
}

// build orders a build of the job.
func (p *place) build(id, job string) {
	p.t.Helper()
	ref, err := api.Refs.Read(p.t.Context(), p.client, api.RefID("demo", "refs/heads/main"))
	if err == nil {
		_, err = api.Builds.Create(p.t.Context(), p.client, id, api.Build{Project: "demo", Job: job, Commit: ref.Commit})
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// ended returns the build when it has ended and its log is sealed.
func (p *place) ended(id string) (b api.Build) {
	p.t.Helper()
	p.eventually("build "+id+" has ended", func() error {
		ctx, cancel := context.WithTimeout(p.t.Context(), patience)
		defer cancel()
		var err error
		b, err = api.Builds.Await(ctx, p.client, id, func(b api.Build) bool { return b.State.Done() && b.LogDigest != "" })
		return err
	})
	return b
}

// counting is a job that writes its lines until there is a file stop in its
// workspace.
const counting = `- job:
    name: count
    builders:
    - shell: |
        #!/bin/sh
        i=0
        until [ -e stop ]; do i=$((i+1)); echo "line $i"; sleep 0.01; done
        echo "lines: $i"
`

// written returns how many bytes the runner has of a build's log.
func (p *place) written(id string) int64 {
	info, err := os.Stat(p.path("runner", "work", id+"-1", "log"))
	if err != nil {
		return 0
	}
	return info.Size()
}

// grow waits until the runner has more of all logs than before.
func (p *place) grow(ids []string) {
	p.t.Helper()
	for _, id := range ids {
		before := p.written(id)
		p.eventually("the log of "+id+" grows", func() error {
			if now := p.written(id); now < before+100 {
				return fmt.Errorf("it has %d bytes, and had %d", now, before)
			}
			return nil
		})
	}
}

func TestBuildsOutliveTheHubAndTheRunner(t *testing.T) {
	for engine, n := range map[string]int{"process": 20, "docker": 6} {
		t.Run(engine, func(t *testing.T) {
			p := newPlace(t, map[string]string{"jobs/jobs.yml": counting}, "--engine", engine, "--parallel", strconv.Itoa(n))
			var ids []string
			for i := range n {
				ids = append(ids, fmt.Sprintf("b%d", i))
				p.build(ids[i], "count")
			}
			p.grow(ids)
			p.hub.kill()
			p.grow(ids)
			p.hub.start()
			began := time.Now()
			p.inTouch(ids)
			t.Logf("%d builds were back %s after the hub was started again", n, time.Since(began).Round(10*time.Millisecond))
			p.runner.kill()
			p.runner.start()
			p.grow(ids)
			p.hub.kill()
			p.runner.kill()
			p.runner.start() // before the hub
			p.hub.start()
			p.grow(ids)
			p.runner.kill()
			for _, id := range ids { // half of them end meanwhile
				if id[1]%2 == 0 {
					p.stop(id)
				}
			}
			p.runner.start()
			for _, id := range ids {
				p.stop(id)
			}
			for _, id := range ids {
				p.whole(id)
			}
			if engine == "docker" {
				p.cleared()
			}
		})
	}
}

// inTouch waits until the hub has heard something new of each build.
func (p *place) inTouch(ids []string) {
	p.t.Helper()
	for _, id := range ids {
		var before int
		p.eventually("the hub hears of "+id, func() error {
			now, err := p.log(id)
			if before == 0 {
				before = len(now)
			}
			if err == nil && len(now) <= before {
				err = fmt.Errorf("its log has %d bytes", len(now))
			}
			return err
		})
	}
}

func (p *place) stop(id string) {
	p.t.Helper()
	if err := os.WriteFile(p.path("runner", "work", id+"-1", "src", "stop"), nil, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) log(id string) ([]byte, error) {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+"/logs/"+id, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(res.Body)
	return b.Bytes(), err
}

var total = regexp.MustCompile(`(?m)^lines: (\d+)$`)

// whole insists that the build passed at its first attempt, and that its log has
// each line once.
func (p *place) whole(id string) {
	p.t.Helper()
	b := p.ended(id)
	log, err := p.log(id)
	if err != nil {
		p.t.Fatal(err)
	}
	if b.State != api.BuildPassed || b.Attempt != 1 || b.LogMissing != 0 || b.LogDigest != kit.DigestOf(log) {
		p.t.Errorf("%s is %s, %q, at attempt %d, with %d lines missing", id, b.State, b.Error, b.Attempt, b.LogMissing)
	}
	m := total.FindSubmatch(log)
	if m == nil {
		p.t.Fatalf("the log of %s does not tell how many lines there are:\n%s", id, log[max(0, len(log)-300):])
	}
	n, _ := strconv.Atoi(string(m[1]))
	var want strings.Builder
	want.WriteString("--- step 1: i=0\n")
	for i := range n {
		fmt.Fprintf(&want, "line %d\n", i+1)
	}
	fmt.Fprintf(&want, "lines: %d\n", n)
	if string(log) != want.String() {
		g, w := strings.Split(string(log), "\n"), strings.Split(want.String(), "\n")
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				p.t.Errorf("%s: line %d of %d is %q, want %q", id, i+1, len(g), g[i], w[i])
				return
			}
		}
		p.t.Errorf("%s: %d lines, want %d", id, len(g), len(w))
	}
}

// cleared ends the place and insists that nothing is left in Docker.
func (p *place) cleared() {
	p.t.Helper()
	p.end()
	if left := p.docker("ps", "-aq", "--filter", p.owned()); left != "" {
		p.t.Errorf("containers are left: %s", left)
	}
}

// owned is the filter for what this place's runner has in Docker.
func (p *place) owned() string {
	return "label=landfall.owner=runner-runner1-" + strconv.Itoa(os.Getpid())
}

func (p *place) docker(args ...string) string {
	p.t.Helper()
	out, err := exec.Command("docker", args...).Output()
	if err != nil {
		p.t.Fatalf("docker %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}
