package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/engine/enginetest"
	"landfall.dev/kit"
	"landfall.dev/site/agent/doors"
	"landfall.dev/site/front"
)

// doorConfig names the variable that makes this test's binary a front door.
const doorConfig = "AGENT_TEST_DOOR"

// door is what such a front door is told.
type door struct{ Agent, Token, Name, Listen string }

func runDoor(text string) error {
	var d door
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return err
	}
	l, err := net.Listen("tcp", d.Listen)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("door", d.Name)
	f := front.Follower{Door: front.New(front.Options{Logger: log}), Name: d.Name, Agent: d.Agent, Token: d.Token, Client: http.DefaultClient, Logger: log}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return f.Run(ctx, l)
}

// doorProcess is a front door in a process of its own.
type doorProcess struct {
	t   *testing.T
	cmd *exec.Cmd
	url string
	end func()
}

// door starts a further front door of the site's agent.
func (s *site) door(d door) *doorProcess {
	s.t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		s.t.Fatal(err)
	}
	p := &doorProcess{t: s.t, cmd: exec.Command(os.Args[0]), url: "http://" + d.Listen}
	p.cmd.Env = append(os.Environ(), doorConfig+"="+string(text))
	p.cmd.Stderr = s.t.Output()
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	p.end = sync.OnceFunc(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // killed is what it says
	})
	s.t.Cleanup(p.end)
	return p
}

func (p *doorProcess) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// opens waits until the door serves.
func (p *doorProcess) opens() {
	p.t.Helper()
	enginetest.Eventually(p.t, func() string {
		v, err := version(p.url)
		if err != nil {
			return err.Error()
		}
		if v == "" {
			return "the door has no version"
		}
		return ""
	})
}

// listens waits until the door takes connections.
func (p *doorProcess) listens() {
	p.t.Helper()
	enginetest.Eventually(p.t, func() string {
		c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			return err.Error()
		}
		c.Close()
		return ""
	})
}

// ask sends a request to the door, which must be answered by a version.
func (p *doorProcess) ask() <-chan string {
	answer := make(chan string, 1)
	go func() {
		v, err := version(p.url)
		answer <- cmp.Or(v, fmt.Sprint(err))
	}()
	return answer
}

// waits checks that the door makes n requests wait, as it tells the agent.
func (s *site) waits(name string, n int) {
	s.t.Helper()
	enginetest.Eventually(s.t, func() string {
		for _, d := range s.agent.gate.doors.Further() {
			if d.Name == name && d.State.Held == n && d.State.Holding {
				return ""
			}
		}
		return fmt.Sprintf("the door %s does not make %d requests wait: %+v", name, n, s.agent.gate.doors.Further())
	})
}

func (s *site) freePort() string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A front door is killed, stopped and started again at every point of a hold.
func TestFurtherFrontDoorsAreKilledStoppedAndStarted(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen, Routes: []api.RouteClass{{Pattern: "/files/", Class: "upload"}}})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(programImage(t, "one")))
	h.passes("first")
	if r, err := readRoute(t.Context(), s.agent.gate.client); err != nil || len(r.Classes) != 1 {
		t.Errorf("what the environment declares of routes is kept as %v, %v", r.Classes, err)
	}
	token, err := doors.Token(t.Context(), s.agent.Client("users/admin"))
	if err != nil {
		t.Fatal(err)
	}
	east := door{s.agent.URL(), token, "east", s.freePort()}
	west := door{s.agent.URL(), token, "west", s.freePort()}
	first, second := s.door(east), s.door(west)
	first.opens()
	second.opens()
	load := underLoad(t, second.url)

	g, ctx := s.agent.gate, t.Context()
	hold := func() error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		began := time.Now()
		err := g.Hold(ctx)
		t.Logf("hold: %v after %v", err, time.Since(began))
		return err
	}
	in, err := s.agent.groups.find(ctx, "program-1")
	if err != nil {
		t.Fatal(err)
	}
	open := func() {
		t.Helper()
		r, err := readRoute(ctx, g.client)
		if err == nil {
			err = g.Open(ctx, api.Side{Group: r.Group, URLs: in.urls()}, r.Epoch+1)
		}
		if err != nil {
			t.Fatalf("open: %v", err)
		}
	}
	answered := func(what string, answer <-chan string) {
		t.Helper()
		if got := <-answer; got != "one" {
			t.Errorf("%s: got %q, want the version one", what, got)
		}
	}

	// Stopped before the hold: nothing is held.
	first.signal(syscall.SIGSTOP)
	if err := hold(); err == nil || !strings.Contains(err.Error(), "east") {
		t.Errorf("hold with a stopped door: %v, want it named", err)
	}
	if s.agent.door.State().Holding {
		t.Error("the agent's own door holds though another does not answer")
	}
	first.signal(syscall.SIGCONT)
	first.opens()
	enginetest.Eventually(t, func() string {
		if err := hold(); err != nil {
			return err.Error()
		}
		return ""
	})

	// Stopped in the hold: it goes on holding until it knows better.
	waiting := first.ask()
	s.waits("east", 1)
	first.signal(syscall.SIGSTOP)
	open()
	first.signal(syscall.SIGCONT)
	answered("a request that waited in a stopped door", waiting)

	// Killed in the hold, and started again in it: it holds from the beginning.
	if err := hold(); err != nil {
		t.Fatal(err)
	}
	first.end()
	first = s.door(east)
	first.listens()
	waiting = first.ask()
	s.waits("east", 1)
	open()
	answered("a request that came to a new door in the hold", waiting)

	// Killed in the hold for good: the others go on without it.
	if err := hold(); err != nil {
		t.Fatal(err)
	}
	first.end()
	open()
	second.opens()

	// Ended in order: it is not missed.
	first = s.door(east)
	first.opens()
	first.signal(syscall.SIGTERM)
	if err := first.cmd.Wait(); err != nil {
		t.Errorf("the door ended with %v", err)
	}
	if _, err := g.client.Read(ctx, "front-doors/east", kit.ReadOptions{}); !errors.Is(err, kit.ErrNotFound) {
		t.Errorf("a door that has ended is still known, %v", err)
	}
	if err := hold(); err != nil {
		t.Errorf("hold after a door has ended: %v", err)
	}
	open()
	if versions := load(); len(versions) != 1 {
		t.Errorf("clients of the other door have seen %v", versions)
	}
}
