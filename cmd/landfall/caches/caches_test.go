package caches

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"landfall.dev/cmd/landfall/console"
	"landfall.dev/engine"
	"landfall.dev/engine/docker"
	"landfall.dev/engine/enginetest"
)

// noHub is for commands that speak to engines only.
type noHub struct{ console.Hub }

func (noHub) JSON() bool { return false }

func TestCachesAreListedAndRemoved(t *testing.T) {
	name := fmt.Sprintf("caches-test-%d", os.Getpid())
	e, err := docker.New(t.Context(), "runner-"+name)
	if err != nil {
		t.Fatalf("this test needs a Docker daemon on this machine: %v", err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		all, err := e.Caches(ctx)
		for _, c := range all {
			err = errors.Join(err, e.RemoveCache(ctx, c.Name))
		}
		if err := errors.Join(err, e.Close()); err != nil {
			t.Error(err)
		}
	})
	image := "landfall.test/caches:" + name
	if err := e.Load(t.Context(), enginetest.ToolsImage(t, "caches"), image); err != nil {
		t.Fatal(err)
	}
	daemon, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := daemon.ImageRemove(context.Background(), image, client.ImageRemoveOptions{Force: true})
		if err := errors.Join(err, daemon.Close()); err != nil {
			t.Error(err)
		}
	})
	for _, of := range []string{"", "changes/42"} {
		c := engine.Cache{Name: "abc", Path: "/cache", Title: engine.CacheTitle{Project: "ledger", Key: "go", Of: of}}
		if of != "" {
			c.Own = "def"
		}
		task := engine.Task{ID: "build", Image: image, Dir: t.TempDir(), Command: []string{"sh", "-c", "echo x > /cache/x"}, Caches: []engine.Cache{c}}
		if result, err := e.Run(t.Context(), task, os.Stderr); err != nil || result.Exit != 0 {
			t.Fatalf("got %+v, error %v", result, err)
		}
	}
	run := func(args ...string) (string, error) {
		c := &cobra.Command{Use: "cache", SilenceErrors: true, SilenceUsage: true}
		c.AddCommand(Commands(noHub{})...)
		var out bytes.Buffer
		c.SetOut(&out)
		c.SetArgs(append(args, "--engine", "docker", "--name", name))
		err := c.ExecuteContext(t.Context())
		return out.String(), err
	}
	list, err := run("list")
	if lines := strings.Split(list, "\n"); err != nil || len(lines) != 4 || !strings.HasPrefix(lines[1], "docker  ledger/go  ") || !strings.HasPrefix(lines[2], "docker  ledger/go  changes/42  0.0") {
		t.Errorf("list: error %v\n%s", err, list)
	}
	if out, err := run("rm", "ledger/go", "changes/42"); err != nil || out != "removed ledger/go of changes/42 on docker\n" {
		t.Errorf("rm: %q, error %v", out, err)
	}
	if list, err := run("list"); err != nil || strings.Contains(list, "changes/42") || !strings.Contains(list, "ledger/go") {
		t.Errorf("list: error %v\n%s", err, list)
	}
	if _, err := run("rm", "ledger/python"); err == nil || !strings.Contains(err.Error(), "there is no cache ledger/python") {
		t.Errorf("rm of what is not there: error %v", err)
	}
}
