package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/memory"
)

// fataler is what a test of testing and one of rapid have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkEngine compares all that finds documents with each other.
func checkEngine(t fataler, e *memory.Engine) {
	t.Helper()
	if err := e.Check(); err != nil {
		t.Fatalf("%v", err)
	}
}

// tiny makes the store keep its documents in chunks of so many bytes, and move
// no more than step of them with most entries.
func (n *node) tiny(chunk, step int) *node {
	n.Store.engine = memory.New(n.kinds.memory, chunk, step)
	return n
}

// always is for a scan that may look at any number of changes.
func always(int) bool { return true }

func TestMemoryOfWhatIsGoneIsReused(t *testing.T) {
	n := newNode(t).tiny(1024, memory.StepBytes)
	held := int64(0)
	for round := range 200 {
		n.now = n.now.Add(10 * time.Second)
		for i := range 20 {
			link := fmt.Sprintf("notes/%d", i)
			if round == 0 {
				n.must("create", link, `{"text":"0"}`)
			} else {
				n.must("update", link, fmt.Sprintf(`{"text":"%d","%d":1}`, round, i))
			}
		}
		n.propose(Proposal{By: "users/ada", Key: fmt.Sprint(round), Writes: []kit.Write{write("delete", "notes/7", "")}}, Proposal{Writes: []kit.Write{write("create", "notes/7", "{}")}})
		checkEngine(t, n.engine)
		if round == 100 {
			held = n.engine.Usage().Held
		}
	}
	if now := n.engine.Usage().Held; now > held*3/2 {
		t.Errorf("%d bytes are held after 200 rounds of changes, %d after half of them", now, held)
	}
}

func TestChunkDiesWhileItIsBeingEmptied(t *testing.T) {
	n := newNode(t).tiny(4096, 100)
	random := rand.New(rand.NewPCG(1, 1))
	text := strings.Repeat("x", 100)
	for i := range 30 {
		n.must("create", fmt.Sprintf("notes/%d", i), fmt.Sprintf(`{"text":%q}`, text))
	}
	for i := range 2000 {
		n.now = n.now.Add(time.Second)
		if i > 200 && i%10 == 0 {
			n.now = n.now.Add(ageStep) // nobody has written meanwhile
		}
		n.must("update", fmt.Sprintf("notes/%d", random.IntN(30)), fmt.Sprintf(`{"text":"%d%s"}`, i, text))
	}
	checkEngine(t, n.engine)
	if u := n.engine.Usage(); u.Held > 300_000 {
		t.Errorf("%d bytes are held for 30 notes and %d earlier versions", u.Held, u.Versions)
	}
}

func TestLittleOfTheMemoryIsDead(t *testing.T) {
	const chunk = 4096
	n := newNode(t).tiny(chunk, memory.StepBytes)
	random := rand.New(rand.NewPCG(1, 1))
	for i := range 1000 {
		n.must("create", "orders/", fmt.Sprintf(`{"amount":%d}`, i))
	}
	for i := range 10_000 {
		n.now = n.now.Add(500 * time.Millisecond)
		n.must("update", fmt.Sprintf("orders/%d", 1+random.IntN(1000)), fmt.Sprintf(`{"amount":%d}`, 1000+i))
	}
	checkEngine(t, n.engine)
	if u := n.engine.Usage(); u.Held > u.Live*3/2+10*chunk {
		t.Errorf("%d bytes are held for %d that are alive", u.Held, u.Live)
	}
}

func TestKeysMayBeginAlike(t *testing.T) {
	n := newNode(t)
	random := rand.New(rand.NewPCG(1, 1))
	link := func(i int) string { return fmt.Sprintf("notes/customers-of-the-year-2026-%06d", i) }
	for _, i := range random.Perm(3000) {
		n.must("create", link(i), `{"text":"the same in all of them"}`)
		if i%500 == 0 {
			n.frozen()
		}
	}
	checkEngine(t, n.engine)
	for _, i := range random.Perm(3000) {
		if i%3 == 0 {
			n.must("delete", link(i), "")
		} else {
			n.must("update", link(i), fmt.Sprintf(`{"note":%d}`, i))
		}
	}
	checkEngine(t, n.engine)
	for i := range 3000 {
		if r, err := n.Read(kit.Link(link(i))); (err == nil) != (i%3 > 0) || err == nil && r.Version != 2 {
			t.Fatalf("read %s: version %d, error %v", link(i), r.Version, err)
		}
	}
}

func TestRecordsOutliveTheirMemory(t *testing.T) {
	n := newNode(t).tiny(512, 100)
	before := n.must("create", "notes/a", `{"text":"kept"}`)
	read, _ := n.Read("notes/a")
	v := n.frozen()
	for i := range 500 {
		n.now = n.now.Add(time.Minute)
		n.must("update", "notes/a", fmt.Sprintf(`{"text":"%d"}`, i))
	}
	if string(read.Body) != string(before.Body) || read.Link != "notes/a" {
		t.Errorf("a record that was read changed to %s %s", read.Link, read.Body)
	}
	v.Scan("notes", []memory.Span{{Order: memory.OrderLink}}, always, func(r kit.Record) bool {
		if string(r.Body) != string(before.Body) {
			t.Errorf("a view changed to %s", r.Body)
		}
		return true
	})
}

func TestLargeEntriesKeepAllOrders(t *testing.T) {
	n := newNode(t).tiny(4096, memory.StepBytes)
	random := rand.New(rand.NewPCG(3, 4))
	verbs := []kit.Verb{"create", "create", "update", "delete"}
	for round := range 40 {
		before := n.Snapshot()
		want := snapshotOf(t, n)
		n.now = n.now.Add(time.Duration(round%3) * 20 * time.Second)
		var ps []Proposal
		first := random.IntN(3000)
		for i := range 1 + random.IntN(600) {
			id := fmt.Sprint(first + i)
			switch round % 4 {
			case 1:
				id = fmt.Sprintf("n%x", random.IntN(4000))
			case 2:
				id = fmt.Sprint(random.IntN(200)) // several changes of many of them
			}
			body := fmt.Sprintf(`{"text":"%d"}`, random.IntN(50))
			if random.IntN(5) == 0 {
				body = `{"text":"goes","expires":"` + n.now.Add(time.Hour+time.Duration(i)*time.Second).Format(time.RFC3339) + `"}`
			}
			ps = append(ps, Proposal{Writes: []kit.Write{write(verbs[random.IntN(len(verbs))], "notes/"+id, body)}})
		}
		n.propose(ps...)
		checkEngine(t, n.engine)
		var then bytes.Buffer
		if _, err := before.WriteTo(&then); err != nil || !bytes.Equal(then.Bytes(), want) {
			t.Fatalf("round %d changed a snapshot that was there before, error %v", round, err)
		}
	}
	again := newNode(t)
	if err := again.Restore(bytes.NewReader(snapshotOf(t, n))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(snapshotOf(t, again), snapshotOf(t, n)) {
		t.Error("the snapshot of what was restored is another")
	}
}
