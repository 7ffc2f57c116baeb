package docker

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"landfall.dev/engine"
	"landfall.dev/engine/enginetest"
)

// goCache is a cache of a project, with what is written over it for somebody.
func goCache(of string) engine.Cache {
	c := engine.Cache{Name: "go", Path: "/cache", Title: engine.CacheTitle{Project: "ledger", Key: "go", Of: of}}
	if of != "" {
		c.Own = "go-" + strings.ReplaceAll(of, "/", "-")
	}
	return c
}

// runWith runs a line with a cache, and fails t unless it ends with 0.
func runWith(t *testing.T, e *Engine, tools, line string, c engine.Cache, projectMB int64) string {
	t.Helper()
	task := shell(t, tools, line)
	task.Caches, task.Limits.CachesMB = []engine.Cache{c}, projectMB
	if err := os.Chown(task.Dir, 1234, 1234); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if result, err := e.Run(t.Context(), task, &out); err != nil || result.Exit != 0 {
		t.Fatalf("%q with %+v: got %+v, error %v, output %q", line, c, result, err, out.String())
	}
	return out.String()
}

func TestACacheIsSharedAndWrittenOverForATaskAlone(t *testing.T) {
	e := open(t)
	tools := loadTools(t, e)
	removeCaches(t, e)
	for _, step := range []struct{ of, line, want string }{
		{"", "echo shared > /cache/a", ""},
		{"changes/1", "cat /cache/a; echo mine > /cache/a; echo new > /cache/b", "shared\n"},
		{"changes/1", "cat /cache/a /cache/b", "mine\nnew\n"},
		{"changes/2", "cat /cache/a; ls /cache", "shared\na\n"},
		{"", "cat /cache/a; ls /cache", "shared\na\n"},
	} {
		if got := runWith(t, e, tools, step.line, goCache(step.of), 0); got != step.want {
			t.Fatalf("%q of %q: got %q, want %q", step.line, step.of, got, step.want)
		}
	}
	if n, err := e.Cached(t.Context(), []engine.Cache{{Name: "go"}, {Name: "other"}}); n != 1 || err != nil {
		t.Errorf("Cached: got %d, error %v; want 1", n, err)
	}
	wantCaches(t, e, "ledger/go", "ledger/go of changes/1", "ledger/go of changes/2")
	other := engine.Cache{Name: "other", Title: engine.CacheTitle{Project: "ledger", Key: "other"}}
	var out bytes.Buffer
	if e.trim(t.Context(), engine.Task{Caches: []engine.Cache{other}}, &out, time.Now().Add(keepOwn+time.Hour)); out.Len() > 0 {
		t.Errorf("after a week: %s", out.String())
	}
	wantCaches(t, e, "ledger/go", "ledger/other")
}

func TestWhatIsOverTheLimitGoesLeastRecentlyUsedFirst(t *testing.T) {
	e := open(t)
	tools := loadTools(t, e)
	removeCaches(t, e)
	fill := func(of string, maxMB, projectMB int64) string {
		c := goCache(of)
		c.MaxMB = maxMB
		return runWith(t, e, tools, "dd if=/dev/zero of=/cache/"+filepath.Base("x"+of)+" bs=1048576 count=3 2>/dev/null", c, projectMB)
	}
	fill("", 0, 0)
	fill("changes/1", 0, 0)
	if out := fill("changes/2", 10, 20); out != "" {
		t.Errorf("within its limits: %s", out)
	}
	for _, test := range []struct{ of, said, unsaid string }{
		{"changes/3", "--- cache ledger/go: 12.0 MiB, and the limit is 10.0 MiB; removed ledger/go of changes/1 (3.0 MiB)\n", ""},
		{"changes/2", "", "removed"},
		{"changes/4", "; removed ledger/go of changes/3 (3.0 MiB)\n", "changes/2"},
	} {
		got := fill(test.of, 10, 20)
		if !strings.Contains(strings.ReplaceAll(got, "12.1", "12.0"), test.said) || test.unsaid != "" && strings.Contains(got, test.unsaid) {
			t.Errorf("of %s: it said %q, want %q and not %q", test.of, got, test.said, test.unsaid)
		}
	}
	wantCaches(t, e, "ledger/go", "ledger/go of changes/2", "ledger/go of changes/4")
	if out := fill("changes/5", 20, 2); !strings.HasPrefix(out, "--- all caches of ledger: ") || !strings.Contains(out, "), ledger/go (3.0 MiB)") {
		t.Errorf("with less for the project than each takes: it said %q, want that all are gone", out)
	}
	wantCaches(t, e)
}

func TestACacheInUseIsNotRemoved(t *testing.T) {
	e := open(t)
	tools := loadTools(t, e)
	removeCaches(t, e)
	runWith(t, e, tools, "dd if=/dev/zero of=/cache/x bs=1048576 count=3 2>/dev/null", goCache(""), 0)
	runWith(t, e, tools, "true", goCache("changes/1"), 0)
	task := shell(t, tools, "touch begun; until [ -e go ]; do sleep 0.02; done; cat /cache/x | tail -c 1")
	task.ID, task.Caches = "holds", []engine.Cache{goCache("changes/2")}
	ended := make(chan error, 1)
	go func() {
		_, err := e.Run(t.Context(), task, &bytes.Buffer{})
		ended <- err
	}()
	enginetest.Eventually(t, func() string {
		_, err := os.Stat(filepath.Join(task.Dir, "begun"))
		if err != nil {
			return err.Error()
		}
		return ""
	})
	for _, name := range []string{"go", "go-changes-2"} {
		if err := e.RemoveCache(t.Context(), name); !errors.Is(err, engine.ErrInUse) {
			t.Errorf("remove %s: got error %v, want ErrInUse", name, err)
		}
	}
	c := goCache("changes/3")
	c.MaxMB = 1
	if out := runWith(t, e, tools, "true", c, 0); !strings.Contains(out, "; the rest is in use\n") || strings.Contains(out, "go (") {
		t.Errorf("it said %q, want that what is shared stays", out)
	}
	if err := os.WriteFile(filepath.Join(task.Dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the task that has the cache: %v", err)
	}
	wantCaches(t, e, "ledger/go", "ledger/go of changes/2")
	if err := e.RemoveCache(t.Context(), "go"); err != nil {
		t.Errorf("remove what nobody uses: %v", err)
	}
	wantCaches(t, e)
	if err := e.RemoveCache(t.Context(), "go"); !errors.Is(err, engine.ErrNoCache) {
		t.Errorf("remove it again: got error %v, want ErrNoCache", err)
	}
}

func TestATaskThatFillsACacheIsKilled(t *testing.T) {
	e := open(t)
	removeCaches(t, e)
	task := shell(t, loadTools(t, e), "dd if=/dev/zero of=/cache/x bs=1048576 count=8 2>/dev/null; sleep 1000")
	c := goCache("changes/1")
	c.MaxMB = 1
	task.Caches, task.Limits.DiskMB = []engine.Cache{c}, 4
	if result, err := e.Run(t.Context(), task, &bytes.Buffer{}); err != nil || !result.OutOfDisk {
		t.Errorf("got %+v, error %v; want that it is out of disk", result, err)
	}
}

// wantCaches compares the titles of the caches that there are.
func wantCaches(t *testing.T, e *Engine, want ...string) {
	t.Helper()
	all, err := e.Caches(t.Context())
	var got []string
	for _, k := range all {
		got = append(got, k.Title.String())
		if k.InUse || k.Used.IsZero() {
			t.Errorf("%s is in use: %v, last used %v", k.Title, k.InUse, k.Used)
		}
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("there are the caches %q, error %v; want %q", got, err, want)
	}
	if list, err := e.volumes(t.Context()); len(want) == 0 && (err != nil || len(list) > 0) {
		t.Errorf("volumes are left: %v, error %v", list, err)
	}
}

func removeCaches(t *testing.T, e *Engine) {
	t.Cleanup(func() {
		ctx := context.Background()
		list, err := e.volumes(ctx)
		for _, v := range list {
			_, removeErr := e.client.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{})
			err = errors.Join(err, removeErr)
		}
		if err != nil {
			t.Error(err)
		}
	})
}
