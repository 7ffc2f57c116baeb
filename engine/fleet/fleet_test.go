package fleet

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"

	"landfall.dev/engine"
)

// machine is an engine that has what its fields say.
type machine struct {
	down   atomic.Bool
	images []string
	caches []string
	tasks  chan string // the ids of those that run
	left   []string    // of those that a killed runner left

	inUse     string // what cannot be discarded
	discarded []string
}

func (m *machine) Name() string { return "machine" }

func (m *machine) Ping(context.Context) error {
	if m.down.Load() {
		return errors.New("no route to host")
	}
	return nil
}

func (m *machine) Find(_ context.Context, ref string) (string, error) {
	if !slices.Contains(m.images, ref) {
		return "", engine.ErrNoImage
	}
	return ref + "@exact", nil
}

func (m *machine) Load(_ context.Context, _ v1.Image, ref string) error {
	m.images = append(m.images, ref)
	return nil
}

func (m *machine) Cached(_ context.Context, caches []engine.Cache) (int, error) {
	n := 0
	for _, c := range caches {
		if slices.Contains(m.caches, c.Name) {
			n++
		}
	}
	return n, nil
}

func (m *machine) Run(ctx context.Context, t engine.Task, _ io.Writer) (engine.Result, error) {
	m.tasks <- t.ID
	<-ctx.Done()
	return engine.Result{}, context.Cause(ctx)
}

func (m *machine) Resume(_ context.Context, t engine.Task, _ io.Writer) (engine.Result, error) {
	return engine.Result{Exit: 9}, nil
}
func (m *machine) Left(context.Context) ([]string, error) { return m.left, nil }

func (m *machine) Discard(_ context.Context, id string) error {
	if id == m.inUse {
		return engine.ErrInUse
	}
	m.left, m.discarded = nil, append(m.discarded, id)
	return nil
}

func newFleet(t *testing.T, members ...Member) *Fleet {
	t.Helper()
	f, err := New(members, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPlacement(t *testing.T) {
	small := &machine{images: []string{"go", "node"}, caches: []string{"modules"}}
	big := &machine{images: []string{"go", "java"}}
	tests := []struct {
		name string
		need Need
		busy []string // members with a task more
		want string
	}{
		{"where the image is", Need{Images: []string{"java"}}, []string{"big"}, "big"},
		{"where all images are", Need{Images: []string{"go", "node"}}, []string{"small"}, "small"},
		{"where the cache is, though it has more to do", Need{Images: []string{"go"}, Caches: []engine.Cache{{Name: "modules"}}}, []string{"small"}, "small"},
		{"where the least is to do", Need{Images: []string{"go"}}, []string{"small"}, "big"},
		{"where the label is", Need{Images: []string{"go"}, Labels: []string{"big"}}, []string{"big"}, "big"},
		{"where an image is that could be loaded", Need{Images: []string{"java"}, Loads: map[string]v1.Image{"java": empty.Image}}, []string{"big"}, "big"},
		{"where a missing image is loaded", Need{Images: []string{"new"}, Loads: map[string]v1.Image{"new": empty.Image}}, []string{"small"}, "big"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFleet(t, Member{"small", small, 2, nil}, Member{"big", big, 2, []string{"big", "x"}})
			for _, name := range test.busy {
				f.put("busy-"+name, f.members[slices.IndexFunc(f.members, func(m *member) bool { return m.Name == name })])
			}
			if !f.Reserve("build", test.need.Labels) {
				t.Fatal("there is no free slot")
			}
			p, err := f.Place(t.Context(), "build", test.need)
			if err != nil || p.Engine != test.want || !strings.HasPrefix(p.Images[0], test.need.Images[0]) {
				t.Errorf("got %+v, error %v; want %s", p, err, test.want)
			}
		})
	}
}

func TestAnImageThatIsNowhereIsNamed(t *testing.T) {
	f := newFleet(t, Member{"a", &machine{}, 1, nil}, Member{"b", &machine{}, 1, nil})
	f.Reserve("build", nil)
	_, err := f.Place(t.Context(), "build", Need{Images: []string{"none:1"}})
	if !errors.Is(err, engine.ErrNoImage) || !strings.Contains(err.Error(), "image none:1 is on none of the engines a, b") {
		t.Errorf("got error %v, want ErrNoImage of a and b", err)
	}
	f.Leave("build")
	if !f.Reserve("1", nil) || !f.Reserve("2", nil) || f.Reserve("3", nil) {
		t.Error("want both slots to be free, and no more")
	}
}

func TestSlotsAreTakenUntilATaskLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, Member{"a", &machine{images: []string{"go"}}, 1, nil}, Member{"b", &machine{}, 1, []string{"big"}})
		if f.Reserve("first", []string{"gpu"}) {
			t.Error("a slot with a label that no engine has was reserved")
		}
		need := Need{Images: []string{"go"}}
		f.Reserve("first", nil)
		if f.Reserve("first", nil) {
			t.Error("a slot was reserved twice for one task")
		}
		if _, err := f.Place(t.Context(), "first", need); err != nil {
			t.Fatal(err)
		}
		f.Reserve("second", nil)
		placed := make(chan error)
		go func() {
			_, err := f.Place(t.Context(), "second", need)
			placed <- err
		}()
		synctest.Wait()
		select {
		case err := <-placed:
			t.Fatalf("the second was placed, error %v, although the only engine with its image is busy", err)
		default:
		}
		f.Leave("first")
		if err := <-placed; err != nil || f.at("second").Name != "a" {
			t.Errorf("got error %v, want it at a", err)
		}
	})
}

func TestAnEngineThatDoesNotAnswerGetsNothingUntilItDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{tasks: make(chan string, 1)}
		f := newFleet(t, Member{"a", m, 2, nil})
		ctx, stop := context.WithCancel(t.Context())
		watched := make(chan error)
		go func() { watched <- f.Watch(ctx) }()
		if _, err := f.Place(ctx, "build", Need{}); err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() {
			_, err := f.Run(ctx, engine.Task{ID: "build"}, io.Discard)
			ran <- err
		}()
		<-m.tasks
		m.down.Store(true)
		for _, step := range []struct {
			after time.Duration
			free  bool
			lost  bool
		}{{14 * time.Second, true, false}, {2 * time.Second, false, false}, {43 * time.Second, false, false}, {3 * time.Second, false, true}} {
			time.Sleep(step.after) // in the bubble's time
			synctest.Wait()
			if free := f.Reserve("other", nil); free != step.free {
				t.Errorf("%s later: a slot is free: %v, want %v", step.after, free, step.free)
			}
			f.Leave("other")
			select {
			case err := <-ran:
				if !step.lost || !strings.Contains(err.Error(), "engine a has not answered for 1m0s: no route to host") {
					t.Errorf("%s later the task ended with %v", step.after, err)
				}
			default:
				if step.lost {
					t.Error("the task of a lost engine was not given up")
				}
			}
		}
		f.Leave("build")
		changed := f.Changed()
		m.down.Store(false)
		<-changed
		if !f.Reserve("build", nil) {
			t.Error("the engine answers again, but has no free slot")
		}
		stop()
		<-watched
	})
}

func TestATaskIsResumedWhereItIs(t *testing.T) {
	a, b := &machine{}, &machine{left: []string{"build"}}
	f := newFleet(t, Member{"a", a, 1, nil}, Member{"b", b, 1, nil})
	if ids, err := f.Left(t.Context()); err != nil || !slices.Equal(ids, []string{"build"}) {
		t.Errorf("left: got %q, error %v", ids, err)
	}
	if r, err := f.Resume(t.Context(), engine.Task{ID: "build"}, io.Discard); err != nil || r.Exit != 9 || f.at("build").Name != "b" {
		t.Errorf("got %+v, error %v; want what b says", r, err)
	}
	if _, err := f.Resume(t.Context(), engine.Task{ID: "other"}, io.Discard); !errors.Is(err, engine.ErrNoTask) {
		t.Errorf("a task that is nowhere: got error %v, want ErrNoTask", err)
	}
}

func TestWhatATaskHasTakenOverIsDiscardedAfterIt(t *testing.T) {
	m := &machine{left: []string{"spare-1"}, inUse: "spare-1"}
	f := newFleet(t, Member{"near", m, 1, nil})
	if err := f.Clear(t.Context(), nil); err != nil {
		t.Errorf("clear while it is in use: %v", err)
	}
	m.inUse, m.left = "", nil
	if f.Check(t.Context()); !slices.Equal(m.discarded, []string{"spare-1"}) {
		t.Errorf("discarded are %q, want what is not in use any more", m.discarded)
	}
}

func TestWhatAnEngineHasLeftIsDiscardedWhenItAnswersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &machine{images: []string{"go"}, tasks: make(chan string, 1), left: []string{"of-an-earlier-run", "kept"}}
		far.down.Store(true)
		f := newFleet(t, Member{"far", far, 2, nil})
		f.Check(t.Context())
		if err := errors.Join(f.Clear(t.Context(), []string{"kept"}), f.Discard(t.Context(), "ended")); err != nil {
			t.Errorf("at an engine that does not answer: %v", err)
		}
		f.Check(t.Context())
		if len(far.discarded) > 0 {
			t.Errorf("discarded are %q before the engine has answered", far.discarded)
		}
		far.down.Store(false)
		f.Check(t.Context())
		if want := []string{"of-an-earlier-run", "ended"}; !slices.Equal(far.discarded, want) {
			t.Errorf("discarded are %q, want %q", far.discarded, want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := f.Run(ctx, engine.Task{ID: "at-work", Image: "go", Spare: "spare-1"}, io.Discard)
			ended <- err
		}()
		<-far.tasks
		f.owe(f.members[0], "at-work")
		far.discarded = nil
		if f.Check(t.Context()); len(far.discarded) > 0 {
			t.Errorf("discarded are %q, and one of these is at work", far.discarded)
		}
		cancel()
		<-ended
		f.Check(t.Context())
		if slices.Sort(far.discarded); !slices.Equal(far.discarded, []string{"at-work", "spare-1"}) {
			t.Errorf("discarded are %q, want what has ended, and what was prepared for it", far.discarded)
		}
		if f.Check(t.Context()); len(far.discarded) != 2 {
			t.Errorf("discarded are %q, want nothing twice", far.discarded)
		}
	})
}
