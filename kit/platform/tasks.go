package platform

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster"
	"landfall.dev/kit/elect"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
	"landfall.dev/kit/task"
)

// tasks runs the services' tasks and the clock while this node leads and the
// cluster is not fenced: a side that is being replaced, or that is not in
// charge yet, must not act.
func (n *Node) tasks(ctx context.Context, member *cluster.Node) error {
	g, ctx := errgroup.WithContext(ctx)
	var terms []chan elect.Term
	for _, s := range n.services {
		term := make(chan elect.Term)
		terms = append(terms, term)
		r := task.New(n.Client("services/"+s.Name), s, n.log)
		g.Go(func() error { return r.Run(ctx, term) })
	}
	g.Go(func() error { return n.govern(ctx, member, terms) })
	return g.Wait()
}

// office is the term in which this node's runners act. Its number is 0 while
// they rest.
type office struct {
	elect.Term
	of uint64 // the term of the log in which it was claimed
}

// govern tells the runners when this node is in charge. It then has claimed a
// new fencing number, so what a former leader's runners still write is refused.
func (n *Node) govern(ctx context.Context, member *cluster.Node, terms []chan elect.Term) error {
	clock := time.NewTicker(time.Second)
	defer clock.Stop()
	var now office
	for {
		l := member.Leader()
		changed := n.store.Changed()
		_, fenced := n.store.Fenced()
		if l.Self && !n.member.Prepared() {
			if err := n.prepare(ctx); err != nil {
				n.log.Warn("waited to prepare the cluster", "err", err)
			} else {
				n.member.prepared.Store(true)
				continue
			}
		}
		next := office{of: l.Term}
		switch {
		case !l.Self || !n.member.Prepared() || fenced:
		case now.Fence != 0 && now.of == l.Term:
			next = now
		default:
			var err error
			if next.Term, err = n.claim(ctx); err != nil {
				n.log.Warn("waited to take over the tasks", "err", err)
			}
		}
		if next.Fence != now.Fence {
			for _, term := range terms {
				select {
				case term <- next.Term:
				case <-ctx.Done():
					return nil
				}
			}
		}
		now = next
		select {
		case <-ctx.Done():
			return nil
		case <-l.Changed:
		case <-changed:
		case <-clock.C:
			if now.Fence == 0 {
				continue
			}
			_, _ = n.member.Write(ctx, store.Proposal{Tick: true}) // the next tick does what this one could not
			if !n.holds(now.Term) {
				now.of = 0 // somebody has deleted the leader's document
			}
		}
	}
}

// claim takes over the tasks. It is written by this node or not at all: one
// that leads no more must not have the leader write it.
func (n *Node) claim(ctx context.Context) (elect.Term, error) {
	return elect.Claim(elect.Tasks, n.url, func(writes ...kit.Write) ([]kit.Record, error) {
		return n.member.Write(ctx, store.Proposal{Writes: writes, By: "services/task", Internal: true})
	})
}

// holds tells whether t is still the latest claim.
func (n *Node) holds(t elect.Term) bool {
	r, err := n.store.Read(elect.Leaders.Link(t.Name))
	if err != nil {
		return false
	}
	l, err := elect.Leaders.Decode(r)
	return err == nil && l.Fence == t.Fence
}

// prepare makes what a new cluster needs: the fence of one in standby, or the
// administrator's role and token.
func (n *Node) prepare(ctx context.Context) error {
	if n.config.Standby {
		if epoch, _ := n.store.Fenced(); epoch > 0 {
			return nil
		}
		_, err := n.member.Write(ctx, store.Proposal{Fence: &store.Fence{Epoch: 1, On: true}})
		return err
	}
	c := n.Client("services/" + rest.ServiceName)
	path := filepath.Join(n.config.Data, "admin.token")
	if epoch, fenced := n.store.Fenced(); fenced || epoch > 0 {
		return nil // a side of an upgrade: its tokens came with the documents
	}
	if made := path + madeSuffix; exists(made) || exists(path) {
		return os.WriteFile(made, nil, 0o600) // the file may have been taken to a safer place since
	}
	token, err := rest.Bootstrap(ctx, c)
	if err != nil {
		return err
	}
	if token == "" && len(n.config.Join) > 0 {
		return nil // whoever made the cluster has it
	}
	if token == "" { // the process ended before it could write the file
		if token, err = rest.MintToken(ctx, c, "users/admin", "made because admin.token was missing"); err != nil {
			return err
		}
	}
	if err := writeFile(path, token+"\n"); err != nil {
		return err
	}
	if err := os.WriteFile(path+madeSuffix, nil, 0o600); err != nil {
		return err
	}
	n.log.Info("made the administrator's token", "file", path, "use", fmt.Sprintf("landfall login %s < %s", n.url, path))
	return nil
}

// madeSuffix marks a directory whose administrator's token was made: it is not
// made again, wherever the file is by now.
const madeSuffix = ".made"

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// writeFile puts a secret into place, whole or not at all.
func writeFile(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

var _ rest.Node = (*memberRef)(nil)
