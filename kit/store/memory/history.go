package memory

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/key"
	"landfall.dev/kit/store/memory/arena"
)

// HistoryAge is how long every version of every document is kept after another
// has taken its place, so that a list can be read page by page as it was.
const HistoryAge = 2 * time.Minute

// TombstoneAge is how long the tombstone of a deleted document is kept, so
// that who watches can learn of the deletion.
const TombstoneAge = 24 * time.Hour

// minHistory is how many bytes of earlier versions are kept within HistoryAge
// in any case; of a larger store it is a tenth of all.
const minHistory = 64 << 20

// recency is what the history within HistoryAge is bounded by.
type recency struct {
	bytes int64  // of the versions in recent
	marks []mark // about one for each second
}

// mark says where the log was at a time, the last of a second from start on.
type mark struct {
	start, time time.Time
	seq         int64
}

// keep puts old at r, whose place a version with the seq has taken, into the
// history.
func (e *edit) keep(old *frame.Document, r place, seq uint64) {
	s := sorter{by: orderSeq}
	e.change(&s).insert(&e.recent, probe{prefix: seq}, e.arena.Move(r, old.Size, true))
	e.recency.bytes += arena.Size(old.Size)
	if n := e.sh.versions(); n > 0 && e.sh.past.n > 0 {
		e.outdate(old.Link, seq, n)
	}
}

// versions is how many earlier versions of each document are kept for longer.
func (s *shelf) versions() int {
	if s.kind == nil {
		return 0
	}
	return s.kind.Versions
}

// outdate forgets those of the earlier versions of the document at link, which
// is at the seq, that are not among the last n, unless they are recent.
func (e *edit) outdate(link []byte, seq uint64, n int) {
	from, to := e.versionsOf(e.sh, link)
	if from == to {
		return
	}
	for n -= e.recents(seq, n); to-from > n; to-- {
		e.drop(e.sh.past.number(from))
	}
}

// drop takes the earlier version at r, which is not recent, out of the history.
func (e *edit) drop(r place) {
	p := e.at(r)
	e.remove(orderPast, &e.sh.past, &p, r)
	e.arena.Drop(r, p.Size)
}

// versionsOf returns from which to before which number the earlier versions of
// the document at link are in the tree past.
func (s *state) versionsOf(sh *shelf, link []byte) (from, to int) {
	if sh.past.n == 0 {
		return 0, 0
	}
	by := s.sorter(sh, orderPast)
	var buf [80]byte
	key := key.AppendID(buf[:0], frame.Text(link[by.skip:]))
	id := len(key)
	from = sh.past.rank(&by, newProbe(append(key, 0)))
	to = sh.past.rank(&by, newProbe(append(key[:id], 1)))
	return from, to
}

// earlier returns the recent version whose place the one with the seq took, if
// there is one.
func (s *state) earlier(seq uint64) place {
	return s.recent.find(&sorter{by: orderSeq}, probe{prefix: seq})
}

// recents returns how many recent versions there are before that with the seq,
// up to limit.
func (s *state) recents(seq uint64, limit int) (n int) {
	for ; n < limit; n++ {
		r := s.earlier(seq)
		if r == 0 {
			break
		}
		seq = s.at(r).Seq
	}
	return n
}

// forget drops all earlier versions of the document that p is the last of.
func (e *edit) forget(p *frame.Document) {
	s := sorter{by: orderSeq}
	for seq := p.Seq; ; {
		r := e.earlier(seq)
		if r == 0 {
			break
		}
		was := e.at(r)
		e.change(&s).remove(&e.recent, probe{prefix: seq}, r)
		e.recency.bytes -= arena.Size(was.Size)
		e.arena.Drop(r, was.Size)
		seq = was.Seq
	}
	for from, to := e.versionsOf(e.sh, p.Link); from < to; to-- {
		e.drop(e.sh.past.number(from))
	}
}

// age moves the horizon on: of versions before it only those stay that their
// kind keeps.
func (e *Engine) age() {
	if n := len(e.recency.marks); n == 0 || e.Time.Sub(e.recency.marks[n-1].start) >= time.Second {
		e.recency.marks = append(e.recency.marks, mark{e.Time, e.Time, e.Seq})
	} else {
		e.recency.marks[n-1].time, e.recency.marks[n-1].seq = e.Time, e.Seq
	}
	for len(e.recency.marks) > 0 && e.Time.Sub(e.recency.marks[0].time) > HistoryAge {
		e.horizon = max(e.horizon, e.recency.marks[0].seq)
		e.recency.marks = e.recency.marks[1:]
	}
	limit := max(minHistory, e.arena.Live()/10)
	for e.recent.n > 0 {
		var end uint64
		var r place
		e.recent.each(0, 1, func(k uint64, first place) bool {
			end, r = k, first
			return false
		})
		if int64(end) > e.horizon && e.recency.bytes <= limit {
			break
		}
		e.horizon = max(e.horizon, int64(end))
		e.outlive(end, r)
	}
}

// outlive takes the version at r, whose place the one with the seq end took,
// out of recent. If its kind keeps it, it moves to where it does not age.
func (e *Engine) outlive(end uint64, r place) {
	s := sorter{by: orderSeq}
	change{&s, e.gen}.remove(&e.recent, probe{prefix: end}, r)
	p := e.at(r)
	e.recency.bytes -= arena.Size(p.Size)
	ed := edit{Engine: e, sh: e.shelf(kindName(p.Link))}
	if n := ed.sh.versions(); n > 0 && e.recents(e.at(e.lookup(frame.Text(p.Link))).Seq, n) < n {
		ed.insert(orderPast, &ed.sh.past, &p, e.arena.Move(r, p.Size, false))
		return
	}
	e.arena.Drop(r, p.Size)
}

// reachable returns why what was at the position cannot be told.
func (s *state) reachable(at kit.Position) error {
	switch {
	case at.Epoch != s.Epoch:
		return tooOld(at, "is from before a backup was restored")
	case at.Seq > s.Seq:
		return &kit.Error{
			Fault: kit.ErrUnavailable, Detail: fmt.Sprintf("position %s has not been reached here, but %s", at, kit.Position{Epoch: s.Epoch, Seq: s.Seq}),
			Hint: "try again in a moment",
		}
	}
	return nil
}

func tooOld(at kit.Position, why string) error {
	return &kit.Error{Fault: kit.ErrGone, Detail: "position " + at.String() + " " + why, Hint: "list again, and go on from the list's position"}
}

// ReadAsOf returns the document at link as it was at the position, and whether
// there was one. It is ErrGone where the history kept does not go back so far,
// and ErrUnavailable if it does not reach that position yet.
func (v View) ReadAsOf(link kit.Link, at kit.Position) (r kit.Record, found bool, err error) {
	if err := v.reachable(at); err != nil {
		return kit.Record{}, false, err
	}
	sh, place := v.find(link)
	if place == 0 {
		if at.Seq < v.floors[link.Kind()] {
			return kit.Record{}, false, tooOld(at, "is too old: what was at that time is forgotten")
		}
		return kit.Record{}, false, nil
	}
	p := v.at(place)
	if int64(p.Seq) > at.Seq {
		if place = v.before(sh, &p, at.Seq); place == 0 {
			return kit.Record{}, false, v.absent(sh, &p, at)
		}
		p = v.at(place)
	}
	if p.Deleted() {
		return kit.Record{}, false, nil
	}
	return p.Record(sh.name), true, nil
}

// absent returns why it is not known, if so, what there was of a document that p is the last version of, where
// no version of the time is known.
func (s *state) absent(sh *shelf, p *frame.Document, at kit.Position) error {
	if at.Seq < s.floors[sh.name] || at.Seq < s.horizon && s.first(sh, p).Version > 1 {
		return tooOld(at, "is too old: what was at that time is forgotten")
	}
	return nil
}

// first returns the first version that is known of the document that p is the
// last of.
func (s *state) first(sh *shelf, p *frame.Document) frame.Document {
	if from, to := s.versionsOf(sh, p.Link); from < to {
		return s.at(sh.past.number(from))
	}
	known := *p
	for r := s.earlier(p.Seq); r != 0; r = s.earlier(known.Seq) {
		known = s.at(r)
	}
	return known
}

// before returns the version of the document p that was there at the seq, none
// if it is not known.
func (s *state) before(sh *shelf, p *frame.Document, seq int64) place {
	if r := s.recently(p, uint64(seq)); r != 0 || sh.past.n == 0 {
		return r
	}
	by := s.sorter(sh, orderPast)
	var buf [80]byte
	at := *p
	at.Seq = uint64(seq) + 1
	from, _ := s.versionsOf(sh, p.Link)
	i := sh.past.rank(&by, newProbe(by.keyOf(buf[:0], &at)))
	if i <= from {
		return 0
	}
	return sh.past.number(i - 1)
}

// recently is before among the recent versions. It goes back from p by turns with
// going on from the seq, through the versions of all documents: so it takes long
// neither for one that has changed often nor for one that has changed once.
func (s *state) recently(p *frame.Document, seq uint64) (found place) {
	back := s.earlier(p.Seq)
	if back == 0 {
		return 0
	}
	from := s.recent.rank(&sorter{by: orderSeq}, probe{prefix: seq + 1})
	s.recent.each(from, s.recent.n, func(_ uint64, on place) bool {
		was := s.at(back)
		if is := s.at(on); frame.Text(is.Link) == frame.Text(p.Link) {
			back, was = on, is // the first of its versions that was there after the seq
		} else if was.Seq > seq {
			back = s.earlier(was.Seq)
			return back != 0
		}
		if was.Seq <= seq {
			found = back
		}
		return false
	})
	return found
}

// number returns record number i.
func (t *tree) number(i int) (found place) {
	t.each(i, i+1, func(_ uint64, r place) bool {
		found = r
		return false
	})
	return found
}

// keyed is a document with its key in some order.
type keyed struct {
	key   []byte
	place place
}

// replaced returns the versions that the documents of the shelf, which changed
// after the seq, had at it, sorted, of those that are in the span.
func (s *state) replaced(sh *shelf, sp Span, seq int64) []keyed {
	var found []keyed
	by := s.sorter(sh, sp.Order)
	exact := sorter{by: orderSeq}
	sh.feed.each(sh.feed.rank(&exact, probe{prefix: uint64(seq) + 1}), sh.feed.n, func(_ uint64, r place) bool {
		p := s.at(r)
		if r = s.before(sh, &p, seq); r == 0 || s.at(r).Deleted() {
			return true
		}
		if key := by.key(nil, r); sp.has(key) {
			found = append(found, keyed{key, r})
		}
		return true
	})
	slices.SortFunc(found, func(a, b keyed) int { return bytes.Compare(a.key, b.key) })
	return found
}

// due is when Tick has to do something about the document; zero is never.
func due(p *frame.Document) time.Time {
	if p.Deleted() {
		return p.UpdatedAt().Add(TombstoneAge)
	}
	return p.ExpiresAt()
}
