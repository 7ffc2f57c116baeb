package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/raft"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/authority"
	"landfall.dev/kit/cluster/disk"
	"landfall.dev/kit/cluster/roster"
	"landfall.dev/kit/cluster/warnings"
	"landfall.dev/kit/cluster/wire"
)

// startGossip appears among the members.
func (n *Node) startGossip(context.Context) error {
	key, err := authority.Derive(n.id.Key, "gossip")
	if err != nil {
		return err
	}
	log := warnings.Gossip(n.log)
	transport, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{n.config.Host}, BindPort: n.id.GossipPort, Logger: log,
	})
	if err != nil && n.id.GossipPort != 0 {
		transport, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{n.config.Host}, Logger: log,
		})
	}
	if err != nil {
		return err
	}
	port := transport.GetAutoBindPort()
	c := memberlist.DefaultLANConfig()
	c.Name = roster.Name(n.id.ID, n.id.Starts)
	c.Transport = transport
	c.BindAddr, c.BindPort = n.config.Host, port
	c.AdvertiseAddr, c.AdvertisePort = n.config.Host, port
	c.SecretKey = key
	c.ProbeInterval, c.ProbeTimeout = beat, beat/2
	c.GossipInterval = tick
	c.TCPTimeout = wire.DialLimit
	c.Logger = log
	c.Delegate, c.Events, c.Alive, c.Conflict = n.roster, n.roster, n.roster, n.roster
	n.gossip, err = memberlist.Create(c)
	if err != nil {
		return errors.Join(err, transport.Shutdown())
	}
	return n.setIdentity(func(id *disk.Identity) { id.GossipPort = port })
}

// tend keeps the files about the log and the members up to date and finds out
// when this node has caught up.
func (n *Node) tend(ctx context.Context) error {
	n.electAlone()
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for {
		n.roster.Forget(n.configured())
		if peers, changed := n.roster.Changes(); changed {
			if err := n.dir.Save("peers.json", peers); err != nil {
				return err
			}
		}
		n.catchUp()
		n.publish()
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

// mingle meets the known members that are out of touch, again and again.
func (n *Node) mingle(ctx context.Context) error {
	pause := time.NewTicker(beat)
	defer pause.Stop()
	for {
		n.meet(n.strangers())
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
	}
}

// electAlone makes the only voter call its election now instead of after the
// time in which a leader would be heard.
func (n *Node) electAlone() {
	var voters []raft.Server
	for _, s := range n.raft.GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter {
			voters = append(voters, s)
		}
	}
	if len(voters) != 1 || string(voters[0].ID) != n.ID() || n.raft.State() != raft.Follower {
		return
	}
	request := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(n.ID()), Addr: []byte(n.ID()),
	}}
	err := n.transport.TimeoutNow(voters[0].ID, voters[0].Address, request, &raft.TimeoutNowResponse{})
	if err != nil {
		n.log.Warn("called no early election", "error", err)
	}
}

// strangers returns the gossip addresses of known peers that are not alive.
func (n *Node) strangers() []string {
	var addrs []string
	for _, p := range n.roster.All() {
		if !p.Alive && !n.roster.Expelled(p.ID) && p.Gossip != "" && p.ID != n.ID() {
			addrs = append(addrs, p.Gossip)
		}
	}
	return addrs
}

// meet exchanges state with the nodes at the gossip addresses. Those that do
// not answer are dead, which is no news.
func (n *Node) meet(addrs []string) {
	if len(addrs) > 0 {
		_, _ = n.gossip.Join(addrs)
	}
}

// configured returns the ids of all members and of this node.
func (n *Node) configured() map[string]bool {
	ids := map[string]bool{n.ID(): true}
	servers := n.raft.GetConfiguration().Configuration().Servers
	for _, s := range servers {
		ids[string(s.ID)] = true
	}
	if len(servers) == 0 { // not let in yet: whoever it joined through counts
		for _, p := range n.roster.All() {
			ids[p.ID] = true
		}
	}
	return ids
}

// catchUp closes ready when it is time and tells the others.
func (n *Node) catchUp() {
	select {
	case <-n.ready:
		return
	default:
	}
	done, known := n.roster.CaughtUp()
	switch {
	case n.lead.Load() != nil || done:
		n.roster.SetReady()
		close(n.ready)
		if err := n.gossip.UpdateNode(tick); err != nil {
			n.log.Debug("told nobody yet to be ready", "error", err) // the gossip goes on
		}
	case !known:
		if _, id := n.raft.LeaderWithID(); id != "" && string(id) != n.ID() {
			if leader := n.roster.Sight(string(id)); leader.Alive {
				n.meet([]string{leader.Gossip})
			}
		}
	}
}

// expelled stops the node because it was removed, unless it wanted that.
func (n *Node) expelled() {
	if n.leaves.Load() {
		n.dismissed.Store(true)
		return
	}
	err := n.setIdentity(func(id *disk.Identity) { id.Left = true })
	n.fail(errors.Join(&kit.Error{
		Fault: kit.ErrGone, Op: "cluster.run", Detail: "this node was removed from its cluster",
		Hint: "use an empty --data and --join to come back",
	}, err))
}
