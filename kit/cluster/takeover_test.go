package cluster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"landfall.dev/kit"
	"landfall.dev/kit/elect"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/store"
	"landfall.dev/kit/task"
)

// takeover is what is promised: so long after a node has died, another carries
// on what it had to do.
const takeover = 5 * time.Second

// guarded is a document whose action runs until its node dies.
type guarded struct{ kit.Meta }

var guardeds = kit.Define[guarded]("guardeds")

// beginning is that a node has begun to carry an action out.
type beginning struct {
	node  string
	fence int64
}

// guard is a service of the node that tells began when its action begins.
func guard(node string, began chan<- beginning) kit.Service {
	next := func(g guarded, e kit.Event, _ time.Time) (guarded, []kit.Op) {
		if e.Name == "created" {
			return g, []kit.Op{kit.Call("watch", "1", nil)}
		}
		return g, nil
	}
	return kit.Service{
		Name: "guard",
		Owns: []kit.Owned{kit.Own(guardeds, next)},
		Does: kit.Does{"watch": func(ctx context.Context, _ kit.Record, _ kit.Op) (any, error) {
			began <- beginning{node, kit.FenceOf(ctx)}
			<-ctx.Done()
			return nil, ctx.Err()
		}},
	}
}

// voter is a node as far as who leads and who has the tasks goes: raft without
// a disk and a network, and a runner of tasks.
type voter struct {
	name      string
	raft      *raft.Raft
	transport *raft.InmemTransport
	die       context.CancelFunc
}

// serve runs the tasks while the node leads, as package platform does, until
// ctx ends.
func (v *voter) serve(ctx context.Context, t *testing.T, c *kittest.Cluster, leads <-chan bool, began chan<- beginning) {
	var g sync.WaitGroup
	defer g.Wait()
	terms := make(chan elect.Term)
	runner := task.New(c.Client("services/guard"), guard(v.name, began), slog.New(slog.DiscardHandler))
	g.Go(func() { _ = runner.Run(ctx, terms) })
	for {
		var term elect.Term
		select {
		case <-ctx.Done():
			return
		case leading := <-leads:
			if !leading {
				break
			}
			var err error
			term, err = elect.Claim(elect.Tasks, v.name, func(writes ...kit.Write) ([]kit.Record, error) {
				return c.Write(ctx, store.Proposal{Writes: writes, By: "services/task", Internal: true})
			})
			if err != nil {
				t.Errorf("%s claims the tasks: %v", v.name, err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case terms <- term:
		}
	}
}

// kill makes the node silent, as the others see one that has died.
func (v *voter) kill(others []*voter) {
	v.die()
	v.transport.DisconnectAll()
	for _, o := range others {
		o.transport.Disconnect(v.transport.LocalAddr())
	}
}

// elected starts n nodes that find a leader as timed says, and tell began of
// what they do.
func elected(t *testing.T, g *sync.WaitGroup, c *kittest.Cluster, n int, timed raft.ReloadableConfig, began chan<- beginning) []*voter {
	t.Helper()
	var voters []*voter
	var members raft.Configuration
	for i := range n {
		name := fmt.Sprint("node", i)
		address, transport := raft.NewInmemTransport(raft.ServerAddress(name))
		voters = append(voters, &voter{name: name, transport: transport})
		members.Servers = append(members.Servers, raft.Server{ID: raft.ServerID(name), Address: address})
	}
	for _, v := range voters {
		for _, o := range voters {
			v.transport.Connect(o.transport.LocalAddr(), o.transport)
		}
		leads := make(chan bool)
		config := raft.DefaultConfig()
		config.LocalID, config.NotifyCh = raft.ServerID(v.name), leads
		config.HeartbeatTimeout, config.ElectionTimeout, config.LeaderLeaseTimeout = timed.HeartbeatTimeout, timed.ElectionTimeout, timed.HeartbeatTimeout
		config.Logger = hclog.New(&hclog.LoggerOptions{Output: io.Discard})
		disk, snapshots := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
		err := raft.BootstrapCluster(config, disk, disk, snapshots, v.transport, members)
		if err == nil {
			v.raft, err = raft.NewRaft(config, &raft.MockFSM{}, disk, disk, snapshots, v.transport)
		}
		if err != nil {
			t.Fatal(err)
		}
		ctx, die := context.WithCancel(t.Context())
		v.die = die
		g.Go(func() { v.serve(ctx, t, c, leads, began) })
	}
	return voters
}

// TestTaskIsCarriedOnSoonAfterItsNodesDeath holds the cluster to its promise by
// its configuration: how long a node waits for the leader, and the pauses of
// who takes over. Nothing in the bubble takes any time but waiting.
func TestTaskIsCarriedOnSoonAfterItsNodesDeath(t *testing.T) {
	timed := start(t, t.TempDir(), nil).raft.ReloadableConfig() // of a node that nothing was said to
	for round := range 20 {
		synctest.Test(t, func(t *testing.T) {
			began := make(chan beginning)
			c := kittest.Serve(t, guard("the server", began))
			var g sync.WaitGroup
			voters := elected(t, &g, c, 3+2*(round%2), timed, began)
			defer func() {
				for _, v := range voters {
					v.die()
					if err := v.raft.Shutdown().Error(); err != nil {
						t.Error(err)
					}
					_ = v.transport.Close()
				}
				g.Wait()
			}()
			if _, err := guardeds.Create(t.Context(), c.Admin(), "a", guarded{}); err != nil {
				t.Fatal(err)
			}
			owner := <-began
			time.Sleep(time.Minute + time.Duration(round)*37*time.Millisecond) // of the bubble
			for _, v := range voters {
				if v.name == owner.node {
					v.kill(voters)
				}
			}
			select {
			case heir := <-began:
				if heir.node == owner.node || heir.fence <= owner.fence {
					t.Errorf("after %+v came %+v, want another node with a higher number", owner, heir)
				}
			case <-time.After(takeover):
				t.Errorf("round %d: nobody has carried on within %v, with %v for a heartbeat and %v for an election", round, takeover, timed.HeartbeatTimeout, timed.ElectionTimeout)
			}
		})
	}
}
