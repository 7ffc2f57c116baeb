package platform

import (
	"context"
	"errors"
	"fmt"
	"os"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster"
	"landfall.dev/kit/cluster/disk"
	"landfall.dev/kit/store"
)

// Refill moves the damaged log in c.Data aside, to the path that it returns,
// and makes the node join its cluster anew: at the next start the other
// members fill it. Where c has no Join the members that the node still knows
// are asked, and where it has no Token the one in c.Data is used.
func Refill(ctx context.Context, c Config) (aside string, err error) {
	if c.Token == "" {
		kept := c
		kept.Join = []string{"-"} // a new token would not help
		if c.Token, err = kept.token(); err != nil {
			return "", err
		}
	}
	return cluster.Refill(ctx, cluster.Config{
		Dir: c.path(logDirectory), Join: c.Join, JoinToken: c.Token, Authority: authorityOf(c.Token), Logger: c.Logger,
	})
}

// Restore makes data, which must be missing or empty, the data directory of
// the first node of a new cluster with the documents of the backup file. Other
// nodes can join it. Blobs are not in a backup.
func Restore(data, file string) error {
	if entries, err := os.ReadDir(data); err == nil && len(entries) > 0 {
		return &kit.Error{Fault: kit.ErrConflict, Detail: data + " is not empty", Hint: "restore into an empty or a new --data: nothing is ever overwritten"}
	}
	return cluster.RestoreBackup(Config{Data: data}.path(logDirectory), file)
}

// repairable returns err with the command that repairs what it tells of.
func (c Config) repairable(err error) error {
	var d *disk.Damage
	if !errors.As(err, &d) {
		return err
	}
	hint := "nobody else has what it held: restore a backup by landfall cluster restore --data NEWDIR FILE"
	if len(d.Peers) > 0 {
		hint = fmt.Sprintf("refill it from its peers by landfall cluster refill --data %s --join %s; nothing is deleted", c.Data, d.Peers[0])
	}
	return &kit.Error{Fault: kit.ErrInternal, Detail: d.Error(), Hint: hint}
}

// settle makes all positions of the cluster that was backed up void, before
// anybody is served by the one that was made from the backup.
func (n *Node) settle(ctx context.Context, member *cluster.Node) error {
	for member.Restored() {
		l := member.Leader()
		if !l.Self {
			select {
			case <-l.Changed:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		_, err := n.member.Write(ctx, store.Proposal{NewEpoch: true})
		if err == nil {
			err = member.Settled()
		}
		if err != nil && !kit.Temporary(err) {
			return err
		}
	}
	return nil
}
