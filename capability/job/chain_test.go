package job

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/job/lock"
	"landfall.dev/kit"
)

// chained is a hub whose definitions at the commit c are text, and ways to play
// the runner.
type chained struct{ *hub }

func newChained(t *testing.T, text string) chained {
	h := newHub(t)
	h.write("c", text)
	return chained{h}
}

func (c chained) order(id, job string) {
	c.t.Helper()
	if _, err := api.Builds.Create(c.t.Context(), c.admin, id, api.Build{Project: "ledger", Job: job, Commit: "c"}); err != nil {
		c.t.Fatal(err)
	}
}

// reaches waits until a build has a state.
func (c chained) reaches(id string, s api.BuildState) api.Build {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	var seen api.Build
	b, err := api.Builds.Await(ctx, c.admin, id, func(b api.Build) bool {
		seen = b
		return b.State == s
	})
	if err != nil {
		c.t.Fatalf("build %s does not become %s: %v; it is %s, %q", id, s, err, seen.State, seen.Error)
	}
	return b
}

// send sends a queued build's lease, or one of the events after it.
func (c chained) send(id, event string, args any) api.Build {
	c.t.Helper()
	b, err := api.Builds.Send(c.t.Context(), c.admin, id, event, args)
	if err != nil {
		c.t.Fatalf("%s of build %s: %v", event, id, err)
	}
	return b
}

// finish leases the build and says how it ended.
func (c chained) finish(id string, end api.FinishArgs) api.Build {
	c.t.Helper()
	c.reaches(id, api.BuildQueued)
	end.Attempt = c.send(id, "lease", api.LeaseArgs{Runner: "r"}).Attempt
	if end.State == "" {
		end.State = api.BuildPassed
	}
	return c.send(id, "finish", end)
}

func TestABuildIsTriedAgain(t *testing.T) {
	c := newChained(t, "- job: {name: flaky, builders: [shell: x], publishers: [naginator: {max-failed-builds: 2, fixed-delay: 0, progressive-delay-increment: 1}]}\n")
	c.order("one", "flaky")
	bad := api.FinishArgs{State: api.BuildFailed, Error: "no luck", Result: api.ResultFailure, Again: true}
	b := c.finish("one", bad)
	if b.State != api.BuildWaiting || b.Error != "attempt 1: no luck; it is tried again" {
		t.Errorf("after the first time it is %s, %q", b.State, b.Error)
	}
	c.finish("one", bad)
	if b = c.finish("one", bad); b.State != api.BuildFailed || b.Attempt != 3 || b.Error != "no luck" || b.Retries != 2 {
		t.Errorf("after the third time it is %s, attempt %d, %q, tried again %d times", b.State, b.Attempt, b.Error, b.Retries)
	}
}

func TestBuildsThatShareALockWaitInTurn(t *testing.T) {
	c := newChained(t, `
- job: {name: a, builders: [shell: x], properties: [throttle: {option: category, categories: [deploy, also], max-total: 1}]}
- job: {name: b, builders: [shell: x], properties: [throttle: {option: category, categories: [also, deploy], max-total: 1}]}
`)
	c.order("first", "a")
	c.reaches("first", api.BuildQueued)
	c.order("second", "b")
	c.reaches("second", api.BuildWaiting)
	c.order("third", "a")
	c.reaches("third", api.BuildWaiting)
	c.finish("first", api.FinishArgs{})
	c.reaches("second", api.BuildQueued)
	c.send("second", "cancel", nil)
	c.finish("third", api.FinishArgs{})
	for _, name := range []string{"category.also", "category.deploy"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := lock.All.Await(ctx, c.admin, "ledger~"+name, func(l lock.Lock) bool { return len(l.Holders)+len(l.Waiting) == 0 }); err != nil {
			t.Errorf("the lock %s is still held: %v", name, err)
		}
	}
}

func TestBuildsStartOthers(t *testing.T) {
	c := newChained(t, `
- job: {name: up, builders: [shell: x], publishers: [trigger: {project: down}]}
- job: {name: down, builders: [shell: x]}
- job: {name: after, builders: [shell: x], triggers: [reverse: {jobs: up}]}
`)
	c.order("top", "up")
	c.reaches("top", api.BuildQueued)
	c.send("top", "lease", api.LeaseArgs{Runner: "r"})
	starts := []api.Start{{Job: "down", Params: map[string]string{"A": "1"}, Wait: true}, {Job: "nosuch"}}
	for range 2 { // a repeat changes nothing
		c.send("top", "heartbeat", api.HeartbeatArgs{Attempt: 1, Step: 2, Starts: starts})
	}
	down := c.reaches("top.1.2.0", api.BuildQueued)
	if down.Params["A"] != "1" || down.Commit != "c" || down.Upstream != "builds/top" || down.Depth != 1 {
		t.Errorf("it started %+v", down)
	}
	if b := c.reaches("top.1.2.1", api.BuildError); !strings.Contains(b.Error, `ledger has no job "nosuch"`) {
		t.Errorf("the job that is not there: %q", b.Error)
	}
	b := c.send("top", "finish", api.FinishArgs{Attempt: 1, State: api.BuildPassed, Starts: []api.Start{{Job: "after"}}})
	if len(b.Calls) != 3 {
		t.Errorf("it has started %v", b.Calls)
	}
	c.reaches("top.1.0.0", api.BuildQueued)
	c.reaches("top.1.2.0", api.BuildCancelled) // nobody waits for it any more
	if spec := c.reaches("top", api.BuildPassed).Spec; len(spec.Downstream) != 2 || spec.Downstream[1].Jobs[0] != "after" {
		t.Errorf("after it come %+v", spec.Downstream)
	}

	forged := api.Build{Project: "ledger", Job: "down", Commit: "c", Upstream: "builds/top"}
	if _, err := api.Builds.Create(t.Context(), c.admin, "forged", forged); kit.FaultOf(err) != kit.ErrForbidden {
		t.Errorf("a build that says that another has started it: %v", err)
	}
}

func TestAMatrixIsAsGoodAsItsWorstCell(t *testing.T) {
	c := newChained(t, `
- job:
    name: m
    project-type: matrix
    concurrent: false
    axes: [axis: {name: os, values: [linux, mac]}, axis: {name: db, values: [pg]}]
    builders: [shell: x]
    publishers: [trigger: {project: down, threshold: UNSTABLE}]
- job: {name: down, builders: [shell: x]}
`)
	c.order("all", "m")
	cell := c.reaches("all.m1", api.BuildQueued)
	if cell.Params["os"] != "linux" || cell.Params["db"] != "pg" || cell.Cell != "os=linux,db=pg" || cell.Spec.Matrix != nil || cell.Spec.Downstream != nil {
		t.Errorf("the first cell is %+v", cell)
	}
	c.finish("all.m1", api.FinishArgs{})
	c.finish("all.m2", api.FinishArgs{State: api.BuildFailed, Result: api.ResultUnstable, Error: "the build is unstable"})
	b := c.reaches("all", api.BuildFailed)
	if b.Error != "1 of 2 cells did not pass: os=mac,db=pg: the build is unstable" || b.Result != api.ResultUnstable {
		t.Errorf("it is %s, %q", b.Result, b.Error)
	}
	c.reaches("all.0.0.0", api.BuildQueued) // what follows on it

	c.order("none", "m")
	c.reaches("none.m2", api.BuildQueued)
	c.send("none", "cancel", nil)
	for _, id := range []string{"none.m1", "none.m2"} {
		c.reaches(id, api.BuildCancelled)
	}
}

func TestOnlyWhatWasReviewedGetsSecretsAndWritesCaches(t *testing.T) {
	c := newChained(t, `
- job: {name: deploy, builders: [shell: x], wrappers: [credentials-binding: [text: {credential-id: token, variable: T}]]}
- job: {name: clone, builders: [shell: x], wrappers: [ssh-agent-credentials: {users: [key]}]}
- job: {name: slip, builders: [shell: x], wrappers: [credentials-binding: [text: {credential-id: tokn, variable: T}]]}
- job: {name: part, builders: [shell: x], wrappers: [credentials-binding: [username-password: {credential-id: token, variable: T}]]}
- job: {name: file, builders: [config-file-provider: {files: [{file-id: token, variable: F}]}]}
- job: {name: lost, builders: [config-file-provider: {files: [{file-id: npmrc, variable: F}]}]}
- job: {name: cached, script: x, cache: {go: /go}}
- job: {name: plain, script: x}
`)
	c.write("patch", c.files["c"])
	c.move(t.Context(), "c")
	if _, err := api.Projects.Create(t.Context(), c.admin, "ledger", api.Project{}); err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]string{"token": "value", "key": "key"} {
		if _, err := api.Secrets.Create(t.Context(), c.admin, "ledger~"+name, api.Secret{Project: "ledger", Name: name, Parts: []string{part}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ job, commit, want string }{
		{"deploy", "c", "queued true 1 "},
		{"deploy", "patch", "error false 0 the job deploy is given secrets (token), and patch is not reviewed: move what needs them to a job that is built after the merge"},
		{"clone", "c", "queued true 1 "},
		{"clone", "patch", "queued false 0 "},
		{"file", "c", "queued true 1 "},
		{"file", "patch", "error false 0 the job file is given secrets (token), and patch is not reviewed: move what needs them to a job that is built after the merge"},
		{"lost", "c", "error false 0 jobs/jobs.yml:7: there is no file npmrc: keep it in jobs/files, or as a secret, with landfall secret set ledger npmrc"},
		{"cached", "c", "queued true 0 "},
		{"cached", "patch", "queued false 0 "},
		{"plain", "c", "queued false 0 "},
		{"slip", "c", "error false 0 jobs/jobs.yml:4: there is no secret tokn: set it with landfall secret set ledger tokn"},
		{"part", "c", `error false 0 jobs/jobs.yml:5: the secret token has no part "username", but value`},
	} {
		b, err := api.Builds.Create(t.Context(), c.admin, "", api.Build{Project: "ledger", Job: test.job, Commit: test.commit, Trusted: true})
		if err != nil {
			t.Fatal(err)
		}
		b = c.await(b.Link.ID(), func(b api.Build) bool { return b.State != api.BuildCreated })
		given := 0
		if b.Spec != nil {
			given = len(b.Spec.Secrets)
		}
		if got := fmt.Sprintf("%s %t %d %s", b.State, b.Trusted, given, b.Error); got != test.want {
			t.Errorf("%s at %s: got %q, want %q", test.job, test.commit, got, test.want)
		}
	}
}

// What a pipeline says a build does may write to caches like a job, and ask for
// no secret.
func TestAStepOfAPipelineWritesCachesOnlyIfItWasReviewed(t *testing.T) {
	c := newChained(t, "- job: {name: plain, script: x}\n")
	c.move(t.Context(), "c")
	if _, err := api.Projects.Create(t.Context(), c.admin, "ledger", api.Project{}); err != nil {
		t.Fatal(err)
	}
	order := api.Build{Project: "ledger", Job: "say", Commit: "c", Run: "runs/r", Node: "say", Step: &api.JobSpec{Name: "say", Script: []string{"x"}, Cache: map[string]string{"go": "/go"}}}
	patch, tip := order, order
	patch.Change, patch.PatchSet = "changes/7", 1
	tip.Commit, tip.Tip = "topic", true
	for id, b := range map[string]api.Build{"landed": order, "patch": patch, "tip": tip} {
		if _, err := api.Builds.Create(t.Context(), c.cluster.Client(planner), id, b); err != nil {
			t.Fatal(err)
		}
		b = c.reaches(id, api.BuildQueued)
		if b.Trusted != (id == "landed") || b.Step != nil || b.Spec.Cache["go"] != "/go" {
			t.Errorf("the step of %s is trusted: %t, with the spec %+v", id, b.Trusted, b.Spec)
		}
	}
	if _, err := api.Builds.Create(t.Context(), c.admin, "", api.Build{Project: "ledger", Job: "say", Commit: "c", Step: order.Step}); !errors.Is(err, kit.ErrForbidden) {
		t.Errorf("a person's step: %v, want it refused", err)
	}
}
