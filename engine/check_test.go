package engine_test

import (
	"errors"
	"strings"
	"testing"

	"landfall.dev/engine"
)

func TestCheckTask(t *testing.T) {
	tests := []struct {
		name string
		edit func(*engine.Task)
		want string // part of the error; "" for none
	}{
		{"good task", func(*engine.Task) {}, ""},
		{"id that is a path", func(t *engine.Task) { t.ID = "../x" }, `task id "../x"`},
		{"no command", func(t *engine.Task) { t.Command = nil }, "it has no command"},
		{"relative workspace", func(t *engine.Task) { t.Dir = "w" }, `workspace "w" is not an absolute path`},
		{"relative mount", func(t *engine.Task) { t.Mounts = []engine.Mount{{Host: "c", Target: "/c"}} }, "both must be absolute"},
		{"unknown network", func(t *engine.Task) { t.Network = "wan" }, "want none, host or bridge"},
		{"cache that is a path", func(t *engine.Task) { t.Caches = []engine.Cache{{Name: "a/b", Path: "/c"}} }, `cache "a/b"`},
		{"cache at the root", func(t *engine.Task) { t.Caches = []engine.Cache{{Name: "a", Path: "/"}} }, `cache a at "/"`},
		{"service without an image", func(t *engine.Task) { t.Services = []engine.Service{{Name: "db"}} }, "service db: it has no image"},
		{"service whose name is no host", func(t *engine.Task) { t.Services = []engine.Service{{Name: "d_b", Image: "i"}} }, `service "d_b"`},
		{"two services of one name", func(t *engine.Task) {
			t.Services = []engine.Service{{Name: "db", Image: "i"}, {Name: "db", Image: "i"}}
		}, "two services have the name db"},
		{"variable with an equals sign", func(t *engine.Task) { t.Env = map[string]string{"A=B": "secret"} }, `variable "A=B"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			task := engine.Task{ID: "build-1.2", Dir: "/src", Command: []string{"make"}}
			test.edit(&task)
			expect(t, task.Check(), test.want)
		})
	}
}

func TestCheckInstance(t *testing.T) {
	tests := []struct {
		name string
		edit func(*engine.Instance)
		want string // part of the error; "" for none
	}{
		{"good instance", func(*engine.Instance) {}, ""},
		{"no group", func(i *engine.Instance) { i.Group = "" }, `group ""`},
		{"name that is a path", func(i *engine.Instance) { i.Name = "a/b" }, `instance name "a/b"`},
		{"image by tag", func(i *engine.Instance) { i.Image = "ledger:1" }, "want name@sha256:"},
		{"relative data", func(i *engine.Instance) { i.Data = "d" }, `data directory "d"`},
		{"value with a zero byte", func(i *engine.Instance) { i.Env = map[string]string{"KEY": "secret\x00"} }, `variable "KEY"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			instance := engine.Instance{Group: "ledger-1.2-blue", Name: "0", Image: "ledger@sha256:" + strings.Repeat("a", 64)}
			test.edit(&instance)
			expect(t, instance.Check(), test.want)
		})
	}
}

// expect fails t unless err is an ErrInvalid with want in it, or nil for "".
func expect(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Fatalf("Check: got %v, want no error", err)
		}
		return
	}
	if !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), want) {
		t.Errorf("Check: got %v, want an ErrInvalid with %q", err, want)
	}
	if err != nil && strings.Contains(err.Error(), "secret") {
		t.Errorf("Check: the error tells a variable's value: %v", err)
	}
}
