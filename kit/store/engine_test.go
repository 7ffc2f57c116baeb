package store

import (
	"fmt"
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

// tiny makes the store keep its documents in chunks of so many bytes.
func (n *node) tiny(chunk int) *node {
	n.Store.engine = memory.New(n.kinds.memory, chunk)
	return n
}

func TestMemoryOfWhatIsGoneIsReused(t *testing.T) {
	n := newNode(t).tiny(1024)
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

func TestRecordsOutliveTheirMemory(t *testing.T) {
	n := newNode(t).tiny(512)
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
	v.Scan("notes", memory.Span{Order: memory.OrderLink}, func(r kit.Record) bool {
		if string(r.Body) != string(before.Body) {
			t.Errorf("a view changed to %s", r.Body)
		}
		return true
	})
}
