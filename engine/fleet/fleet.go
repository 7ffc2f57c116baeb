// Package fleet makes one of several engines for tasks, such as the Docker
// daemons that a runner drives.
//
// It watches whether they answer: one that does not three times in a row, within
// 15 seconds, is suspect and gets no new task until it answers again. After a
// minute its tasks are given up.
//
//	answers ──three misses──▶ suspect ──nine more──▶ lost: its tasks end
//	   ▲                         │                      │
//	   └────────answers──────────┴──────────────────────┘
//
// What a task has left at an engine that did not answer is removed when it does.
//
// A task is placed where its images are, there where most of its caches are, and
// there where the smallest share of the slots is taken. It never moves a task,
// nor an image.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"landfall.dev/engine"
)

const (
	// pingEvery is the time between two questions to an engine, and what it has
	// for the answer.
	pingEvery = 5 * time.Second

	suspectAfter = 3  // misses in turn
	lostAfter    = 12 // likewise
)

// Member is an engine of a fleet.
type Member struct {
	Name   string // letters, digits, '.', '_', '-'
	Engine engine.Tasks
	// Slots is how many tasks it runs at once.
	Slots int
	// Labels are what tasks may ask for: "big", "gpu".
	Labels []string
}

// Fleet is an engine.Tasks, and an engine.Resumer where its members are. Its
// methods may be called concurrently.
type Fleet struct {
	log *slog.Logger

	mu       sync.Mutex
	members  []*member
	placed   map[string]*member // by the task's id
	reserved map[string]bool    // tasks that Place will find a slot for
	kept     []string           // tasks that Clear left alone
	changed  chan struct{}      // closed when there may be a slot
}

// member is a Member and what is known of it.
type member struct {
	Member
	used   int
	misses int
	since  time.Time                          // of the first miss; zero if it answers
	err    error                              // of the last
	lose   map[string]context.CancelCauseFunc // of the tasks that run, by id

	owed    map[string]bool // tasks that are still to be discarded
	unswept bool            // it may have tasks of another time
}

func (m *member) suspect() bool { return m.misses >= suspectAfter }

// lacks returns the first of the labels that m does not have.
func (m *member) lacks(labels []string) string {
	for _, l := range labels {
		if !slices.Contains(m.Labels, l) {
			return l
		}
	}
	return ""
}

// New returns a fleet of the members, which answer as far as it knows.
func New(members []Member, log *slog.Logger) (*Fleet, error) {
	f := &Fleet{log: log, placed: map[string]*member{}, reserved: map[string]bool{}, changed: make(chan struct{})}
	for _, m := range members {
		if err := engine.CheckName("engine", m.Name); err != nil {
			return nil, err
		}
		if m.Slots < 1 {
			return nil, fmt.Errorf("engine %s has %d slots: it needs one at least", m.Name, m.Slots)
		}
		if slices.ContainsFunc(f.members, func(o *member) bool { return o.Name == m.Name }) {
			return nil, fmt.Errorf("two engines have the name %s", m.Name)
		}
		f.members = append(f.members, &member{Member: m, lose: map[string]context.CancelCauseFunc{}, owed: map[string]bool{}})
	}
	if len(members) == 0 {
		return nil, errors.New("a runner needs an engine")
	}
	return f, nil
}

// Name is that of the first member's kind: "docker".
func (f *Fleet) Name() string { return f.members[0].Engine.Name() }

// Slots is how many tasks run at once in all.
func (f *Fleet) Slots() int {
	n := 0
	for _, m := range f.members {
		n += m.Slots
	}
	return n
}

// Watch asks the members whether they are there until ctx ends. Tasks can be
// placed from the first answers on.
func (f *Fleet) Watch(ctx context.Context) error {
	ticks := time.NewTicker(pingEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticks.C:
			f.ask(ctx, 1)
		}
	}
}

// Check asks the members once. One that does not answer is suspect at once.
func (f *Fleet) Check(ctx context.Context) { f.ask(ctx, suspectAfter) }

// ask asks all members at once. A missing answer counts as so many.
func (f *Fleet) ask(ctx context.Context, weight int) {
	var wait sync.WaitGroup
	for _, m := range f.members {
		h, ok := m.Engine.(engine.Host)
		if !ok {
			continue // it is this machine
		}
		wait.Go(func() {
			ping, cancel := context.WithTimeout(ctx, pingEvery)
			defer cancel()
			err := h.Ping(ping)
			if err == nil {
				if left := f.settle(ping, m); left != nil {
					f.log.Warn("left what a task has made", "err", left)
				}
			}
			if ctx.Err() == nil {
				f.heard(m, err, weight)
			}
		})
	}
	wait.Wait()
}

func (f *Fleet) heard(m *member, err error, weight int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := m.suspect()
	if err == nil {
		m.misses, m.since, m.err = 0, time.Time{}, nil
		if was {
			f.log.Info("engine answered again", "engine", m.Name)
			f.wake()
		}
		return
	}
	if m.misses == 0 {
		m.since = time.Now()
	}
	m.misses, m.err = m.misses+weight, err
	if m.suspect() && !was {
		f.log.Warn("engine did not answer: it gets no builds", "engine", m.Name, "err", err)
	}
	if m.misses < lostAfter {
		return
	}
	for _, lose := range m.lose {
		lose(fmt.Errorf("engine %s has not answered for %s: %w", m.Name, lostAfter*pingEvery, err))
	}
}

// wake tells all that wait for a slot. f.mu is held.
func (f *Fleet) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// Changed returns a channel that is closed when there may be a free slot that
// was not there before.
func (f *Fleet) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// Reserve makes sure of a slot, of a member with all of the labels, for a task that
// is to be placed. It is false if there is none, or if the task has one already.
// Leave gives the slot back.
func (f *Fleet) Reserve(id string, labels []string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reserved[id] || f.placed[id] != nil {
		return false
	}
	free, fits := -len(f.reserved), false
	for _, m := range f.members {
		if room := m.Slots - m.used; !m.suspect() && room > 0 {
			free += room
			fits = fits || m.lacks(labels) == ""
		}
	}
	if free <= 0 || !fits {
		return false
	}
	f.reserved[id] = true
	return true
}
