// Package roster is what a node knows of the others by gossip. It says which
// nodes are alive, where they listen, and which were removed on purpose; who is a
// member only the log says.
package roster

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

// Sighting is what the gossip says about a peer.
type Sighting struct {
	disk.Peer
	Start int // which of its starts the rest is about
	Alive bool
	Ready bool
	// Relaxed tells that it acknowledges before it syncs.
	Relaxed bool
	Since   time.Time // of Alive
}

// Roster is memberlist's delegate; memberlist holds locks while it calls, so
// nothing here calls back. Its methods may be called concurrently.
type Roster struct {
	now func() time.Time

	mu     sync.Mutex
	self   string
	peers  map[string]Sighting
	dirty  bool    // peers.json is older
	ready  bool    // this node has caught up
	leads  bool    // this node leads
	target *uint64 // what a leader had applied, as it told after the start

	banned  map[string]bool // the nodes that were removed on purpose
	relaxed bool            // this node's durability

	applied  func() uint64
	expelled func()
	doubled  func(addr string)
}

// Config is what a roster needs of its node.
type Config struct {
	// Relaxed is the node's durability.
	Relaxed bool
	// Applied returns how far it has applied the log.
	Applied func() uint64
	// Expelled is called when another says that this node was removed, Doubled
	// when another node, at the address, has this one's id.
	Expelled func()
	Doubled  func(addr string)
}

// New returns a roster that knows nobody.
func New(c Config) *Roster {
	return &Roster{
		now: time.Now, peers: map[string]Sighting{}, relaxed: c.Relaxed,
		applied: c.Applied, expelled: c.Expelled, doubled: c.Doubled,
	}
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

// Expulsion is the leader's message to a node that is no member any more.
const Expulsion = "removed"

// Be notes who this node is.
func (r *Roster) Be(self disk.Peer, start int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self = self.ID
	r.peers[self.ID] = Sighting{Peer: self, Start: start, Alive: true, Since: r.now()}
}

// Locate returns where raft listens on the node id.
func (r *Roster) Locate(id string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.peers[id]
	if !ok || p.Raft == "" {
		return "", fmt.Errorf("the address of node %s is not known yet", id)
	}
	return p.Raft, nil
}

// Sight returns what is known of the node id.
func (r *Roster) Sight(id string) Sighting {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers[id]
}

// All returns what is known of all nodes, by id.
func (r *Roster) All() []Sighting {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.peers), func(a, b Sighting) int {
		return strings.Compare(a.ID, b.ID)
	})
}

// Add notes peers that were learned otherwise than by gossip.
func (r *Roster) Add(peers ...disk.Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range peers {
		if _, ok := r.peers[p.ID]; !ok {
			r.peers[p.ID] = Sighting{Peer: p, Since: r.now()}
			r.dirty = true
		}
	}
}

// remembered is how long a peer is kept that is neither alive nor a member: the
// members as this node knows them may be old, and a peer that it has heard of
// when it joined may not have shown itself yet.
const remembered = time.Minute

// Forget drops peers that are neither alive nor members for long.
func (r *Roster) Forget(members map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, p := range r.peers {
		if !p.Alive && !members[id] && id != r.self && r.now().Sub(p.Since) > remembered {
			delete(r.peers, id)
			r.dirty = true
		}
	}
}

// Banish notes all nodes that were removed on purpose.
func (r *Roster) Banish(ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.banned = map[string]bool{}
	for _, id := range ids {
		r.banned[id] = true
	}
}

// Expelled tells whether the node id was removed on purpose.
func (r *Roster) Expelled(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.banned[id]
}

// Changes returns the peers to write to peers.json if they have changed since
// the last call.
func (r *Roster) Changes() ([]disk.Peer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dirty {
		return nil, false
	}
	r.dirty = false
	return r.list(), true
}

// Peers returns all peers by id.
func (r *Roster) Peers() []disk.Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list()
}

// list returns the peers by id. The caller holds mu.
func (r *Roster) list() []disk.Peer {
	var list []disk.Peer
	for _, id := range slices.Sorted(maps.Keys(r.peers)) {
		list = append(list, r.peers[id].Peer)
	}
	return list
}

// SetReady notes that this node has caught up.
func (r *Roster) SetReady() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = true
}

// SetLeads notes whether this node leads.
func (r *Roster) SetLeads(leads bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leads = leads
}

// CaughtUp tells whether this node has applied what a leader had after this
// node's start. With known it is only a matter of time.
func (r *Roster) CaughtUp() (done, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.target != nil && r.applied() >= *r.target, r.target != nil
}

// Name is a node's name in the gossip. Each start has a new one, so that
// a node that comes back at once, maybe on another port, is not taken for an
// impostor of the one that has not been missed yet.
func Name(id string, start int) string { return fmt.Sprintf("%s.%d", id, start) }

func parseName(name string) (id string, start int, err error) {
	id, number, _ := strings.Cut(name, ".")
	start, err = strconv.Atoi(number)
	return id, start, err
}

// NotifyAlive keeps nodes out that were removed. They are told by LocalState.
func (r *Roster) NotifyAlive(n *memberlist.Node) error {
	id, _, err := parseName(n.Name)
	if err == nil && id != r.self && r.Expelled(id) {
		return errors.New("it was removed from the cluster")
	}
	return nil
}

// NotifyConflict is called when two nodes have one name.
func (r *Roster) NotifyConflict(existing, other *memberlist.Node) {
	if id, _, err := parseName(existing.Name); err == nil && id == r.self {
		r.doubled(other.Address())
	}
}

// NotifyJoin notes a node that is alive.
func (r *Roster) NotifyJoin(n *memberlist.Node) {
	var m meta
	id, start, err := parseName(n.Name)
	if err != nil || json.Unmarshal(n.Meta, &m) != nil {
		return // a stranger: it knows the key, but is no node of ours
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.peers[id]
	if start < old.Start {
		return
	}
	if id == r.self && start > old.Start {
		r.doubled(n.Address()) // a copy of this node's directory was started more often
		return
	}
	s := Sighting{Peer: disk.Peer{ID: id, URL: m.URL, Raft: m.Raft, Gossip: n.Address()}, Start: start, Alive: true, Ready: m.Ready, Relaxed: m.Relaxed, Since: r.now()}
	if old.Alive && start == old.Start {
		s.Since = old.Since
	}
	r.dirty = r.dirty || s.Peer != old.Peer
	r.peers[id] = s
}

// NotifyUpdate notes that a node says something else of itself.
func (r *Roster) NotifyUpdate(n *memberlist.Node) { r.NotifyJoin(n) }

// NotifyLeave notes a node that is dead.
func (r *Roster) NotifyLeave(n *memberlist.Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, start, err := parseName(n.Name)
	s, ok := r.peers[id]
	if err != nil || !ok || start != s.Start {
		return
	}
	s.Alive, s.Ready, s.Since = false, false, r.now()
	r.peers[id] = s
}

// NodeMeta returns what this node says of itself.
func (r *Roster) NodeMeta(int) []byte {
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
func (r *Roster) LocalState(bool) []byte {
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
func (r *Roster) MergeRemoteState(b []byte, _ bool) {
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
func (r *Roster) NotifyMsg(b []byte) {
	if string(b) == Expulsion {
		r.expelled()
	}
}

// GetBroadcasts has nothing to tell beyond the gossip itself.
func (r *Roster) GetBroadcasts(int, int) [][]byte { return nil }
