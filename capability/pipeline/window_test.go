package pipeline

import (
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
)

// begin is a Friday at 03:04:05 UTC.
var office = &api.Window{Times: []string{"Mon-Thu 08:00-16:00"}, Zone: "Europe/Berlin"}

// atOffice is when the office opens after begin: on Monday, 07:00 UTC.
var atOffice = time.Date(2026, 1, 5, 7, 0, 0, 0, time.UTC)

func inOffice(needs ...string) api.Node {
	n := build("b", needs...)
	n.Window = office
	return n
}

func TestWhatHasAWindowWaitsUntilItOpens(t *testing.T) {
	w := newTrial(t, build("a"), inOffice("a"))
	if !w.run.Wake.IsZero() {
		t.Errorf("before anything waits for the window the run wakes at %v, want never", w.run.Wake)
	}
	w.ends("a", 1, passed)
	w.expect("outside of the window", running, pass, waiting)
	w.wishes("send runs/r wake")
	n := w.run.Nodes[1]
	if want := "waits until Mon 2026-01-05 08:00 CET for its window, Mon-Thu 08:00-16:00 in Europe/Berlin"; n.Error != want || !n.Until.Equal(atOffice) || !w.run.Wake.Equal(atOffice) {
		t.Errorf("it says %q, until %v, and wakes at %v, want %q", n.Error, n.Until, w.run.Wake, want)
	}
	w.now = atOffice
	w.does("wake", "services/pipeline", nil)
	w.wishes("create builds/r.b.1")
	if n := w.run.Nodes[1]; n.Error != "" || !n.Until.IsZero() {
		t.Errorf("in the window it says %q, until %v, want nothing", n.Error, n.Until)
	}
}

func TestAPersonWithAReasonDoesNotWaitForAWindow(t *testing.T) {
	w := newTrial(t, build("a"), inOffice("a"))
	override := func(reason string) string { return w.does("override", "users/rita", api.OverrideArgs{Reason: reason}) }
	if why := override("now"); why != "nothing of the run waits for its window" {
		t.Errorf("before it waits: %q", why)
	}
	w.ends("a", 1, passed)
	if why := override(" "); !strings.Contains(why, "give the reason") {
		t.Errorf("without a reason: %q", why)
	}
	if why := override("customers wait"); why != "" {
		t.Fatal(why)
	}
	w.wishes("create builds/r.b.1", "cancel")
	w.expect("after it", running, pass, running)
	if o := w.run.Nodes[1].Override; o == nil || *o != (api.Override{By: "users/rita", At: begin, Reason: "customers wait"}) {
		t.Errorf("kept %+v, want who did so and why", o)
	}
}

// A lock is taken only when its window is open, and given back if it comes too
// late. A run that is cancelled waits for nothing.
func TestABlockWaitsForItsWindowWithoutItsLock(t *testing.T) {
	w := newTrialOf(t, api.Plan{
		Blocks: []api.Block{{ID: "#1", Type: api.BlockLock, Locks: []string{"production"}, Window: office}},
		Nodes:  []api.Node{{ID: "b", Type: api.NodeBuild, Job: "b", In: "#1"}},
	})
	gets := func(attempt int) {
		w.does("locked", "services/pipeline", granted{Lock: "production", Block: "#1", Attempt: attempt})
	}
	w.expect("outside of the window", running, waiting)
	w.wishes("send runs/r wake")
	w.now = atOffice
	w.does("wake", "services/pipeline", nil)
	w.wishes("create run-locks/production", "send run-locks/production acquire")
	w.now = atOffice.Add(10 * time.Hour) // the line was long
	gets(1)
	w.expect("with the lock, but late", running, waiting)
	w.wishes("send run-locks/production release", "send runs/r wake")
	if b := w.run.Blocks[0]; b.State != waiting || b.Held != nil || !b.Until.Equal(atOffice.AddDate(0, 0, 1)) {
		t.Errorf("with the lock, but late, the block is %+v, want it waiting for the next morning", b)
	}
	w.now = atOffice.AddDate(0, 0, 1)
	w.does("wake", "services/pipeline", nil)
	w.wishes("create run-locks/production", "send run-locks/production acquire")
	gets(2)
	w.expect("with the lock, in time", running, running)
	w.does("cancel", "users/ada", nil)
	w.wishes("send builds/r.b.1 cancel", "send run-locks/production release")
	w.expect("cancelled", cancelled, cancelled)
}
