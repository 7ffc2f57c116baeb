package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/memory"
	"landfall.dev/kit/store/storetest"
)

// Order is a kind with a life: open -pay-> paying -charge.done-> paid.
type Order struct {
	kit.Meta
	Title  string            `json:"title,omitempty"`
	State  string            `json:"state,omitempty"`
	Amount int               `json:"amount,omitempty"`
	Rush   bool              `json:"rush,omitempty"`
	Tags   []string          `json:"tags,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Due    time.Time         `json:"due,omitzero"`
	Buyer  *struct {
		Name string `json:"name"`
	} `json:"buyer,omitempty"`
}

// Note is a kind that only holds what is written to it.
type Note struct {
	kit.Meta
	Text string `json:"text,omitempty"`
}

var (
	orders  = kit.Define[Order]("orders", kit.Counted())
	notes   = kit.Define[Note]("notes", kit.Index("text"), kit.History(2))
	secrets = kit.Define[Note]("secrets", kit.Local())
)

func nextOrder(o Order, e kit.Event, now time.Time) (Order, []kit.Op) {
	switch e.Name {
	case "created":
		o.State = "open"
	case "pay":
		if o.State != "open" {
			return o, kit.Refuse(kit.ErrConflict, "order is %s already", o.State)
		}
		o.State = "paying"
		return o, []kit.Op{kit.Call("charge", string(o.Link), o.Amount), kit.SendAt(now.Add(time.Hour), o.Link, "remind", nil)}
	case "remind":
		return o, []kit.Op{kit.SendAt(now.Add(time.Hour), o.Link, "remind", nil)}
	case "charge.done":
		o.State = "paid"
	case "garble":
		return o, []kit.Op{{ID: "g", Do: "charge", Data: json.RawMessage("{")}}
	case "nest":
		return o, []kit.Op{{ID: "n", Do: "charge", Data: nested(9999)}}
	case "explode":
		panic("boom")
	}
	return o, nil
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC)

// nested returns JSON with so many lists in each other.
func nested(depth int) json.RawMessage {
	return json.RawMessage(strings.Repeat("[", depth) + strings.Repeat("]", depth))
}

func testKinds() *Kinds {
	return NewKinds(kit.Own(orders, nextOrder, "pay", "explode", "garble", "nest"), kit.Own(notes, nil), kit.Own(secrets, nil))
}

// node is a store and its clock.
type node struct {
	*Store
	t   testing.TB
	now time.Time
	log [][]byte
}

func newNode(t testing.TB) *node {
	return &node{Store: New(testKinds()), t: t, now: start}
}

// propose decides and applies a batch.
func (n *node) propose(ps ...Proposal) []Result {
	n.t.Helper()
	entry, results := n.Decide(ps, n.now)
	if len(results) != len(ps) {
		n.t.Fatalf("decide %d proposals: got %d results", len(ps), len(results))
	}
	if entry != nil {
		if err := n.Apply(entry); err != nil {
			n.t.Fatalf("apply: %v", err)
		}
		n.log = append(n.log, entry)
	}
	return results
}

// pass lets d go by as in a cluster where something is written all the time.
func (n *node) pass(d time.Duration) {
	n.t.Helper()
	for end := n.now.Add(d); n.now.Before(end); {
		n.now = n.now.Add(min(time.Minute, end.Sub(n.now)))
		n.propose(Proposal{Cursor: &Cursor{Name: "clock", Position: n.now.String()}})
	}
}

// do carries out one write.
func (n *node) do(verb kit.Verb, link, body string) (kit.Record, error) {
	n.t.Helper()
	r := n.propose(Proposal{By: "users/ada", Internal: strings.ContainsAny(string(verb), "~."), Writes: []kit.Write{write(verb, link, body)}})[0]
	if r.Err != nil {
		return kit.Record{}, r.Err
	}
	return r.Records[0], nil
}

// must is do where an error ends the test.
func (n *node) must(verb kit.Verb, link, body string) kit.Record {
	n.t.Helper()
	r, err := n.do(verb, link, body)
	if err != nil {
		n.t.Fatalf("%s %s %s: %v", verb, link, body, err)
	}
	return r
}

func write(verb kit.Verb, link, body string) kit.Write {
	w := kit.Write{Verb: verb, Link: kit.Link(link)}
	if body != "" {
		w.Body = json.RawMessage(body)
	}
	return w
}

func TestCreatedDocumentIsStampedAndKeepsItsBytes(t *testing.T) {
	n := newNode(t)
	got := n.must("create", "notes/a", `{"text":"hi", "link":"notes/z","version":7, "more":{"x": 1.50},"source":"orders/1","expires":"2030-01-01T02:00:00+02:00"}`)
	want := kit.Meta{
		Link: "notes/a", Kind: "notes", Schema: 1, Version: 1,
		Created: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Updated: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		Source: "orders/1", Expires: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	if fmt.Sprint(got.Meta) != fmt.Sprint(want) || got.Seq != 1 {
		t.Errorf("envelope: got %+v seq %d\nwant %+v", got.Meta, got.Seq, want)
	}
	if string(got.Body) != `{"text":"hi","more":{"x": 1.50}}` {
		t.Errorf("body: got %s", got.Body)
	}
	read, err := n.Read("notes/a")
	if err != nil || fmt.Sprint(read) != fmt.Sprint(got) {
		t.Errorf("read: got %+v, error %v\nwant %+v", read, err, got)
	}
}

func TestAllocatedIds(t *testing.T) {
	n := newNode(t)
	n.must("create", "orders/2", "{}")
	for _, want := range []kit.Link{"orders/1", "orders/3", "orders/4"} {
		if got := n.must("create", "orders/", "{}").Link; got != want {
			t.Errorf("created %s, want %s", got, want)
		}
	}
	n.must("delete", "orders/4", "")
	if got := n.must("create", "orders/", "{}").Link; got != "orders/5" {
		t.Errorf("after a deletion: created %s, want orders/5", got)
	}
	a, b := n.must("create", "notes/", "{}").Link, n.must("create", "notes/", "{}").Link
	if len(a.ID()) != 16 || a == b || a.Check() != nil {
		t.Errorf("random ids: got %s and %s", a, b)
	}
}

func TestRefusedWriteChangesNothing(t *testing.T) {
	n := newNode(t)
	n.must("create", "notes/a", `{"text":"x"}`)
	n.must("create", "orders/1", `{"amount":1}`)
	n.must("pay", "orders/1", "")
	large := `{"text":"` + strings.Repeat("x", kit.MaxDocument) + `"}`
	half := `{"text":"` + strings.Repeat("x", kit.MaxDocument/2) + `"}`
	n.must("create", "notes/half", half)
	for _, c := range []struct {
		name  string
		w     kit.Write
		fault kit.Fault
		says  []string
	}{
		{"existing", write("create", "notes/a", "{}"), kit.ErrConflict, []string{"notes/a", "exists", "another id"}},
		{"unknown kind", write("create", "ordrs/1", "{}"), kit.ErrNotFound, []string{`did you mean "orders"?`, "notes, orders, secrets"}},
		{"bad id", write("create", "notes/a b", "{}"), kit.ErrInvalid, []string{"is no id"}},
		{"no object", write("create", "notes/b", "[1]"), kit.ErrInvalid, []string{"notes/b", "not a JSON object"}},
		{"null", write("create", "notes/b", "null"), kit.ErrInvalid, []string{"not a JSON object"}},
		{"no body", write("create", "notes/b", ""), kit.ErrInvalid, []string{"not valid JSON"}},
		{"broken JSON", write("create", "notes/b", "{\n\"a\":}"), kit.ErrInvalid, []string{"line 2"}},
		{"too large", write("create", "notes/b", large), kit.ErrTooLarge, []string{"1048576"}},
		{"grown too large", write("update", "notes/half", strings.Replace(half, "text", "more", 1)), kit.ErrTooLarge, []string{"the document", "1048576"}},
		{"wrong type", write("create", "orders/2", `{"amount":"7"}`), kit.ErrInvalid, []string{`field "amount" is a string`, "a whole number"}},
		{"wrong type inside", write("create", "orders/2", `{"buyer":{"name":1}}`), kit.ErrInvalid, []string{`"buyer.name"`, "a string"}},
		{"wrong time", write("create", "orders/2", `{"due":"soon"}`), kit.ErrInvalid, []string{"soon"}},
		{"wrong type by update", write("update", "orders/1", `{"rush":1}`), kit.ErrInvalid, []string{`"rush"`}},
		{"field in other case", write("create", "orders/2", `{"Amount":7}`), kit.ErrInvalid, []string{`"Amount"`, `"amount"`}},
		{"envelope in other case", write("update", "orders/1", `{"verſion":7}`), kit.ErrInvalid, []string{`"version"`}},
		{"bad source", write("create", "notes/b", `{"source":"x"}`), kit.ErrInvalid, []string{`"source"`}},
		{"bad expiry", write("create", "notes/b", `{"expires":5}`), kit.ErrInvalid, []string{`"expires"`}},
		{"expiry after the last year", write("create", "notes/b", `{"expires":"9999-12-31T23:59:59-10:00"}`), kit.ErrInvalid, []string{`"expires"`}},
		{"broken operation", write("garble", "orders/1", ""), kit.ErrInternal, []string{"orders/1", "encode"}},
		{"update of none", write("update", "notes/b", "{}"), kit.ErrNotFound, []string{"notes/b"}},
		{"delete of none", write("delete", "notes/b", ""), kit.ErrNotFound, []string{"notes/b"}},
		{"bad patch", write("update", "notes/a", "7"), kit.ErrInvalid, []string{"notes/a"}},
		{"unknown method", write("pya", "orders/1", ""), kit.ErrNotFound, []string{`did you mean "pay"?`, "pay, explode, garble"}},
		{"method of a kind without", write("pay", "notes/a", ""), kit.ErrNotFound, []string{"there are no methods"}},
		{"internal method", write("charge.done", "orders/1", ""), kit.ErrNotFound, []string{"no method"}},
		{"internal ack", write("~ack", "orders/1", `{"id":"charge orders/1"}`), kit.ErrNotFound, []string{"no method"}},
		{"refused event", write("pay", "orders/1", ""), kit.ErrConflict, []string{"orders/1", "order is paying already"}},
		{"panicking step", write("explode", "orders/1", ""), kit.ErrInternal, []string{"orders/1", "boom"}},
		{"stale", kit.Write{Verb: "update", Link: "orders/1", Body: json.RawMessage("{}"), IfMatch: 1}, kit.ErrStale, []string{"version 2", "not 1"}},
		{"stale delete", kit.Write{Verb: "delete", Link: "orders/1", IfMatch: 3}, kit.ErrStale, []string{"version 2", "not 3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			entry, results := n.Decide([]Proposal{{By: "users/ada", Writes: []kit.Write{write("create", "notes/", "{}"), c.w}}}, n.now)
			storetest.WantError(t, c.name, results[0].Err, c.fault, c.says...)
			if entry != nil || results[0].Records != nil {
				t.Errorf("got an entry of %d bytes and records %v", len(entry), results[0].Records)
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	for _, c := range []struct {
		name, patch string
		version     int64
		body        string
	}{
		{"field", `{"text":"y"}`, 2, `{"text":"y","extra":[1, 2]}`},
		{"removal", `{"text":null}`, 2, `{"extra":[1, 2]}`},
		{"nothing", `{}`, 1, `{"text":"x","extra":[1, 2]}`},
		{"equal value", `{"text":"x"}`, 1, `{"text":"x","extra":[1, 2]}`},
		{"envelope ignored", `{"version":9,"kind":"z"}`, 1, `{"text":"x","extra":[1, 2]}`},
		{"source", `{"source":"orders/2"}`, 2, `{"text":"x","extra":[1, 2]}`},
		{"equal source", `{"source":"orders/1"}`, 1, `{"text":"x","extra":[1, 2]}`},
		{"no source", `{"source":null}`, 2, `{"text":"x","extra":[1, 2]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t)
			n.must("create", "notes/a", `{"text":"x","extra":[1, 2],"source":"orders/1"}`)
			n.now = n.now.Add(time.Second)
			got := n.must("update", "notes/a", c.patch)
			if got.Version != c.version || got.Seq != c.version || string(got.Body) != c.body {
				t.Errorf("got version %d seq %d %s\nwant %d %s", got.Version, got.Seq, got.Body, c.version, c.body)
			}
			if moved := got.Updated.After(got.Created); moved != (c.version == 2) {
				t.Errorf("updated: %v, created %v", got.Updated, got.Created)
			}
			if strings.Contains(c.patch, "null}") && strings.Contains(c.patch, "source") != (got.Source == "") {
				t.Errorf("source: %q", got.Source)
			}
		})
	}
}

func TestRecreatedDocumentContinuesItsVersion(t *testing.T) {
	n := newNode(t)
	n.must("create", "notes/a", "{}")
	if got := n.must("delete", "notes/a", ""); !got.Deleted || got.Version != 2 || got.Body != nil {
		t.Errorf("tombstone: got %+v", got)
	}
	if _, err := n.Read("notes/a"); !errors.Is(err, kit.ErrNotFound) {
		t.Errorf("read after delete: %v", err)
	}
	if got := n.must("create", "notes/a", "{}"); got.Version != 3 {
		t.Errorf("created again: got version %d, want 3", got.Version)
	}
}

func TestWishedOperationsStayUntilAcknowledged(t *testing.T) {
	n := newNode(t)
	if r := n.must("create", "orders/", `{"amount":3}`); string(r.Body) != `{"amount":3,"state":"open"}` {
		t.Errorf("created event: got %s", r.Body)
	}
	r := n.must("pay", "orders/1", "")
	if len(r.Pending) != 2 || r.Pending[0].Do != "charge" || string(r.Pending[0].Data) != "3" {
		t.Fatalf("pending: %+v", r.Pending)
	}
	n.now = n.now.Add(time.Minute)
	r = n.must("remind.done", "orders/1", "")
	if r.Version != 2 {
		t.Errorf("an event that changes nothing made version %d", r.Version)
	}
	n.propose(Proposal{Internal: true, Writes: []kit.Write{write("remind", "orders/1", "")}})
	r, _ = n.Read("orders/1")
	if len(r.Pending) != 2 || !r.Pending[1].At.Equal(stamp(n.now).Add(time.Hour)) {
		t.Errorf("a wish of the same id does not take the other's place: %+v", r.Pending)
	}
	r = n.must("~ack", "orders/1", `{"id":"charge orders/1","event":"charge.done","data":{"receipt":1}}`)
	if r.Version != 4 || len(r.Pending) != 1 || !strings.Contains(string(r.Body), `"paid"`) {
		t.Errorf("acknowledged: got version %d %+v %s", r.Version, r.Pending, r.Body)
	}
	if r = n.must("~ack", "orders/1", `{"id":"charge orders/1","event":"charge.done"}`); r.Version != 4 {
		t.Errorf("acknowledged again: got version %d, want 4", r.Version)
	}
	if r = n.must("~ack", "orders/1", `{"id":"send orders/1:remind"}`); r.Version != 5 || len(r.Pending) != 0 {
		t.Errorf("acknowledged without an event: got version %d %+v", r.Version, r.Pending)
	}
	_, err := n.do("~ack", "orders/1", `{}`)
	storetest.WantError(t, "ack of nothing", err, kit.ErrInvalid, `"id"`)
}

func TestProposalsOfABatchSeeEachOther(t *testing.T) {
	n := newNode(t)
	one := func(w kit.Write) Proposal { return Proposal{Writes: []kit.Write{w}} }
	got := n.propose(
		one(write("create", "notes/a", `{"text":"1"}`)),
		one(write("create", "notes/a", `{}`)),
		one(write("update", "notes/a", `{"text":"2"}`)),
		Proposal{Writes: []kit.Write{write("create", "orders/", "{}"), write("delete", "notes/a", ""), write("update", "notes/none", "{}")}},
		one(kit.Write{Verb: "update", Link: "notes/a", IfMatch: 2, Body: json.RawMessage(`{"text":"3"}`)}),
		one(write("create", "orders/", "{}")),
		one(write("delete", "notes/a", "")),
		one(write("create", "notes/a", `{"text":"4"}`)),
	)
	var seen []string
	for _, r := range got {
		if r.Err != nil {
			seen = append(seen, kit.FaultOf(r.Err).Error())
			continue
		}
		seen = append(seen, fmt.Sprintf("%s v%d #%d", r.Records[0].Link, r.Records[0].Version, r.Records[0].Seq))
	}
	want := []string{"notes/a v1 #1", "conflict", "notes/a v2 #2", "not found", "notes/a v3 #3", "orders/1 v1 #4", "notes/a v4 #5", "notes/a v5 #6"}
	if !slices.Equal(seen, want) {
		t.Errorf("results: got %q\nwant %q", seen, want)
	}
	if len(n.log) != 1 || n.Position().Seq != 6 || n.Count("notes") != 1 {
		t.Errorf("%d entries, position %s, %d notes", len(n.log), n.Position(), n.Count("notes"))
	}
}

func TestEntryStaysWithinTheLog(t *testing.T) {
	n := newNode(t)
	n.must("create", "notes/a", `{"text":"`+strings.Repeat("x", kit.MaxDocument/2)+`"}`)
	touch := func(field string, times int) Proposal {
		var p Proposal
		for i := range times {
			p.Writes = append(p.Writes, write("update", "notes/a", fmt.Sprintf(`{"%s%d":1}`, field, i)))
		}
		return p
	}
	results := n.propose(touch("a", 40), touch("b", 20), touch("c", 25), touch("d", 30), touch("e", 10))
	storetest.WantError(t, "a proposal of 20 MB", results[0].Err, kit.ErrTooLarge, "split")
	storetest.WantError(t, "one over the rest of the entry", results[3].Err, kit.ErrTooMany, "again")
	if results[1].Err != nil || results[2].Err != nil || results[4].Err != nil {
		t.Errorf("those that fit: %v, %v, %v", results[1].Err, results[2].Err, results[4].Err)
	}
	if r, _ := n.Read("notes/a"); r.Version != 56 {
		t.Errorf("version %d, want 56", r.Version)
	}
	if got, want := touch("n", 2).Size(), 2*len(`notes/a{"n0":1}`); got != want {
		t.Errorf("size of a proposal: got %d, want %d", got, want)
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	n := newNode(t)
	n.must("create", "notes/a", "{}")
	n.now = n.now.Add(-time.Hour)
	if r := n.must("create", "notes/b", "{}"); !r.Created.Equal(stamp(start)) {
		t.Errorf("created %v by a clock that went back, want %v", r.Created, stamp(start))
	}
}

func TestTickDeletesTheExpiredAndCollectsTombstones(t *testing.T) {
	n := newNode(t)
	n.must("create", "notes/short", fmt.Sprintf(`{"expires":%q}`, start.Add(time.Minute).Format(time.RFC3339)))
	n.must("create", "notes/long", fmt.Sprintf(`{"expires":%q}`, start.Add(time.Hour).Format(time.RFC3339)))
	n.must("create", "notes/ever", "{}")
	listed := n.Position()
	n.propose(Proposal{Tick: true})
	if n.Count("notes") != 3 || len(n.log) != 3 {
		t.Errorf("too early a tick: %d notes, %d entries", n.Count("notes"), len(n.log))
	}
	n.now = start.Add(2 * time.Minute)
	n.propose(Proposal{Tick: true}, Proposal{Writes: []kit.Write{write("update", "notes/long", `{"expires":null}`)}})
	changes, _, err := n.Since("notes", listed, 10)
	if err != nil || len(changes) != 2 || !changes[0].Record.Deleted || changes[0].Record.Link != "notes/short" {
		t.Fatalf("feed after expiry: %+v, error %v", changes, err)
	}
	n.now = n.now.Add(memory.TombstoneAge)
	n.propose(Proposal{Tick: true})
	for _, kind := range []string{"notes", ""} {
		_, _, err = n.Since(kind, listed, 10)
		storetest.WantError(t, "a position before a collected tombstone", err, kit.ErrGone, "list again")
	}
	if _, _, err := n.Since("orders", listed, 10); err != nil {
		t.Errorf("another kind's feed: %v", err)
	}
	if _, _, err := n.Since("notes", changes[0].Position, 10); err != nil {
		t.Errorf("the position of the tombstone itself: %v", err)
	}
	if changes, _, err := n.Since("", kit.Position{}, 10); err != nil || len(changes) != 2 {
		t.Errorf("from the start: %+v, error %v", changes, err)
	}
	if r := n.must("create", "notes/short", "{}"); r.Version != 1 {
		t.Errorf("created after the tombstone is gone: version %d", r.Version)
	}
}

func TestEpochsTellPositionsApart(t *testing.T) {
	n := newNode(t)
	if n.Position() != (kit.Position{}) {
		t.Errorf("position of an empty store: %s", n.Position())
	}
	n.must("create", "notes/a", "{}")
	before := n.Position()
	n.propose(Proposal{NewEpoch: true})
	if after := n.Position(); after.Epoch <= before.Epoch || after.Seq != before.Seq {
		t.Errorf("new epoch: from %s to %s", before, after)
	}
	_, _, err := n.Since("notes", before, 10)
	storetest.WantError(t, "a position of the old epoch", err, kit.ErrGone, "backup")
}

func TestFence(t *testing.T) {
	n := newNode(t)
	n.must("create", "notes/a", fmt.Sprintf(`{"expires":%q}`, start.Add(time.Minute).Format(time.RFC3339)))
	n.now = start.Add(time.Hour)
	fence := func(epoch int64, on bool) error {
		return n.propose(Proposal{Fence: &Fence{Epoch: epoch, On: on}})[0].Err
	}
	if err := fence(3, true); err != nil {
		t.Fatal(err)
	}
	_, err := n.do("create", "notes/b", "{}")
	storetest.WantError(t, "a write", err, kit.ErrFenced, "epoch 3")
	in := []Imported{{Record: kit.Record{Meta: kit.Meta{Link: "notes/b", Version: 1}, Body: []byte("{}")}, Origin: frame.Origin{Stream: "back", Seq: 1}}}
	storetest.WantError(t, "an import", n.propose(Proposal{Import: in})[0].Err, kit.ErrFenced)
	if err := n.propose(Proposal{Import: in, PassFence: true})[0].Err; err != nil || n.Count("notes") != 2 {
		t.Errorf("an import that passes: %d notes, error %v", n.Count("notes"), err)
	}
	if n.propose(Proposal{Tick: true}); n.Count("notes") != 2 {
		t.Error("a tick expired documents of a fenced side")
	}
	storetest.WantError(t, "an older orchestrator", fence(2, false), kit.ErrConflict, "epoch 3", "epoch 2")
	if err := fence(4, false); err != nil {
		t.Fatal(err)
	}
	if epoch, on := n.Fenced(); epoch != 4 || on {
		t.Errorf("fence: got %d %t, want 4 false", epoch, on)
	}
	n.must("create", "notes/c", "{}")
}

func TestProposalIsOneThing(t *testing.T) {
	n := newNode(t)
	for _, p := range []Proposal{{}, {Tick: true, NewEpoch: true}, {Writes: []kit.Write{}, PassFence: true}} {
		storetest.WantError(t, fmt.Sprintf("%+v", p), n.propose(p)[0].Err, kit.ErrInvalid)
	}
}

func TestApplyRefusesWhatDoesNotFit(t *testing.T) {
	n := newNode(t)
	entry, _ := n.Decide([]Proposal{{Writes: []kit.Write{write("create", "notes/a", "{}")}}}, n.now)
	n.must("create", "notes/b", "{}")
	storetest.WantError(t, "an entry decided on another state", n.Apply(entry), kit.ErrConflict, "another state")
	storetest.WantError(t, "a damaged entry", n.Apply(entry[:len(entry)-5]), kit.ErrInvalid, "stops")
	var b bytes.Buffer
	w := frame.NewWriter(&b)
	if err := errors.Join(w.Write(frame.Frame{Head: json.RawMessage(`{"of":"entry","entries":2,"moons":4}`)}), w.Close()); err != nil {
		t.Fatal(err)
	}
	storetest.WantError(t, "an entry with more in its head", n.Apply(b.Bytes()), kit.ErrInvalid, "newer binary")
	if n.Count("notes") != 1 {
		t.Errorf("%d notes, want 1", n.Count("notes"))
	}
}

func TestNothingIsDecidedThatApplyRefuses(t *testing.T) {
	n := newNode(t)
	n.must("create", "orders/1", "{}")
	imported := func(change func(*kit.Record)) Proposal {
		r := kit.Record{Meta: kit.Meta{Link: "notes/b", Schema: 1, Version: 1, Created: start, Updated: start}, Body: json.RawMessage("{}")}
		change(&r)
		return Proposal{Import: []Imported{{Record: r, Origin: frame.Origin{Seq: 1}}}}
	}
	before := time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600)) // the year -1 in UTC
	for _, c := range []struct {
		name string
		p    Proposal
		says string
	}{
		{"expires in a year before 0 in UTC", Proposal{Writes: []kit.Write{write("create", "notes/a", `{"expires":"0000-01-01T00:00:00+01:00"}`)}}, `field "expires" is a time like`},
		{"expires after 9999 in UTC", Proposal{Writes: []kit.Write{write("create", "notes/a", `{"expires":"9999-12-31T23:59:59-01:00"}`)}}, `field "expires" is a time like`},
		{"an operation nested too deep", Proposal{Writes: []kit.Write{write("nest", "orders/1", "")}}, "orders/1: the document cannot be kept: its pending operations"},
		{"an import created too early", imported(func(r *kit.Record) { r.Created = before }), "notes/b: the document cannot be kept: it has a time before the year 0"},
		{"an import of a schema below 0", imported(func(r *kit.Record) { r.Schema = -1 }), "a number out of range"},
		{"an import that begins with space", imported(func(r *kit.Record) { r.Body = json.RawMessage(" {}") }), "its body is not a JSON object"},
		{"a cursor nested too deep", Proposal{Cursor: &Cursor{Name: "c", Data: nested(9999)}}, `the data of the cursor "c" is nested too deep`},
	} {
		storetest.WantError(t, c.name, n.propose(c.p)[0].Err, kit.ErrInvalid, c.says)
	}
	n.must("create", "notes/a", `{"expires":"0000-01-01T00:00:00Z"}`)
	storetest.WantError(t, "a large cursor", n.propose(Proposal{Cursor: &Cursor{Name: "c", Data: json.RawMessage(`"` + strings.Repeat("x", maxProposal) + `"`)}})[0].Err, kit.ErrTooLarge, "the limit is")
}

func TestChangedTellsOfEachApply(t *testing.T) {
	n := newNode(t)
	c := n.Changed()
	n.must("create", "notes/a", "{}")
	select {
	case <-c:
	default:
		t.Fatal("not told of an applied entry")
	}
	select {
	case <-n.Changed():
		t.Fatal("told of a change that has not come yet")
	default:
	}
}

func TestCursorsAreKept(t *testing.T) {
	n := newNode(t)
	n.propose(Proposal{Cursor: &Cursor{Name: "copy", Position: "1.5", Data: json.RawMessage(`{"part":3}`)}})
	if c, ok := n.Cursor("copy"); !ok || c.Position != "1.5" || string(c.Data) != `{"part":3}` {
		t.Errorf("cursor: got %+v %t", c, ok)
	}
	bad := Imported{Record: kit.Record{Meta: kit.Meta{Link: "notes/b"}}}
	n.propose(Proposal{Import: []Imported{bad}, Cursor: &Cursor{Name: "copy", Position: "1.9"}})
	if c, _ := n.Cursor("copy"); c.Position != "1.5" {
		t.Errorf("a refused import moved the cursor to %s", c.Position)
	}
	n.propose(Proposal{Cursor: &Cursor{Name: "copy"}})
	if c, ok := n.Cursor("copy"); ok {
		t.Errorf("a forgotten cursor: got %+v", c)
	}
}
