package pipeline

import (
	"fmt"
	"path"
	"slices"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// walk carries a run on through its plan. It changes the run that it was made
// with, and collects what that orders.
type walk struct {
	r    *api.Run
	now  time.Time
	ops  []kit.Op
	all  []*part // blocks, and then nodes, in the plan's order
	top  []*part // those in no block
	byID map[string]*part
}

// part is a node or a block of a plan, with what became of it. One of node and
// block is nil.
type part struct {
	*api.NodeRun
	node  *api.Node
	block *api.Block
	in    *part
	parts []*part // of a block, in order

	needs, after []string
	when         *api.When
	timeout      int
	window       *api.Window
}

// newWalk returns a walk through r, whose lists of nodes and blocks are as long
// as its plan's and not shared with another run.
func newWalk(r *api.Run, now time.Time) *walk {
	w := &walk{r: r, now: now, byID: map[string]*part{}}
	for i := range r.Plan.Blocks {
		b := &r.Plan.Blocks[i]
		w.add(b.In, &part{
			NodeRun: &r.Blocks[i], block: b,
			needs: b.Needs, after: b.After, when: b.When, timeout: b.TimeoutSeconds, window: b.Window,
		})
	}
	for i := range r.Plan.Nodes {
		n := &r.Plan.Nodes[i]
		w.add(n.In, &part{
			NodeRun: &r.Nodes[i], node: n,
			needs: n.Needs, after: n.After, when: n.When, timeout: n.TimeoutSeconds, window: n.Window,
		})
	}
	return w
}

func (w *walk) add(in string, p *part) {
	w.all = append(w.all, p)
	w.byID[p.ID] = p
	if p.in = w.byID[in]; p.in == nil {
		w.top = append(w.top, p)
		return
	}
	p.in.parts = append(p.in.parts, p)
}

// advance starts all that can start, ends what has ended, and ends the run when
// nothing is left to wait for.
func (w *walk) advance() {
	for changed := true; changed; {
		changed = false
		for _, p := range w.all {
			before := p.State
			w.carry(p)
			changed = changed || p.State != before
		}
		// From the inside out: a block ends with its last part.
		for _, p := range slices.Backward(w.all) {
			changed = w.settle(p) || changed
		}
	}
	if state := outcome(w.top); state.Final() {
		w.end(state, w.blame())
	}
	w.setAlarm()
}

// carry starts p if it waits and can start, and ends it if its time is up.
func (w *walk) carry(p *part) {
	switch {
	case p.State == api.RunWaiting:
		w.begin(p)
	case p.State == api.RunRunning && w.overdue(p):
		w.stop(p, w.name(p.ID)+" took too long")
		w.fail(p, api.CauseTimeout, fmt.Sprintf("took longer than %v", time.Duration(p.timeout)*time.Second))
	case p.State == api.RunRunning && p.node != nil && p.node.Type == api.NodeGate:
		w.judge(p)
	}
}

func (w *walk) overdue(p *part) bool { return p.timeout > 0 && !w.now.Before(p.deadline()) }

func (p *part) deadline() time.Time { return p.Started.Add(time.Duration(p.timeout) * time.Second) }

// begin starts p if all that it waits for has come.
func (w *walk) begin(p *part) {
	if !w.open(p.in) {
		return
	}
	for _, id := range p.needs {
		if need := w.byID[id]; need == nil || need.State.Final() && !need.State.Good() {
			w.drop(p, api.RunCancelled, w.name(id)+" did not pass")
			return
		}
	}
	ended := func(id string) bool { return w.byID[id] == nil || w.byID[id].State.Final() }
	if !all(p.needs, ended) || !all(p.after, ended) {
		return
	}
	if p.when != nil && !w.holds(*p.when) {
		w.drop(p, api.RunSkipped, "its condition does not hold")
		return
	}
	if p.block != nil && p.block.Type == api.BlockRescue && all(p.after, func(id string) bool { return w.byID[id].State.Good() }) {
		w.drop(p, api.RunSkipped, "nothing is to be rescued")
		return
	}
	if (p.in == nil || p.in.admits()) && w.inWindow(p) {
		w.start(p)
	}
}

// admits tells whether one more part of the block may start.
func (p *part) admits() bool {
	b := p.block
	return (b.Limit == 0 || busy(p.parts) < b.Limit) && !(b.FailFast && anyFailed(p.parts))
}

func anyFailed(parts []*part) bool {
	return slices.ContainsFunc(parts, func(p *part) bool { return p.State == api.RunFailed })
}

func all(ids []string, is func(string) bool) bool {
	return !slices.ContainsFunc(ids, func(id string) bool { return !is(id) })
}

func busy(parts []*part) (n int) {
	for _, p := range parts {
		if p.State == api.RunRunning {
			n++
		}
	}
	return n
}

// open tells whether what is in the block may start; nil is the whole plan.
func (w *walk) open(block *part) bool {
	switch {
	case block == nil:
		return true
	case block.State != api.RunRunning || w.now.Before(block.Until):
		return false
	}
	return len(block.Held) == len(block.block.Locks)
}

func (w *walk) start(p *part) {
	p.State, p.Attempt, p.Started = api.RunRunning, p.Attempt+1, w.now
	p.Finished, p.Error, p.Cause, p.ExitCode, p.Link = time.Time{}, "", "", 0, ""
	p.Held, p.Until, p.Approved, p.By = nil, time.Time{}, nil, ""
	p.Verdict, p.Reported, p.Inventory, p.Listed = nil, false, nil, false
	if p.block != nil {
		w.acquire(p)
		return
	}
	w.order(p)
}

// name is what people know the part with the id by.
func (w *walk) name(id string) string {
	p := w.byID[id]
	switch {
	case p == nil || p.block == nil:
		return id
	case p.block.Name != "":
		return string(p.block.Type) + " " + p.block.Name
	}
	return fmt.Sprintf("%s at %s", p.block.Type, p.block.Position)
}

// holds tells whether the condition is true now.
func (w *walk) holds(c api.When) bool {
	matches := func(patterns []string, name string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			ok, _ := path.Match(pattern, name)
			return ok
		})
	}
	switch {
	case c.All != nil:
		return !slices.ContainsFunc(c.All, func(c api.When) bool { return !w.holds(c) })
	case c.Any != nil:
		return slices.ContainsFunc(c.Any, w.holds)
	case c.Not != nil:
		return !w.holds(*c.Not)
	case c.Branch != nil:
		return matches(c.Branch, w.r.Branch)
	case c.Event != nil:
		return matches(c.Event, w.r.Event)
	case c.Result != nil:
		p := w.byID[c.Result.Node]
		return p != nil && slices.Contains(c.Result.States, p.State)
	}
	return false
}

// drop ends what has not started, with all that is in it.
func (w *walk) drop(p *part, s api.RunState, why string) {
	for _, q := range p.parts {
		w.drop(q, s, why)
	}
	if !p.State.Final() {
		p.State, p.Error, p.Finished = s, why, w.now
	}
}

// stop cancels what is in p and has not ended, and takes back what p itself has
// ordered.
func (w *walk) stop(p *part, why string) {
	for _, q := range p.parts {
		if q.State.Final() {
			continue
		}
		w.stop(q, why)
		q.State, q.Error, q.Finished = api.RunCancelled, why, w.now
	}
	w.release(p)
	if p.node == nil || p.State != api.RunRunning {
		return
	}
	switch p.node.Type {
	case api.NodeBuild, api.NodeTrigger:
		w.wish(kit.Send(p.Link, "cancel", nil), "")
	case api.NodePromote, api.NodeExpand:
		w.wish(kit.Cancel(w.call(p, nil).ID), "")
	}
}

// wish orders op; a difference keeps it apart from others that are for the same
// document.
func (w *walk) wish(op kit.Op, difference string) {
	op.ID += difference
	w.ops = append(w.ops, op)
}

func (w *walk) fail(p *part, cause api.Cause, why string) {
	p.State, p.Cause, p.Error, p.Finished = api.RunFailed, cause, why, w.now
}

// outcome returns what the parts make of the whole: running while one of them
// can still go on.
func outcome(parts []*part) api.RunState {
	state := api.RunPassed
	for _, p := range parts {
		switch {
		case !p.State.Final():
			return api.RunRunning
		case !p.State.Good():
			state = api.RunFailed
		}
	}
	return state
}

// blame is why the run has failed if no node says so itself.
func (w *walk) blame() string {
	why := ""
	for _, p := range w.all {
		switch {
		case p.State == api.RunFailed && p.node != nil:
			return ""
		case p.State == api.RunFailed && p.Error != "" && why == "":
			why = w.name(p.ID) + " " + p.Error
		}
	}
	return why
}

// end ends the run, and tells the one that triggered it.
func (w *walk) end(s api.RunState, why string) {
	r := w.r
	r.State, r.Done = s, w.now
	if why != "" {
		r.Error = why
	}
	if up := r.Upstream; up != nil {
		w.wish(kit.Send(up.Run, "node", api.NodeDone{
			Node: up.Node, Attempt: up.Attempt, Link: r.Link, Passed: s == api.RunPassed, Error: downstream(*r),
		}), "")
	}
}

// downstream is why r did not pass, for the run that triggered it.
func downstream(r api.Run) string {
	if r.State == api.RunPassed {
		return ""
	}
	for _, n := range r.Nodes {
		if n.State == api.RunFailed {
			return fmt.Sprintf("%s of %s: %s", n.ID, r.Link, n.Error)
		}
	}
	return fmt.Sprintf("%s %s: %s", r.Link, r.State, r.Error)
}

// setAlarm wishes to be woken when time alone will change something.
func (w *walk) setAlarm() {
	var next time.Time
	soonest := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, p := range w.all {
		if w.r.State.Final() || p.State != api.RunRunning && !w.awaits(p) {
			continue
		}
		if p.timeout > 0 && p.State == api.RunRunning {
			soonest(p.deadline())
		}
		if w.now.Before(p.Until) {
			soonest(p.Until)
		}
	}
	alarm := kit.SendAt(next, w.r.Link, "wake", nil)
	switch {
	case next.Equal(w.r.Wake):
		return
	case next.IsZero():
		w.wish(kit.Cancel(alarm.ID), "")
	default:
		w.wish(alarm, "")
	}
	w.r.Wake = next
}
