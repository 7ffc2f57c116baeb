package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"

	"landfall.dev/kit"
)

func TestReadsTakeNoEntry(t *testing.T) {
	nodes := three(t, nil)
	writeTo(t, nodes, "a", "1")
	leader := leaderOf(t, nodes...)
	before := leader.raft.LastIndex()
	var g sync.WaitGroup
	for _, n := range nodes {
		for range 20 {
			g.Go(func() {
				if err := n.CatchUp(t.Context()); err != nil {
					t.Error(err)
				}
				if got := n.read("a"); got != "1" {
					t.Errorf("node %s reads %q after it has caught up", n.ID(), got)
				}
			})
		}
	}
	g.Wait()
	if after := leader.raft.LastIndex(); after != before && leader.Leader().Self {
		t.Errorf("reads made %d entries", after-before)
	}
}

// A leader that was stopped for a while goes on in the belief that it leads:
// what it reads, and for what it refuses writes, may be old by then.
func TestALeaderWhoseVotersAreInALaterTermConfirmsNoRead(t *testing.T) {
	nodes := three(t, nil)
	leader := leaderOf(t, nodes...)
	term := leader.raft.CurrentTerm()
	former := &poll{node: leader.Node, term: term - 1, asked: map[string]bool{}, answers: make(chan ballot)}
	ctx, cancel := context.WithCancel(t.Context())
	confirmed := make(chan bool, 1)
	go func() { confirmed <- former.majority(ctx) }()
	present := &poll{node: leader.Node, term: term, asked: map[string]bool{}, answers: make(chan ballot)}
	for i := range 10 {
		if !present.majority(t.Context()) {
			t.Errorf("round %d of the present leader was not confirmed", i)
		}
	}
	select {
	case <-confirmed:
		t.Error("a former leader was confirmed")
	default:
	}
	cancel()
	if <-confirmed {
		t.Error("a former leader was confirmed")
	}
}

func TestReadsGoOnWithoutAMinority(t *testing.T) {
	nodes := three(t, nil)
	writeTo(t, nodes, "a", "1")
	nodes[2].stop()
	for i := range 20 {
		key := fmt.Sprint(i)
		writeTo(t, nodes[:2], key, "x")
		for _, n := range nodes[:2] {
			eventually(t, "a read", func() bool {
				err := n.CatchUp(t.Context())
				if err != nil && !kit.Temporary(err) {
					t.Fatal(err)
				}
				return err == nil
			})
			if n.read(key) != "x" {
				t.Errorf("node %s does not see write %d", n.ID(), i)
			}
		}
	}
}

func TestWhoWaitsForRaftIsLetGoWhenItStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{halted: make(chan struct{})}
		answered := awaited{make(chan struct{})}
		close(answered.done)
		if err := n.await(answered); err != nil {
			t.Errorf("an answer came back as %v", err)
		}
		close(n.halted)
		if err := n.await(answered); err != nil {
			t.Errorf("an answer, after the shutdown, came back as %v", err)
		}
		never := awaited{make(chan struct{})}
		defer close(never.done)
		if err := n.await(never); err != raft.ErrRaftShutdown {
			t.Errorf("no answer came back as %v", err)
		}
	})
}

// awaited is a future that is there when done is closed.
type awaited struct{ done chan struct{} }

func (a awaited) Error() error { <-a.done; return nil }

func TestANodeThatCannotKeepItsVoteStops(t *testing.T) {
	nodes := three(t, nil)
	leader := leaderOf(t, nodes...)
	for _, n := range nodes {
		if n != leader {
			if err := n.storage.Close(); err != nil { // behind its back
				t.Fatal(err)
			}
			leader.handOver() // an election, for which it must write
			<-n.done
			isFault(t, n.err, kit.ErrUnavailable, "cannot be written", "see to the disk")
			break
		}
	}
	var left []*running
	for _, n := range nodes {
		select {
		case <-n.done:
		default:
			left = append(left, n)
		}
	}
	writeTo(t, left, "a", "1")
}
