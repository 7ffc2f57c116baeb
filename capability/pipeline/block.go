package pipeline

import (
	"slices"
	"time"

	"landfall.dev/api"
)

// longestBackoff bounds the pauses of a retry.
const longestBackoff = time.Hour

// settle ends the block p if all that is in it has ended, or tries it again.
// It tells whether it changed anything.
func (w *walk) settle(p *part) bool {
	if p.block == nil || p.State != api.RunRunning || !w.open(p) {
		return false
	}
	if p.block.FailFast && anyFailed(p.parts) && outcome(p.parts) == api.RunRunning {
		w.stop(p, "another branch failed")
		return true
	}
	state := outcome(p.parts)
	if !state.Final() {
		return false
	}
	cause := worst(p.parts)
	if state == api.RunFailed && w.again(p) {
		return true
	}
	if state == api.RunFailed && p.block.Type == api.BlockIgnore && cause != "" && rank(cause) <= rank(p.block.Upto) {
		excuse(p.parts)
		state, cause = api.RunUnstable, ""
	}
	p.State, p.Cause, p.Finished = state, cause, w.now
	w.release(p)
	return true
}

// again tries the block once more if it is one that is, by these failures.
func (w *walk) again(p *part) bool {
	b := p.block
	if b.Type != api.BlockRetry || p.Attempt > b.Retries {
		return false
	}
	matches := func(q *part) bool {
		cause := q.Cause
		if cause == api.CauseTimeout && !slices.Contains(b.On, cause) {
			cause = api.CauseFailure
		}
		return slices.Contains(b.On, cause) || q.ExitCode != 0 && slices.Contains(b.Exits, q.ExitCode)
	}
	failed := failures(p.parts)
	if len(failed) == 0 || slices.ContainsFunc(failed, func(q *part) bool { return !matches(q) }) {
		return false
	}
	if b.BackoffSeconds > 0 {
		pause := longestBackoff
		if shift := p.Attempt - 1; shift < 20 {
			pause = min(pause, time.Duration(b.BackoffSeconds)*time.Second<<shift)
		}
		p.Until = w.now.Add(pause)
	}
	p.Attempt++
	reset(p.parts)
	return true
}

// reset lets parts wait again. How often each was tried is kept: it is in the
// ids of what they order.
func reset(parts []*part) {
	for _, p := range parts {
		p.State, p.Error, p.Cause = api.RunWaiting, "", ""
		reset(p.parts)
	}
}

// excuse turns what has failed into what is ignored.
func excuse(parts []*part) {
	for _, p := range parts {
		if p.State == api.RunFailed {
			p.State = api.RunUnstable
		}
		excuse(p.parts)
	}
}

// failures are the nodes that have failed, and blocks that did so by
// themselves.
func failures(parts []*part) []*part {
	var failed []*part
	for _, p := range parts {
		inside := failures(p.parts)
		if p.State == api.RunFailed && len(inside) == 0 {
			failed = append(failed, p)
		}
		failed = append(failed, inside...)
	}
	return failed
}

// worst is the worst cause of the parts' failures; empty without any.
func worst(parts []*part) api.Cause {
	var cause api.Cause
	for _, p := range parts {
		if p.State == api.RunFailed && rank(p.Cause) > rank(cause) {
			cause = p.Cause
		}
	}
	return cause
}

// rank orders causes: one that takes too long has failed.
func rank(c api.Cause) int {
	switch c {
	case api.CauseUnstable:
		return 1
	case api.CauseFailure, api.CauseTimeout:
		return 2
	case api.CauseInfra:
		return 3
	}
	return 0
}
