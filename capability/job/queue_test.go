package job

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// waiting returns a build of the class and project that was queued ago.
func waiting(class api.BuildClass, project string, ago time.Duration) api.Build {
	b := api.Build{Project: project, State: api.BuildQueued, Queued: start.Add(-ago)}
	b.Link = api.Builds.Link(fmt.Sprintf("%s-%s-%d", class, project, int(ago.Seconds())))
	switch class {
	case api.ClassGate:
		b.Run, b.Change = "runs/x", "changes/1"
	case api.ClassLanded:
		b.Run = "runs/x"
	case api.ClassHand:
		b.Author = "users/ada"
	case api.ClassSchedule:
		b.Source = "schedules/ledger~nightly"
	}
	return b
}

func TestTheOrderOfTheQueue(t *testing.T) {
	const gate, landed, hand, schedule = api.ClassGate, api.ClassLanded, api.ClassHand, api.ClassSchedule
	at := func(n int) time.Duration { return time.Duration(n) * time.Second }
	for _, test := range []struct {
		name    string
		running []string // projects
		queued  []api.Build
		want    []string
	}{
		{"class by class", nil,
			[]api.Build{waiting(schedule, "a", at(9)), waiting(hand, "a", at(8)), waiting(landed, "a", at(7)), waiting(gate, "a", at(6))},
			[]string{"gate-a-6", "landed-a-7", "hand-a-8", "schedule-a-9"}},
		{"the oldest of a class first", nil,
			[]api.Build{waiting(gate, "a", at(1)), waiting(gate, "a", at(3)), waiting(gate, "a", at(2))},
			[]string{"gate-a-3", "gate-a-2", "gate-a-1"}},
		{"projects in turn", nil,
			[]api.Build{waiting(gate, "a", at(9)), waiting(gate, "a", at(8)), waiting(gate, "a", at(7)), waiting(gate, "b", at(2)), waiting(gate, "b", at(1))},
			[]string{"gate-a-9", "gate-b-2", "gate-a-8", "gate-b-1", "gate-a-7"}},
		{"who has builds at work waits", []string{"a", "a", "b"},
			[]api.Build{waiting(gate, "a", at(9)), waiting(gate, "b", at(8)), waiting(gate, "c", at(1))},
			[]string{"gate-c-1", "gate-b-8", "gate-a-9"}},
		{"but not for lower classes", []string{"a", "a", "b"},
			[]api.Build{waiting(gate, "a", at(9)), waiting(landed, "b", at(8))},
			[]string{"gate-a-9", "landed-b-8"}},
		{"who waits ten minutes counts as of the class before", nil,
			[]api.Build{waiting(gate, "a", at(1)), waiting(landed, "a", at(599)), waiting(landed, "a", at(601))},
			[]string{"landed-a-601", "gate-a-1", "landed-a-599"}},
		{"who waits long enough is before all", []string{"a", "a", "a"},
			[]api.Build{waiting(gate, "b", at(1)), waiting(schedule, "a", at(2400))},
			[]string{"schedule-a-2400", "gate-b-1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var running []api.Build
			for _, p := range test.running {
				running = append(running, api.Build{Project: p, State: api.BuildRunning})
			}
			var got []string
			for i, p := range line(test.queued, running, start) {
				got = append(got, p.Build.ID())
				if p.Position != i+1 {
					t.Errorf("%s is at %d, want %d", p.Build, p.Position, i+1)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("the order is %q, want %q", got, test.want)
			}
		})
	}
}

func TestThePlacesSayWhatTheyWaitFor(t *testing.T) {
	places := line([]api.Build{
		waiting(api.ClassGate, "a", 3*time.Second), waiting(api.ClassGate, "a", 2*time.Second), waiting(api.ClassGate, "b", time.Second),
		waiting(api.ClassSchedule, "b", 11*time.Minute),
	}, nil, start)
	var got []string
	for _, p := range places {
		got = append(got, p.Why)
	}
	want := []string{
		"for a free runner",
		"behind 1 queued before it",
		"behind 1 queued before it, 1 of projects with fewer builds",
		"behind 3 of a higher class; moved up after 10m0s",
	}
	if !slices.Equal(got, want) {
		t.Errorf("they wait %q, want %q", got, want)
	}
}

func TestTheQueueIsServed(t *testing.T) {
	h := newHub(t)
	h.define("c1", "true", "gate")
	first := h.build("gate", queued)
	second := h.build("gate", queued)
	_, body := h.call("users/admin", "GET", "/job/queue", "")
	for _, want := range []string{`"build":"` + string(first.Link) + `"`, `"build":"` + string(second.Link) + `"`, `"position":2`, `"class":"hand"`, "behind 1 queued before it"} {
		if !strings.Contains(body, want) {
			t.Errorf("the queue is %s, want %s in it", body, want)
		}
	}
	h.send(first, "lease", api.LeaseArgs{Runner: "r1"})
	if _, body := h.call("users/admin", "GET", "/job/queue", ""); strings.Contains(body, string(first.Link)) {
		t.Errorf("a leased build is in the queue: %s", body)
	}
	if status, _ := h.call("users/eve", "GET", "/job/queue", ""); status != int(kit.ErrForbidden) {
		t.Errorf("the queue without a role: %d, want 403", status)
	}
}
