package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"landfall.dev/test/bench/jobload"
	"landfall.dev/test/bench/jobtree"
	"landfall.dev/test/bench/server"
)

// jobsGroup measures jobs as code and builds: the expansion of definitions
// against Jenkins Job Builder, builds in containers against docker run, and the
// rest against what is demanded.
var jobsGroup = group{name: "jobs", run: measureJobs}

const (
	wantFaster   = 30  // than jenkins-jobs
	wantTree     = 1   // s
	wantOne      = 50  // ms
	wantPlan     = 50  // ms
	wantRedeploy = 1   // s
	wantLine     = 100 // ms more than docker run
	wantStarts   = 3   // a second
	wantBack     = 3   // s
	wantLog      = 100 // MB for a second of CPU
)

// How often something is done, or how much at once.
const (
	repeated = 20
	started  = 60
	talking  = 20
	logged   = 8
	deployed = 5
)

func measureJobs(ctx context.Context, m *measurement) error {
	landfall, err := m.build(ctx, "cmd/landfall")
	if err != nil {
		return err
	}
	if m.wants("expand", "expand-1500", "expand-one") {
		if err := compareExpansion(ctx, m, landfall); err != nil {
			return err
		}
	}
	if m.wants("plan-500") {
		ms, err := jobload.Repeat(repeated, func() (float64, error) {
			took, err := jobload.Plan(ctx, landfall)
			return jobload.Milliseconds(took), err
		})
		if err != nil {
			return err
		}
		m.bar("plan-500", fmt.Sprintf("ms, a pipeline of %d nodes planned, median of %d", jobload.Nodes, repeated), middle(ms), wantPlan, atMost(1))
	}
	if !m.wants("redeploy", "logs", "first-line", "starts", "recover") {
		return nil
	}
	m.setup = append(m.setup, buildSetup)
	b := &buildSite{site: site{m: m, landfall: landfall}}
	defer b.stop()
	if err := b.start(ctx); err != nil {
		return err
	}
	for _, part := range []struct {
		bars []string
		run  func(context.Context) error
	}{
		{[]string{"redeploy"}, b.redeploy},
		{[]string{"logs"}, b.logs},
		{[]string{"first-line", "starts"}, b.containers},
		{[]string{"recover"}, b.recover},
	} {
		if m.wants(part.bars...) {
			if err := part.run(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

const buildSetup = `The hub and the runner are processes of the landfall binary, the runner with the
Docker daemon of this machine; images are of a static busybox, which the runner
makes. The first line counts when somebody has it who follows the log; docker
run has the same image and shell, and no network as builds have. A started build
counts when a runner has leased it. After the hub was killed, a build is back
when the hub has a line of its log that was written after the hub's new start.
What a redeploy takes is from when the branch has moved until all jobs have
changed. Logs come in parts of 256 KB from 8 builds at once, as from a runner;
what counts is the CPU time of the hub's process.`

// buildSite is a hub with a project, and a runner.
type buildSite struct {
	site
	runner *server.Server
	load   jobload.Builds
}

func (b *buildSite) start(ctx context.Context) (err error) {
	if err := b.startHub(ctx); err != nil {
		return err
	}
	b.load = jobload.Builds{Project: "built", Hub: jobload.Hub{URL: b.url(), Token: b.token, Client: b.client}}
	b.load.Commit, err = b.load.Import(ctx, b.load.Project, jobload.Files())
	return err
}

// startRunner starts a runner in place of the one before.
func (b *buildSite) startRunner(ctx context.Context, name string, parallel int) error {
	b.stopRunner()
	token, err := b.account(ctx, name, "--role", "runner")
	if err != nil {
		return err
	}
	b.runner, err = b.m.start(ctx, name, nil, b.landfall, "runner", "--hub", b.url(), "--token", token,
		"--name", name, "--data", b.data(name), "--engine", "docker", "--image", buildImage, "--parallel", fmt.Sprint(parallel))
	return err
}

// freshRunner is startRunner, and waits until a build has passed.
func (b *buildSite) freshRunner(ctx context.Context, name string, parallel int) error {
	if err := b.startRunner(ctx, name, parallel); err != nil {
		return err
	}
	if _, err := b.load.FirstLine(ctx); err != nil {
		return fmt.Errorf("%w: %s", err, b.runner.Said())
	}
	return nil
}

func (b *buildSite) stopRunner() {
	if b.runner != nil {
		b.runner.Stop()
		b.runner = nil
	}
}

func (b *buildSite) stop() {
	b.stopRunner()
	b.site.stop()
	// Also after an interruption; an error means that no runner has made it.
	_ = exec.Command("docker", "rmi", "--force", buildImage).Run()
}

// buildImage is that of all builds; the runner makes it.
const buildImage = "landfall/bench:busybox"

func (b *buildSite) redeploy(ctx context.Context) error {
	if _, err := b.load.Import(ctx, "many", jobtree.Project()); err != nil {
		return err
	}
	c, err := b.load.Clone(ctx, "many", filepath.Join(b.m.dir, "many"))
	if err != nil {
		return err
	}
	version := 8
	seconds, err := jobload.Repeat(deployed, func() (float64, error) {
		version++
		took, changes, err := c.Redeploy(ctx, jobtree.Changed, jobtree.Kind(0, fmt.Sprint(version)))
		if err == nil && changes.Updated != jobtree.OfOne {
			err = fmt.Errorf("the template is of %d jobs, but the deployment has made %+v", jobtree.OfOne, changes)
		}
		return took.Seconds(), err
	})
	if err != nil {
		return err
	}
	b.m.bar("redeploy", fmt.Sprintf("s, a template of %d jobs among %d changed, median of %d", jobtree.OfOne, jobtree.Deployed, deployed),
		middle(seconds), wantRedeploy, atMost(1))
	return nil
}

func (b *buildSite) logs(ctx context.Context) error {
	before, began := b.hub.CPU(), time.Now()
	bytes, err := b.load.Logs(ctx, logged)
	if err != nil {
		return err
	}
	took, cpu := time.Since(began), b.hub.CPU()-before
	b.m.bar("logs", "MB of log for a second of the hub's CPU", float64(bytes)/1e6/cpu.Seconds(), wantLog, atLeast(1))
	b.m.tell("logs: %s MB a second by the clock", figure(float64(bytes)/1e6/took.Seconds()))
	return nil
}

// containers measures how builds start. A runner makes the image; docker run has
// the machine to itself, without one.
func (b *buildSite) containers(ctx context.Context) error {
	if err := b.freshRunner(ctx, "runner-1", 1); err != nil {
		return err
	}
	b.stopRunner()
	bare, err := jobload.Repeat(repeated, func() (float64, error) {
		took, err := jobload.Bare(ctx, buildImage)
		return jobload.Milliseconds(took), err
	})
	if err != nil {
		return err
	}
	if err := b.freshRunner(ctx, "runner-4", 4); err != nil {
		return err
	}
	ours, err := jobload.Repeat(repeated, func() (float64, error) {
		took, err := b.load.FirstLine(ctx)
		return jobload.Milliseconds(took), err
	})
	if err != nil {
		return err
	}
	b.m.bar("first-line", fmt.Sprintf("ms from queued to the first line, more than docker run, medians of %d", repeated),
		middle(ours)-middle(bare), wantLine, atMost(1))
	b.m.tell("first line, ms: ours p50 %s, p95 %s; docker run p50 %s, p95 %s",
		figure(middle(ours)), figure(percentile(ours, 95)), figure(middle(bare)), figure(percentile(bare, 95)))
	rate, err := b.load.Starts(ctx, started)
	if err != nil {
		return err
	}
	b.m.bar("starts", fmt.Sprintf("builds a second, %d ordered at once, 4 at work", started), rate, wantStarts, atLeast(1))
	return nil
}

// recover measures how long running builds are unheard of once the hub is back.
func (b *buildSite) recover(ctx context.Context) error {
	if err := b.startRunner(ctx, "runner-20", talking); err != nil {
		return err
	}
	ids, err := b.load.Talk(ctx, talking)
	if err != nil {
		return err
	}
	b.hub.Kill()
	after, err := jobload.Uptime()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := b.startHubAt(ctx, b.hub.address); err != nil {
		return err
	}
	serves := time.Since(began)
	if err := b.load.Heard(ctx, ids, after); err != nil {
		return err
	}
	b.m.bar("recover", fmt.Sprintf("s until the logs of %d builds go on after the hub was killed", talking), time.Since(began).Seconds(), wantBack, atMost(1))
	b.m.tell("recover: the hub served after %s s", figure(serves.Seconds()))
	return b.load.Cancel(ctx, ids)
}
