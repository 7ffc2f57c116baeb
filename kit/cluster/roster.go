package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// peer is a member as peers.json and the answer to a join name it.
type peer struct {
	ID     string `json:"id"`
	URL    string `json:"url"`
	Raft   string `json:"raft"`   // host:port
	Gossip string `json:"gossip"` // host:port
}

// sighting is what the gossip says about a peer.
type sighting struct {
	peer
	start int // which of its starts the rest is about
	alive bool
	ready bool
	left  bool      // it says good-bye, or was removed
	since time.Time // of alive
}

// roster is what a node knows of the others by gossip. It is memberlist's
// delegate; memberlist holds locks while it calls, so nothing here calls back.
type roster struct {
	now func() time.Time

	mu     sync.Mutex
	self   string
	peers  map[string]sighting
	dirty  bool    // peers.json is older
	ready  bool    // this node has caught up
	leads  bool    // this node leads
	target *uint64 // what a leader had applied, as it told after the start

	applied  func() uint64
	expelled func() // called when a leader says that this node was removed
}

// meta is what a node says about itself in its gossip; it may take 512 bytes.
type meta struct {
	URL   string `json:"u"`
	Raft  string `json:"r"`
	Ready bool   `json:"ok,omitempty"`
}

// state is what two nodes tell each other when they meet.
type state struct {
	Leads   bool   `json:"leads,omitempty"`
	Applied uint64 `json:"applied,omitempty"`
}

// The messages between a node and the leader: you are no member any more, and
// good-bye with the node's id.
const (
	expulsion = "removed"
	goodbye   = "leaving "
)

// be notes who this node is.
func (r *roster) be(self peer, start int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self = self.ID
	r.peers[self.ID] = sighting{peer: self, start: start, alive: true, since: r.now()}
}

// locate returns where raft listens on the node id.
func (r *roster) locate(id string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.peers[id]
	if !ok || p.Raft == "" {
		return "", fmt.Errorf("the address of node %s is not known yet", id)
	}
	return p.Raft, nil
}

// sight returns what is known of the node id.
func (r *roster) sight(id string) sighting {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers[id]
}

// all returns what is known of all nodes, by id.
func (r *roster) all() []sighting {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.peers), func(a, b sighting) int {
		return strings.Compare(a.ID, b.ID)
	})
}

// add notes peers that were learned otherwise than by gossip.
func (r *roster) add(peers ...peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range peers {
		if _, ok := r.peers[p.ID]; !ok {
			r.peers[p.ID] = sighting{peer: p, since: r.now()}
			r.dirty = true
		}
	}
}

// forget drops peers that are neither alive nor members.
func (r *roster) forget(members map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, p := range r.peers {
		if !p.alive && !members[id] && id != r.self {
			delete(r.peers, id)
			r.dirty = true
		}
	}
}

// expel notes that the node id leaves or was removed on purpose: it is to go,
// and not to be added again because it is still alive.
func (r *roster) expel(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := r.peers[id]; ok {
		p.left = true
		r.peers[id] = p
	}
}

// changes returns the peers to write to peers.json if they have changed since
// the last call.
func (r *roster) changes() ([]peer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dirty {
		return nil, false
	}
	r.dirty = false
	return r.list(), true
}

// list returns the peers by id. The caller holds mu.
func (r *roster) list() []peer {
	var list []peer
	for _, id := range slices.Sorted(maps.Keys(r.peers)) {
		list = append(list, r.peers[id].peer)
	}
	return list
}

// setReady notes that this node has caught up.
func (r *roster) setReady() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = true
}

// setLeads notes whether this node leads.
func (r *roster) setLeads(leads bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leads = leads
}

// caughtUp tells whether this node has applied what a leader had after this
// node's start. With known it is only a matter of time.
func (r *roster) caughtUp() (done, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.target != nil && r.applied() >= *r.target, r.target != nil
}

// gossipName is a node's name in the gossip. Each start has a new one, so that
// a node that comes back at once, maybe on another port, is not taken for an
// impostor of the one that has not been missed yet.
func gossipName(id string, start int) string { return fmt.Sprintf("%s.%d", id, start) }

func parseGossipName(name string) (id string, start int, err error) {
	id, number, _ := strings.Cut(name, ".")
	start, err = strconv.Atoi(number)
	return id, start, err
}

// NotifyJoin notes a node that is alive.
func (r *roster) NotifyJoin(n *memberlist.Node) {
	var m meta
	id, start, err := parseGossipName(n.Name)
	if err != nil || json.Unmarshal(n.Meta, &m) != nil {
		return // a stranger: it knows the key, but is no node of ours
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.peers[id]
	if start < old.start {
		return
	}
	s := sighting{peer: peer{id, m.URL, m.Raft, n.Address()}, start: start, alive: true, ready: m.Ready, since: r.now()}
	if old.alive && start == old.start {
		s.since, s.left = old.since, old.left
	}
	r.dirty = r.dirty || s.peer != old.peer
	r.peers[id] = s
}

// NotifyUpdate notes that a node says something else of itself.
func (r *roster) NotifyUpdate(n *memberlist.Node) { r.NotifyJoin(n) }

// NotifyLeave notes a node that is dead.
func (r *roster) NotifyLeave(n *memberlist.Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, start, err := parseGossipName(n.Name)
	s, ok := r.peers[id]
	if err != nil || !ok || start != s.start {
		return
	}
	s.alive, s.ready, s.since = false, false, r.now()
	r.peers[id] = s
}

// NodeMeta returns what this node says of itself.
func (r *roster) NodeMeta(int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.peers[r.self]
	b, err := json.Marshal(meta{p.URL, p.Raft, r.ready})
	if err != nil {
		panic("cluster: " + err.Error()) // two strings and a bool
	}
	return b
}

// LocalState returns what this node tells another that it meets.
func (r *roster) LocalState(bool) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := state{}
	if r.leads {
		s = state{true, r.applied()}
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic("cluster: " + err.Error()) // a bool and a number
	}
	return b
}

// MergeRemoteState takes what another node tells.
func (r *roster) MergeRemoteState(b []byte, _ bool) {
	var s state
	if json.Unmarshal(b, &s) != nil || !s.Leads {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.target == nil {
		r.target = &s.Applied
	}
}

// NotifyMsg takes a message of another node's.
func (r *roster) NotifyMsg(b []byte) {
	if string(b) == expulsion {
		r.expelled()
	} else if id, ok := strings.CutPrefix(string(b), goodbye); ok {
		r.expel(id)
	}
}

// GetBroadcasts has nothing to tell beyond the gossip itself.
func (r *roster) GetBroadcasts(int, int) [][]byte { return nil }
