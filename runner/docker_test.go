package runner

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/engine/docker"
	"landfall.dev/engine/enginetest"
)

// testOwner is the owner of the containers of this process.
var testOwner = "runner-test-" + strconv.Itoa(os.Getpid())

// dockerEngine returns an engine that no other test process has, and the
// reference of a loaded image with tools.
func dockerEngine(t *testing.T) (*docker.Engine, string) {
	t.Helper()
	e, err := docker.New(t.Context(), testOwner)
	if err != nil {
		t.Fatalf("these tests need a Docker daemon on this machine: %v", err)
	}
	t.Cleanup(func() { e.Close() })
	ref := "landfall.test/runner:" + strconv.Itoa(os.Getpid())
	if err := e.Load(t.Context(), enginetest.ToolsImage(t, "runner"), ref); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeImage(t, ref) })
	return e, ref
}

func removeImage(t *testing.T, ref string) {
	c, err := client.New(client.FromEnv)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	if _, err := c.ImageRemove(context.Background(), ref, client.ImageRemoveOptions{Force: true}); err != nil {
		t.Error(err)
	}
}

func TestBuildsInContainers(t *testing.T) {
	h := newHub(t)
	e, image := dockerEngine(t)
	c := h.config()
	c.Engine, c.DefaultImage, c.Parallel = e, image, 2
	cache := t.TempDir()
	if err := os.WriteFile(filepath.Join(cache, "tool"), []byte("from the cache\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Mounts = []engine.Mount{{Host: cache, Target: "/cache", ReadOnly: true, Env: "CACHE"}}
	r := newRunner(t, c)
	start(t, r)

	h.submit("passes", packJob(api.PackSpec{Files: map[string]string{"out": "/out"}},
		"cat README $CACHE/tool; ls /sys/class/net; mkdir out; echo made > out/file; echo $FROM $LANDFALL_BUILD > /tmp/kept",
		"cat /tmp/kept; echo x > $CACHE/tool || echo refused"))
	h.submit("fails", api.JobSpec{Script: []string{"true", "echo reason >&2; exit 4"}})
	h.submit("late", api.JobSpec{Script: []string{"sleep 1000"}, TimeoutSeconds: 1})
	h.submit("no-image", api.JobSpec{Image: "landfall.test/none:1", Script: []string{"true"}})
	h.submit("cancelled", api.JobSpec{Script: []string{"echo begun; sleep 1000"}})

	b := h.ended("passes")
	log := h.log("passes", 1)
	if b.State != api.BuildPassed || !strings.Contains(log, "hello\nfrom the cache\nlo\n") || !strings.Contains(log, "runner passes\n") || !strings.Contains(log, "refused\n") {
		t.Errorf("the build is %s, %q, its log\n%s", b.State, b.Error, log)
	} else if got := contents(t, h.pull(b.Image)); strings.Join(got, ",") != "755 out/ 0,644 out/file 5" {
		t.Errorf("the image has %q", got)
	}
	for id, want := range map[string]string{
		"fails":    "failed step 2 exited with 4: reason",
		"late":     "failed took longer than 1 second",
		"no-image": "error image landfall.test/none:1 is neither in the hub's registry nor on runner one (one): push it there, or name another in the job",
	} {
		if b := h.ended(id); string(b.State)+" "+b.Error != want {
			t.Errorf("build %s is %s, %q; want %s", id, b.State, b.Error, want)
		}
	}
	eventually(t, func() string {
		if log := h.log("cancelled", 1); !strings.Contains(log, "\nbegun\n") {
			return "the log is " + log
		}
		return ""
	})
	if _, err := h.Admin().Do(t.Context(), "builds/cancelled", "cancel", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, cleared(r.Dir))
	if names := containers(t); len(names) > 0 {
		t.Errorf("containers are left: %q", names)
	}
}

// containers returns the names of those that the engine of this process has.
func containers(t *testing.T) []string {
	t.Helper()
	c, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := c.ContainerList(t.Context(), client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", "landfall.owner="+testOwner),
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range list.Items {
		names = append(names, c.Names...)
	}
	return names
}

func TestJobWithoutAnImageIsAnError(t *testing.T) {
	h := newHub(t)
	c := h.config()
	c.Engine, _ = dockerEngine(t)
	start(t, newRunner(t, c))
	h.submit("bare", api.JobSpec{Script: []string{"true"}})
	want := "the job names no image, and runner one has no default one: add image to the job"
	if b := h.ended("bare"); b.State != api.BuildError || b.Error != want {
		t.Errorf("the build is %s, %q; want error, %q", b.State, b.Error, want)
	}
}

func TestStepsInContainers(t *testing.T) {
	h := newHub(t)
	e, image := dockerEngine(t)
	c := h.config()
	c.Engine, c.DefaultImage = e, image
	start(t, newRunner(t, c))
	h.submit("maker", api.JobSpec{Script: []string{"echo copied > file"}, Artifacts: []string{"file"}})
	h.ended("maker")
	matches := api.StepCondition{Type: api.ConditionAnd, Of: []api.StepCondition{
		{Type: api.ConditionMatch, A: "$STREAM", B: "stable/.+"}, {Type: api.ConditionFile, A: "in/file"},
	}}
	h.submit("steps", api.JobSpec{
		Steps: []api.Step{
			shell("echo STREAM=stable/1 > props; echo kept > /tmp/kept"),
			{Inject: &api.InjectStep{File: "props", Content: "MORE=$STREAM-more"}},
			{Copy: &api.CopyStep{Job: "test", Target: "in"}},
			{If: &api.IfStep{Condition: matches, Steps: []api.Step{shell("#!/bin/sh\ncat in/file; echo $MORE $WORKSPACE; exit 6")}}},
		},
		After: []api.After{
			{On: []api.Result{api.ResultFailure}, Steps: []api.Step{shell("echo after $MORE; cat /tmp/kept")}},
			{Log: []string{"^copied$"}, Steps: []api.Step{shell("echo last $MORE; cat in/file; ls /tmp")}},
		},
	})
	h.submit("late", api.JobSpec{
		Steps: []api.Step{{Inject: &api.InjectStep{Content: "V=v"}}, shell("echo here > file; sleep 1000")}, TimeoutSeconds: 2,
		After: []api.After{{On: []api.Result{api.ResultAborted}, Steps: []api.Step{shell("echo aborted $V; cat file")}}},
	})
	b := h.ended("steps")
	log := h.log("steps", 1)
	if b.State != api.BuildFailed || b.Error != "step 5 exited with 6: stable/1-more /work" {
		t.Errorf("it is %s, %q", b.State, b.Error)
	}
	for _, want := range []string{"\ncopied\nstable/1-more /work\n", "\nafter stable/1-more\n+ cat /tmp/kept\nkept\n", "\nlast stable/1-more\n+ cat in/file\ncopied\n+ ls /tmp\n"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q:\n%s", want, log)
		}
	}
	b = h.ended("late")
	if log := h.log("late", 1); b.Error != "took longer than 2 seconds" || !strings.Contains(log, "\naborted v\n+ cat file\nhere\n") {
		t.Errorf("it is %s, %q:\n%s", b.State, b.Error, log)
	}
	if names := containers(t); len(names) > 0 {
		t.Errorf("containers are left: %q", names)
	}
}
