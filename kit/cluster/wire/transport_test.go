package wire

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"landfall.dev/kit/cluster/authority"
)

// patience bounds every wait; it is reached only by a test that fails.
const patience = 30 * time.Second

// unanswered is the kind of question to which there is no answer.
const unanswered = 99

// place is where the members of a test are.
type place struct {
	authority *authority.Authority
	expelled  string

	mu    sync.Mutex
	addrs map[string]string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	a, err := authority.New(key)
	if err != nil {
		t.Fatal(err)
	}
	return &place{authority: a, addrs: map[string]string{}}
}

func (p *place) locate(id string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a, ok := p.addrs[id]; ok {
		return a, nil
	}
	return "", fmt.Errorf("no node %s", id)
}

// join returns the transport of a new member.
func (p *place) join(t *testing.T, id string) *Transport {
	t.Helper()
	l, err := Listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.addrs[id] = l.Addr().String()
	p.mu.Unlock()
	tr := New(Config{
		Listener: l, Pass: &authority.Pass{Authority: p.authority, ID: id, Hosts: []string{"127.0.0.1"}},
		Locate: p.locate, Log: hclog.NewNullLogger(),
		Admit: func(id string) error {
			if id == p.expelled {
				return errors.New("expelled")
			}
			return nil
		},
		Answer: func(_ string, kind byte, number uint64) (uint64, error) {
			if kind == unanswered {
				return 0, errors.New("no answer")
			}
			return number + uint64(kind), nil
		},
	})
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// within fails the test unless done is closed or sent to in time.
func within[T any](t *testing.T, what string, done <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-done:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
	}
	return v
}

func TestCallsAndQuestionsReachTheMember(t *testing.T) {
	p := newPlace(t)
	a, b := p.join(t, "a"), p.join(t, "b")
	go func() {
		call := <-b.Consumer()
		call.Respond(&raft.RequestVoteResponse{Term: 7, Granted: true}, nil)
	}()
	var vote raft.RequestVoteResponse
	if err := a.RequestVote("b", "b", &raft.RequestVoteRequest{Term: 7}, &vote); err != nil || !vote.Granted {
		t.Errorf("a call got %+v, %v", vote, err)
	}
	for range 2 { // the second on the same connection
		if got, err := a.Ask(t.Context(), "b", 3, 4); err != nil || got != 7 {
			t.Errorf("a question got %d, %v", got, err)
		}
	}
	if got, err := a.Ask(t.Context(), "b", unanswered, 4); err == nil {
		t.Errorf("a question that nobody answers got %d", got)
	}
	if _, err := a.Ask(t.Context(), "c", 3, 4); err == nil {
		t.Error("an unknown node answered")
	}
	p.mu.Lock()
	p.addrs["c"] = p.addrs["b"]
	p.mu.Unlock()
	if _, err := a.Ask(t.Context(), "c", 3, 4); err == nil {
		t.Error("a node was taken for another")
	}
}

func TestAQuestionSurvivesTheMembersRestart(t *testing.T) {
	p := newPlace(t)
	a, b := p.join(t, "a"), p.join(t, "b")
	if _, err := a.Ask(t.Context(), "b", 1, 1); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	p.join(t, "b")
	if got, err := a.Ask(t.Context(), "b", 1, 1); err != nil || got != 2 {
		t.Errorf("a question on a connection to the former process got %d, %v", got, err)
	}
}

func TestAnExpelledNodeGetsNoAnswer(t *testing.T) {
	p := newPlace(t)
	p.expelled = "a"
	p.join(t, "b")
	c, err := Dial(&authority.Pass{Authority: p.authority, ID: "a"}, "b", p.addrs["b"])
	if err != nil {
		return // told in the handshake
	}
	defer func() { _ = c.Close() }()
	// The refusal comes with what is read.
	if got, err := Ask(t.Context(), c, 1, 1); err == nil {
		t.Errorf("an expelled node got the answer %d", got)
	}
}

func TestANodeIsFoundWhereItsCertificateAnswers(t *testing.T) {
	p := newPlace(t)
	p.join(t, "a")
	if !Occupied(&authority.Pass{Authority: p.authority, ID: "a"}, p.addrs["a"]) {
		t.Error("the address of a running node is free")
	}
	if Occupied(&authority.Pass{Authority: p.authority, ID: "b"}, p.addrs["a"]) {
		t.Error("the address of another node is this one's")
	}
}

func TestAPortThatIsTakenIsReplaced(t *testing.T) {
	first, err := Listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	second, err := Listen("127.0.0.1", Port(first))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	if Port(second) == Port(first) || Port(second) == 0 {
		t.Errorf("two listeners are at the ports %d and %d", Port(first), Port(second))
	}
}

func TestCloseEndsCallsToAMemberThatDoesNotAnswer(t *testing.T) {
	p := newPlace(t)
	a, b := p.join(t, "a"), p.join(t, "b")
	called := make(chan error, 1)
	go func() {
		called <- a.AppendEntries("b", "b", &raft.AppendEntriesRequest{Term: 1}, &raft.AppendEntriesResponse{})
	}()
	within(t, "the call to arrive", b.Consumer()) // and nobody answers it
	pipe, err := a.AppendEntriesPipeline("b", "b")
	if err != nil {
		t.Fatal(err)
	}
	piped := make(chan error, 1)
	go func() {
		for {
			if _, err := pipe.AppendEntries(&raft.AppendEntriesRequest{Term: 1}, &raft.AppendEntriesResponse{}); err != nil {
				piped <- err
				return
			}
		}
	}()
	within(t, "an entry to arrive", b.Consumer())
	closed := make(chan error, 1)
	go func() { closed <- a.Close() }()
	if err := within(t, "the call to end", called); err == nil {
		t.Error("a call without an answer succeeded")
	}
	within(t, "the pipeline to end", piped)
	if err := within(t, "close", closed); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := a.AppendEntriesPipeline("b", "b"); err == nil {
		t.Error("a closed transport opened a pipeline")
	}
	if err := a.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

// standing is a raft that does not move.
type standing struct {
	state raft.RaftState
	term  uint64
}

func (s standing) State() raft.RaftState { return s.state }
func (s standing) CurrentTerm() uint64   { return s.term }

func TestOnlyHeartbeatsThatChangeNothingPassRaftsGoroutine(t *testing.T) {
	p := newPlace(t)
	a, b := p.join(t, "a"), p.join(t, "b")
	handled := make(chan uint64, 1)
	b.SetHeartbeatHandler(func(call raft.RPC) {
		handled <- call.Command.(*raft.AppendEntriesRequest).Term
		call.Respond(&raft.AppendEntriesResponse{}, nil)
	})
	beat := func(term uint64) (aside bool) {
		t.Helper()
		done := make(chan error, 1)
		go func() {
			req := &raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ID: []byte("a"), Addr: []byte("a")}, Term: term}
			done <- a.AppendEntries("b", "b", req, &raft.AppendEntriesResponse{})
		}()
		select {
		case <-handled:
			aside = true
		case call := <-b.Consumer():
			call.Respond(&raft.AppendEntriesResponse{}, nil)
		case <-time.After(patience):
			t.Fatalf("the heartbeat of term %d: not within %v", term, patience)
		}
		if err := within(t, "the heartbeat", done); err != nil {
			t.Fatal(err)
		}
		return aside
	}
	if beat(3) {
		t.Error("a heartbeat passed before raft was there")
	}
	for _, c := range []struct {
		name string
		standing
		term uint64
		want bool
	}{
		{"a follower in the leader's term", standing{raft.Follower, 3}, 3, true},
		{"a follower of a former leader", standing{raft.Follower, 2}, 3, false},
		{"a follower of a later leader", standing{raft.Follower, 4}, 3, false},
		{"a candidate", standing{raft.Candidate, 3}, 3, false},
		{"a leader of a former term", standing{raft.Leader, 2}, 3, false},
	} {
		b.Serve(c.standing)
		if got := beat(c.term); got != c.want {
			t.Errorf("%s handled a heartbeat beside raft's goroutine: %v, want %v", c.name, got, c.want)
		}
	}
}

// pipes are streams within a bubble: each connection is accepted at far.
type pipes struct {
	far    chan net.Conn
	closed chan struct{}
}

func (p *pipes) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) {
	near, far := net.Pipe()
	p.far <- far
	return near, nil
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.far:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Addr() net.Addr { return nodeAddr("b") }
func (p *pipes) Close() error   { close(p.closed); return nil }

// sendOn opens a pipeline to a member of a newer term, reads one answer as raft
// does, and goes on to send. It tells whether the sender is blocked for ever.
func sendOn(t *testing.T, wrap func(raft.AppendPipeline) raft.AppendPipeline) (blocked bool) {
	synctest.Test(t, func(t *testing.T) {
		bare := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: &pipes{make(chan net.Conn), make(chan struct{})}, MaxPool: 1, Logger: hclog.NewNullLogger(),
		})
		end := make(chan struct{})
		go func() {
			for {
				select {
				case call := <-bare.Consumer():
					call.Respond(&raft.AppendEntriesResponse{Term: 9}, nil)
				case <-end:
					return
				}
			}
		}()
		inner, err := bare.AppendEntriesPipeline("b", "b")
		if err != nil {
			t.Fatal(err)
		}
		pipe := wrap(inner)
		sent := make(chan error, 1)
		go func() {
			for range 10 {
				if _, err := pipe.AppendEntries(&raft.AppendEntriesRequest{Term: 8}, &raft.AppendEntriesResponse{}); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		if f := <-pipe.Consumer(); f.Error() != nil || f.Response().Term != 9 {
			t.Errorf("the answer is %+v, %v", f.Response(), f.Error())
		}
		synctest.Wait()
		select {
		case err := <-sent:
			if err == nil {
				t.Error("a pipeline that nobody reads from took all that was sent")
			}
		default:
			blocked = true
		}
		if err := pipe.Close(); err != nil {
			t.Error(err)
		}
		_ = bare.Close()
		close(end)
	})
	return blocked
}

func TestASenderIsNotBlockedByAnswersThatNobodyReads(t *testing.T) {
	if !sendOn(t, func(p raft.AppendPipeline) raft.AppendPipeline { return p }) {
		t.Error("raft's own pipeline does not block its sender any more: the wrapper can go")
	}
	wrapped := func(inner raft.AppendPipeline) raft.AppendPipeline {
		p := newPipeline(inner, func(*pipeline) {})
		go p.forward()
		return p
	}
	if sendOn(t, wrapped) {
		t.Error("the sender is blocked for ever")
	}
}
