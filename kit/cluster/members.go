package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/disk"
	"landfall.dev/kit/cluster/plan"
	"landfall.dev/kit/cluster/roster"
	"landfall.dev/kit/cluster/seal"
	"landfall.dev/kit/cluster/warnings"
	"landfall.dev/kit/cluster/wire"
)

// The operations that errors name.
const (
	opLeave  = "cluster.leave"
	opRemove = "cluster.remove"
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
		seen := n.roster.Sight(string(s.ID))
		members = append(members, Member{
			ID: string(s.ID), URL: seen.URL, Voter: s.Suffrage == raft.Voter, Leader: s.ID == leader,
			Alive: seen.Alive, Relaxed: seen.Relaxed,
		})
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return members
}

// standings returns what plan decides about.
func (n *Node) standings() []plan.Standing {
	known := map[string]plan.Standing{}
	for _, p := range n.roster.All() {
		known[p.ID] = plan.Standing{
			ID: p.ID, Alive: p.Alive, Ready: p.Ready,
			Left: n.roster.Expelled(p.ID), Down: time.Since(p.Since),
		}
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
	log := warnings.New(n.log, "members")
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for {
		if id, err := n.carryOut(); err != nil && ctx.Err() == nil {
			log.Warn(id, "changed no membership", "member", id, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// carryOut makes the next change of the membership, that of the node id.
func (n *Node) carryOut() (id string, err error) {
	n.changing.Lock()
	defer n.changing.Unlock()
	what, id := plan.Next(n.standings(), n.config.Voters, n.config.Grace)
	server, address := raft.ServerID(id), raft.ServerAddress(id)
	switch what {
	case plan.AddReader:
		err = n.alter("added", id, n.raft.AddNonvoter(server, address, 0, enqueueLimit))
	case plan.AddVoter:
		err = n.alter("gave a vote", id, n.raft.AddVoter(server, address, 0, enqueueLimit))
	case plan.Remove:
		err = n.dismiss(id)
	}
	return id, err
}

// alter waits for a change of the node id's membership, which is then done. The
// caller holds changing.
func (n *Node) alter(done, id string, f raft.Future) error {
	if err := n.await(f); err != nil {
		return err
	}
	n.log.Info(done, "member", id, "url", n.roster.Sight(id).URL)
	return nil
}

// dismiss takes the membership from the node id. It may be let in again. The
// caller holds changing.
func (n *Node) dismiss(id string) error {
	if err := n.majorityWithout(id); err != nil {
		return err
	}
	return n.alter("removed", id, n.raft.RemoveServer(raft.ServerID(id), 0, enqueueLimit))
}

// removalLimit is how long a voter may take to answer before another goes.
const removalLimit = time.Second

// majorityWithout fails unless most of the voters that remain without the node
// id answer now: the removal takes effect before it is committed, and only they
// can commit it. What the gossip says of them may be seconds old.
func (n *Node) majorityWithout(id string) error {
	voters := n.voters()
	rest := slices.DeleteFunc(slices.Clone(voters), func(v string) bool { return v == id })
	if len(rest) == len(voters) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), removalLimit)
	defer cancel()
	var g sync.WaitGroup
	var answers atomic.Int64
	for _, v := range rest {
		g.Go(func() {
			if v != n.ID() {
				if _, err := n.transport.Ask(ctx, v, askTerm, 0); err != nil {
					return
				}
			}
			answers.Add(1)
		})
	}
	g.Wait()
	if int(answers.Load()) > len(rest)/2 {
		return nil
	}
	return &kit.Error{
		Fault: kit.ErrConflict, Op: opRemove, Hint: "start a dead one first",
		Detail: fmt.Sprintf("without %s most voters would be dead: %d of %d answer",
			id, answers.Load(), len(rest)),
	}
}

// expel takes the membership from the node id, for ever. Who leads later could
// else take a node back that is still alive.
func (n *Node) expel(id string) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	if err := n.dismiss(id); err != nil {
		return err
	}
	text, err := json.Marshal(control{Expel: []string{id}})
	if err != nil {
		return err
	}
	entry := seal.Entry(nil, time.Unix(0, n.replica.decided.Load()))
	return n.await(n.raft.ApplyLog(raft.Log{Data: entry, Extensions: text}, enqueueLimit))
}

// Remove takes the vote and the membership from the node id, for ever. If that
// is alive, it stops; if not, it will as soon as it comes back. Only the leader
// can do it: elsewhere it is ErrUnavailable. It is ErrConflict if the rest
// would have no majority alive, or id is the leader.
func (n *Node) Remove(id string) error {
	if n.lead.Load() == nil {
		return n.notLeader(opRemove)
	}
	if id == n.ID() {
		return &kit.Error{
			Fault: kit.ErrConflict, Op: opRemove,
			Detail: "the leader cannot remove itself", Hint: "let it leave",
		}
	}
	nodes := n.standings()
	i := slices.IndexFunc(nodes, func(s plan.Standing) bool { return s.ID == id && s.Member })
	if i < 0 {
		return &kit.Error{
			Fault: kit.ErrNotFound, Op: opRemove, Detail: fmt.Sprintf("no member has the id %q", id),
		}
	}
	if err := n.expel(id); kit.FaultOf(err) == kit.ErrConflict {
		return err
	} else if err != nil {
		return &kit.Error{Fault: kit.ErrTimeout, Op: opRemove, Err: err}
	}
	if !nodes[i].Alive {
		return nil
	}
	if err := n.tell(id, roster.Expulsion); err != nil {
		return &kit.Error{
			Fault: kit.ErrUnavailable, Op: opRemove, Err: err,
			Detail: id + " was removed, but could not be told", Hint: "stop it",
		}
	}
	return nil
}

// tell sends a message to the node id.
func (n *Node) tell(id, message string) error {
	name := roster.Name(id, n.roster.Sight(id).Start)
	for _, m := range n.gossip.Members() {
		if m.Name == name {
			return n.gossip.SendReliable(m, []byte(message))
		}
	}
	return fmt.Errorf("node %s is not alive", id)
}

// Leave says good-bye: when it returns without an error, the leader has said
// that this node is no member any more, and its directory cannot be used again;
// what is left to do is to end Run. With an error the node goes on. It is
// ErrConflict while the others would have no majority, as on the only voter.
func (n *Node) Leave(ctx context.Context) error {
	if err := n.MayLeave(); err != nil {
		return err
	}
	n.leaves.Store(true)
	defer n.leaves.Store(false)
	log := warnings.New(n.log, "members")
	var refusal error
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for {
		n.handOver()
		err := n.askToLeave(ctx)
		if err == nil || n.dismissed.Load() {
			break
		}
		if kit.FaultOf(err) == kit.ErrConflict {
			refusal = err
			log.Warn(n.ID(), "has to stay for now, and asks again", "error", err)
		}
		select {
		case <-ticks.C:
		case <-n.stopped:
			return &kit.Error{Fault: kit.ErrUnavailable, Op: opLeave, Err: errStopped}
		case <-ctx.Done():
			if refusal != nil {
				return refusal
			}
			return &kit.Error{
				Fault: kit.ErrTimeout, Op: opLeave, Err: errors.Join(context.Cause(ctx), err),
				Detail: "no leader has said that this node is removed: it goes on",
				Hint:   "see to the other members and let it leave again",
			}
		}
	}
	// The others would else find out by probing: it does not matter whether
	// they hear it.
	_ = n.gossip.Leave(beat)
	return n.setIdentity(func(id *disk.Identity) { id.Left = true })
}

// askToLeave returns nil once the leader has removed this node.
func (n *Node) askToLeave(ctx context.Context) error {
	_, leader := n.raft.LeaderWithID()
	if leader == "" || string(leader) == n.ID() {
		return errors.New("no other node leads")
	}
	ctx, cancel := context.WithTimeout(ctx, wire.CallLimit)
	defer cancel()
	answer, err := n.transport.Ask(ctx, string(leader), askLeave, 0)
	if err != nil {
		// Maybe only the answer was lost: who was removed cannot ask again, but
		// hears of it in the gossip.
		n.meet([]string{n.roster.Sight(string(leader)).Gossip})
		return err
	}
	if answer != leaveGranted {
		return n.needed()
	}
	return nil
}

// letGo removes the member id, which asks for it.
func (n *Node) letGo(id string) (uint64, error) {
	if n.lead.Load() == nil {
		return 0, n.notLeader(opLeave)
	}
	err := n.expel(id)
	switch {
	case err == nil:
		return leaveGranted, nil
	case kit.FaultOf(err) == kit.ErrConflict:
		return leaveRefused, nil
	}
	return 0, err
}

// MayLeave tells why Leave would be refused, as far as this node knows.
func (n *Node) MayLeave() error {
	nodes := n.standings()
	i := slices.IndexFunc(nodes, func(s plan.Standing) bool { return s.ID == n.ID() && s.Member })
	if i < 0 || plan.Removable(nodes, nodes[i]) {
		return nil
	}
	return n.needed()
}

// needed is why this node cannot leave.
func (n *Node) needed() error {
	return &kit.Error{
		Fault: kit.ErrConflict, Op: opLeave,
		Detail: "without this node no majority of voters would be alive",
		Hint:   "let another node join first, or just stop this one",
	}
}

func (n *Node) isMember() bool {
	return slices.ContainsFunc(n.Members(), func(m Member) bool { return m.ID == n.ID() })
}
