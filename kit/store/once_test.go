package store

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/storetest"
)

func withKey(key string, w ...kit.Write) Proposal {
	return Proposal{By: "users/ada", Key: key, Writes: w}
}

func TestRepeatedWriteHappensOnce(t *testing.T) {
	n := newNode(t)
	create := withKey("k1", write("create", "orders/", `{"amount":1}`), write("create", "notes/", `{"text":"x"}`))
	got := n.propose(create, create)
	if got[0].Err != nil || got[1].Err != nil || got[0].Records[0].Link != "orders/1" || got[1].Records[0].Link != "orders/1" || got[1].Records[1].Link != got[0].Records[1].Link {
		t.Fatalf("twice in a batch: %+v", got)
	}
	n.must("update", "orders/1", `{"amount":2}`)
	n.must("delete", string(got[0].Records[1].Link), "")
	entries := len(n.log)
	again := n.propose(create)[0]
	if again.Err != nil || again.Records[0].Version != 2 || !again.Records[1].Deleted || n.Count("orders") != 1 || len(n.log) != entries {
		t.Errorf("repeated: %+v, %d orders, %d entries more", again, n.Count("orders"), len(n.log)-entries)
	}
	storetest.WantError(t, "another write", n.propose(withKey("k1", write("create", "orders/", `{}`)))[0].Err, kit.ErrConflict, `"k1"`, "new key")
	other := create
	other.By = "users/bob"
	if r := n.propose(other)[0]; r.Err != nil || r.Records[0].Link != "orders/2" {
		t.Errorf("the key of another caller: %+v", r)
	}
	if r := n.propose(withKey("k2", write("update", "notes/none", `{}`)))[0]; r.Err == nil {
		t.Error("a refused write is taken")
	}
	n.must("create", "notes/none", "{}")
	if r := n.propose(withKey("k2", write("update", "notes/none", `{"text":"y"}`)))[0]; r.Err != nil {
		t.Errorf("the key of a refused write is used up: %v", r.Err)
	}

	copied := newNode(t)
	if err := copied.Restore(bytes.NewReader(snapshotOf(t, n))); err != nil {
		t.Fatal(err)
	}
	copied.now = n.now.Add(kit.OnceAge - time.Second)
	if r := copied.propose(create)[0]; r.Err != nil || r.Records[0].Version != 2 || copied.Count("orders") != 2 {
		t.Errorf("repeated after a restore: %+v", r)
	}
	copied.now = n.now
	copied.pass(kit.OnceAge)
	if r := copied.propose(create)[0]; r.Err != nil || r.Records[0].Link != "orders/3" {
		t.Errorf("repeated after the key is forgotten: %+v", r)
	}
	copied.pass(kit.OnceAge)
	if copied.must("create", "notes/z", "{}"); copied.engine.Usage().Keys != 0 {
		t.Errorf("%d keys are kept for too long", copied.engine.Usage().Keys)
	}
	checkEngine(t, copied.engine)
}

func TestFormOfIdempotencyKeys(t *testing.T) {
	n := newNode(t)
	for _, key := range []string{"a b", "ü", strings.Repeat("x", 101), "a/b", ".", ".."} {
		storetest.WantError(t, key, n.propose(withKey(key, write("create", "notes/", "{}")))[0].Err, kit.ErrInvalid, "idempotency key")
	}
	for _, key := range []string{"a", "...", "A-._~9", strings.Repeat("x", 100)} {
		if err := n.propose(withKey(key, write("create", "notes/", "{}")))[0].Err; err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	storetest.WantError(t, "the key of a tick", n.propose(Proposal{Tick: true, Key: "k"})[0].Err, kit.ErrInvalid, "only writes")
}

// A new leader's clock may be hours ahead: what was just written is not old.
func TestKeysSurviveClocksThatJump(t *testing.T) {
	n := newNode(t)
	create := withKey("k1", write("create", "orders/", `{"amount":1}`))
	n.propose(create)
	for jump := range 10 {
		n.now = n.now.Add(5 * time.Hour)
		n.must("create", "notes/", "{}")
		if r := n.propose(create)[0]; r.Err != nil || n.Count("orders") != 1 {
			t.Fatalf("repeated after jump %d: %+v, %d orders", jump+1, r, n.Count("orders"))
		}
	}
	follower, copied := newNode(t), newNode(t)
	for _, entry := range n.log {
		if err := follower.Apply(entry); err != nil {
			t.Fatal(err)
		}
	}
	if err := copied.Restore(bytes.NewReader(snapshotOf(t, n))); err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]*node{"a follower": follower, "a restored node": copied} {
		if !bytes.Equal(snapshotOf(t, other), snapshotOf(t, n)) {
			t.Errorf("%s has another state", name)
		}
		other.now = n.now
		other.pass(4 * time.Minute)
		if r := other.propose(create)[0]; r.Err != nil || other.Count("orders") != 1 {
			t.Errorf("%s after 14 minutes: %+v, %d orders", name, r, other.Count("orders"))
		}
		other.pass(time.Minute)
		if r := other.propose(create)[0]; r.Err != nil || other.Count("orders") != 2 {
			t.Errorf("%s after 15 minutes: %+v, %d orders", name, r, other.Count("orders"))
		}
	}
}

func TestWriteIsPinnedToVersions(t *testing.T) {
	n := newNode(t)
	n.must("create", "notes/a", `{"text":"a"}`)
	pinned := func(key string, ifMatch int64, pins ...int64) Proposal {
		w := write("update", "notes/a", `{"text":"b"}`)
		w.IfMatch = ifMatch
		return Proposal{By: "users/ada", Key: key, Writes: []kit.Write{w}, Pins: pins}
	}
	storetest.WantError(t, "a pin to another version", n.propose(pinned("", 0, 2))[0].Err, kit.ErrStale, "changed just now")
	storetest.WantError(t, "a pin to another version than If-Match", n.propose(pinned("", 1, 2))[0].Err, kit.ErrStale, "changed just now")
	storetest.WantError(t, "pins of other writes", n.propose(pinned("", 0, 1, 1))[0].Err, kit.ErrInvalid, "2 pins for 1 writes")
	if r := n.propose(pinned("k", 0, 1))[0]; r.Err != nil || r.Records[0].Version != 2 {
		t.Fatalf("a pin to the version that there is: %+v, want version 2", r)
	}
	// The pin is not a part of what the key stands for, and who pins is not told.
	for _, pin := range []int64{1, 2} {
		storetest.WantError(t, "a repetition that is pinned", n.propose(pinned("k", 0, pin))[0].Err, kit.ErrStale, "changed just now")
		records, done, err := n.Repeated(pinned("k", 0, pin), n.now)
		if err != nil || !done || records[0].Version != 2 {
			t.Errorf("repeated: %+v, %t, %v, want version 2", records, done, err)
		}
	}
	if _, done, err := n.Repeated(pinned("other", 0, 2), n.now); done || err != nil {
		t.Errorf("another key was repeated: %t, %v, want that it is new", done, err)
	}
	_, _, err := n.Repeated(pinned("k", 7, 2), n.now)
	storetest.WantError(t, "another write by the key", err, kit.ErrConflict, "used for another write")
	n.propose(Proposal{Fence: &Fence{Epoch: 1, On: true}})
	_, _, err = n.Repeated(pinned("k", 0, 2), n.now)
	storetest.WantError(t, "a repetition behind the fence", err, kit.ErrFenced, "takes no writes")
}

func TestKeysOfAnotherClusterKeepTheirAge(t *testing.T) {
	source, n := newNode(t), newNode(t)
	n.now = start.Add(-30 * time.Hour)
	create := func(key, text string) Proposal {
		return withKey(key, write("create", "notes/"+key, `{"text":"`+text+`"}`))
	}
	source.propose(create("early", "x"))
	source.pass(10 * time.Minute)
	source.propose(create("late", "x"))
	source.pass(time.Minute)
	import1 := func() (entries int) {
		s := source.Snapshot()
		was := len(n.log)
		pr := Proposal{Keys: slices.Collect(s.Keys(time.Time{})), KeysAt: s.Age(), PassFence: true}
		if r := n.propose(pr)[0]; r.Err != nil {
			t.Fatal(r.Err)
		}
		return len(n.log) - was
	}
	n.propose(Proposal{Fence: &Fence{Epoch: 1, On: true}})
	if import1() != 1 || import1() != 0 {
		t.Error("keys that were imported are imported again, or not at all")
	}
	if later := slices.Collect(source.Snapshot().Keys(start.Add(time.Minute))); len(later) != 1 {
		t.Errorf("%d keys were used after the first, want 1", len(later))
	}
	n.propose(Proposal{Fence: &Fence{Epoch: 2}})
	n.pass(3 * time.Minute)
	if r := n.propose(create("early", "x"))[0]; r.Err != nil || !r.Records[0].Deleted {
		t.Errorf("repeated 14 minutes after it was written: %+v, want the document that is not here", r)
	}
	n.pass(time.Minute)
	if r := n.propose(create("early", "x"))[0]; r.Err != nil || r.Records[0].Deleted {
		t.Errorf("repeated 15 minutes after it was written: %+v, want that it is written", r)
	}

	// The source is in charge: what it says of a key, which was used again, counts.
	source.pass(5 * time.Minute)
	source.propose(withKey("late", write("create", "notes/again", "{}")), create("early", "x"))
	source.pass(kit.OnceAge - 2*time.Minute)
	source.propose(withKey("late", write("create", "notes/again", "{}")))
	if import1() != 1 {
		t.Error("a key that was used again at the source is not imported")
	}
	checkEngine(t, n.engine)
}
