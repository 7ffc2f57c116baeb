package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"landfall.dev/api"
	"landfall.dev/engine/enginetest"
	"landfall.dev/engine/process"
)

// childConfig names the variable that makes this test's binary an agent.
const childConfig = "AGENT_TEST_CONFIG"

// child is what such an agent is told.
type child struct{ Hub, Token, Data, Front, Engine string }

func TestMain(m *testing.M) {
	text, run := os.Getenv(childConfig), runChild
	if text == "" {
		text, run = os.Getenv(doorConfig), runDoor
	}
	if text == "" {
		os.Exit(m.Run())
	}
	if err := run(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runChild(text string) error {
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	e, err := process.New(c.Engine)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	a, err := New(Config{Hub: c.Hub, Token: c.Token, Data: c.Data, Front: c.Front, Engine: e, Logger: log})
	if err != nil {
		return err
	}
	return a.Run(context.Background())
}

// spawn runs an agent in a process of its own until it is killed.
func (s *site) spawn() (kill func()) {
	s.t.Helper()
	text, err := json.Marshal(child{s.hub.URL(), s.hub.token, filepath.Join(s.dir, "agent"), s.front, filepath.Join(s.dir, "engine")})
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childConfig+"="+string(text))
	cmd.Stderr = s.t.Output()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // killed is what it says
		}
	}
	s.t.Cleanup(kill)
	return kill
}

// changes waits until the hub's documents have changed so many times.
func (h *testHub) changes(n int64) {
	h.t.Helper()
	from := h.Store.Position().Seq
	enginetest.Eventually(h.t, func() string {
		if now := h.Store.Position().Seq; now < from+n {
			return fmt.Sprintf("the hub was told %d times, want %d", now-from, n)
		}
		return ""
	})
}

func TestAKilledAgentNeverGoesBackToAnOlderVersion(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	for i := int64(1); i <= 6; i++ {
		id, want := fmt.Sprintf("d%d", i), fmt.Sprintf("v%d", i)
		image := h.push(programImage(t, want))
		kill := s.spawn()
		if i > 1 {
			s.shows(fmt.Sprintf("v%d", i-1))
		}
		h.deploy(id, image, "program check")
		h.changes(i)
		kill()

		kill = s.spawn()
		end := seen(t, "http://"+s.front)
		h.passes(id)
		s.shows(want)
		versions := end()
		if n := len(versions); n > 2 || n > 0 && versions[n-1] != want {
			t.Errorf("killed after %d reports: clients have seen %v, want at last %s and nothing twice", i, versions, want)
		}
		if groups := s.groups(); len(groups) > 3 { // a group of tests may just be stopping
			t.Errorf("killed after %d reports: there are groups %v, want blue and green", i, groups)
		}
		kill()
	}
}

func TestAKilledAgentLeavesNothingOfAThrowAwayDeployment(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.Throwaway})
	image := h.push(programImage(t, "one"))
	s := newSite(t, h)
	for i := int64(1); i <= 4; i++ {
		kill := s.spawn()
		id := fmt.Sprintf("d%d", i)
		h.deploy(id, image, "program check")
		h.changes(i)
		kill()
		kill = s.spawn()
		h.passes(id)
		s.nothingLeft("")
		kill()
	}
}

// seen notes which versions url shows, each time that it changes, until the
// returned function is called. It does not mind that nobody answers.
func seen(t *testing.T, url string) (end func() []string) {
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan []string, 1)
	go func() {
		var versions []string
		for ctx.Err() == nil {
			v, err := version(url)
			if err == nil && (len(versions) == 0 || versions[len(versions)-1] != v) {
				versions = append(versions, v)
			}
		}
		result <- slices.Clone(versions)
	}()
	return func() []string {
		cancel()
		return <-result
	}
}
