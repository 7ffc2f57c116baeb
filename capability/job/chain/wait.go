// Package chain is how builds wait for one another and start one another: the
// part of a build's life that concerns others.
//
// It is pure, like the life of a build itself. A build that waits for a lock,
// for the next time that it is tried or for the builds of its matrix is in the
// state waiting.
package chain

import (
	"fmt"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/job/lock"
	"landfall.dev/kit"
)

// lockLink is the lock of the build's project.
func lockLink(b api.Build, l api.LockUse) kit.Link {
	return lock.All.Link(b.Project + "~" + l.Name)
}

// Claim asks for the next lock that b does not hold yet; with all of them it is
// queued, or the builds of its matrix are. Because all builds go through the locks by name, none waits for
// another in a circle.
func Claim(b api.Build, now time.Time) (api.Build, []kit.Op) {
	b.State = api.BuildWaiting
	switch {
	case b.Held < len(b.Spec.Locks):
	case b.Spec.Matrix != nil:
		return split(b, now)
	default:
		b.State, b.Queued = api.BuildQueued, now
		return b, nil
	}
	use := b.Spec.Locks[b.Held]
	link := lockLink(b, use)
	return b, []kit.Op{
		kit.Create(lock.All, link.ID(), lock.Lock{Room: use.Room}),
		kit.Send(link, "want", lock.Want{Build: b.Link, Room: use.Room, Part: use.Part}),
	}
}

// Granted takes in that b has a lock that it has asked for.
func Granted(b api.Build, e kit.Event, now time.Time) (api.Build, []kit.Op) {
	var g lock.Grant
	if err := e.Into(&g); err != nil {
		return b, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if b.State.Done() { // it was cancelled while it waited
		return b, []kit.Op{kit.Send(g.Lock, "free", lock.Free{Build: b.Link})}
	}
	if b.State != api.BuildWaiting || b.Held >= len(b.Spec.Locks) || lockLink(b, b.Spec.Locks[b.Held]) != g.Lock {
		return b, nil // told again
	}
	b.Held++
	return Claim(b, now)
}

// Free gives back the locks of b.
func Free(b api.Build) []kit.Op {
	if b.Spec == nil {
		return nil
	}
	var ops []kit.Op
	for _, use := range b.Spec.Locks {
		ops = append(ops, kit.Send(lockLink(b, use), "free", lock.Free{Build: b.Link}))
	}
	return ops
}

// Later makes b wait for the next time that it is tried. It holds no locks
// meanwhile.
func Later(b api.Build, a api.FinishArgs, now time.Time) (api.Build, []kit.Op) {
	ops := Free(b)
	at := now.Add(b.Spec.Retry.Pause(b.Retries))
	b.Retries++
	b.State, b.Held, b.Runner, b.LeaseUntil = api.BuildWaiting, 0, "", time.Time{}
	b.Result, b.Error = a.Result, fmt.Sprintf("attempt %d: %s; it is tried again", b.Attempt, a.Error)
	return b, append(ops, kit.SendAt(at, b.Link, "again", nil))
}

// Again queues b anew.
func Again(b api.Build, now time.Time) (api.Build, []kit.Op) {
	if b.State != api.BuildWaiting {
		return b, nil
	}
	b.Error, b.Result = "", ""
	return Claim(b, now)
}

// split orders the builds of the cells of b's matrix, or the first if they are
// to run one after the other.
func split(b api.Build, now time.Time) (api.Build, []kit.Op) {
	m := b.Spec.Matrix
	b.Started = now
	var ops []kit.Op
	for i, values := range m.Cells {
		b.Cells = append(b.Cells, api.Cell{Name: cellName(m.Axes, values), Build: api.Builds.Link(fmt.Sprintf("%s.m%d", b.Link.ID(), i+1))})
		if i == 0 || !m.Sequential {
			ops = append(ops, startCell(&b, i))
		}
	}
	return b, ops
}

func cellName(axes []string, values map[string]string) string {
	var parts []string
	for _, a := range axes {
		parts = append(parts, a+"="+values[a])
	}
	return strings.Join(parts, ",")
}

// startCell orders the build of the i-th cell.
func startCell(b *api.Build, i int) kit.Op {
	c := &b.Cells[i]
	c.State = api.BuildCreated
	cell := started(*b, b.Job)
	cell.Cell, cell.Depth = c.Name, b.Depth
	cell.Params = merged(b.Params, b.Spec.Matrix.Cells[i])
	return kit.Create(api.Builds, c.Build.ID(), cell)
}

// CellEnded takes in how the build of a cell has ended.
func CellEnded(b api.Build, e kit.Event, now time.Time) (api.Build, []kit.Op) {
	var end api.Build
	if err := e.Into(&end); err != nil {
		return b, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if b.State.Done() {
		return b, nil
	}
	wait := -1 // for an ordered one, or order this
	for i := range b.Cells {
		c := &b.Cells[i]
		if c.Build == end.Link && !c.State.Done() {
			c.State = end.State
			b.Result = worse(b.Result, end.Outcome())
			if end.State != api.BuildPassed && b.Error == "" {
				b.Error = fmt.Sprintf("%s: %s", c.Name, end.Error)
			}
		}
		if !c.State.Done() && wait < 0 {
			wait = i
		}
	}
	switch {
	case wait < 0:
		return joined(b, now)
	case b.Cells[wait].State == "":
		return b, []kit.Op{startCell(&b, wait)}
	}
	return b, nil
}

// joined ends a build whose cells have all ended.
func joined(b api.Build, now time.Time) (api.Build, []kit.Op) {
	b.State, b.Finished = api.BuildPassed, now
	states := map[api.BuildState]bool{}
	bad := 0
	for _, c := range b.Cells {
		if states[c.State] = true; c.State != api.BuildPassed {
			bad++
		}
	}
	switch {
	case states[api.BuildFailed] || states[api.BuildCancelled]:
		b.State = api.BuildFailed
	case bad > 0: // for no fault of its own
		b.State = api.BuildError
	}
	if bad > 0 {
		b.Error = fmt.Sprintf("%d of %d cells did not pass: %s", bad, len(b.Cells), b.Error)
	}
	return Follow(b, downstream(b))
}
