package runner

import (
	"cmp"
	"context"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/moby/client"

	"landfall.dev/api"
	"landfall.dev/engine/docker"
	"landfall.dev/engine/enginetest"
	"landfall.dev/engine/fleet"
)

// farEngine is one on a daemon of the test's own.
func farEngine(t *testing.T) *docker.Engine {
	t.Helper()
	far, err := docker.Open(t.Context(), testOwner, enginetest.StartDaemon(t).Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return far
}

func TestABuildGoesWhereItsCacheIsAndWhereTheLeastIsToDo(t *testing.T) {
	h := newHub(t)
	near, tools := dockerEngine(t)
	far := farEngine(t)
	image := enginetest.ToolsImage(t, "both")
	for _, e := range []*docker.Engine{near, far} {
		if err := e.Load(t.Context(), image, "landfall.test/both:"+testOwner); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { removeImage(t, "landfall.test/both:"+testOwner) })
	c := h.config()
	c.Engines = []fleet.Member{{Name: "near", Engine: near, Slots: 2}, {Name: "far", Engine: far, Slots: 1, Labels: []string{"far"}}}
	start(t, newRunner(t, c))
	on := func(id, want string, spec api.JobSpec) {
		t.Helper()
		spec.Image = cmp.Or(spec.Image, "landfall.test/both:"+testOwner)
		h.submit(id, spec)
		if b := h.ended(id); b.State != api.BuildPassed || b.Engine != want {
			t.Errorf("build %s is %s, %q, on %s; want it passed on %s\n%s", id, b.State, b.Error, b.Engine, want, h.log(id, 1))
		}
	}
	cached := map[string]string{"pages": "/cache"}
	on("first", "far", api.JobSpec{Labels: []string{"far"}, Cache: cached, Script: []string{"echo page > /cache/page"}})
	on("idle", "near", api.JobSpec{Script: []string{"true"}})
	on("cached", "far", api.JobSpec{Cache: cached, Script: []string{"cat /cache/page"}})
	h.submit("holds", api.JobSpec{Image: tools, Script: []string{"echo > begun; until [ -e go ]; do sleep 0.02; done"}})
	eventually(t, exists(filepath.Join(c.Dir, "holds-1", "src", "begun")))
	on("least", "far", api.JobSpec{Script: []string{"true"}})
	touch(t, filepath.Join(c.Dir, "holds-1", "src", "go"))
	if b := h.ended("holds"); b.State != api.BuildPassed || b.Engine != "near" {
		t.Errorf("the build that holds a slot is %s, %q, on %s", b.State, b.Error, b.Engine)
	}
}

func TestABuildGoesToTheEngineThatHasItsImageOrLabels(t *testing.T) {
	h := newHub(t)
	near, tools := dockerEngine(t)
	far := farEngine(t)
	if err := far.Load(t.Context(), enginetest.ToolsImage(t, "far"), "landfall.test/far:1"); err != nil {
		t.Fatal(err)
	}
	shared := enginetest.ToolsImage(t, "shared")
	ref, err := name.ParseReference(h.registry + "/build/tools:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, shared); err != nil {
		t.Fatal(err)
	}
	digest, err := shared.Digest()
	if err != nil {
		t.Fatal(err)
	}
	c := h.config()
	c.Engines = []fleet.Member{{Name: "near", Engine: near, Slots: 2}, {Name: "far", Engine: far, Slots: 1, Labels: []string{"far"}}}
	c.Warm = 1
	stop := start(t, newRunner(t, c))
	job := func(image string, labels ...string) api.JobSpec {
		return api.JobSpec{Image: image, Labels: labels, Script: []string{"cat README; echo $MARK > out; mkdir kept; cp README kept/copy"}, Artifacts: []string{"out", "kept/*"}}
	}
	h.submit("near", job(tools))
	h.submit("far", job("landfall.test/far:1"))
	h.submit("labelled", job("build/tools:1", "far"))
	h.submit("nowhere", job(tools, "gpu"))
	for id, want := range map[string]string{"near": "near sha256:", "far": "far sha256:", "labelled": "far build/tools@" + digest.String()} {
		b := h.ended(id)
		if b.State != api.BuildPassed || len(b.Artifacts) != 2 || !strings.HasPrefix(b.Engine+" "+b.BuildImage, want) || !strings.Contains(h.log(id, 1), "\nhello\n") {
			t.Errorf("build %s is %s, %q, on %s in %s, with %d artifacts; want %q\n%s", id, b.State, b.Error, b.Engine, b.BuildImage, len(b.Artifacts), want, h.log(id, 1))
		}
	}
	if b, err := api.Builds.Read(t.Context(), h.Admin(), "nowhere"); err != nil || b.State != api.BuildQueued {
		t.Errorf("the build whose label no engine has is %s, error %v; want queued", b.State, err)
	}
	stop()
	if names := containers(t); len(names) > 0 {
		t.Errorf("containers are left: %q", names)
	}
}

func TestABuildWithServicesAndACache(t *testing.T) {
	h := newHub(t)
	e, _ := dockerEngine(t)
	owner := testOwner
	if err := e.Load(t.Context(), enginetest.ToolsImage(t, "services"), "landfall.test/services:"+owner); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeImage(t, "landfall.test/services:"+owner) })
	t.Cleanup(func() { removeVolumes(t, owner) })
	c := h.config()
	c.Engine, c.DefaultImage = e, "landfall.test/services:"+owner
	start(t, newRunner(t, c))
	web := api.Service{Name: "web", Image: c.DefaultImage, Env: map[string]string{"TEXT": "of the service"}, Ready: "wget -q -O - http://127.0.0.1:8000/page",
		Command: []string{"sh", "-c", "mkdir /www; echo $TEXT > /www/page; exec httpd -f -p 8000 -h /www"}}
	h.submit("first", api.JobSpec{Services: []api.Service{web}, Cache: map[string]string{"pages": "/cache"}, Script: []string{"wget -q -O /cache/page http://web:8000/page"}})
	if b := h.ended("first"); b.State != api.BuildPassed {
		t.Fatalf("it is %s, %q:\n%s", b.State, b.Error, h.log("first", 1))
	}
	h.submit("second", api.JobSpec{Cache: map[string]string{"pages": "/cache"}, Script: []string{"cat /cache/page"}})
	if b := h.ended("second"); b.State != api.BuildPassed || !strings.Contains(h.log("second", 1), "\nof the service\n") {
		t.Errorf("it is %s, %q:\n%s", b.State, b.Error, h.log("second", 1))
	}
	h.submit("over", api.JobSpec{
		Cache: map[string]string{"pages": "/cache"}, CacheMB: map[string]int64{"pages": 1},
		Script: []string{"cat /bin/busybox /bin/busybox > /cache/large"},
	})
	if b := h.ended("over"); b.State != api.BuildPassed || !strings.Contains(h.log("over", 1), "MiB, and the limit is 1.0 MiB; removed demo/pages of changes/7 (") {
		t.Errorf("it is %s, %q:\n%s", b.State, b.Error, h.log("over", 1))
	}
	web.Command = []string{"sh", "-c", "echo no disk; exit 3"}
	h.submit("broken", api.JobSpec{Services: []api.Service{web}, Script: []string{"echo never"}})
	want := "service web is not ready: it ended with exit code 3"
	if b := h.ended("broken"); b.State != api.BuildFailed || !strings.Contains(b.Error, want) || !strings.Contains(h.log("broken", 1), "no disk\n") {
		t.Errorf("it is %s, %q, want failed, %q:\n%s", b.State, b.Error, want, h.log("broken", 1))
	}
}

func removeVolumes(t *testing.T, owner string) {
	c, err := client.New(client.FromEnv)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	ctx := context.Background()
	list, err := c.VolumeList(ctx, client.VolumeListOptions{Filters: client.Filters{}.Add("label", "landfall.owner="+owner)})
	if err != nil {
		t.Error(err)
	}
	for _, v := range list.Items {
		if _, err := c.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{}); err != nil {
			t.Error(err)
		}
	}
}

// counter counts the builds that are placed in a prepared container.
type counter struct {
	slog.Handler
	prepared *atomic.Int32
}

func (c counter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return counter{c.Handler.WithAttrs(attrs), c.prepared}
}

func (c counter) Handle(ctx context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "prepared" && a.Value.Bool() {
			c.prepared.Add(1)
		}
		return true
	})
	return c.Handler.Handle(ctx, r)
}

func TestBuildsBeginInPreparedContainers(t *testing.T) {
	h := newHub(t)
	e, image := dockerEngine(t)
	c := h.config()
	var prepared atomic.Int32
	c.Engine, c.DefaultImage, c.Warm, c.Logger = e, image, 1, slog.New(counter{c.Logger.Handler(), &prepared})
	stop := start(t, newRunner(t, c))
	spec := api.JobSpec{Script: []string{"cat README; ls -a; ls -a /tmp; env | grep -v -e HOSTNAME -e BUILD | sort; echo x > /tmp/left; echo $LANDFALL_BUILD > left"}, Artifacts: []string{"left"}}
	var first string
	for n := range 4 {
		id := "build" + strconv.Itoa(n)
		h.submit(id, spec)
		b := h.ended(id)
		if n == 0 {
			first = h.log(id, 1)
		}
		if b.State != api.BuildPassed || h.log(id, 1) != first || b.Artifacts[0].Size != int64(len(id))+1 {
			t.Errorf("build %d is %s, %q:\n%s\nwant the same as\n%s", n, b.State, b.Error, h.log(id, 1), first)
		}
		eventually(t, func() string {
			if len(containers(t)) == 0 {
				return "no container is being kept ready"
			}
			return ""
		})
	}
	if prepared.Load() == 0 {
		t.Error("no build began in a prepared container")
	}
	stop()
	if names := containers(t); len(names) > 0 {
		t.Errorf("containers are left: %q", names)
	}
}
