package memory

import (
	"time"

	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/key"
)

func onceAt(m memory, r place) frame.Once {
	o, _ := frame.ParseOnce(m.At(r))
	return o
}

// onceKey appends the key of o in the Order.
func onceKey(b []byte, o *frame.Once, by Order) []byte {
	if by == orderOnceTime {
		b = key.AppendTime(b, o.At)
	}
	return append(b, o.ID[:]...)
}

// onceOf returns what is known of a key by its id.
func (s *state) onceOf(id [16]byte) (o frame.Once, r place) {
	by := s.sorter(nil, orderOnce)
	if r = s.onces.find(&by, newProbe(id[:])); r != 0 {
		o = onceAt(*s.mem, r)
	}
	return o, r
}

// Once returns what is known of an idempotency key by its id, if anything.
func (e *Engine) Once(id [16]byte) (o frame.Once, ok bool) {
	o, r := e.onceOf(id)
	return o, r != 0
}

// Onces yields the keys that are heeded and were used at the time or later, in
// that order, until yield returns false.
func (s *state) Onces(from time.Time, yield func(frame.Once) bool) {
	by := s.sorter(nil, orderOnceTime)
	t := s.oncesByTime
	t.each(t.rank(&by, newProbe(key.AppendTime(nil, from))), t.n, func(_ uint64, r place) bool {
		o := onceAt(*s.mem, r)
		return o.Expired(s.Time) || yield(o)
	})
}

// forgetAtOnce bounds how many keys one entry makes a node forget beyond
// those that it brings: the others wait for the next.
const forgetAtOnce = 1000

// onceTrees yields the two trees of keys with o's place in each.
func (e *Engine) onceTrees(o *frame.Once, yield func(change, *tree, probe)) {
	for _, by := range []Order{orderOnce, orderOnceTime} {
		t := &e.onces
		if by == orderOnceTime {
			t = &e.oncesByTime
		}
		s := e.sorter(nil, by)
		yield(change{&s, e.gen}, t, newProbe(onceKey(nil, o, by)))
	}
}

// remember keeps the key.
func (e *Engine) remember(o *frame.Once) {
	if old, r := e.onceOf(o.ID); r != 0 {
		e.forgetOnce(&old, r)
	}
	r := e.arena.Add(o.Append(nil))
	e.onceTrees(o, func(c change, t *tree, p probe) { c.insert(t, p, r) })
}

func (e *Engine) forgetOnce(o *frame.Once, r place) {
	e.onceTrees(o, func(c change, t *tree, p probe) { c.remove(t, p, r) })
	e.arena.Drop(r, o.Size)
}

// forgetOnces drops keys that are too old, up to limit.
func (e *Engine) forgetOnces(limit int) {
	for ; limit > 0 && e.oncesByTime.n > 0; limit-- {
		r := e.oncesByTime.number(0)
		o := onceAt(*e.mem, r)
		if !o.Expired(e.Time) {
			return
		}
		e.forgetOnce(&o, r)
	}
}

// moveOnce moves the key at r within the arena, if it is alive.
func (e *Engine) moveOnce(o *frame.Once, r place) {
	if _, now := e.onceOf(o.ID); now != r {
		return
	}
	to := e.arena.Move(r, o.Size, false)
	e.onceTrees(o, func(c change, t *tree, p probe) { c.replace(t, p, r, to) })
}
