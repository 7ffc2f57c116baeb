package docker

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"landfall.dev/engine"
	"landfall.dev/engine/enginetest"
)

func TestContract(t *testing.T) {
	removePrograms(t, open(t))
	enginetest.Contract(t, enginetest.Subject{
		Open:  func() engine.Engine { return open(t) },
		Tools: loadTools(t, open(t)),
	})
}

// open connects to the daemon with an owner that no other test process has.
func open(t testing.TB) *Engine {
	t.Helper()
	e, err := New(t.Context(), "test-"+strconv.Itoa(os.Getpid()))
	if err != nil {
		t.Fatalf("these tests need a Docker daemon on this machine: %v", err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// loadTools loads an image, and removes it after the test.
func loadTools(t testing.TB, e *Engine) string {
	t.Helper()
	ref := "landfall.test/tools:" + strconv.Itoa(os.Getpid())
	if err := e.Load(t.Context(), enginetest.ToolsImage(t, "engine"), ref); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := e.client.ImageRemove(context.Background(), ref, client.ImageRemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	})
	return ref
}

// removePrograms removes the suite's images at the end of t.
func removePrograms(t *testing.T, e *Engine) {
	t.Cleanup(func() {
		ctx := context.Background()
		images, err := e.client.ImageList(ctx, client.ImageListOptions{Filters: client.Filters{}.Add("reference", enginetest.Repository)})
		if err != nil {
			t.Error(err)
		}
		for _, i := range images.Items {
			if _, err := e.client.ImageRemove(ctx, i.ID, client.ImageRemoveOptions{Force: true}); err != nil {
				t.Error(err)
			}
		}
	})
}

func shell(t *testing.T, tools, line string) engine.Task {
	return engine.Task{ID: t.Name(), Image: tools, Dir: t.TempDir(), Command: []string{"sh", "-c", line}}
}

func TestTaskOfAMissingImageIsAnError(t *testing.T) {
	_, err := open(t).Run(t.Context(), shell(t, "landfall.test/none:1", "true"), os.Stdout)
	want := "image landfall.test/none:1 is not on this machine: load or push it first"
	if !errors.Is(err, engine.ErrNoImage) || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want %q", err, want)
	}
}

func TestTaskHasNoPrivilegesAndTheWorkspacesOwner(t *testing.T) {
	e := open(t)
	task := shell(t, loadTools(t, e), "exec 2>&1; id -u; id -g; cat /proc/self/status > status; echo x > /read-only/x")
	shared := t.TempDir()
	task.Mounts = []engine.Mount{{Host: shared, Target: "/read-only", ReadOnly: true}}
	if err := os.Chown(task.Dir, 1234, 1235); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	result, err := e.Run(t.Context(), task, &out)
	if err != nil || result.Exit == 0 || !strings.HasPrefix(out.String(), "1234\n1235\n") || !strings.Contains(out.String(), "Read-only") {
		t.Errorf("got %+v, error %v, output %q; want the owner 1234:1235 and no right to write to the mount", result, err, out.String())
	}
	status, err := os.ReadFile(filepath.Join(task.Dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("/proc/self/status has no %q:\n%s", want, status)
		}
	}
}

func TestTaskThatNeedsTooMuchMemoryIsToldSo(t *testing.T) {
	e := open(t)
	task := shell(t, loadTools(t, e), "")
	task.Command = []string{"tail", "-c", "90000000", "/dev/zero"}
	task.Limits = engine.Limits{MemoryMB: 16, Pids: 20, CPUs: 1}
	result, err := e.Run(t.Context(), task, os.Stdout)
	if err != nil || result.Exit != 137 || !result.OutOfMemory {
		t.Errorf("got %+v, error %v; want exit code 137, out of memory", result, err)
	}
}

func TestTaskReplacesWhatACrashLeft(t *testing.T) {
	e := open(t)
	task := shell(t, loadTools(t, e), "echo fresh")
	image, err := e.image(t.Context(), task.Image)
	if err != nil {
		t.Fatal(err)
	}
	stale := e.taskContainer(engine.Task{ID: task.ID, Dir: task.Dir, Command: []string{"sleep", "1000"}}, "landfall-"+e.owner+"-"+task.ID, image, "0:0")
	created, err := e.client.ContainerCreate(t.Context(), stale)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.client.ContainerStart(t.Context(), created.ID, client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := e.Run(t.Context(), task, &out); err != nil || out.String() != "fresh\n" {
		t.Errorf("got error %v, output %q; want %q", err, out.String(), "fresh\n")
	}
	left, err := e.containers(t.Context(), labelTask+"="+task.ID)
	if err != nil || len(left) != 0 {
		t.Errorf("containers of the task: got %v, error %v; want none", left, err)
	}
}

func TestInstancesOfAnotherOwnerAreNotSeen(t *testing.T) {
	e := open(t)
	removePrograms(t, e)
	img := enginetest.Image(t)
	i := engine.Instance{Group: "g", Name: "0", Image: enginetest.Ref(t, enginetest.Repository, img), Data: t.TempDir()}
	if err := e.Load(t.Context(), img, i.Image); err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.Background(), "g"); err != nil {
			t.Error(err)
		}
	})
	other := &Engine{client: e.client, owner: e.owner + "-other"}
	if err := other.Stop(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	if list, err := other.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("List of another owner: got %+v, error %v; want nothing", list, err)
	}
	if list, err := e.List(t.Context()); err != nil || len(list) != 1 || !list[0].Running {
		t.Errorf("List: got %+v, error %v; want one running instance", list, err)
	}
}

func TestNewWithoutADaemon(t *testing.T) {
	tests := []struct {
		name, host, want string
	}{
		{"nobody there", "unix:///nowhere/docker.sock", "no daemon answers at unix:///nowhere/docker.sock"},
		{"open to the network", "tcp://127.0.0.1:2375", "use a unix socket, ssh://, or TLS"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("DOCKER_HOST", test.host)
			if _, err := New(t.Context(), "test"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}

func TestLocalTag(t *testing.T) {
	hex := strings.Repeat("a", 64)
	for ref, want := range map[string]string{
		"127.0.0.1:5000/app@sha256:" + hex: "127.0.0.1:5000/app:sha256-" + hex,
		"tools:1":                          "index.docker.io/library/tools:1",
	} {
		if got, err := localTag(ref); err != nil || got.Name() != want {
			t.Errorf("%s: got %s, error %v; want %s", ref, got.Name(), err, want)
		}
	}
	if _, err := localTag("Bad Name"); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("a bad name: got error %v, want ErrInvalid", err)
	}
}

func TestContainerNamesDoNotCollide(t *testing.T) {
	e := &Engine{owner: "o"}
	names := []string{
		e.containerName(engine.Instance{Group: "a-b", Name: "c"}),
		e.containerName(engine.Instance{Group: "a", Name: "b-c"}),
	}
	if names[0] == names[1] {
		t.Errorf("two instances have the same container name %s", names[0])
	}
}
