package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/seal"
)

// Gossip takes seconds to find out that a node is dead; until then only the
// voters themselves can tell.
func TestANodeStaysAMemberWhileTheRestWouldHaveNoMajority(t *testing.T) {
	nodes := three(t, nil)
	nodes[2].stop()
	isFault(t, nodes[0].Remove(nodes[1].ID()), kit.ErrConflict, "most voters would be dead")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	mustStay(t, nodes[1].Leave(ctx))
	writeTo(t, nodes[:2], "meanwhile", "x")
	eventually(t, "the write on the node that stays", func() bool { return nodes[1].read("meanwhile") == "x" })

	nodes[2] = start(t, nodes[2].config.Dir, nil)
	votes(t, nodes[0], 3)
	ctx, cancel = context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := nodes[1].Leave(ctx); err != nil {
		t.Fatalf("leave with all others alive: %v", err)
	}
	nodes[1].stop()
	left := []*running{nodes[0], nodes[2]}
	writeTo(t, left, "after", "x")
	if m := leaderOf(t, left...).Members(); len(m) != 2 {
		t.Errorf("after one has left the members are %v, want two", m)
	}
}

// mustStay fails unless err says that a node is not let go, or not yet.
func mustStay(t *testing.T, err error) {
	t.Helper()
	if f := kit.FaultOf(err); f != kit.ErrConflict && f != kit.ErrTimeout {
		t.Errorf("a node left that the others need: %v", err)
	}
}

func TestANodeThatCannotReachALeaderDoesNotTakeItselfForGone(t *testing.T) {
	nodes := three(t, nil)
	nodes[0].stop()
	nodes[2].stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	mustStay(t, nodes[1].Leave(ctx))
	nodes[0], nodes[2] = start(t, nodes[0].config.Dir, nil), start(t, nodes[2].config.Dir, nil)
	votes(t, leaderOf(t, nodes...), 3)
	writeTo(t, nodes, "a", "x")
}

func TestALeaverHearsOfItsRemovalThoughTheAnswerWasLost(t *testing.T) {
	nodes := three(t, nil)
	nodes[1].leaves.Store(true)
	if _, err := nodes[0].letGo(nodes[1].ID()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := nodes[1].Leave(ctx); err != nil {
		t.Fatal(err)
	}
	nodes[1].stop()
	_, err := open(t, nodes[1].config.Dir, newNotes(), nil)
	isFault(t, err, kit.ErrConflict, "has left its cluster")
}

func TestTwoThatLeaveAtOnceDoNotTakeTheMajorityWithThem(t *testing.T) {
	nodes := three(t, nil)
	nodes = append(nodes, start(t, t.TempDir(), nil, nodes[0]))
	votes(t, nodes[0], 4)
	nodes[3].stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	left := make(chan error, 2)
	for _, n := range nodes[1:3] {
		go func() { left <- n.Leave(ctx) }()
	}
	gone := 0
	for range 2 {
		if err := <-left; err == nil {
			gone++
		}
	}
	if gone > 1 {
		t.Errorf("%d of four left while one was dead: one alone has no majority of two", gone)
	}
	writeTo(t, nodes[:3], "a", "x")
}

func TestTheOldestOfManyRemovedNodesAreForgotten(t *testing.T) {
	r := &replica{machine: newNotes(), fail: func(err error) { t.Error(err) }}
	for i := range uint64(maxExpelled + 900) {
		text := fmt.Appendf(nil, `{"expel":["n%09d"]}`, i)
		if err := r.Apply(&raft.Log{Index: i + 1, Data: seal.Entry(nil, time.Unix(1, 0)), Extensions: text}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.expelled); n != maxExpelled || r.expelled[0] != "n000000900" {
		t.Errorf("%d removed nodes are remembered from %s on, want %d from n000000900 on", n, r.expelled[0], maxExpelled)
	}
	var snapshot bytes.Buffer
	if err := r.freeze().writeTo(&snapshot); err != nil {
		t.Fatal(err)
	}
	read := &replica{machine: newNotes(), fail: func(err error) { t.Error(err) }}
	if err := read.Restore(io.NopCloser(&snapshot)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(read.expelled, r.expelled) {
		t.Errorf("a snapshot carries %d of %d removed nodes, or in another order", len(read.expelled), len(r.expelled))
	}
}
