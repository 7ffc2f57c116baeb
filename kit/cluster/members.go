package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/disk"
	"landfall.dev/kit/cluster/plan"
)

// Member is a node of the cluster as this one sees it.
type Member struct {
	ID     string `json:"id"`
	URL    string `json:"url"`
	Voter  bool   `json:"voter"`
	Leader bool   `json:"leader"`
	Alive  bool   `json:"alive"`
	// Relaxed tells that it acknowledges writes before they are synced.
	Relaxed bool `json:"relaxed,omitempty"`
}

// Members returns the cluster's nodes by id.
func (n *Node) Members() []Member {
	_, leader := n.raft.LeaderWithID()
	var members []Member
	for _, s := range n.raft.GetConfiguration().Configuration().Servers {
		seen := n.roster.sight(string(s.ID))
		members = append(members, Member{string(s.ID), seen.URL, s.Suffrage == raft.Voter, s.ID == leader, seen.alive, seen.relaxed})
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return members
}

// standings returns what plan decides about.
func (n *Node) standings() []plan.Standing {
	known := map[string]plan.Standing{}
	for _, p := range n.roster.all() {
		known[p.ID] = plan.Standing{ID: p.ID, Alive: p.alive, Ready: p.ready, Left: p.left || n.roster.isExpelled(p.ID), Down: time.Since(p.since)}
	}
	for _, s := range n.raft.GetConfiguration().Configuration().Servers {
		k := known[string(s.ID)]
		k.ID, k.Member, k.Voter = string(s.ID), true, s.Suffrage == raft.Voter
		known[k.ID] = k
	}
	var nodes []plan.Standing
	for _, k := range known {
		nodes = append(nodes, k)
	}
	slices.SortFunc(nodes, func(a, b plan.Standing) int { return strings.Compare(a.ID, b.ID) })
	return nodes
}

// reconcile brings the membership in line with who is alive while this node
// leads.
func (n *Node) reconcile(ctx context.Context) {
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for {
		if what, id := plan.Next(n.standings(), n.config.Voters, n.config.Grace); what != plan.Nothing {
			if err := n.carryOut(what, id); err != nil && ctx.Err() == nil {
				n.log.Warn("changed no membership", "member", id, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

func (n *Node) carryOut(what plan.Step, id string) error {
	server, address := raft.ServerID(id), raft.ServerAddress(id)
	var done string
	var f raft.Future
	switch what {
	case plan.AddReader:
		done, f = "added", n.raft.AddNonvoter(server, address, 0, enqueueLimit)
	case plan.AddVoter:
		done, f = "gave a vote", n.raft.AddVoter(server, address, 0, enqueueLimit)
	default:
		// The next leader must not take a node back that it still believes to be
		// alive.
		if n.roster.sight(id).left && !n.roster.isExpelled(id) {
			if err := n.banish(id); err != nil {
				return err
			}
		}
		done, f = "removed", n.raft.RemoveServer(server, 0, enqueueLimit)
	}
	if err := f.Error(); err != nil {
		return err
	}
	n.log.Info(done, "member", id, "url", n.roster.sight(id).URL)
	return nil
}

// Remove takes the vote and the membership from the node id, for ever. If that
// is alive, it stops; if not, it will as soon as it comes back. Only the leader can do it: elsewhere it is ErrUnavailable. It is
// ErrConflict if the rest would have no majority alive, or id is the leader.
func (n *Node) Remove(id string) error {
	const op = "cluster.remove"
	if n.lead.Load() == nil {
		return n.notLeader(op)
	}
	if id == n.ID() {
		return &kit.Error{Fault: kit.ErrConflict, Op: op, Detail: "the leader cannot remove itself", Hint: "let it leave"}
	}
	nodes := n.standings()
	i := slices.IndexFunc(nodes, func(s plan.Standing) bool { return s.ID == id && s.Member })
	if i < 0 {
		return &kit.Error{Fault: kit.ErrNotFound, Op: op, Detail: fmt.Sprintf("no member has the id %q", id)}
	}
	if !plan.Removable(nodes, nodes[i]) {
		return &kit.Error{Fault: kit.ErrConflict, Op: op, Detail: "without " + id + " most voters would be dead", Hint: "start a dead one first"}
	}
	if err := n.banish(id); err != nil {
		return &kit.Error{Fault: kit.ErrTimeout, Op: op, Err: err}
	}
	n.roster.expel(id)
	if err := n.carryOut(plan.Remove, id); err != nil {
		return &kit.Error{Fault: kit.ErrTimeout, Op: op, Err: err}
	}
	if !nodes[i].Alive {
		return nil
	}
	if err := n.tell(id, expulsion); err != nil {
		return &kit.Error{Fault: kit.ErrUnavailable, Op: op, Detail: id + " was removed, but could not be told", Hint: "stop it", Err: err}
	}
	return nil
}

// banish tells all members, in the log, that the node id is not to come back.
func (n *Node) banish(id string) error {
	text, err := json.Marshal(control{Expel: []string{id}})
	if err != nil {
		return err
	}
	entry := encodeEntry(nil, time.Unix(0, n.replica.decided.Load()))
	return n.raft.ApplyLog(raft.Log{Data: entry, Extensions: text}, enqueueLimit).Error()
}

// tell sends a message to the node id.
func (n *Node) tell(id, message string) error {
	name := gossipName(id, n.roster.sight(id).start)
	for _, m := range n.gossip.Members() {
		if m.Name == name {
			return n.gossip.SendReliable(m, []byte(message))
		}
	}
	return fmt.Errorf("node %s is not alive", id)
}

// Leave says good-bye: when it returns without an error, this node is no
// member any more and its directory cannot be used again; what is left to do
// is to end Run. It is ErrConflict on the only voter.
func (n *Node) Leave(ctx context.Context) error {
	const op = "cluster.leave"
	if err := n.MayLeave(); err != nil {
		return err
	}
	n.leaves.Store(true)
	defer n.leaves.Store(false)
	var trouble error
	err := n.poll(ctx, op, func() bool {
		n.handOver()
		if _, leader := n.raft.LeaderWithID(); leader != "" && string(leader) != n.ID() {
			trouble = n.tell(string(leader), goodbye+n.ID())
		}
		return !n.isMember()
	})
	if err != nil {
		return errors.Join(err, trouble)
	}
	// The others would else find out by probing: it does not matter whether
	// they hear it.
	_ = n.gossip.Leave(beat)
	return n.setIdentity(func(id *disk.Identity) { id.Left = true })
}

// MayLeave tells why Leave would be refused.
func (n *Node) MayLeave() error {
	if n.isMember() && !n.canGo() {
		return &kit.Error{Fault: kit.ErrConflict, Op: "cluster.leave", Detail: "without this node no majority of voters would be alive", Hint: "let another node join first, or just stop this one"}
	}
	return nil
}

func (n *Node) isMember() bool {
	return slices.ContainsFunc(n.Members(), func(m Member) bool { return m.ID == n.ID() })
}

// canGo tells whether the others keep a majority without this node.
func (n *Node) canGo() bool {
	nodes := n.standings()
	i := slices.IndexFunc(nodes, func(s plan.Standing) bool { return s.ID == n.ID() })
	return i >= 0 && plan.Removable(nodes, nodes[i])
}

// poll waits until done holds.
func (n *Node) poll(ctx context.Context, op string, done func() bool) error {
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for !done() {
		select {
		case <-ticks.C:
		case <-n.stopped:
			return &kit.Error{Fault: kit.ErrUnavailable, Op: op, Err: errStopped}
		case <-ctx.Done():
			return &kit.Error{Fault: kit.ErrTimeout, Op: op, Err: context.Cause(ctx)}
		}
	}
	return nil
}
