package task_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/elect"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/store"
	"landfall.dev/kit/task"
)

// Letter is a document that is sent, and rung for until somebody opens it.
type Letter struct {
	kit.Meta
	To    string   `json:"to"`
	State string   `json:"state"`
	Rings int      `json:"rings"`
	Why   string   `json:"why,omitempty"`
	Log   []string `json:"log,omitempty"`
}

var letters = kit.Define[Letter]("letters")

func nextLetter(l Letter, e kit.Event, now time.Time) (Letter, []kit.Op) {
	l.Log = append(l.Log, e.Name)
	switch e.Name {
	case "created":
		l.State = "wanted"
		return l, []kit.Op{
			kit.Call("carry", "1", map[string]string{"to": l.To}),
			kit.SendAt(now.Add(time.Hour), l.Link, "ring", nil),
		}
	case "carry.done":
		l.State = "sent"
	case "carry.failed":
		l.State = "failed"
		var data struct{ Error string }
		_ = e.Into(&data)
		l.Why = data.Error
	case "ring":
		if l.Rings++; l.Rings < 3 {
			return l, []kit.Op{kit.SendAt(now.Add(time.Hour), l.Link, "ring", nil)}
		}
	case "open":
		if l.State == "open" {
			return l, kit.Refuse(kit.ErrConflict, "it is open")
		}
		l.State = "open"
	}
	return l, nil
}

// post is a service that carries letters.
func post(carry kit.Action) kit.Service {
	return kit.Service{
		Name: "post",
		Owns: []kit.Owned{kit.Own(letters, nextLetter, "open")},
		Does: kit.Does{"carry": carry},
	}
}

func await(t *testing.T, c *kittest.Cluster, id string, done func(Letter) bool) Letter {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Hour)
	defer cancel()
	l, err := letters.Await(ctx, c.Admin(), id, done)
	if err != nil {
		now, _ := letters.Read(t.Context(), c.Admin(), id)
		t.Fatalf("awaiting %s: %v; it is %+v", id, err, now)
	}
	return l
}

func send(t *testing.T, c *kittest.Cluster, id string) {
	t.Helper()
	if _, err := letters.Create(t.Context(), c.Admin(), id, Letter{To: "ada"}); err != nil {
		t.Fatalf("create: %v", err)
	}
}

// quiet returns a log into the test's output.
func quiet(t *testing.T) *slog.Logger {
	return kittest.Log(t, slog.LevelInfo)
}

func TestActionIsTriedAgainUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []time.Time
		c := kittest.Start(t, post(func(_ context.Context, r kit.Record, op kit.Op) (any, error) {
			attempts = append(attempts, time.Now())
			switch len(attempts) {
			case 1:
				return nil, errors.New("the horse is tired")
			case 2:
				panic("the horse has fallen")
			}
			return map[string]string{"by": "horse"}, nil
		}))
		send(t, c, "a")
		l := await(t, c, "a", func(l Letter) bool { return l.State == "sent" })
		if len(attempts) != 3 {
			t.Errorf("%d attempts, want 3", len(attempts))
		}
		if first := attempts[1].Sub(attempts[0]); first < 50*time.Millisecond || first > 100*time.Millisecond {
			t.Errorf("second attempt after %v, want 50 to 100 ms", first)
		}
		if len(l.Pending) != 1 || l.Pending[0].Event != "ring" {
			t.Errorf("pending %+v, want only the ring", l.Pending)
		}
	})
}

func TestActionThatFailsForGoodBecomesAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kittest.Start(t, post(func(context.Context, kit.Record, kit.Op) (any, error) {
			return nil, kit.Errorf(kit.ErrInvalid, "", "there is no such address")
		}))
		send(t, c, "a")
		l := await(t, c, "a", func(l Letter) bool { return l.State != "wanted" })
		if l.State != "failed" || l.Why != "there is no such address" {
			t.Errorf("the letter is %s because %q, want failed with the reason", l.State, l.Why)
		}
	})
}

func TestTimersFireAndCanBeSetAgainByTheirOwnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		stuck := func(ctx context.Context, _ kit.Record, _ kit.Op) (any, error) {
			<-ctx.Done() // a timer goes off though an action hangs
			return nil, ctx.Err()
		}
		c := kittest.Start(t, post(stuck))
		send(t, c, "a")
		l := await(t, c, "a", func(l Letter) bool { return l.Rings == 3 })
		if took := time.Since(began); took < 3*time.Hour || took > 3*time.Hour+time.Second {
			t.Errorf("three rings took %v, want 3 h", took)
		}
		if want := []string{"created", "ring", "ring", "ring"}; !slices.Equal(l.Log, want) {
			t.Errorf("events %v, want %v", l.Log, want)
		}
	})
}

func TestOperationThatWasNotAcknowledgedIsRepeatedByTheNextRunner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var ids []string
		inside := make(chan struct{})
		block := true
		s := post(func(ctx context.Context, _ kit.Record, op kit.Op) (any, error) {
			mu.Lock()
			ids = append(ids, op.ID)
			wait := block
			mu.Unlock()
			if wait {
				close(inside)
				<-ctx.Done()
			}
			return "carried", nil // too late to be acknowledged
		})
		c := kittest.Serve(t, s)
		stop := c.Run(s)
		send(t, c, "a")
		<-inside
		stop()
		if l, err := letters.Read(t.Context(), c.Admin(), "a"); err != nil || l.State != "wanted" || len(l.Pending) != 2 {
			t.Fatalf("after the crash the letter is %+v, %v, want both operations pending", l, err)
		}
		mu.Lock()
		block = false
		mu.Unlock()
		c.Run(s)
		await(t, c, "a", func(l Letter) bool { return l.State == "sent" })
		if want := []string{"carry 1", "carry 1"}; !slices.Equal(ids, want) {
			t.Errorf("carried out %q, want the same operation twice", ids)
		}
	})
}

// takeOver claims the tasks for a node, as the leader of a cluster does.
func takeOver(t *testing.T, c *kittest.Cluster, node string) elect.Term {
	t.Helper()
	term, err := elect.Claim(elect.Tasks, node, func(writes ...kit.Write) ([]kit.Record, error) {
		return c.Write(t.Context(), store.Proposal{Writes: writes, By: "services/task", Internal: true})
	})
	if err != nil {
		t.Fatalf("claim: %v", err)
	}
	return term
}

func TestOnlyTheLeaderCarriesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := post(func(context.Context, kit.Record, kit.Op) (any, error) { return nil, nil })
		looped := make(chan struct{}, 1)
		s.Runs = []func(context.Context) error{func(ctx context.Context) error {
			looped <- struct{}{}
			<-ctx.Done()
			return nil
		}}
		c := kittest.Serve(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		leading := make(chan elect.Term)
		done := make(chan error)
		go func() { done <- task.New(c.Client("services/post"), s, quiet(t)).Run(ctx, leading) }()
		<-looped // on every node
		send(t, c, "a")
		synctest.Wait()
		if l, _ := letters.Read(ctx, c.Admin(), "a"); l.State != "wanted" {
			t.Errorf("without leading the letter is %s, want wanted", l.State)
		}
		leading <- takeOver(t, c, "here")
		await(t, c, "a", func(l Letter) bool { return l.State == "sent" })
		leading <- elect.Term{}
		synctest.Wait()
		send(t, c, "b")
		synctest.Wait()
		if l, _ := letters.Read(ctx, c.Admin(), "b"); l.State != "wanted" {
			t.Errorf("after leading the letter is %s, want wanted", l.State)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v, want nil", err)
		}
	})
}

// Receipt is made for each letter that was sent.
type Receipt struct {
	kit.Meta
	For string `json:"for"`
}

var receipts = kit.Define[Receipt]("receipts")

// office makes receipts and opens the letters that are for grace.
type office struct {
	mu   sync.Mutex
	seen []string
	fail func(l Letter) bool
}

func (o *office) service() kit.Service {
	return kit.Service{
		Name:    "office",
		Owns:    []kit.Owned{kit.Own(receipts, nil)},
		Watches: []kit.Reaction{kit.On(letters, o.onLetter)},
		Writes:  []string{"letters"},
	}
}

func (o *office) onLetter(l Letter, _ time.Time) []kit.Op {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, fmt.Sprintf("%s@%d", l.Link.ID(), l.Version))
	if o.fail != nil && o.fail(l) {
		panic("the office burns")
	}
	if l.State != "sent" {
		return nil
	}
	return []kit.Op{
		kit.Create(receipts, l.Link.ID(), Receipt{For: l.To}),
		kit.Send(l.Link, "open", nil),
		kit.Send(l.Link, "open", nil), // refused, so dropped
	}
}

func (o *office) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := o.seen
	o.seen = nil
	return seen
}

func carried(context.Context, kit.Record, kit.Op) (any, error) { return nil, nil }

func TestReactionCreatesAndSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &office{}
		c := kittest.Start(t, post(carried), o.service())
		send(t, c, "a")
		await(t, c, "a", func(l Letter) bool { return l.State == "open" })
		if r, err := receipts.Read(t.Context(), c.Admin(), "a"); err != nil || r.For != "ada" {
			t.Errorf("the receipt is %+v, %v, want one for ada", r, err)
		}
	})
}

func TestReactionGoesOnFromItsCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &office{}
		p := post(carried)
		c := kittest.Serve(t, p, o.service())
		c.Run(p)
		stop := c.Run(o.service())
		send(t, c, "a")
		await(t, c, "a", func(l Letter) bool { return l.State == "open" })
		synctest.Wait()
		time.Sleep(time.Second) // of the bubble: the cursor is saved
		synctest.Wait()
		cursor, err := task.Cursors.Read(t.Context(), c.Admin(), "office.letters")
		if err != nil || cursor.Position == "" {
			t.Fatalf("the cursor is %+v, %v, want a position", cursor, err)
		}
		stop()
		o.take()
		send(t, c, "b")
		c.Run(o.service())
		await(t, c, "b", func(l Letter) bool { return l.State == "open" })
		for _, s := range o.take() {
			if !strings.HasPrefix(s, "b@") {
				t.Errorf("saw %s after the restart, want only b", s)
			}
		}
	})
}

func TestReactionThatFailsHoldsUpOnlyItsDocumentAndIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &office{fail: func(l Letter) bool { return l.Link.ID() == "bad" }}
		p := post(carried)
		c := kittest.Serve(t, p, o.service())
		c.Run(p)
		stop := c.Run(o.service())
		send(t, c, "bad")
		send(t, c, "good")
		await(t, c, "good", func(l Letter) bool { return l.State == "open" })
		time.Sleep(time.Minute) // of the bubble
		synctest.Wait()
		stop()
		if l, _ := letters.Read(t.Context(), c.Admin(), "bad"); l.State != "sent" {
			t.Errorf("the bad letter is %s, want sent", l.State)
		}
		o.mu.Lock()
		o.fail = nil
		o.mu.Unlock()
		c.Run(o.service())
		await(t, c, "bad", func(l Letter) bool { return l.State == "open" })
	})
}

func TestReactionBeginsAnewWhenItsCursorIsTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &office{}
		p := post(carried)
		c := kittest.Serve(t, p, o.service())
		c.Run(p)
		if _, err := task.Cursors.Create(t.Context(), c.Client("services/office"), "office.letters", task.Cursor{Position: "1.7"}); err != nil {
			t.Fatal(err)
		}
		c.Run(o.service())
		send(t, c, "a")
		await(t, c, "a", func(l Letter) bool { return l.State == "open" })
	})
}

func TestOperationsOfADocumentAreCarriedOutInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var did []string
		work := kit.Define[Letter]("works")
		s := kit.Service{
			Name: "worker",
			Owns: []kit.Owned{kit.Own(work, func(l Letter, e kit.Event, _ time.Time) (Letter, []kit.Op) {
				l.Log = append(l.Log, e.Name)
				if e.Name != "created" {
					return l, nil
				}
				return l, []kit.Op{kit.Call("step", "1", nil), kit.Call("step", "2", nil), kit.Call("step", "3", nil), kit.Call("jump", "4", nil)}
			})},
			Does: kit.Does{"step": func(_ context.Context, _ kit.Record, op kit.Op) (any, error) {
				did = append(did, op.ID)
				if len(did) == 2 {
					return nil, errors.New("not yet")
				}
				return nil, nil
			}},
		}
		c := kittest.Start(t, s)
		if _, err := work.Create(t.Context(), c.Admin(), "a", Letter{}); err != nil {
			t.Fatal(err)
		}
		l, err := work.Await(t.Context(), c.Admin(), "a", func(l Letter) bool { return len(l.Pending) == 0 })
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"step 1", "step 2", "step 2", "step 3"}; !slices.Equal(did, want) {
			t.Errorf("did %q, want %q", did, want)
		}
		if want := "jump.failed"; l.Log[len(l.Log)-1] != want {
			t.Errorf("the last event is %q, want %q: there is no such action", l.Log[len(l.Log)-1], want)
		}
	})
}

// Counter tells a board its count after each poke.
type Counter struct {
	kit.Meta
	N int `json:"n"`
}

func TestWishThatReplacesAnotherOnItsWayIsNotLost(t *testing.T) {
	counters, boards := kit.Define[Counter]("counters"), kit.Define[Counter]("boards")
	counting := kit.Service{
		Name:   "counting",
		Writes: []string{"boards"},
		Owns: []kit.Owned{kit.Own(counters, func(c Counter, e kit.Event, _ time.Time) (Counter, []kit.Op) {
			if e.Name != "poke" {
				return c, nil
			}
			c.N++
			return c, []kit.Op{kit.Send(boards.Link("a"), "show", Counter{N: c.N})}
		}, "poke")},
	}
	showing := kit.Service{
		Name: "showing",
		Owns: []kit.Owned{kit.Own(boards, func(b Counter, e kit.Event, _ time.Time) (Counter, []kit.Op) {
			if e.Name == "show" {
				_ = e.Into(&b)
			}
			return b, nil
		}, "show")},
	}
	c := kittest.Start(t, counting, showing)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, link := range []kit.Link{"counters/a", "boards/a"} {
		if _, err := c.Admin().Create(ctx, link.Kind(), link.ID(), []byte(`{"n":0}`)); err != nil {
			t.Fatal(err)
		}
	}
	const pokes = 300
	for range pokes {
		if _, err := c.Admin().Do(ctx, "counters/a", "poke", nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := boards.Await(ctx, c.Admin(), "a", func(b Counter) bool { return b.N == pokes }); err != nil {
		t.Errorf("awaiting the last count: %v", err)
	}
	if _, err := counters.Await(ctx, c.Admin(), "a", func(k Counter) bool { return len(k.Pending) == 0 }); err != nil {
		t.Errorf("awaiting that nothing is pending: %v", err)
	}
}

func TestManyDocumentsAreCarriedThroughFailuresAndRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const documents = 100
		var mu sync.Mutex
		attempts := map[kit.Link]int{}
		running, most := 0, 0
		s := post(func(_ context.Context, r kit.Record, _ kit.Op) (any, error) {
			mu.Lock()
			attempts[r.Link]++
			n := attempts[r.Link]
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(20 * time.Millisecond) // of the bubble
			mu.Lock()
			running--
			mu.Unlock()
			if n%3 != 0 {
				return nil, kit.Errorf(kit.ErrUnavailable, "", "the road is closed")
			}
			return nil, nil
		})
		c := kittest.Serve(t, s)
		for i := range documents {
			send(t, c, fmt.Sprint("l", i))
		}
		for range 5 {
			stop := c.Run(s)
			time.Sleep(150 * time.Millisecond) // of the bubble
			stop()
		}
		c.Run(s)
		for i := range documents {
			await(t, c, fmt.Sprint("l", i), func(l Letter) bool { return l.State == "sent" })
		}
		if most != 16 {
			t.Errorf("%d actions ran at once, want 16", most)
		}
	})
}
