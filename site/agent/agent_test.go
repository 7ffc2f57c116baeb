package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/engine/enginetest"
	"landfall.dev/engine/process"
	"landfall.dev/kit/kittest"
)

// site is a machine on which an agent runs, again and again.
type site struct {
	t      *testing.T
	hub    *testHub
	dir    string
	front  string
	engine engine.Engine
	agent  *Agent
	stop   func()
}

// newSite returns a site without an agent. What runs there ends with the test.
func newSite(t *testing.T, h *testHub) *site {
	t.Helper()
	s := &site{t: t, hub: h, dir: t.TempDir()}
	s.engine = s.open()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.front = port.Addr().String()
	port.Close()
	t.Cleanup(func() {
		list, err := s.engine.List(context.Background())
		if err != nil {
			t.Error(err)
		}
		for _, i := range list {
			if err := s.engine.Stop(context.Background(), i.Group); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

func (s *site) open() engine.Engine {
	e, err := process.New(filepath.Join(s.dir, "engine"))
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

func (s *site) config() Config {
	return Config{
		Hub: s.hub.URL(), Token: s.hub.token, Data: filepath.Join(s.dir, "agent"), Front: s.front, Engine: s.open(),
		Logger: kittest.Log(s.t, slog.LevelInfo),
	}
}

// start runs an agent until stop is called or the test ends.
func (s *site) start() {
	s.t.Helper()
	a, err := New(s.config())
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.Run(ctx); err != nil {
			s.t.Errorf("the agent ended: %v", err)
		}
	}()
	s.agent = a
	s.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	s.t.Cleanup(s.stop)
}

// groups are the names of the engine's groups.
func (s *site) groups() []string {
	s.t.Helper()
	list, err := s.engine.List(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, i := range list {
		if !slices.Contains(names, i.Group) {
			names = append(names, i.Group)
		}
	}
	return names
}

// shows waits until the front door leads to a version.
func (s *site) shows(want string) {
	s.t.Helper()
	enginetest.Eventually(s.t, func() string {
		if got, err := version("http://" + s.front); err != nil || got != want {
			return fmt.Sprintf("the front door shows %q, %v; want %q", got, err, want)
		}
		return ""
	})
}

// nothingLeft waits until only the group want is there, with its data; "" is
// none.
func (s *site) nothingLeft(want string) {
	s.t.Helper()
	var wanted []string
	if want != "" {
		wanted = []string{want}
	}
	enginetest.Eventually(s.t, func() string {
		dirs, err := filepath.Glob(filepath.Join(s.dir, "agent", "groups", "*"))
		if err != nil {
			return err.Error()
		}
		for i := range dirs {
			dirs[i] = filepath.Base(dirs[i])
		}
		if groups := s.groups(); !slices.Equal(groups, wanted) || !slices.Equal(dirs, wanted) {
			return fmt.Sprintf("there are groups %v with data %v, want %v", groups, dirs, wanted)
		}
		return ""
	})
}

func TestThrowAwayDeploymentsAreTestedAndDestroyed(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.Throwaway, Nodes: 2})
	image := h.push(programImage(t, "one"))
	h.deploy("good", image, "program check", "/bin/program check")
	h.deploy("bad", image, "program check", "program fail", "program check")
	h.deploy("none", image)
	h.deploy("absent", image, "no-such-program")
	h.deploy("broken", h.push(programImage(t, "broken")), "program check")
	s := newSite(t, h)
	s.start()

	good := h.passes("good")
	line := "$ program check\nthe version is one, the token is \"secret of one\"\n"
	if want := line + strings.Replace(line, "program", "/bin/program", 1); good.Output != want {
		t.Errorf("the output is %q, want %q", good.Output, want)
	}
	h.passes("none")
	for id, want := range map[string]string{
		"bad":    `the test "program fail" ended with exit code 3`,
		"absent": "no-such-program is not in image",
		"broken": "cannot start",
	} {
		if s := h.await(id, ended); s.State != api.DeploymentFailed || !strings.Contains(s.Error, want) {
			t.Errorf("%s: %s, %q; want it failed with %q", id, s.State, s.Error, want)
		}
	}
	if bad := h.await("bad", ended); bad.Output != line+"$ program fail\nsomething is wrong\n" {
		t.Errorf("the output of the tests that failed is %q", bad.Output)
	}
	s.nothingLeft("")
}

func TestBlueGreenUpgradesWithoutAFailedRequest(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen, Nodes: 2})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(programImage(t, "one")), "program check")
	first := h.passes("first")
	if want := "http://" + s.front; first.Address != want {
		t.Errorf("the address is %q, want that of the front door, %q", first.Address, want)
	}

	load := underLoad(t, "http://"+s.front)
	h.deploy("second", h.push(programImage(t, "two")), "program check")
	second := h.passes("second")
	versions := load()
	if !slices.Equal(versions, []string{"one", "two"}) {
		t.Errorf("clients have seen %v, want one and then two", versions)
	}
	if want := `the version is two, the token is "secret of two"`; !strings.Contains(second.Output, want) {
		t.Errorf("the tests say %q, want %q", second.Output, want)
	}
	u, err := api.Upgrades.Read(t.Context(), h.Admin(), second.Upgrade.ID())
	if err != nil || u.Environment != environmentName || u.Blue.Group == "" || u.Green.Group == "" {
		t.Errorf("the hub's copy of the upgrade is %+v, %v", u, err)
	}
	if got := s.groups(); len(got) != 2 {
		t.Errorf("there are groups %v, want blue kept beside green", got)
	}

	h.deploy("third", h.push(programImage(t, "three")))
	h.passes("third")
	s.shows("three")
	enginetest.Eventually(t, func() string {
		if got, want := s.groups(), []string{"program-2", "program-3"}; !slices.Equal(got, want) {
			return fmt.Sprintf("there are groups %v, want %v", got, want)
		}
		return ""
	})
}

// underLoad asks url for its version until the returned function is called,
// which returns the versions seen, in order. A request that fails fails t.
func underLoad(t *testing.T, url string) (end func() []string) {
	ctx, cancel := context.WithCancel(t.Context())
	var g sync.WaitGroup
	var mu sync.Mutex
	var seen []string
	for range 4 {
		g.Go(func() {
			for ctx.Err() == nil {
				v, err := version(url)
				if err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				mu.Lock()
				if !slices.Contains(seen, v) {
					seen = append(seen, v)
				}
				mu.Unlock()
			}
		})
	}
	return func() []string {
		cancel()
		g.Wait()
		return seen
	}
}

func TestAnImageThatRunsIsNotUpgradedTo(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	s.start()
	image := h.push(programImage(t, "one"))
	h.deploy("first", image)
	h.passes("first")
	h.deploy("same", image, "program check")
	if same := h.passes("same"); same.Upgrade != "" || !strings.Contains(same.Output, "the version is one") {
		t.Errorf("the status is %+v, want only tests", same)
	}
	s.nothingLeft("program-1")
}

func TestABrokenVersionLeavesBlueInCharge(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(programImage(t, "one")))
	h.passes("first")
	load := underLoad(t, "http://"+s.front)
	h.deploy("second", h.push(programImage(t, "broken")))
	second := h.await("second", ended)
	if second.State != api.DeploymentFailed || !strings.Contains(second.Error, "cannot start") {
		t.Errorf("the status is %s, %q; want the program's last words", second.State, second.Error)
	}
	if versions := load(); !slices.Equal(versions, []string{"one"}) {
		t.Errorf("clients have seen %v, want one", versions)
	}
	s.nothingLeft("program-1")
}

func TestAnAgentGoesOnWhereItWasStopped(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(programImage(t, "one")))
	h.passes("first")
	mark := filepath.Join(t.TempDir(), "go-on")
	h.deploy("second", h.push(programImage(t, "two")), "program wait "+mark, "program check")
	h.await("second", func(s api.Status) bool { return s.Step == "testing" })
	s.stop()
	if got := s.groups(); len(got) < 2 {
		t.Errorf("without the agent there are groups %v, want them to go on", got)
	}

	s.start()
	s.shows("two")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if second := h.passes("second"); !strings.Contains(second.Output, "the version is two") {
		t.Errorf("the output is %q", second.Output)
	}
}

func TestAnInstanceThatEndsIsStartedAgain(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(programImage(t, "one")))
	h.passes("first")
	if res, err := http.Post("http://"+s.front+"/crash", "", nil); err == nil {
		res.Body.Close()
	}
	s.shows("one")
}

func TestBadInputIsExplained(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	empty := newTestHub(t)
	s := newSite(t, h)
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"a wrong token":          {func(c *Config) { c.Token = "lf_a_b" }, "the token is not valid"},
		"no token":               {func(c *Config) { c.Token = "" }, "needs a token"},
		"half a root":            {func(c *Config) { c.Token += "~12ab" }, "the token is damaged"},
		"another environment":    {func(c *Config) { c.Environment = "production" }, "may not read"},
		"a lost environment":     {func(c *Config) { c.Hub, c.Token = empty.URL(), empty.token }, "does not exist"},
		"the administrator's":    {func(c *Config) { c.Token = h.Token("users/admin"); c.Environment = "none" }, "no such environment"},
		"no address of a hub":    {func(c *Config) { c.Hub = "hub.example.org" }, "no address of a server"},
		"a front door in use":    {func(c *Config) { c.Front = strings.TrimPrefix(h.URL(), "http://") }, "in use by another program"},
		"no address for a front": {func(c *Config) { c.Front = "8080" }, "no address for the front door"},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.config()
			test.change(&c)
			a, err := New(c)
			if err == nil {
				err = a.Run(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("started with %s: %v, want %q", name, err, test.want)
			}
		})
	}
}

func TestADirectoryIsForOneEnvironment(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(programImage(t, "one")))
	h.passes("first")
	s.stop()
	c := s.config()
	c.Environment = "production"
	a, err := New(c)
	if err == nil {
		err = a.Run(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "belongs to the environment staging") {
		t.Errorf("started for another environment: %v, want it refused", err)
	}
}

func TestASecondAgentOnTheSameDataIsRefused(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	s.start()
	enginetest.Eventually(t, func() string {
		if !healthy(t.Context(), s.agent.URL()) {
			return "the first agent does not serve"
		}
		return ""
	})
	c := s.config()
	c.Front = ""
	a, err := New(c)
	if err == nil {
		err = a.Run(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "another landfall process") {
		t.Errorf("started a second agent: %v, want that the directory is in use", err)
	}
}
