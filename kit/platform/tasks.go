package platform

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/kit/cluster"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
	"landfall.dev/kit/task"
)

// tasks runs the services' tasks and the clock while this node leads and the
// cluster is not fenced: a side that is being replaced, or that is not in
// charge yet, must not act.
func (n *Node) tasks(ctx context.Context, member *cluster.Node) error {
	g, ctx := errgroup.WithContext(ctx)
	var leads []chan bool
	for _, s := range n.services {
		lead := make(chan bool)
		leads = append(leads, lead)
		r := task.New(n.Client("services/"+s.Name), s, n.log)
		g.Go(func() error { return r.Run(ctx, lead) })
	}
	g.Go(func() error { return n.govern(ctx, member, leads) })
	return g.Wait()
}

// govern tells the runners when this node is in charge.
func (n *Node) govern(ctx context.Context, member *cluster.Node, leads []chan bool) error {
	clock := time.NewTicker(time.Second)
	defer clock.Stop()
	prepared, acting := false, false
	for {
		l := member.Leader()
		changed := n.store.Changed()
		_, fenced := n.store.Fenced()
		if l.Self && !prepared {
			if err := n.prepare(ctx); err != nil {
				n.log.Warn("waited to prepare the cluster", "err", err)
			} else {
				prepared = true
				continue
			}
		}
		if act := l.Self && prepared && !fenced; act != acting {
			acting = act
			for _, lead := range leads {
				select {
				case lead <- act:
				case <-ctx.Done():
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.Changed:
		case <-changed:
		case <-clock.C:
			if acting {
				_, _ = n.member.Write(ctx, store.Proposal{Tick: true}) // the next tick does what this one could not
			}
		}
	}
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
	token, err := rest.Bootstrap(ctx, c)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil && token == "" {
		return nil
	}
	if token == "" { // the process ended before it could write the file
		if token, err = rest.MintToken(ctx, c, "users/admin", "made because admin.token was missing"); err != nil {
			return err
		}
	}
	if err := writeFile(path, token+"\n"); err != nil {
		return err
	}
	n.log.Info("made the administrator's token", "file", path, "use", fmt.Sprintf("landfall login %s < %s", n.url, path))
	return nil
}

// writeFile puts a secret into place, whole or not at all.
func writeFile(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

var _ rest.Node = (*memberRef)(nil)
