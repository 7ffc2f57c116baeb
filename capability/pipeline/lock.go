package pipeline

import (
	"fmt"
	"slices"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// granted is the event "locked" of a run: one of its blocks has a lock.
type granted struct {
	Lock    string `json:"lock"`
	Block   string `json:"block"`
	Attempt int    `json:"attempt"`
}

// acquire asks for the first lock that p wants and does not hold. Locks are
// taken one by one, everywhere in the order of their names, so that no two
// runs wait for each other.
func (w *walk) acquire(p *part) {
	if p.block == nil || len(p.Held) == len(p.block.Locks) {
		return
	}
	name := p.block.Locks[len(p.Held)]
	w.wish(kit.Create(api.RunLocks, name, api.RunLock{}), "")
	w.wish(kit.Send(api.RunLocks.Link(name), "acquire", w.holder(p)), difference(p))
}

func (w *walk) holder(p *part) api.Holder {
	return api.Holder{Run: w.r.Link, Block: p.ID, Attempt: p.Attempt}
}

func difference(p *part) string { return fmt.Sprintf(" %s.%d", p.ID, p.Attempt) }

// release gives back what p holds, and what it has asked for.
func (w *walk) release(p *part) {
	if p.block == nil || p.State == api.RunWaiting {
		return
	}
	for i, name := range p.block.Locks {
		if i <= len(p.Held) {
			w.wish(kit.Send(api.RunLocks.Link(name), "release", w.holder(p)), difference(p))
		}
	}
}

// locked takes in that a block has got a lock. One that has no use for it any
// more gives it back.
func locked(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	var g granted
	if err := e.Into(&g); err != nil {
		return r, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	w := newWalk(&r, now)
	p := w.byID[g.Block]
	fits := p != nil && p.block != nil && p.State == api.RunRunning && p.Attempt == g.Attempt
	switch {
	case fits && slices.Contains(p.Held, g.Lock):
		return r, nil
	case !fits || p.block.Locks[len(p.Held)] != g.Lock:
		return r, []kit.Op{kit.Send(api.RunLocks.Link(g.Lock), "release", api.Holder{Run: r.Link, Block: g.Block, Attempt: g.Attempt})}
	}
	p.Held = append(slices.Clip(p.Held), g.Lock)
	w.acquire(p)
	if len(p.Held) == len(p.block.Locks) && !w.inWindow(p) {
		w.release(p) // the line was long: nobody else has to wait for the window
		p.State, p.Held = api.RunWaiting, nil
	}
	w.advance()
	return r, w.ops
}

// nextLock returns l after e: who holds it, and who is told so.
func nextLock(l api.RunLock, e kit.Event, now time.Time) (api.RunLock, []kit.Op) {
	var h api.Holder
	if err := e.Into(&h); err != nil {
		return l, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	same := func(x api.Holder) bool { return x.Run == h.Run && x.Block == h.Block && x.Attempt == h.Attempt }
	first := slices.IndexFunc(l.Holders, same) == 0
	switch e.Name {
	case "created":
		l.Holders = nil
	case "acquire":
		if slices.ContainsFunc(l.Holders, same) {
			return l, nil
		}
		h.Since = now
		l.Holders = append(slices.Clip(l.Holders), h)
		if len(l.Holders) == 1 {
			return l, grant(l)
		}
	case "release":
		if h.Run == "" { // by a person, whoever holds it
			if len(l.Holders) == 0 {
				return l, kit.Refuse(kit.ErrConflict, "nobody holds the lock")
			}
			h, first = l.Holders[0], true
		}
		l.Holders = slices.DeleteFunc(slices.Clone(l.Holders), same)
		if first && len(l.Holders) > 0 {
			return l, grant(l)
		}
	}
	return l, nil
}

// grant tells the first in line that the lock is its own.
func grant(l api.RunLock) []kit.Op {
	h := l.Holders[0]
	op := kit.Send(h.Run, "locked", granted{Lock: l.Link.ID(), Block: h.Block, Attempt: h.Attempt})
	op.ID += fmt.Sprintf(" %s.%d", h.Block, h.Attempt)
	return []kit.Op{op}
}
