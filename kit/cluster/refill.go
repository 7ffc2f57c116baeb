package cluster

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/disk"
	"landfall.dev/kit/cluster/seal"
	"landfall.dev/kit/cluster/warnings"
)

// Refill gives the node whose directory is damaged a new beginning: it moves
// the directory aside, to the path that it returns, and makes it anew as that
// of a node that joins and will be filled by the others. It needs of c only
// Dir, Join (or else the members that the directory still knows), JoinToken
// and Authority. On an error nothing was moved.
//
// The node gets a new id: under the old one the others believe that it has
// what it has lost, and its vote would count for that.
func Refill(ctx context.Context, c Config) (aside string, err error) {
	const op = "cluster.refill"
	d := disk.At(c.Dir)
	if _, err := os.Stat(c.Dir); err != nil {
		return "", &kit.Error{Fault: kit.ErrNotFound, Op: op, Detail: c.Dir + " is no data directory of a node", Hint: "name the --data of the node to refill", Err: err}
	}
	if err := d.Lock(); err != nil {
		return "", err
	}
	known := d.Others()
	if err := d.Close(); err != nil {
		return "", err
	}
	if err := diagnose(c.Dir); err == nil {
		return "", &kit.Error{Fault: kit.ErrConflict, Op: op, Detail: "nothing is damaged in " + c.Dir, Hint: "just start the node"}
	} else if why := (*disk.Damage)(nil); !errors.As(err, &why) {
		return "", err
	}
	if len(c.Join) == 0 {
		c.Join = known
	}
	if len(c.Join) == 0 {
		return "", &kit.Error{Fault: kit.ErrInvalid, Op: op, Detail: "no other member is known that the node could be filled from", Hint: "name one by --join; without any, restore a backup"}
	}
	c.Advertise = c.Join[0] // not used: the node does not start
	if c, err = c.withDefaults(); err != nil {
		return "", err
	}
	n := &Node{config: c, log: c.Logger}
	id := newIdentity("")
	answer, err := n.joinOnce(ctx, joinRequest{ID: id.ID, Format: disk.Format, Refill: true})
	if err != nil {
		return "", err
	}
	aside = c.Dir + ".damaged-" + time.Now().UTC().Format("20060102-150405")
	if err := os.Rename(c.Dir, aside); err != nil {
		return "", err
	}
	id.Key, id.Schema = answer.Key, answer.Schema
	return aside, begin(c.Dir, id, answer.Peers)
}

// begin makes dir that of a node that has been let into a cluster.
func begin(dir string, id disk.Identity, peers []disk.Peer) error {
	d, err := disk.Open(dir)
	if err != nil {
		return err
	}
	err = d.Save("peers.json", peers)
	if err == nil {
		err = d.Save("node.json", id)
	}
	return errors.Join(err, d.Close())
}

// diagnose returns the error with which a node would not start in dir.
func diagnose(dir string) error {
	d, err := disk.Open(dir)
	if err != nil {
		return err
	}
	id, err := d.Identity()
	if err == nil {
		_, err = d.Peers()
	}
	if err == nil && id.ID == "" {
		err = d.Damaged("node.json", fs.ErrNotExist)
	}
	if err == nil {
		var s *disk.Storage
		s, err = d.OpenStorage(disk.Options{
			Formed: id.Formed, Files: disk.NewFiles(false, nil), Check: seal.Check,
			Log: warnings.Raft(slog.New(slog.DiscardHandler)), Fail: func(error) {},
		})
		if err == nil {
			err = s.Close()
		}
	}
	return errors.Join(err, d.Close())
}
