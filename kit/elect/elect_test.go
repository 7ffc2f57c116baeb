package elect_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/elect"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/store"
)

// crew is a service that campaigns.
func crew() kit.Service { return kit.Service{Name: "crew", Writes: []string{"leaders"}} }

// wire is a client whose calls can be held up, as by a partition or a pause.
type wire struct {
	kit.Client
	mu   sync.Mutex
	free chan struct{} // closed while calls go through
}

func newWire(c kit.Client) *wire {
	w := &wire{Client: c, free: make(chan struct{})}
	close(w.free)
	return w
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free = make(chan struct{})
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.free)
}

func (w *wire) pass(ctx context.Context) error {
	w.mu.Lock()
	free := w.free
	w.mu.Unlock()
	select {
	case <-free:
		return nil
	case <-ctx.Done():
		return &kit.Error{Fault: kit.ErrTimeout, Err: context.Cause(ctx)}
	}
}

func (w *wire) Read(ctx context.Context, l kit.Link, o kit.ReadOptions) (kit.Record, error) {
	if err := w.pass(ctx); err != nil {
		return kit.Record{}, err
	}
	return w.Client.Read(ctx, l, o)
}

func (w *wire) Do(ctx context.Context, l kit.Link, method string, args []byte, o ...kit.WriteOption) (kit.Record, error) {
	if err := w.pass(ctx); err != nil {
		return kit.Record{}, err
	}
	return w.Client.Do(ctx, l, method, args, o...)
}

func (w *wire) Batch(ctx context.Context, writes []kit.Write, o ...kit.WriteOption) ([]kit.Record, error) {
	if err := w.pass(ctx); err != nil {
		return nil, err
	}
	return w.Client.Batch(ctx, writes, o...)
}

// stage tells who leads, and fails the test if two do at once.
type stage struct {
	t       *testing.T
	mu      sync.Mutex
	leading string
	fence   int64 // the highest so far
	turns   []string
}

func (s *stage) enter(who string, fence int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leading != "" {
		s.t.Errorf("%s leads while %s does", who, s.leading)
	}
	if fence <= s.fence {
		s.t.Errorf("%s has the fencing number %d after %d", who, fence, s.fence)
	}
	s.leading, s.fence = who, fence
	s.turns = append(s.turns, who)
}

func (s *stage) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leading = ""
}

// lead leads until ctx ends.
func (s *stage) lead(who string) func(context.Context, int64) error {
	return func(ctx context.Context, fence int64) error {
		if kit.FenceOf(ctx) != fence {
			s.t.Errorf("the context has the fencing number %d, want %d", kit.FenceOf(ctx), fence)
		}
		s.enter(who, fence)
		defer s.leave()
		<-ctx.Done()
		return nil
	}
}

func (s *stage) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.turns)
}

// run campaigns until ctx ends.
func run(ctx context.Context, t *testing.T, g *sync.WaitGroup, c kit.Client, who string, lead func(context.Context, int64) error) {
	g.Go(func() {
		if err := elect.Run(ctx, c, "stage", who, lead); !errors.Is(err, context.Canceled) {
			t.Errorf("%s campaigned until %v", who, err)
		}
	})
}

func TestOneOfManyLeadsAndTheNextFollowsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kittest.Serve(t, crew())
		s := &stage{t: t}
		var g sync.WaitGroup
		leaders := map[string]context.CancelFunc{}
		for i := range 5 {
			who := fmt.Sprint("node", i)
			ctx, stop := context.WithCancel(t.Context())
			leaders[who] = stop
			run(ctx, t, &g, c.Client("services/crew"), who, s.lead(who))
		}
		for turn := range 5 {
			time.Sleep(2 * time.Minute) // of the bubble
			synctest.Wait()
			if s.count() != turn+1 {
				t.Fatalf("the leaders were %v, want %d", s.turns, turn+1)
			}
			holder, fence, err := elect.Lead(t.Context(), c.Client("services/crew"), "stage")
			if err != nil || holder != s.leading || fence != s.fence {
				t.Errorf("the leader is %s with %d, %v; want %s with %d", holder, fence, err, s.leading, s.fence)
			}
			began := time.Now()
			leaders[s.leading]()
			for turn < 4 && s.count() == turn+1 {
				time.Sleep(10 * time.Millisecond) // of the bubble
				synctest.Wait()
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("the next leader followed after %v, want at once", took)
			}
		}
		g.Wait()
		if holder, _, err := elect.Lead(t.Context(), c.Admin(), "stage"); holder != "" || err != nil {
			t.Errorf("in the end the leader is %q, %v, want nobody", holder, err)
		}
	})
}

func TestHolderThatIsCutOffStopsBeforeAnotherLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kittest.Serve(t, crew())
		s := &stage{t: t}
		var g sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		first := newWire(c.Client("services/crew"))
		run(ctx, t, &g, first, "first", s.lead("first"))
		synctest.Wait()
		run(ctx, t, &g, c.Client("services/crew"), "second", s.lead("second"))
		for range 20 {
			time.Sleep(17 * time.Second) // of the bubble
			first.cut()
			time.Sleep(3 * elect.Age) // of the bubble
			synctest.Wait()
			if s.leading != "second" {
				t.Fatalf("after a cut of %v the leader is %q, want second", 3*elect.Age, s.leading)
			}
			first.mend()
			stop()
			g.Wait()
			ctx, stop = context.WithCancel(t.Context())
			run(ctx, t, &g, first, "first", s.lead("first"))
			synctest.Wait()
			run(ctx, t, &g, c.Client("services/crew"), "second", s.lead("second"))
		}
		stop()
		g.Wait()
	})
}

func TestShortCutDoesNotEndALead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kittest.Serve(t, crew())
		s := &stage{t: t}
		var g sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		w := newWire(c.Client("services/crew"))
		run(ctx, t, &g, w, "first", s.lead("first"))
		synctest.Wait()
		run(ctx, t, &g, c.Client("services/crew"), "second", s.lead("second"))
		for range 10 {
			w.cut()
			time.Sleep(elect.Age / 2) // of the bubble
			w.mend()
			time.Sleep(elect.Age) // of the bubble
		}
		if s.count() != 1 {
			t.Errorf("the leaders were %v, want only the first", s.turns)
		}
		stop()
		g.Wait()
	})
}

func TestLeapOfTheLogsClockDoesNotEndALead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kittest.Serve(t, crew())
		s := &stage{t: t}
		var g sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		run(ctx, t, &g, c.Client("services/crew"), "first", s.lead("first"))
		synctest.Wait()
		run(ctx, t, &g, c.Client("services/crew"), "second", s.lead("second"))
		for leap := range 20 {
			time.Sleep(3 * time.Second) // of the bubble
			synctest.Wait()
			tick := store.Proposal{Writes: []kit.Write{{Verb: kit.VerbCreate, Link: "cursors/", Body: []byte(`{"position":"1.1"}`)}}, By: "services/task"}
			entry, _ := c.Store.Decide([]store.Proposal{tick}, time.Now().Add(time.Duration(leap+1)*time.Hour))
			if err := c.Store.Apply(entry); err != nil {
				t.Fatal(err)
			}
		}
		if s.count() != 1 {
			t.Errorf("the leaders were %v, want only the first", s.turns)
		}
		stop()
		g.Wait()
	})
}

func TestPausedHolderIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scores := kit.Define[score]("scores")
		owner := kit.Service{Name: "crew", Owns: []kit.Owned{kit.Own(scores, nil)}, Writes: []string{"leaders"}}
		c := kittest.Serve(t, owner)
		client := c.Client("services/crew")
		var g sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		paused, resumed := make(chan struct{}), make(chan error)
		w := newWire(client)
		run(ctx, t, &g, w, "first", func(ctx context.Context, fence int64) error {
			w.cut()
			close(paused)
			time.Sleep(5 * time.Minute) // of the bubble: it does not see that its context ends
			w.mend()
			term := elect.Term{Name: "stage", Fence: fence}
			_, err := scores.Create(context.WithoutCancel(ctx), term.Fenced(client, func(error) {}), "a", score{By: "first"})
			if !term.Ended(err) {
				err = fmt.Errorf("the paused holder's write gave %v, want that its term has ended", err)
			} else {
				err = nil
			}
			resumed <- err
			<-ctx.Done()
			return nil
		})
		<-paused
		run(ctx, t, &g, client, "second", func(ctx context.Context, fence int64) error {
			term := elect.Term{Name: "stage", Fence: fence}
			if _, err := scores.Create(ctx, term.Fenced(client, nil), "b", score{By: "second"}); err != nil {
				t.Errorf("the second holder's write: %v", err)
			}
			<-ctx.Done()
			return nil
		})
		if err := <-resumed; err != nil {
			t.Error(err)
		}
		if _, err := scores.Read(t.Context(), c.Admin(), "a"); !errors.Is(err, kit.ErrNotFound) {
			t.Errorf("what the paused holder wrote is read with %v, want that it is not there", err)
		}
		if _, err := scores.Read(t.Context(), c.Admin(), "b"); err != nil {
			t.Errorf("what the second holder wrote: %v", err)
		}
		stop()
		g.Wait()
	})
}

type score struct {
	kit.Meta
	By string `json:"by"`
}

func TestLeadThatReturnsEndsTheRunAndItsErrorIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kittest.Serve(t, crew())
		broken := errors.New("the curtain is stuck")
		err := elect.Run(t.Context(), c.Client("services/crew"), "stage", "first", func(context.Context, int64) error { return broken })
		if err != broken {
			t.Errorf("Run returned %v, want the error of what leads", err)
		}
		if holder, fence, err := elect.Lead(t.Context(), c.Admin(), "stage"); holder != "" || fence == 0 || err != nil {
			t.Errorf("afterwards the leader is %q with %d, %v; want nobody", holder, fence, err)
		}
	})
}

func TestWhoMayNotCampaignIsToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kittest.Serve(t, crew())
		err := elect.Run(t.Context(), c.Client("users/eve"), "stage", "eve", func(context.Context, int64) error { return nil })
		if !errors.Is(err, kit.ErrForbidden) {
			t.Errorf("Run returned %v, want that it is forbidden", err)
		}
	})
}

func TestLeadersAreChangedByTheirMethodsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kittest.Serve(t, crew())
		ctx, admin := t.Context(), c.Admin()
		l, err := elect.Leaders.Create(ctx, admin, "stage", elect.Leader{Holder: "eve", Fence: 1 << 40})
		if err != nil || l.Holder != "" || l.Fence != 0 {
			t.Errorf("a new document has the holder %q and the number %d, %v; want nobody", l.Holder, l.Fence, err)
		}
		if _, err := admin.Update(ctx, "leaders/stage", []byte(`{"holder":"eve"}`), 0); !errors.Is(err, kit.ErrConflict) {
			t.Errorf("an update gave %v, want that it is refused", err)
		}
		if _, err := admin.Do(ctx, "leaders/stage", "~claim", []byte(`{"holder":"eve"}`)); !errors.Is(err, kit.ErrForbidden) {
			t.Errorf("a claim by a user gave %v, want that it is forbidden", err)
		}
		if _, err := admin.Do(ctx, "leaders/stage", "campaign", []byte(`{"holder":"ada","session":"1"}`)); err != nil {
			t.Errorf("a campaign: %v", err)
		}
		if _, err := admin.Do(ctx, "leaders/stage", "campaign", []byte(`{"holder":"eve","session":"2"}`)); !errors.Is(err, kit.ErrConflict) {
			t.Errorf("a campaign against a lease gave %v, want that it is refused", err)
		}
	})
}

func TestClaimNeedsNoLeaseAndNobodyCampaignsAgainstIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kittest.Serve(t, crew())
		claim := func(holder string) elect.Term {
			term, err := elect.Claim("stage", holder, func(writes ...kit.Write) ([]kit.Record, error) {
				return c.Write(t.Context(), store.Proposal{Writes: writes, By: "services/task", Internal: true})
			})
			if err != nil {
				t.Fatalf("claim: %v", err)
			}
			return term
		}
		first := claim("one")
		time.Sleep(time.Minute) // of the bubble
		if _, err := c.Admin().Do(t.Context(), "leaders/stage", "campaign", []byte(`{"holder":"eve","session":"1"}`)); !errors.Is(err, kit.ErrConflict) {
			t.Errorf("a campaign against a claim gave %v, want that it is refused", err)
		}
		if err := c.Admin().Delete(t.Context(), "leaders/stage", 0); err != nil {
			t.Fatal(err)
		}
		if second := claim("two"); second.Fence <= first.Fence {
			t.Errorf("after a deletion the number went from %d to %d", first.Fence, second.Fence)
		}
	})
}
