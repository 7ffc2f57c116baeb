package docker

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

func TestServicesRunBesideATaskInANetworkOfItsOwn(t *testing.T) {
	e := open(t)
	tools := loadTools(t, e)
	task := shell(t, tools, `cat < /dev/null; wget -q -O - http://web:8000/page; ls /sys/class/net; wget -T 2 -q -O - http://192.0.2.1/ 2>&1 || exit 7`)
	task.Services = []engine.Service{{
		Name: "web", Image: tools, Env: map[string]string{"TEXT": "served"},
		Command: []string{"sh", "-c", `mkdir /www; sleep 0.3; echo $TEXT > /www/page; echo begun; exec httpd -f -p 8000 -h /www`},
		Ready:   "wget -q -O - http://127.0.0.1:8000/page",
	}}
	var out bytes.Buffer
	result, err := e.Run(t.Context(), task, &out)
	if err != nil || result.Exit != 7 || !strings.HasPrefix(out.String(), "served\neth0\nlo\n") || !strings.HasSuffix(out.String(), "--- the last lines of service web\nbegun\n") {
		t.Errorf("got %+v, error %v, output\n%s", result, err, out.String())
	}
	nothingLeft(t, e)
}

func TestAServiceThatIsNotReadyFailsTheTask(t *testing.T) {
	e := open(t)
	tools := loadTools(t, e)
	task := shell(t, tools, "echo never")
	task.Services = []engine.Service{{Name: "db", Image: tools, Command: []string{"sh", "-c", "echo no disk; exit 4"}, Ready: "true"}}
	var out bytes.Buffer
	_, err := e.Run(t.Context(), task, &out)
	want := "service db is not ready: it ended with exit code 4"
	if !errors.Is(err, engine.ErrNotReady) || !strings.Contains(err.Error(), want) || out.String() != "--- the last lines of service db\nno disk\n" {
		t.Errorf("got error %v, output %q; want %q and the log", err, out.String(), want)
	}
	nothingLeft(t, e)
}

// nothingLeft fails t if a container or a network of e's is there.
func nothingLeft(t *testing.T, e *Engine) {
	t.Helper()
	filters := client.Filters{}.Add("label", labelOwner+"="+e.owner)
	networks, err := e.client.NetworkList(t.Context(), client.NetworkListOptions{Filters: filters})
	if err != nil || len(networks.Items) > 0 {
		t.Errorf("networks are left: %v, error %v", networks.Items, err)
	}
	containers, err := e.client.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: filters})
	if err != nil || len(containers.Items) > 0 {
		t.Errorf("containers are left: %v, error %v", containers.Items, err)
	}
}

func TestACacheIsSharedAndWrittenOverForATaskAlone(t *testing.T) {
	e := open(t)
	tools := loadTools(t, e)
	removeCaches(t, e)
	for _, step := range []struct{ own, line, want string }{
		{"", "echo shared > /cache/a", ""},
		{"change-1", "cat /cache/a; echo mine > /cache/a; echo new > /cache/b", "shared\n"},
		{"change-1", "cat /cache/a /cache/b", "mine\nnew\n"},
		{"change-2", "cat /cache/a; ls /cache", "shared\na\n"},
		{"", "cat /cache/a; ls /cache", "shared\na\n"},
	} {
		task := shell(t, tools, step.line)
		task.ID = strings.ReplaceAll(task.ID, "/", "-")
		if err := os.Chown(task.Dir, 1234, 1234); err != nil {
			t.Fatal(err)
		}
		cache := engine.Cache{Name: "go", Path: "/cache"}
		if step.own != "" {
			cache.Own = step.own + "-go"
		}
		task.Caches = []engine.Cache{cache}
		var out bytes.Buffer
		if result, err := e.Run(t.Context(), task, &out); err != nil || result.Exit != 0 || out.String() != step.want {
			t.Fatalf("%q, own %q: got %+v, error %v, output %q; want %q", step.line, step.own, result, err, out.String(), step.want)
		}
	}
	if n, err := e.Cached(t.Context(), []engine.Cache{{Name: "go"}, {Name: "other"}}); n != 1 || err != nil {
		t.Errorf("Cached: got %d, error %v; want 1", n, err)
	}
	if err := e.forgetOwn(t.Context(), time.Now().Add(keepOwn+time.Hour)); err != nil {
		t.Fatal(err)
	}
	if names := caches(t, e); len(names) != 1 || names[0] != e.volumeName("go") {
		t.Errorf("after a week there are %q, want the shared one only", names)
	}
}

func caches(t *testing.T, e *Engine) []string {
	t.Helper()
	list, err := e.client.VolumeList(context.Background(), client.VolumeListOptions{Filters: client.Filters{}.Add("label", labelOwner+"="+e.owner)})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range list.Items {
		names = append(names, v.Name)
	}
	return names
}

func removeCaches(t *testing.T, e *Engine) {
	t.Cleanup(func() {
		for _, name := range caches(t, e) {
			if _, err := e.client.VolumeRemove(context.Background(), name, client.VolumeRemoveOptions{}); err != nil {
				t.Error(err)
			}
		}
	})
}
