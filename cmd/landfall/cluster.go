package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
	"landfall.dev/kit/cluster"
	"landfall.dev/kit/platform"
)

// clusterCommand is for the nodes of any platform: a hub's, or one that is
// built on kit.
func (a *app) clusterCommand() *cobra.Command {
	return group("cluster", "Look after the nodes of a platform: members, backup, repair",
		a.membersCommand(), a.removeMemberCommand(), a.leaveCommand(),
		a.backupCommand(), restoreCommand(), refillCommand())
}

func (a *app) membership(ctx context.Context) (platform.Membership, error) {
	var m platform.Membership
	err := a.callJSON(ctx, http.MethodGet, platform.MembersPath, nil, &m)
	return m, err
}

func (a *app) membersCommand() *cobra.Command {
	return command("members", "List the nodes of the cluster", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		m, err := a.membership(c.Context())
		if err != nil {
			return err
		}
		if a.output == "json" {
			return console.WriteJSON(c.OutOrStdout(), m)
		}
		t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "ID\tURL\tROLE\tSTATE\tDURABILITY")
		for _, n := range m.Members {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", n.ID, n.URL, memberRole(n), memberState(n), memberDurability(n))
		}
		return t.Flush()
	})
}

func memberRole(m cluster.Member) string {
	switch {
	case m.Leader:
		return "leader"
	case m.Voter:
		return "voter"
	}
	return "reader"
}

func memberState(m cluster.Member) string {
	if m.Alive {
		return "alive"
	}
	return "dead"
}

func memberDurability(m cluster.Member) string {
	if m.Relaxed {
		return "relaxed"
	}
	return "synced"
}

func (a *app) removeMemberCommand() *cobra.Command {
	c := command("remove ID", "Remove a node from the cluster for ever", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		m, err := a.membership(c.Context())
		if err != nil {
			return err
		}
		if m.Leader == "" {
			return &kit.Error{Fault: kit.ErrUnavailable, Detail: "the cluster has no leader now", Hint: "try again in a moment"}
		}
		leader := *a // only it can do this
		leader.url = m.Leader
		if err := leader.callJSON(c.Context(), http.MethodPost, platform.RemovePath, map[string]string{"id": args[0]}, nil); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "removed %s\n", args[0])
		return nil
	})
	c.Long = `Remove a node from the cluster for ever.

A node that is alive stops; one that is dead does when it comes back. It is
refused where most of the other voters are dead. To bring the machine back, start
a node with an empty --data and --join.`
	return c
}

func (a *app) leaveCommand() *cobra.Command {
	c := command("leave", "Have the node at --url leave its cluster and stop", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		if err := a.callJSON(c.Context(), http.MethodPost, platform.LeavePath, nil, nil); err != nil {
			return err
		}
		at, err := a.where()
		fmt.Fprintf(c.OutOrStdout(), "%s leaves, and stops then\n", at.URL)
		return err
	})
	c.Long = `Have the node at --url leave its cluster and stop.

It hands over what it leads first, and is refused where most of the other voters
are dead. Its data directory cannot be used again.`
	return c
}

func (a *app) backupCommand() *cobra.Command {
	c := command("backup FILE", "Write a backup of all documents to FILE", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		if _, err := os.Stat(args[0]); err == nil {
			return &kit.Error{Fault: kit.ErrConflict, Detail: args[0] + " exists already", Hint: "name another file: nothing is ever overwritten"}
		}
		size, err := a.backup(c.Context(), args[0])
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "wrote and verified %s, %d bytes; blobs are not in it\n", args[0], size)
		return nil
	})
	c.Long = `Write a backup of all documents to FILE, while the platform goes on.

It has every write that was acknowledged before it began, and none halfway. What
was written is read again and its checksums are compared before FILE appears.

Blobs (packs, image layers, logs, artifacts) are not documents and not in it: copy
the directory blobs of a node, which only grows, after the backup.`
	return c
}

// backup writes a backup to the file at path, which appears when it is sound.
func (a *app) backup(ctx context.Context, path string) (size int64, err error) {
	body, err := a.call(ctx, http.MethodGet, platform.BackupPath, nil)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return 0, err
	}
	size, err = io.Copy(f, body)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		_, err = cluster.CheckBackupFile(f.Name())
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(f.Name()))
	}
	return size, nil
}

func restoreCommand() *cobra.Command {
	var data string
	c := command("restore FILE", "Make a new cluster of one node from a backup", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		if err := platform.Restore(data, args[0]); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "restored %s into %s: start the node there; others can join it\n", args[0], data)
		return nil
	})
	c.Long = `Make a new cluster of one node from a backup.

The backup is verified first; --data must be empty or missing. Start the node
there as ever, and others with --join: so the new cluster may have another size.
Positions of the old cluster are void: whoever watched it lists again.

Blobs are not in a backup: copy the old directory blobs into --data as well.`
	c.Flags().StringVar(&data, "data", "landfall-data", "directory of the new node")
	return c
}

func refillCommand() *cobra.Command {
	var config platform.Config
	c := command("refill", "Repair a node whose log is damaged from the other nodes", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		config.Logger = logger(false)
		var err error
		if config.Token, err = clusterTokenText(joinToken(c, config)); err != nil {
			return err
		}
		aside, err := platform.Refill(c.Context(), config)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "moved the damaged log to %s\nthe node has joined anew: start it, and the others will fill it\n", aside)
		return nil
	})
	c.Long = `Repair a node whose log is damaged from the other nodes of its cluster.

The damaged log is moved aside, never deleted, and the node joins its cluster
anew. Start it afterwards as ever: the others fill it before it serves. The node
must not run meanwhile. A node without others is restored from a backup.`
	f := c.Flags()
	f.StringVar(&config.Data, "data", "landfall-data", "directory of the damaged node")
	f.StringSliceVar(&config.Join, "join", nil, "addresses of other nodes (default: those that the node knew last)")
	f.StringVar(&config.Token, "cluster-token", "", "the cluster's secret, or @FILE (default: cluster.token in --data)")
	return c
}

// joinToken returns the cluster's token of a command that joins: --token, which
// all commands have, can mean no other.
func joinToken(c *cobra.Command, config platform.Config) string {
	if config.Token == "" && len(config.Join) > 0 {
		return c.Flag("token").Value.String()
	}
	return config.Token
}

// clusterTokenText returns the cluster's token s, or the content of the file
// that @FILE names.
func clusterTokenText(s string) (string, error) {
	path, ok := strings.CutPrefix(s, "@")
	if !ok {
		return s, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the cluster's token cannot be read: %w", err)
	}
	return string(bytes.TrimSpace(b)), nil
}
