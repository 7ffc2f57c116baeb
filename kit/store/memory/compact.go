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
		r, ok := e.arena.Next()
		if !ok {
			return
		}
		n := e.moveOne(r)
		e.arena.Pass(n)
		budget -= n
	}
}

// moveOne moves the record at r, if it is alive, and returns its size.
func (e *Engine) moveOne(r place) int {
	if b := e.mem.At(r); frame.IsOnce(b) {
		o := onceAt(*e.mem, r)
		e.moveOnce(&o, r)
		return o.Size
	}
	p := e.at(r)
	ed := edit{Engine: e, sh: e.shelf(kindName(p.Link))}
	var now frame.Document
	found := e.links.Find(*e.mem, frame.Text(p.Link), &now)
	switch {
	case found != nil && *found == r:
		*found = ed.moveCurrent(&p, r)
	case ed.sh.past.n > 0:
		ed.movePast(&p, r)
	}
	return p.Size
}

// moveCurrent moves what is at r and returns where it is now.
func (e *edit) moveCurrent(p *frame.Document, r place) place {
	to := e.arena.Move(r, p.Size, false)
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
	e.change(&s).replace(&e.sh.past, key, r, e.arena.Move(r, p.Size, false))
}
