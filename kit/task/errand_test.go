package task_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/elect"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/task"
)

// Trip is a document that wishes for one action, made by the test.
type Trip struct {
	kit.Meta
	State string   `json:"state"`
	Log   []string `json:"log,omitempty"`
	Why   string   `json:"why,omitempty"`
}

var trips = kit.Define[Trip]("trips")

// travel is a service whose trips wish for op, and for its cancellation when
// they are told to stay.
func travel(op func(now time.Time) kit.Op, does kit.Action) kit.Service {
	next := func(d Trip, e kit.Event, now time.Time) (Trip, []kit.Op) {
		d.Log = append(d.Log, e.Name)
		switch e.Name {
		case "created":
			return d, []kit.Op{op(now)}
		case "stay":
			d.State = "at home"
			return d, []kit.Op{kit.Cancel("go 1")}
		case "go.done":
			var by string
			_ = e.Into(&by)
			d.State, d.Why = "there", by
		case "go.failed", "send.failed":
			var why struct{ Error string }
			_ = e.Into(&why)
			d.State, d.Why = "failed", why.Error
		}
		return d, nil
	}
	return kit.Service{
		Name:   "travel",
		Owns:   []kit.Owned{kit.Own(trips, next, "stay")},
		Writes: []string{"letters"},
		Does:   kit.Does{"go": does},
	}
}

func plain(time.Time) kit.Op { return kit.Call("go", "1", nil) }

func depart(t *testing.T, c *kittest.Cluster) {
	t.Helper()
	if _, err := trips.Create(t.Context(), c.Admin(), "a", Trip{}); err != nil {
		t.Fatalf("create: %v", err)
	}
}

func arrive(t *testing.T, c *kittest.Cluster) Trip {
	t.Helper()
	d, err := trips.Await(t.Context(), c.Admin(), "a", func(d Trip) bool { return d.State != "" })
	if err != nil {
		t.Fatalf("awaiting the end of the trip: %v", err)
	}
	return d
}

func stepsOf(t *testing.T, c *kittest.Cluster) []task.Step {
	t.Helper()
	s, err := task.AllSteps.Read(t.Context(), c.Admin(), "trips.a")
	if err != nil {
		t.Fatalf("steps: %v", err)
	}
	return s.Steps
}

// runTerm runs s for the node in a new term until the test ends or stop is
// called.
func runTerm(t *testing.T, c *kittest.Cluster, s kit.Service, node string) (term elect.Term, stop func()) {
	t.Helper()
	term = takeOver(t, c, node)
	ctx, cancel := context.WithCancel(context.Background())
	terms, done := make(chan elect.Term, 1), make(chan struct{})
	terms <- term
	go func() {
		defer close(done)
		if err := task.New(c.Client("services/"+s.Name), s, quiet(t)).Run(ctx, terms); err != nil {
			t.Errorf("running %s on %s: %v", s.Name, node, err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return term, stop
}

func TestCancelEndsTheRunningActionAndNothingTellsOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		began := make(chan struct{})
		c := kittest.Start(t, travel(plain, func(ctx context.Context, _ kit.Record, _ kit.Op) (any, error) {
			close(began)
			<-ctx.Done()
			cause = context.Cause(ctx)
			return nil, ctx.Err()
		}))
		depart(t, c)
		<-began
		if _, err := trips.Send(t.Context(), c.Admin(), "a", "stay", nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if cause == nil || cause.Error() != "the operation was cancelled" {
			t.Errorf("the cause is %v, want that it was cancelled", cause)
		}
		d := arrive(t, c)
		if want := []string{"created", "stay"}; !slices.Equal(d.Log, want) || len(d.Pending) != 0 {
			t.Errorf("events %v, pending %v; want %v and nothing", d.Log, d.Pending, want)
		}
		if s := stepsOf(t, c); len(s) != 1 || s[0].Attempts[0].Outcome != task.Cancelled {
			t.Errorf("the steps are %+v, want a cancelled one", s)
		}
	})
}

func TestOperationIsGivenUpAfterItsAttemptsOnAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := func(time.Time) kit.Op {
			return kit.Call("go", "1", nil).Retried(kit.Retry{Attempts: 4, First: time.Minute, Longest: 3 * time.Minute, Multiplier: 10})
		}
		var mu sync.Mutex
		var at []time.Time
		s := travel(op, func(context.Context, kit.Record, kit.Op) (any, error) {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			return nil, errors.New("no train")
		})
		attempts := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(at)
		}
		c := kittest.Serve(t, s)
		_, stop := runTerm(t, c, s, "one")
		depart(t, c)
		for attempts() < 2 {
			time.Sleep(time.Second) // of the bubble
			synctest.Wait()
		}
		stop()
		_, _ = runTerm(t, c, s, "two")
		d := arrive(t, c)
		if d.State != "failed" || d.Why != "given up after 4 attempts: no train" {
			t.Errorf("the trip is %s because %q, want given up", d.State, d.Why)
		}
		if attempts() != 4 {
			t.Fatalf("%d attempts, want 4", attempts())
		}
		if first := at[1].Sub(at[0]); first < 30*time.Second || first > 61*time.Second {
			t.Errorf("the first pause is %v, want 30 s to 1 min", first)
		}
		if last := at[3].Sub(at[2]); last < 30*time.Second || last > 3*time.Minute+time.Second {
			t.Errorf("the last pause is %v, want at most 3 min", last)
		}
	})
}

func TestPauseGrowsToTheLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := func(time.Time) kit.Op {
			return kit.Call("go", "1", nil).Retried(kit.Retry{First: time.Minute, Longest: 3 * time.Minute, Multiplier: 10})
		}
		var at []time.Time
		c := kittest.Start(t, travel(op, func(context.Context, kit.Record, kit.Op) (any, error) {
			if at = append(at, time.Now()); len(at) < 100 {
				return nil, errors.New("no train")
			}
			return nil, nil
		}))
		depart(t, c)
		arrive(t, c)
		for i := range at[2:] {
			if d := at[i+2].Sub(at[i+1]); d < 90*time.Second || d > 3*time.Minute+time.Second {
				t.Errorf("pause %d is %v, want 1.5 to 3 min", i+2, d)
			}
		}
	})
}

func TestDeadlineEndsTheActionAndItsRepetition(t *testing.T) {
	fails := func(context.Context, kit.Record, kit.Op) (any, error) { return nil, errors.New("no train") }
	hangs := func(ctx context.Context, _ kit.Record, _ kit.Op) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for name, does := range map[string]kit.Action{"it hangs": hangs, "it fails": fails} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				c := kittest.Start(t, travel(func(now time.Time) kit.Op { return kit.Call("go", "1", nil).Before(now.Add(time.Hour)) }, does))
				depart(t, c)
				d := arrive(t, c)
				if d.State != "failed" || d.Why != "deadline exceeded" {
					t.Errorf("the trip is %s because %q, want the deadline", d.State, d.Why)
				}
				if took := time.Since(began); took < time.Hour-time.Second || took > time.Hour+time.Second {
					t.Errorf("it took %v, want 1 h", took)
				}
				steps := stepsOf(t, c)
				last := steps[0].Attempts[len(steps[0].Attempts)-1]
				if last.Outcome != task.Failed || last.Error != "deadline exceeded" {
					t.Errorf("the last attempt is %+v, want that it failed by the deadline", last)
				}
			})
		})
	}
}

func TestSendPastItsDeadlineFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := travel(func(now time.Time) kit.Op {
			op := kit.SendAt(now.Add(time.Hour), "letters/none", "open", nil)
			return op.Before(now.Add(time.Minute))
		}, nil)
		c := kittest.Start(t, s, post(carried))
		depart(t, c)
		if d := arrive(t, c); d.Why != "deadline exceeded" {
			t.Errorf("the trip is %+v, want failed by the deadline", d)
		}
	})
}

func TestProgressIsKeptNowAndThenAndSurvivesTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var resumed kit.Report
		var block atomic.Bool
		block.Store(true)
		s := travel(plain, func(ctx context.Context, _ kit.Record, _ kit.Op) (any, error) {
			resumed = kit.LastProgress(ctx)
			for i := resumed.Done; i < 1000; i++ {
				kit.Progress(ctx, i, 1000, fmt.Sprint("mile ", i))
				if i == 500 && block.Load() {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				time.Sleep(10 * time.Millisecond) // of the bubble
			}
			return nil, nil
		})
		c := kittest.Serve(t, s)
		_, stop := runTerm(t, c, s, "one")
		depart(t, c)
		time.Sleep(10 * time.Second) // of the bubble
		synctest.Wait()
		steps, err := task.AllSteps.Read(t.Context(), c.Admin(), "trips.a")
		if err != nil {
			t.Fatal(err)
		}
		if p := steps.Steps[0].Progress; p == nil || *p != (kit.Report{Done: 500, Total: 1000, Note: "mile 500"}) {
			t.Errorf("progress %+v, want mile 500", p)
		}
		if steps.Version > 8 {
			t.Errorf("501 reports in 5 s made %d changes, want about one a second", steps.Version)
		}
		if a := steps.Steps[0].Attempts; len(a) != 1 || a[0].Outcome != task.Running || a[0].Node != "one" {
			t.Errorf("attempts %+v, want one that runs on one", a)
		}
		stop()
		block.Store(false)
		_, _ = runTerm(t, c, s, "two")
		arrive(t, c)
		if resumed.Done != 500 {
			t.Errorf("the second node began at %+v, want mile 500", resumed)
		}
	})
}

func TestStepsTellWhatBecameOfEachOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s := travel(plain, func(context.Context, kit.Record, kit.Op) (any, error) {
			switch n++; {
			case n <= 20:
				return nil, errors.New("no train" + strings.Repeat("!", 1000))
			case n == 21:
				return nil, errors.New("no ticket")
			}
			return nil, nil
		})
		c := kittest.Serve(t, s)
		term, _ := runTerm(t, c, s, "one")
		depart(t, c)
		arrive(t, c)
		steps := stepsOf(t, c)
		if len(steps) != 1 || steps[0].Op != "go 1" || steps[0].Count != 22 {
			t.Fatalf("the steps are %+v, want one of 22 attempts", steps)
		}
		var got []string
		for _, a := range steps[0].Attempts {
			got = append(got, fmt.Sprint(a.Count, " ", a.Outcome))
			if a.Node != "one" || a.Fence != term.Fence || a.Ended.Before(a.Began) {
				t.Errorf("attempt %+v, want one on node one under %d", a, term.Fence)
			}
		}
		if want := []string{"20 failing", "1 failing", "1 done"}; !slices.Equal(got, want) {
			t.Errorf("attempts %q, want %q", got, want)
		}
		if text := steps[0].Attempts[0].Error; len(text) > 310 {
			t.Errorf("an error of %d bytes is kept", len(text))
		}
		kept, err := task.AllSteps.Read(t.Context(), c.Admin(), "trips.a")
		if err != nil || kept.Expires.Sub(kept.Updated).Round(time.Hour) != 7*24*time.Hour {
			t.Errorf("the steps are kept from %v until %v, %v; want a week", kept.Updated, kept.Expires, err)
		}
	})
}

func TestStepsOfADocumentAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := travel(plain, nil)
		c := kittest.Serve(t, s)
		owner := c.Client("services/travel")
		for i := range 50 {
			note := task.Steps{Note: &task.Note{Op: fmt.Sprint("go ", i), Attempt: task.Attempt{Outcome: task.Done}}}
			body, _ := json.Marshal(note)
			_, err := owner.Update(t.Context(), "steps/trips.a", body, 0)
			if errors.Is(err, kit.ErrNotFound) {
				_, err = owner.Create(t.Context(), "steps", "trips.a", body)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if steps := stepsOf(t, c); len(steps) != 20 || steps[19].Op != "go 49" {
			t.Errorf("%d steps are kept, want the last 20", len(steps))
		}
		if _, err := owner.Create(t.Context(), "steps", "letters.a", []byte("{}")); !errors.Is(err, kit.ErrForbidden) {
			t.Errorf("writing the steps of another's document gave %v, want that it is forbidden", err)
		}
	})
}

func TestDeposedNodeCanAcknowledgeAndSendNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inside := make(chan int64)
		release := make(chan struct{})
		var mu sync.Mutex
		byFence := map[int64]string{}
		late := func(ctx context.Context, _ kit.Record, _ kit.Op) (any, error) {
			inside <- kit.FenceOf(ctx)
			<-release // it is paused: not even the end of its context is seen
			return "one", nil
		}
		prompt := func(ctx context.Context, _ kit.Record, _ kit.Op) (any, error) {
			mu.Lock()
			byFence[kit.FenceOf(ctx)] = "two"
			mu.Unlock()
			return "two", nil
		}
		old := travel(plain, late)
		c := kittest.Serve(t, old, post(carried))
		first, _ := runTerm(t, c, old, "one")
		depart(t, c)
		if fence := <-inside; fence != first.Fence {
			t.Errorf("the action has the fencing number %d, want %d", fence, first.Fence)
		}
		second, _ := runTerm(t, c, travel(plain, prompt), "two")
		if second.Fence <= first.Fence {
			t.Errorf("the fencing number went from %d to %d", first.Fence, second.Fence)
		}
		if d := arrive(t, c); d.Why != "two" {
			t.Errorf("the trip was made by %q, want two", d.Why)
		}
		close(release)
		synctest.Wait()
		d, err := trips.Read(t.Context(), c.Admin(), "a")
		if err != nil || d.Why != "two" || len(d.Log) != 2 {
			t.Errorf("after the late acknowledgement the trip is %+v, %v; want it unchanged", d, err)
		}
		if byFence[second.Fence] != "two" {
			t.Errorf("the second node acted as %v, want under %d", byFence, second.Fence)
		}
		ended := make(chan struct{})
		writes := first.Fenced(c.Client("services/travel"), func(error) { close(ended) })
		if _, err := writes.Create(t.Context(), "letters", "late", []byte("{}")); !first.Ended(err) {
			t.Errorf("a create of the first term gave %v, want that the term is over", err)
		}
		<-ended
		if _, err := second.Fenced(c.Client("services/travel"), nil).Create(t.Context(), "letters", "new", []byte("{}")); err != nil {
			t.Errorf("a create of the second term: %v", err)
		}
	})
}

func TestOperationsWithoutTheNewFieldsAreWrittenAsBefore(t *testing.T) {
	b, err := json.Marshal(kit.Call("go", "1", nil))
	if want := `{"id":"go 1","do":"go"}`; err != nil || string(b) != want {
		t.Errorf("an operation is written as %s, %v; want %s", b, err, want)
	}
}
