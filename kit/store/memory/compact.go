package memory

import (
	"landfall.dev/kit/store/frame"
)

// StepBytes is how many bytes an entry moves beside twice its own.
const StepBytes = 64 << 10

// compact moves what is alive out of chunks that have much that is not, about
// as many bytes as budget says, so that their memory can go. It goes on where
// the entry before stopped.
func (e *Engine) compact(budget int) {
	for budget > 0 {
		c := e.arena.moving
		if c < 0 {
			if c = e.nextSparse(); c < 0 {
				return
			}
			e.arena.moving, e.moved = c, start(c)
		}
		if u := e.arena.use[c]; u.live == 0 || e.moved >= u.written {
			e.arena.moving = -1
			e.arena.check(c)
			continue
		}
		budget -= e.moveOne()
	}
}

// nextSparse returns the next chunk that is to be emptied, or -1. Up to a third
// of all may be dead: most chunks die by themselves, when their documents change,
// and the later one is emptied the less is left of it.
func (e *Engine) nextSparse() int {
	if e.arena.dead <= e.arena.live/2 {
		return -1
	}
	return e.arena.sparsest()
}

// moveOne moves one record, if it is alive, and returns its size.
func (e *Engine) moveOne() int {
	r := place(e.arena.moving<<offsetBits | e.moved/unit)
	if b := e.mem.at(r); frame.IsOnce(b) {
		o := onceAt(*e.mem, r)
		e.moved += roundUp(o.Size)
		e.moveOnce(&o, r)
		return o.Size
	}
	p := e.at(r)
	e.moved += roundUp(p.Size)
	ed := edit{Engine: e, sh: e.shelf(kindName(p.Link))}
	var now frame.Document
	found := e.links.find(*e.mem, frame.Text(p.Link), &now)
	switch {
	case found != nil && found.at == r:
		found.at = ed.moveCurrent(&p, r)
	case ed.sh.past.n > 0:
		ed.movePast(&p, r)
	}
	return p.Size
}

// moveCurrent moves what is at r and returns where it is now.
func (e *edit) moveCurrent(p *frame.Document, r place) place {
	to := e.arena.move(r, p.Size, false)
	e.sh.trees(p, func(o Order, t *tree) {
		s := e.sorter(e.sh, o)
		e.change(&s).replace(t, newProbe(s.keyOf(e.buf[0][:0], p)), r, to)
	})
	return to
}

// movePast moves the earlier version at r, if there is still one.
func (e *edit) movePast(p *frame.Document, r place) {
	s := e.sorter(e.sh, orderPast)
	key := newProbe(s.keyOf(e.buf[0][:0], p))
	if e.sh.past.find(&s, key) != r {
		return
	}
	e.change(&s).replace(&e.sh.past, key, r, e.arena.move(r, p.Size, false))
}
