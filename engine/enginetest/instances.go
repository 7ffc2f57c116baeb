package enginetest

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"landfall.dev/engine"
)

func instances(t *testing.T, s Subject) {
	img := Image(t)
	ref := Ref(t, Repository, img)
	e := s.Open()
	for range 2 { // a repeat changes nothing
		if err := e.Load(t.Context(), img, ref); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("an image under another's digest is refused", func(t *testing.T) {
		other := Repository + "@sha256:" + strings.Repeat("0", 64)
		if err := e.Load(t.Context(), img, other); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("Load: got error %v, want ErrInvalid", err)
		}
	})
	t.Run("an image that is not loaded is named", func(t *testing.T) {
		i := instance(t, e, Repository+"@sha256:"+strings.Repeat("0", 64))
		err := e.Start(t.Context(), i)
		if !errors.Is(err, engine.ErrNoImage) || !strings.Contains(err.Error(), i.Image) {
			t.Errorf("Start: got error %v, want ErrNoImage with %s", err, i.Image)
		}
	})
	t.Run("a reference that is none is refused", func(t *testing.T) {
		if err := e.Load(t.Context(), img, "Not a reference"); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("Load: got error %v, want ErrInvalid", err)
		}
	})
	t.Run("an instance that is not there has no logs", func(t *testing.T) {
		if _, err := e.Logs(t.Context(), id(t), "0", 10); !errors.Is(err, engine.ErrNoInstance) {
			t.Errorf("Logs: got error %v, want ErrNoInstance", err)
		}
	})
	t.Run("to stop what is not there is no error", func(t *testing.T) {
		if err := e.Stop(t.Context(), id(t)); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	t.Run("an instance lives from start to stop", func(t *testing.T) { life(t, s, ref) })
	t.Run("a program that is not in the image is an error or ends with 127", func(t *testing.T) { missing(t, e, ref) })
	t.Run("an instance that crashed is seen and can be started again", func(t *testing.T) { crash(t, e, ref) })
	t.Run("an instance that ignores SIGTERM is killed after its grace", func(t *testing.T) { stubborn(t, e, ref) })
	t.Run("stop ends one group as a whole", func(t *testing.T) { groups(t, e, ref) })
	t.Run("a running instance does not change its image", func(t *testing.T) { otherImage(t, e, img, ref) })
	t.Run("logs are the last lines", func(t *testing.T) { logs(t, e, ref) })
}

// life starts an instance with one Engine value and ends it with another.
func life(t *testing.T, s Subject, ref string) {
	first := s.Open()
	i := instance(t, first, ref)
	i.Command = []string{"/bin/main", "serve"}
	i.Env = map[string]string{"GIVEN": "some value"}
	i.Labels = map[string]string{"deployment": "deployments/7"}
	start(t, first, i)
	seen := awaitSeen(t, i, 1)
	if want := "image=hello given=some value args=[\"serve\"]\n"; seen != want {
		t.Errorf("the instance saw %q, want %q", seen, want)
	}
	second := s.Open()
	want := engine.Status{Group: i.Group, Name: i.Name, Image: ref, Labels: i.Labels, Running: true}
	if got := status(t, second, i); !reflect.DeepEqual(got, want) {
		t.Errorf("List of a second engine: got %+v, want %+v", got, want)
	}
	start(t, second, i)
	if seen, err := os.ReadFile(filepath.Join(i.Data, "seen")); err != nil || strings.Count(string(seen), "\n") != 1 {
		t.Errorf("after a second Start the program was started with %q, error %v; want one start", seen, err)
	}
	if err := second.Stop(t.Context(), i.Group); err != nil {
		t.Fatal(err)
	}
	if got := status(t, first, i); got.Group != "" {
		t.Errorf("List after Stop: got %+v, want nothing", got)
	}
	start(t, first, i)
	awaitSeen(t, i, 2)
}

func crash(t *testing.T, e engine.Engine, ref string) {
	i := instance(t, e, ref)
	i.Command = []string{"/bin/main", "crash", "3"}
	start(t, e, i)
	Eventually(t, func() string {
		if got := status(t, e, i); got.Running || got.Exit != 3 {
			return fmt.Sprintf("List: got %+v, want one that ended with 3", got)
		}
		return ""
	})
	i.Command = nil
	start(t, e, i)
	awaitSeen(t, i, 1)
	if got := status(t, e, i); !got.Running {
		t.Errorf("List: got %+v, want it running", got)
	}
}

func missing(t *testing.T, e engine.Engine, ref string) {
	i := instance(t, e, ref)
	i.Command = []string{"/bin/gone"}
	err := e.Start(t.Context(), i)
	if errors.Is(err, engine.ErrInvalid) && strings.Contains(err.Error(), "/bin/gone") {
		return
	}
	if err != nil {
		t.Fatalf("Start: got error %v, want none, or ErrInvalid with the program's name", err)
	}
	Eventually(t, func() string {
		if got := status(t, e, i); got.Running || got.Exit != 127 {
			return fmt.Sprintf("List: got %+v, want one that ended with 127", got)
		}
		return ""
	})
}

func stubborn(t *testing.T, e engine.Engine, ref string) {
	i := instance(t, e, ref)
	i.Command = []string{"/bin/main", "stubborn"}
	i.Grace = time.Second
	start(t, e, i)
	awaitSeen(t, i, 1)
	began := time.Now()
	if err := e.Stop(t.Context(), i.Group); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < i.Grace || took > Deadline {
		t.Errorf("Stop took %s, want the grace of %s and little more", took, i.Grace)
	}
}

func groups(t *testing.T, e engine.Engine, ref string) {
	a, b, other := instance(t, e, ref), instance(t, e, ref), instance(t, e, ref)
	b.Name = "1"
	other.Group += "-other"
	t.Cleanup(func() { stop(t, e, other.Group) })
	for _, i := range []engine.Instance{a, b, other} {
		start(t, e, i)
		awaitSeen(t, i, 1)
	}
	if err := e.Stop(t.Context(), a.Group); err != nil {
		t.Fatal(err)
	}
	for _, i := range []engine.Instance{a, b} {
		if got := status(t, e, i); got.Group != "" {
			t.Errorf("List: got %+v, want it gone", got)
		}
	}
	if got := status(t, e, other); !got.Running {
		t.Errorf("List: got %+v, want it running", got)
	}
}

func otherImage(t *testing.T, e engine.Engine, img v1.Image, ref string) {
	i := instance(t, e, ref)
	start(t, e, i)
	awaitSeen(t, i, 1)
	next := AddLayer(t, img, []tar.Header{{Name: "etc/version"}}, []byte("2"))
	i.Image = Ref(t, Repository, next)
	if err := e.Load(t.Context(), next, i.Image); err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), i); !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), ref) {
		t.Errorf("Start: got error %v, want ErrInvalid with the image that runs", err)
	}
}

func logs(t *testing.T, e engine.Engine, ref string) {
	i := instance(t, e, ref)
	i.Command = []string{"/bin/main", "lines", "5000"}
	start(t, e, i)
	awaitSeen(t, i, 1)
	for tail, want := range map[int]string{2: "line 4999\nline 5000\n", 1: "line 5000\n", 0: ""} {
		Eventually(t, func() string {
			if got, err := e.Logs(t.Context(), i.Group, i.Name, tail); err != nil || string(got) != want {
				return fmt.Sprintf("last %d lines: got %q, error %v; want %q", tail, got, err, want)
			}
			return ""
		})
	}
	all, err := e.Logs(t.Context(), i.Group, i.Name, 100_000)
	if err != nil || strings.Count(string(all), "\n") != 5001 || !strings.HasPrefix(string(all), "started lines\n") {
		t.Errorf("all lines: got %d bytes, %d lines, error %v; want 5001 lines from the first on", len(all), strings.Count(string(all), "\n"), err)
	}
}

// instance is one of a group named after t, which is stopped at t's end.
func instance(t *testing.T, e engine.Engine, ref string) engine.Instance {
	t.Helper()
	i := engine.Instance{Group: id(t), Name: "0", Image: ref, Data: filepath.Join(t.TempDir(), "data")}
	t.Cleanup(func() { stop(t, e, i.Group) })
	return i
}

func start(t *testing.T, e engine.Engine, i engine.Instance) {
	t.Helper()
	if err := e.Start(t.Context(), i); err != nil {
		t.Fatal(err)
	}
}

// stop is for cleaning up, when t's own context has ended.
func stop(t *testing.T, e engine.Engine, group string) {
	t.Helper()
	if err := e.Stop(context.WithoutCancel(t.Context()), group); err != nil {
		t.Error(err)
	}
}

// awaitSeen returns the instance's file once its program was started n times.
func awaitSeen(t *testing.T, i engine.Instance, n int) string {
	t.Helper()
	var seen []byte
	Eventually(t, func() string {
		seen, _ = os.ReadFile(filepath.Join(i.Data, "seen"))
		if got := strings.Count(string(seen), "\n"); got != n {
			return fmt.Sprintf("instance %s/%s: its program was started %d times, want %d", i.Group, i.Name, got, n)
		}
		return ""
	})
	return string(seen)
}

// status is i's entry in the list, or the zero Status.
func status(t *testing.T, e engine.Engine, i engine.Instance) engine.Status {
	t.Helper()
	list, err := e.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if s.Group == i.Group && s.Name == i.Name {
			return s
		}
	}
	return engine.Status{}
}

// id makes a name from t's.
func id(t *testing.T) string {
	name := regexp.MustCompile(`[^A-Za-z0-9.-]+`).ReplaceAllString(t.Name(), "-")
	return name[max(0, len(name)-80):]
}
