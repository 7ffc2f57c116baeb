package doors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/site/front"
)

// street is an environment's agent, as far as front doors see it, and further
// front doors, in one bubble.
type street struct {
	t      *testing.T
	client kit.Client
	log    *slog.Logger
	doors  *Doors

	mu     sync.Mutex
	serves http.Handler
}

var (
	blueSide  = front.Route{Side: "blue", Backends: []string{"127.0.0.1:9001"}}
	greenSide = front.Route{Side: "green", Backends: []string{"127.0.0.1:9002"}}
)

// newStreet returns a street whose front door leads to blue, of epoch 1.
func newStreet(t *testing.T) *street {
	c := kittest.Start(t, kit.Service{Name: "agent", Owns: []kit.Owned{Owned()}})
	s := &street{t: t, client: c.Client("services/agent"), log: kittest.Log(t, slog.LevelInfo)}
	s.restart()
	s.open(blueSide, 1)
	return s
}

// restart lets a new agent take the place of the one before.
func (s *street) restart() {
	d := New(front.New(front.Options{Logger: s.log}), s.client, s.log)
	mux := http.NewServeMux()
	for _, r := range d.Serves() {
		mux.Handle(r.Pattern, r.Handler)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doors, s.serves = d, mux
}

func (s *street) open(side front.Route, epoch int64) {
	s.t.Helper()
	side.Epoch = epoch
	if err := s.doors.Open(side); err != nil {
		s.t.Fatalf("open to %s: %v", side.Side, err)
	}
	synctest.Wait()
}

// hold is Hold with the second that an upgrade gives it.
func (s *street) hold() error {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
	defer cancel()
	err := s.doors.Hold(ctx)
	synctest.Wait()
	return err
}

// house is a further front door and the wire that joins it with the agent.
type house struct {
	*front.Door
	street *street
	name   string
	end    func() // as by SIGTERM

	mu  sync.Mutex
	cut chan struct{} // not nil: the wire is cut until it is closed
}

func (s *street) house(name string) *house {
	s.t.Helper()
	h := &house{Door: front.New(front.Options{Logger: s.log}), street: s, name: name}
	f := front.Follower{Door: h.Door, Name: name, Agent: "http://agent", Token: "t", Client: &http.Client{Transport: h}, Logger: s.log.With("door", name)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f.Run(ctx, nobody{closed: make(chan struct{}), once: new(sync.Once)}); err != nil {
			s.t.Errorf("the door %s ended: %v", name, err)
		}
	}()
	h.end = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	s.t.Cleanup(h.end)
	synctest.Wait()
	return h
}

// RoundTrip makes the house the transport of its follower.
func (h *house) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := h.joined(r.Context()); err != nil {
		return nil, err
	}
	h.street.mu.Lock()
	serves := h.street.serves
	h.street.mu.Unlock()
	caller := kit.Caller{Subject: subject, Allowed: func(v kit.Verb, l kit.Link) bool {
		return v == serve && l == kind.Link(h.name)
	}}
	w := httptest.NewRecorder()
	serves.ServeHTTP(w, r.WithContext(kit.WithCaller(r.Context(), caller)))
	if err := h.joined(r.Context()); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// joined waits until the wire is whole.
func (h *house) joined(ctx context.Context) error {
	h.mu.Lock()
	cut := h.cut
	h.mu.Unlock()
	if cut != nil {
		select {
		case <-cut:
			return errors.New("the connection was reset")
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// split cuts the wire: nothing comes through, and nothing says so.
func (h *house) split() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut = make(chan struct{})
}

// mend joins the wire again.
func (h *house) mend() {
	h.mu.Lock()
	close(h.cut)
	h.cut = nil
	h.mu.Unlock()
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

func (h *house) shows(what string, holding bool, side string, epoch int64) {
	h.street.t.Helper()
	synctest.Wait()
	if s := h.State(); s.Holding != holding || s.Side != side || s.Epoch != epoch {
		h.street.t.Errorf("%s: the door %s holds: %v, leads to %q of epoch %d; want %v, %q, %d", what, h.name, s.Holding, s.Side, s.Epoch, holding, side, epoch)
	}
}

// get sends a request that must not get in, and returns the answer.
func (h *house) get() *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	return w
}

// nobody is a listener to which nobody connects.
type nobody struct {
	closed chan struct{}
	once   *sync.Once
}

func (n nobody) Accept() (net.Conn, error) {
	<-n.closed
	return nil, net.ErrClosed
}
func (n nobody) Close() error   { n.once.Do(func() { close(n.closed) }); return nil }
func (n nobody) Addr() net.Addr { return &net.TCPAddr{} }

func inStreet(t *testing.T, f func(*street)) {
	synctest.Test(t, func(t *testing.T) { f(newStreet(t)) })
}

func TestAllFrontDoorsHoldAndOpenTogether(t *testing.T) {
	inStreet(t, func(s *street) {
		doors := []*house{s.house("east"), s.house("west")}
		for _, h := range doors {
			h.shows("at first", false, "blue", 1)
		}
		for epoch := int64(2); epoch < 6; epoch++ {
			side, last := greenSide, "blue"
			if epoch%2 == 1 {
				side, last = blueSide, "green"
			}
			began := time.Now()
			if err := s.hold(); err != nil {
				s.t.Fatalf("hold: %v", err)
			}
			if d := time.Since(began); d > 0 {
				s.t.Errorf("the hold took %v of waiting, want none", d)
			}
			for _, h := range doors {
				h.shows("held", true, last, epoch-1)
			}
			s.open(side, epoch)
			for _, h := range doors {
				h.shows("opened", false, side.Side, epoch)
			}
		}
	})
}

func TestADoorThatDoesNotAnswerKeepsAllFromHolding(t *testing.T) {
	inStreet(t, func(s *street) {
		east, west := s.house("east"), s.house("west")
		west.split()
		for range 2 {
			err := s.hold()
			if err == nil || !strings.Contains(err.Error(), "west") {
				s.t.Errorf("hold: %v, want that west did not answer", err)
			}
			east.shows("after the hold has failed", false, "blue", 1)
			west.shows("without the agent", false, "blue", 1)
			if s.doors.own.State().Holding {
				s.t.Error("the agent's own door holds though another does not")
			}
			time.Sleep(5 * time.Second)
		}
		if own, other := s.doors.own.State().Holds, east.State().Holds; own != 0 || other != 0 {
			s.t.Errorf("the agent's own door has held %d times and east %d times, want never: west had not shown that it answers", own, other)
		}
		time.Sleep(forgetAfter)
		if err := s.hold(); err != nil {
			s.t.Errorf("hold without a door that is long silent: %v", err)
		}
		west.shows("on its own", false, "blue", 1)
		west.mend()
		west.shows("back during the hold", true, "blue", 1)
		s.open(greenSide, 2)
		west.shows("opened with the others", false, "green", 2)
	})
}

// stays is the writer of an answer that does not leave the door before it is let
// go.
type stays struct {
	*httptest.ResponseRecorder
	goes chan struct{}
}

func (w stays) WriteHeader(int) { <-w.goes }

func TestADoorThatDoesNotDrainKeepsAllFromHolding(t *testing.T) {
	for _, where := range []string{"the agent's own door", "a further door"} {
		t.Run(where, func(t *testing.T) {
			inStreet(t, func(s *street) {
				east, west := s.house("east"), s.house("west")
				door := s.doors.own
				if where == "a further door" {
					door = east.Door
				}
				s.open(front.Route{Side: "blue", Backends: []string{"127.0.0.1:1"}}, 2) // where nobody listens
				w := stays{httptest.NewRecorder(), make(chan struct{})}
				var inside sync.WaitGroup
				inside.Go(func() { door.ServeHTTP(w, httptest.NewRequest("GET", "/", nil)) })
				synctest.Wait()
				if err := s.hold(); err == nil {
					s.t.Error("all hold, though a request is inside one of them")
				}
				east.shows("after the hold has failed", false, "blue", 2)
				west.shows("after the hold has failed", false, "blue", 2)
				if s.doors.own.State().Holding {
					s.t.Error("the agent's own door holds, though not all do")
				}
				close(w.goes)
				inside.Wait()
				if err := s.hold(); err != nil {
					s.t.Errorf("hold once nobody is inside: %v", err)
				}
			})
		})
	}
}

func TestADoorThatLosesTheAgentWhileItHoldsKeepsHolding(t *testing.T) {
	inStreet(t, func(s *street) {
		east := s.house("east")
		if err := s.hold(); err != nil {
			s.t.Fatal(err)
		}
		east.split()
		time.Sleep(20 * time.Second)
		began := time.Now()
		if w := east.get(); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || time.Since(began) != 10*time.Second {
			s.t.Errorf("after %v it answers %d, Retry-After %q", time.Since(began), w.Code, w.Header().Get("Retry-After"))
		}
		s.open(greenSide, 2)
		east.shows("without the agent", true, "blue", 1)
		east.mend()
		east.shows("with the agent again", false, "green", 2)
	})
}

func TestADoorThatLosesTheAgentInOrdinaryTimesGoesOn(t *testing.T) {
	inStreet(t, func(s *street) {
		east := s.house("east")
		if err := s.doors.Slow(0.5); err != nil {
			s.t.Fatal(err)
		}
		synctest.Wait()
		if got := east.State().SlowedTo; got != 0.5 {
			s.t.Errorf("the door is slowed to %v, want 0.5", got)
		}
		east.split()
		time.Sleep(time.Hour)
		east.shows("after an hour without the agent", false, "blue", 1)
		if got := east.State().SlowedTo; got != 0 {
			s.t.Errorf("without the agent the door is slowed to %v, want not", got)
		}
		s.open(blueSide, 3)
		east.mend()
		east.shows("with the agent again", false, "blue", 3)
	})
}

func TestANewDoorHoldsUntilItKnowsTheRoute(t *testing.T) {
	inStreet(t, func(s *street) {
		if err := s.hold(); err != nil {
			s.t.Fatal(err)
		}
		east := s.house("east")
		east.shows("in the middle of a hold", true, "", 0)
		s.open(greenSide, 2)
		east.shows("after it", false, "green", 2)
	})
}

func TestAnAgentThatComesBackKnowsTheDoors(t *testing.T) {
	inStreet(t, func(s *street) {
		east, west := s.house("east"), s.house("west")
		if err := s.hold(); err != nil {
			s.t.Fatal(err)
		}
		west.split()
		s.restart() // in the middle of the hold, and knows nothing but its documents
		if err := s.hold(); err == nil || !strings.Contains(err.Error(), "did not answer") {
			s.t.Errorf("hold before the doors are back: %v, want that it waits for them", err)
		}
		time.Sleep(5 * time.Second)
		east.shows("before there is a decision", true, "blue", 1)
		s.open(blueSide, 2)
		east.shows("after the decision", false, "blue", 2)
		if err := s.hold(); err == nil || !strings.Contains(err.Error(), "west") {
			s.t.Errorf("hold: %v, want that west is missed", err)
		}
		west.mend()
		west.shows("back", false, "blue", 2)
		if err := s.hold(); err != nil {
			s.t.Errorf("hold with all doors: %v", err)
		}
	})
}

func TestADoorThatTakesLeaveIsNotWaitedFor(t *testing.T) {
	inStreet(t, func(s *street) {
		east := s.house("east")
		east.end()
		if err := s.hold(); err != nil {
			s.t.Errorf("hold: %v", err)
		}
		if _, err := kind.Read(s.t.Context(), s.client, "east"); !errors.Is(err, kit.ErrNotFound) {
			s.t.Errorf("the door's document is still there, %v", err)
		}
	})
}

func TestClassesReachAllDoors(t *testing.T) {
	inStreet(t, func(s *street) {
		s.house("east")
		if err := s.doors.Classify([]front.Rule{{Pattern: "/files/", Class: front.Upload}}); err != nil {
			s.t.Fatal(err)
		}
		err := s.doors.Classify([]front.Rule{{Pattern: "/files/", Class: "big"}})
		if err == nil || !strings.Contains(err.Error(), "short, stream or upload") {
			s.t.Errorf("a class that there is not: %v", err)
		}
		synctest.Wait()
		s.doors.mu.Lock()
		rules := s.doors.order.Rules
		s.doors.mu.Unlock()
		if f := s.doors.Further(); len(rules) != 1 || rules[0].Class != front.Upload || len(f) != 1 || f[0].Behind || f[0].Error != "" {
			s.t.Errorf("the order's rules are %v, the door says %+v", rules, f)
		}
	})
}

func TestADoorIsToldWhatIsWrongWithIt(t *testing.T) {
	for name, test := range map[string]struct{ agent, name, want string }{
		"no address":       {"127.0.0.1:7710", "east", "no address of an agent"},
		"another protocol": {"ftp://agent", "east", "no address of an agent"},
		"no name":          {"http://agent", "", "cannot have the name"},
		"a bad name":       {"http://agent", "east/1", "cannot have the name"},
	} {
		t.Run(name, func(t *testing.T) {
			f := front.Follower{Door: front.New(front.Options{}), Name: test.name, Agent: test.agent}
			if err := f.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("run: %v, want %q", err, test.want)
			}
		})
	}
}

func TestOnlyADoorMayFollow(t *testing.T) {
	inStreet(t, func(s *street) {
		other := &house{street: s, name: "east"}
		f := front.Follower{
			Door: front.New(front.Options{}), Name: "west", Agent: "http://agent", Token: "t",
			Client: &http.Client{Transport: other}, Logger: s.log, // it may serve as east only
		}
		err := f.Run(s.t.Context(), nobody{closed: make(chan struct{}), once: new(sync.Once)})
		if !errors.Is(err, kit.ErrForbidden) || !strings.Contains(fmt.Sprint(err), "does not accept") {
			s.t.Errorf("a door without the right: %v, want it refused", err)
		}
	})
}
