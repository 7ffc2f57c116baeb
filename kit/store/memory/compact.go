package memory

import (
	"landfall.dev/kit/store/frame"
)

// StepBytes is how many bytes an entry moves beside twice its own.
const StepBytes = 64 << 10

// compact moves what is alive out of chunks that are less than half alive,
// about as many bytes as budget says, so that their memory can go. It goes on
// where the entry before stopped.
func (e *Engine) compact(budget int) {
	for budget > 0 {
		if e.arena.moving < 0 && !e.nextSparse() {
			return
		}
		budget -= e.moveOne()
		if c := e.arena.moving; e.moved >= e.arena.use[c].written {
			e.arena.moving = -1
			e.arena.check(c)
		}
	}
}

// nextSparse takes up the next chunk that is to be emptied.
func (e *Engine) nextSparse() bool {
	for len(e.arena.sparse) > 0 {
		c := e.arena.sparse[0]
		e.arena.sparse = e.arena.sparse[1:]
		if e.arena.memory[c] == nil || !e.arena.use[c].listed {
			continue // it has become empty, and maybe another
		}
		e.arena.use[c].listed = false
		e.arena.moving, e.moved = c, 0
		if c == 0 {
			e.moved = unit
		}
		return true
	}
	return false
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
	by := e.sorter(ed.sh, orderPast)
	var buf [80]byte
	switch {
	case e.lookup(frame.Text(p.Link)) == r:
		ed.moveCurrent(&p, r)
	case ed.sh.past.find(&by, newProbe(by.keyOf(buf[:0], &p))) == r:
		ed.movePast(&p, r)
	}
	return p.Size
}

func (e *edit) moveCurrent(p *frame.Document, r place) {
	to := e.arena.add(e.mem.at(r)[:p.Size])
	e.links.set(*e.mem, frame.Text(p.Link), r, to)
	e.sh.trees(p, func(o Order, t *tree) {
		s := e.sorter(e.sh, o)
		e.change(&s).replace(t, newProbe(s.keyOf(e.buf[0][:0], p)), to)
	})
	e.arena.drop(r, p.Size)
}

func (e *edit) movePast(p *frame.Document, r place) {
	to := e.arena.add(e.mem.at(r)[:p.Size])
	if end := e.successor(p); int64(end) > e.horizon {
		s := sorter{by: orderSeq}
		e.change(&s).replace(&e.recent, probe{prefix: end}, to)
	}
	s := e.sorter(e.sh, orderPast)
	e.change(&s).replace(&e.sh.past, newProbe(s.keyOf(e.buf[0][:0], p)), to)
	e.arena.drop(r, p.Size)
}

// successor returns the seq of what took the place of the earlier version p.
func (e *edit) successor(p *frame.Document) uint64 {
	s := e.sorter(e.sh, orderPast)
	_, to := e.versionsOf(e.sh, p.Link)
	if at := e.sh.past.rank(&s, newProbe(s.keyOf(e.buf[0][:0], p))); at+1 < to {
		return e.at(e.sh.past.number(at + 1)).Seq
	}
	return e.at(e.lookup(frame.Text(p.Link))).Seq
}
