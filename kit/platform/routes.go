package platform

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster"
)

// The routes of the cluster's administration.
const (
	MembersPath = "/cluster/members" // GET: a Membership
	RemovePath  = "/cluster/remove"  // POST at the leader: {"id": "n..."}
	LeavePath   = "/cluster/leave"   // POST: this node is about to leave and stop
	BackupPath  = "/cluster/backup"  // GET: see cluster.CheckBackup
)

// The verbs of the cluster's administration, on the kind "cluster".
const (
	VerbBackup kit.Verb = "backup"
	VerbManage kit.Verb = "manage"
)

// clusterLink stands for the cluster in roles.
const clusterLink kit.Link = "cluster/"

// Membership is what a node says of its cluster.
type Membership struct {
	ID        string           `json:"id"`               // of the node that is asked
	Leader    string           `json:"leader,omitempty"` // its URL
	Authority string           `json:"authority"`        // digest of the cluster's certificate authority
	Members   []cluster.Member `json:"members"`
}

// clusterService answers nodes that want to join, which have no token of their
// own yet but the cluster's, and administrators.
func clusterService(n *Node) kit.Service {
	return kit.Service{Name: "cluster", Serves: []kit.Route{
		{Pattern: "POST " + cluster.JoinPath, Self: true, Handler: n.onMember("", func(m *cluster.Node, w http.ResponseWriter, r *http.Request) error {
			m.JoinHandler().ServeHTTP(w, r)
			return nil
		})},
		{Pattern: "GET " + MembersPath, Handler: n.onMember(kit.VerbRead, n.members)},
		{Pattern: "POST " + RemovePath, Handler: n.onMember(VerbManage, n.remove)},
		{Pattern: "POST " + LeavePath, Handler: n.onMember(VerbManage, n.leave)},
		{Pattern: "GET " + BackupPath, Handler: n.onMember(VerbBackup, n.backup)},
	}}
}

// onMember makes a handler of f for callers that may do v to the cluster; if v
// is empty, for all.
func (n *Node) onMember(v kit.Verb, f func(*cluster.Node, http.ResponseWriter, *http.Request) error) http.Handler {
	return kit.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if v != "" {
			if err := kit.CallerOf(r.Context()).May(v, clusterLink); err != nil {
				return err
			}
		}
		m := n.member.p.Load()
		if m == nil {
			return errStarting
		}
		return f(m, w, r)
	})
}

func (n *Node) members(m *cluster.Node, w http.ResponseWriter, _ *http.Request) error {
	return answer(w, Membership{ID: m.ID(), Leader: m.Leader().URL, Authority: m.Authority().Digest(), Members: m.Members()})
}

func (n *Node) remove(m *cluster.Node, w http.ResponseWriter, r *http.Request) error {
	var q struct {
		ID string `json:"id"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&q); err != nil || q.ID == "" {
		return kit.Errorf(kit.ErrInvalid, "", `the body must be {"id": "ID"}, with the id of a member`)
	}
	if err := m.Remove(q.ID); err != nil {
		return err
	}
	return answer(w, struct{}{})
}

// leave answers before the node leaves: then it cannot write any more who has
// asked for that.
func (n *Node) leave(m *cluster.Node, w http.ResponseWriter, _ *http.Request) error {
	if err := m.MayLeave(); err != nil {
		return err
	}
	select {
	case n.leaving <- struct{}{}:
	default: // it is at it
	}
	return answer(w, struct{}{})
}

// depart leaves the cluster when it is asked for, and then returns errLeft. A
// node that is not let go goes on, and can be asked again.
func (n *Node) depart(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.leaving:
		}
		limited, cancel := context.WithTimeout(ctx, leaveLimit)
		err := n.member.p.Load().Leave(limited)
		cancel()
		if err == nil {
			return errLeft
		}
		if ctx.Err() == nil {
			n.log.Error("did not leave the cluster, and goes on", "error", err)
		}
	}
}

const leaveLimit = time.Minute

// errLeft ends a node that has left its cluster.
var errLeft = errors.New("the node has left its cluster")

// backup streams a backup. One that fails in the middle has no end, which
// every reader of it finds out.
func (n *Node) backup(m *cluster.Node, w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := &begun{ResponseWriter: w}
	err := m.Backup(r.Context(), out)
	if err == nil || !out.begun {
		return err
	}
	n.log.Warn("broke a backup off", "error", err)
	panic(http.ErrAbortHandler)
}

// begun notes whether something was written.
type begun struct {
	http.ResponseWriter
	begun bool
}

func (b *begun) Write(p []byte) (int, error) {
	b.begun = true
	return b.ResponseWriter.Write(p)
}

func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // who asks may have gone
	return nil
}
