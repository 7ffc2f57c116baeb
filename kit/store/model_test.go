package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"landfall.dev/kit"
	"landfall.dev/kit/store/digest"
	"landfall.dev/kit/store/memory"
)

// model is what a store of notes has to do, in its plainest form: texts and
// versions by link, a negative version for a tombstone.
type model struct {
	text    map[kit.Link]string
	version map[kit.Link]int64
	expires map[kit.Link]time.Time
}

// apply carries out one write, or says that it is refused.
func (m *model) apply(w kit.Write, text string, expires time.Time) error {
	v := m.version[w.Link]
	switch {
	case w.Verb == kit.VerbCreate && v > 0:
		return kit.ErrConflict
	case w.Verb != kit.VerbCreate && v <= 0:
		return kit.ErrNotFound
	case w.IfMatch != 0 && w.IfMatch != v:
		return kit.ErrStale
	case w.Verb == kit.VerbDelete:
		m.bury(w.Link)
		return nil
	case w.Verb == kit.VerbUpdate && m.text[w.Link] == text && m.expires[w.Link].Equal(expires):
		return nil
	}
	m.text[w.Link], m.expires[w.Link] = text, expires
	m.version[w.Link] = max(v, -v) + 1
	return nil
}

func (m *model) bury(l kit.Link) {
	delete(m.text, l)
	delete(m.expires, l)
	m.version[l] = -m.version[l] - 1
}

func (m *model) clone() model {
	return model{maps.Clone(m.text), maps.Clone(m.version), maps.Clone(m.expires)}
}

// follower keeps a copy of the notes by the change feed alone.
type follower struct {
	at   kit.Position
	text map[kit.Link]string
}

func (f *follower) catchUp(t *rapid.T, n *node, limit int) {
	for more := true; more; {
		var changes []kit.Change
		var err error
		changes, more, err = n.Since("notes", f.at, limit)
		if errors.Is(err, kit.ErrGone) {
			*f = follower{text: map[kit.Link]string{}}
			more = true
			continue
		}
		if err != nil {
			t.Fatalf("since %s: %v", f.at, err)
		}
		for _, c := range changes {
			if c.Position.Seq <= f.at.Seq {
				t.Fatalf("the feed goes back from %s to %s", f.at, c.Position)
			}
			f.at = c.Position
			delete(f.text, c.Record.Link)
			if !c.Record.Deleted {
				f.text[c.Record.Link] = textOf(t, c.Record)
			}
		}
	}
}

func textOf(t *rapid.T, r kit.Record) string {
	var n Note
	if err := json.Unmarshal(r.Body, &n); err != nil {
		t.Fatalf("%s: %v", r.Link, err)
	}
	return n.Text
}

var noteIDs = []string{"a", "b", "c", "1", "2"}

// machine runs two stores on one log, a follower and the model side by side.
type machine struct {
	first, second *node
	model         model
	follower      follower
	past          []instant
	keys          map[string]keyUse
	last          time.Time     // of the last entry
	age           time.Duration // by entries that count a minute at most
}

// older returns age as an entry that is made now would have it.
func (m *machine) older() time.Duration {
	if m.last.IsZero() {
		return m.age
	}
	return m.age + min(time.Minute, stamp(m.first.now).Sub(m.last))
}

// instant is what there was at a position.
type instant struct {
	at    kit.Position
	time  time.Time
	model model
}

// keyUse is what an idempotency key was used for.
type keyUse struct {
	writes string
	age    time.Duration
}

func (m *machine) Write(t *rapid.T) {
	var ps []Proposal
	var want []error
	for range rapid.IntRange(1, 4).Draw(t, "proposals") {
		p := Proposal{By: "users/ada"}
		after := m.model.clone()
		var refused error
		for range rapid.IntRange(1, 3).Draw(t, "writes") {
			w := kit.Write{
				Verb: rapid.SampledFrom([]kit.Verb{kit.VerbCreate, kit.VerbUpdate, kit.VerbDelete}).Draw(t, "verb"),
				Link: notes.Link(rapid.SampledFrom(noteIDs).Draw(t, "id")),
			}
			text := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "text")
			expires := m.first.now.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "life")) * time.Hour).Truncate(time.Second)
			w.Body = json.RawMessage(fmt.Sprintf(`{"text":%q,"expires":%q}`, text, expires.Format(time.RFC3339)))
			if w.Verb != kit.VerbCreate {
				w.IfMatch = rapid.Int64Range(0, 2).Draw(t, "match")
			}
			p.Writes = append(p.Writes, w)
			if refused == nil {
				refused = after.apply(w, text, expires)
			}
		}
		refused = m.once(t, &p, refused, &after)
		if refused == nil {
			m.model = after
		}
		ps, want = append(ps, p), append(want, refused)
	}
	for i, r := range m.propose(t, ps...) {
		if !errors.Is(r.Err, want[i]) {
			t.Fatalf("proposal %d: got error %v, want %v", i, r.Err, want[i])
		}
	}
}

// once gives some proposals an idempotency key, and says what then becomes of
// them.
func (m *machine) once(t *rapid.T, p *Proposal, refused error, after *model) error {
	p.Key = rapid.SampledFrom([]string{"", "", "k", "l"}).Draw(t, "key")
	if p.Key == "" {
		return refused
	}
	writes := fmt.Sprintf("%+v", p.Writes)
	if use, ok := m.keys[p.Key]; ok && m.older()-use.age < kit.OnceAge {
		*after = m.model
		if use.writes != writes {
			return kit.ErrConflict
		}
		return nil
	}
	if refused == nil {
		m.keys[p.Key] = keyUse{writes, m.older()}
	}
	return refused
}

func (m *machine) Wait(t *rapid.T) {
	m.first.now = m.first.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "seconds")) * time.Second)
}

func (m *machine) Tick(t *rapid.T) {
	m.first.now = m.first.now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "hours")) * time.Hour)
	for l, at := range maps.Clone(m.model.expires) {
		if !at.After(stamp(m.first.now)) {
			m.model.bury(l)
		}
	}
	m.propose(t, Proposal{Tick: true})
	for l, v := range m.model.version {
		if v < 0 && m.first.find(l) == nil {
			delete(m.model.version, l) // collected
		}
	}
}

func (m *machine) Restore(t *rapid.T) {
	if err := m.second.Restore(bytes.NewReader(snapshotOf(m.second.t, m.second))); err != nil {
		t.Fatal(err)
	}
	checkEngine(t, m.second.engine)
}

func (m *machine) Follow(t *rapid.T) {
	m.follower.catchUp(t, m.first, rapid.IntRange(1, 3).Draw(t, "limit"))
}

func (m *machine) propose(t *rapid.T, ps ...Proposal) []Result {
	entry, results := m.first.Decide(ps, m.first.now)
	if entry == nil {
		return results
	}
	m.age, m.last = m.older(), stamp(m.first.now)
	for _, n := range []*node{m.first, m.second} {
		if err := n.Apply(entry); err != nil {
			t.Fatal(err)
		}
		checkEngine(t, n.engine)
	}
	m.past = append(m.past, instant{m.first.Position(), m.first.now, m.model.clone()})
	return results
}

// checkPast compares a store with what was at an earlier position.
func (m *machine) checkPast(t *rapid.T, n *node, past instant, kept bool) {
	k, _ := n.kinds.find("notes")
	v, err := n.frozen().AsOf(past.at)
	if kept && err != nil || err != nil && !errors.Is(err, kit.ErrGone) {
		t.Fatalf("the view as of %s: %v", past.at, err)
	}
	for _, order := range []memory.Order{memory.OrderLink, memory.OrderCreated, memory.OrderUpdated, 0} {
		if err != nil {
			break
		}
		var keys [][]byte
		seen := map[kit.Link]string{}
		v.Scan("notes", []memory.Span{{Order: order}}, always, func(r kit.Record) bool {
			keys = append(keys, k.memory.Key(order, r))
			seen[r.Link] = textOf(t, r)
			return true
		})
		if !maps.Equal(seen, past.model.text) || !slices.IsSortedFunc(keys, bytes.Compare) || v.Size("notes", memory.Span{Order: order}) < int64(len(seen)) {
			t.Fatalf("as of %s in order %d: got %v, want %v", past.at, order, seen, past.model.text)
		}
		var back [][]byte
		v.Scan("notes", []memory.Span{{Order: order, Reverse: true}}, always, func(r kit.Record) bool {
			back = append(back, k.memory.Key(order, r))
			return true
		})
		if slices.Reverse(back); !slices.EqualFunc(keys, back, bytes.Equal) {
			t.Fatalf("as of %s in order %d: back %x, want %x", past.at, order, back, keys)
		}
	}
	for _, id := range noteIDs {
		r, err := n.ReadAsOf(notes.Link(id), past.at)
		text, there := past.model.text[notes.Link(id)]
		switch {
		case errors.Is(err, kit.ErrGone) && !kept:
		case there && (err != nil || textOf(t, r) != text), !there && !errors.Is(err, kit.ErrNotFound):
			t.Fatalf("%s as of %s: got %s, error %v; want %q", id, past.at, r.Body, err, text)
		}
	}
}

// Check compares everything that can be seen.
func (m *machine) Check(t *rapid.T) {
	if !bytes.Equal(snapshotOf(m.first.t, m.first), snapshotOf(m.first.t, m.second)) {
		t.Fatal("two stores with the same log differ")
	}
	page, err := m.second.List(kit.Query{Kind: "notes", Limit: 1000})
	if err != nil || len(page.Items) != len(m.model.text) || m.second.Count("notes") != len(m.model.text) {
		t.Fatalf("list: got %d documents, count %d, error %v; want %d", len(page.Items), m.second.Count("notes"), err, len(m.model.text))
	}
	sums := make([]digest.Tally, digest.Buckets)
	for _, r := range page.Items {
		if textOf(t, r) != m.model.text[r.Link] || r.Version != m.model.version[r.Link] {
			t.Fatalf("%s: got version %d %s, want %d %q", r.Link, r.Version, r.Body, m.model.version[r.Link], m.model.text[r.Link])
		}
		sums[digest.BucketOf(r.Link)].Change(digest.Hash(r), 1)
	}
	for i, b := range m.first.Sums(digest.Own) {
		if b != sums[i].Bucket() {
			t.Fatalf("sums kept and computed differ in bucket %d", i)
		}
	}
	for _, order := range []string{"-link", "created", "-updated"} {
		page, err := m.first.List(kit.Query{Kind: "notes", Order: order})
		if err != nil || len(page.Items) != len(m.model.text) {
			t.Fatalf("order %s: got %d documents, error %v; want %d", order, len(page.Items), err, len(m.model.text))
		}
	}
	if n := len(m.past); n > 0 {
		past := m.past[max(0, n-rapid.IntRange(1, 12).Draw(t, "back"))]
		m.checkPast(t, m.first, past, m.first.now.Sub(past.time) <= memory.HistoryAge)
		m.checkPast(t, m.second, past, false)
	}
	follower := follower{at: m.follower.at, text: maps.Clone(m.follower.text)}
	follower.catchUp(t, m.first, 2)
	if !maps.Equal(follower.text, m.model.text) {
		t.Fatalf("the follower has %v, the model %v", follower.text, m.model.text)
	}
}

func TestStoreIsItsModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := machine{
			first: newNode(t).tiny(512, 100), second: newNode(t).tiny(1024, memory.StepBytes), keys: map[string]keyUse{},
			model:    model{map[kit.Link]string{}, map[kit.Link]int64{}, map[kit.Link]time.Time{}},
			follower: follower{text: map[kit.Link]string{}},
		}
		r.Repeat(rapid.StateMachineActions(&m))
	})
}

func TestReadersAndOneWriterAtOnce(t *testing.T) {
	n := newNode(t)
	n.must("create", "notes/a", "{}")
	stop := make(chan struct{})
	done := make(chan error)
	for range 4 {
		go func() {
			for {
				page, err := n.List(kit.Query{Kind: "notes", Filter: `text != "never"`})
				changes, _, err2 := n.Since("notes", kit.Position{}, 1000)
				if err = errors.Join(err, err2); err == nil && (len(page.Items) == 0 || len(changes) < len(page.Items)) {
					err = fmt.Errorf("%d documents, then %d changes", len(page.Items), len(changes))
				}
				_, _ = n.Read("notes/a")
				_ = n.Sums(digest.Own)
				select {
				case <-stop:
					done <- err
					return
				default:
				}
				if err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for i := range 200 {
		n.must("create", fmt.Sprintf("notes/n%d", i), "{}")
	}
	close(stop)
	for range 4 {
		if err := <-done; err != nil {
			t.Errorf("a reader: %v", err)
		}
	}
}
