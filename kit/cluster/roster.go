package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"landfall.dev/kit/cluster/disk"
)

// sighting is what the gossip says about a peer.
type sighting struct {
	disk.Peer
	start int // which of its starts the rest is about
	alive bool
	ready bool
	// relaxed tells that it acknowledges before it syncs.
	relaxed bool
	since   time.Time // of alive
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

	banned  map[string]bool // the nodes that were removed on purpose
	relaxed bool            // this node's durability

	applied  func() uint64
	expelled func()            // called when another says that this node was removed
	doubled  func(addr string) // called when another node has this one's id
}

// meta is what a node says about itself in its gossip; it may take 512 bytes.
type meta struct {
	URL     string `json:"u"`
	Raft    string `json:"r"`
	Ready   bool   `json:"ok,omitempty"`
	Relaxed bool   `json:"x,omitempty"`
}

// state is what two nodes tell each other when they meet.
type state struct {
	Leads    bool     `json:"leads,omitempty"`
	Applied  uint64   `json:"applied,omitempty"`
	Expelled []string `json:"expelled,omitempty"`
}

// expulsion is the leader's message to a node that is no member any more.
const expulsion = "removed"

// be notes who this node is.
func (r *roster) be(self disk.Peer, start int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self = self.ID
	r.peers[self.ID] = sighting{Peer: self, start: start, alive: true, since: r.now()}
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
func (r *roster) add(peers ...disk.Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range peers {
		if _, ok := r.peers[p.ID]; !ok {
			r.peers[p.ID] = sighting{Peer: p, since: r.now()}
			r.dirty = true
		}
	}
}

// remembered is how long a peer is kept that is neither alive nor a member: the
// members as this node knows them may be old, and a peer that it has heard of
// when it joined may not have shown itself yet.
const remembered = time.Minute

// forget drops peers that are neither alive nor members for long.
func (r *roster) forget(members map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, p := range r.peers {
		if !p.alive && !members[id] && id != r.self && r.now().Sub(p.since) > remembered {
			delete(r.peers, id)
			r.dirty = true
		}
	}
}

// banish notes all nodes that were removed on purpose.
func (r *roster) banish(ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.banned = map[string]bool{}
	for _, id := range ids {
		r.banned[id] = true
	}
}

func (r *roster) isExpelled(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.banned[id]
}

// changes returns the peers to write to peers.json if they have changed since
// the last call.
func (r *roster) changes() ([]disk.Peer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dirty {
		return nil, false
	}
	r.dirty = false
	return r.list(), true
}

// list returns the peers by id. The caller holds mu.
func (r *roster) list() []disk.Peer {
	var list []disk.Peer
	for _, id := range slices.Sorted(maps.Keys(r.peers)) {
		list = append(list, r.peers[id].Peer)
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

// NotifyAlive keeps nodes out that were removed. They are told by LocalState.
func (r *roster) NotifyAlive(n *memberlist.Node) error {
	id, _, err := parseGossipName(n.Name)
	if err == nil && id != r.self && r.isExpelled(id) {
		return errors.New("it was removed from the cluster")
	}
	return nil
}

// NotifyConflict is called when two nodes have one name.
func (r *roster) NotifyConflict(existing, other *memberlist.Node) {
	if id, _, err := parseGossipName(existing.Name); err == nil && id == r.self {
		r.doubled(other.Address())
	}
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
	if id == r.self && start > old.start {
		r.doubled(n.Address()) // a copy of this node's directory was started more often
		return
	}
	s := sighting{Peer: disk.Peer{ID: id, URL: m.URL, Raft: m.Raft, Gossip: n.Address()}, start: start, alive: true, ready: m.Ready, relaxed: m.Relaxed, since: r.now()}
	if old.alive && start == old.start {
		s.since = old.since
	}
	r.dirty = r.dirty || s.Peer != old.Peer
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
	b, err := json.Marshal(meta{p.URL, p.Raft, r.ready, r.relaxed})
	if err != nil {
		panic("cluster: " + err.Error()) // strings and bools
	}
	return b
}

// LocalState returns what this node tells another that it meets.
func (r *roster) LocalState(bool) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := state{Expelled: slices.Sorted(maps.Keys(r.banned))}
	if r.leads {
		s.Leads, s.Applied = true, r.applied()
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic("cluster: " + err.Error()) // strings, a bool and a number
	}
	return b
}

// MergeRemoteState takes what another node tells.
func (r *roster) MergeRemoteState(b []byte, _ bool) {
	var s state
	if json.Unmarshal(b, &s) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(s.Expelled, r.self) {
		r.expelled()
	}
	if s.Leads && r.target == nil {
		r.target = &s.Applied
	}
}

// NotifyMsg takes a message of another node's.
func (r *roster) NotifyMsg(b []byte) {
	if string(b) == expulsion {
		r.expelled()
	}
}

// GetBroadcasts has nothing to tell beyond the gossip itself.
func (r *roster) GetBroadcasts(int, int) [][]byte { return nil }
