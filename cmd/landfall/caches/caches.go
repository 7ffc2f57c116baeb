// Package caches has the commands for the caches of builds: directories that a
// runner's Docker daemons keep. They speak to the daemons, as the runner does,
// and not to the hub.
package caches

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"landfall.dev/cmd/landfall/console"
	"landfall.dev/cmd/landfall/engines"
	"landfall.dev/engine"
)

// keeper is an engine that keeps caches.
type keeper interface {
	Caches(ctx context.Context) ([]engine.KeptCache, error)
	RemoveCache(ctx context.Context, name string) error
}

// Commands returns the commands about caches.
func Commands(h console.Hub) []*cobra.Command {
	return []*cobra.Command{listCommand(h), removeCommand()}
}

// place says which engines have the caches.
type place struct {
	name    string
	local   bool
	engines engines.Several
}

func (p *place) flags(c *cobra.Command) {
	c.Flags().StringVar(&p.name, "name", "runner", "name of the runner whose caches are meant")
	c.Flags().BoolVar(&p.local, "local", false, "those of builds that were run with build run --local")
	p.engines.DockerFlags(c)
}

// entry is a cache on an engine.
type entry struct {
	Engine string    `json:"engine"`
	Cache  string    `json:"cache"` // "ledger/go"
	Of     string    `json:"of,omitempty"`
	Bytes  int64     `json:"bytes"`
	Used   time.Time `json:"used,omitzero"`
	InUse  bool      `json:"inUse"`

	name string
	at   keeper
}

// find returns the caches on all engines.
func (p *place) find(c *cobra.Command) ([]entry, error) {
	ctx := c.Context()
	named, err := c.Flags().GetStringArray("engine")
	if err != nil {
		return nil, err
	}
	if slices.Contains(named, "process") || slices.Contains(named, "auto") {
		return nil, errors.New("only Docker daemons keep caches: write --engine docker, or name each as to the runner")
	}
	owner := "runner-" + p.name
	if p.local {
		owner = "local"
	}
	members, err := p.engines.Open(ctx, "", owner, 1)
	if err != nil {
		return nil, err
	}
	all := []entry{}
	for _, m := range members {
		k, ok := m.Engine.(keeper)
		if !ok {
			return nil, fmt.Errorf("the engine %s keeps no caches", m.Name)
		}
		caches, err := k.Caches(ctx)
		if err != nil {
			return nil, fmt.Errorf("engine %s: %w", m.Name, err)
		}
		for _, c := range caches {
			all = append(all, entry{m.Name, c.Title.Project + "/" + c.Title.Key, c.Title.Of, c.Bytes, c.Used, c.InUse, c.Name, k})
		}
	}
	return all, nil
}

const places = "Name the engines as to the\nrunner, on a machine that reaches their daemons."

func listCommand(h console.Hub) *cobra.Command {
	var p place
	c := &cobra.Command{
		Use: "list", Short: "List caches, their sizes, and when they were last used", Args: cobra.NoArgs,
		Long: "List the caches of builds on a runner's engines. One line is what all builds of a project share, the others\n" +
			"what builds of a change or a commit that is not reviewed have written over it. " + places,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := p.find(c)
			if err != nil {
				return err
			}
			if h.JSON() {
				return console.WriteJSON(c.OutOrStdout(), all)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "ENGINE\tCACHE\tOF\tMIB\tLAST USED")
			for _, e := range all {
				used := e.Used.Local().Format("2006-01-02 15:04")
				if e.InUse {
					used = "in use"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t%s\n", e.Engine, e.Cache, e.Of, float64(e.Bytes)/(1<<20), used)
			}
			return w.Flush()
		},
	}
	p.flags(c)
	return c
}

func removeCommand() *cobra.Command {
	var p place
	c := &cobra.Command{
		Use: "rm PROJECT/KEY [OF]", Short: "Remove a cache: later builds begin without it", Args: cobra.RangeArgs(1, 2),
		Long: "Remove a cache, with all that was written over it, on all engines; or only what was written over it, if the\n" +
			"command names of what. One that a build has is left alone. " + places,
		Example: "  landfall cache rm ledger/go\n  landfall cache rm ledger/go changes/42",
		RunE: func(c *cobra.Command, args []string) error {
			all, err := p.find(c)
			if err != nil {
				return err
			}
			title, of := args[0], ""
			if len(args) > 1 {
				of = args[1]
				title += " of " + of
			}
			found := false
			var errs []error
			for _, e := range all {
				if e.Cache != args[0] || e.Of != of {
					continue
				}
				found = true
				if err := e.at.RemoveCache(c.Context(), e.name); err != nil {
					errs = append(errs, fmt.Errorf("engine %s: cache %s: %w", e.Engine, title, err))
					continue
				}
				fmt.Fprintf(c.OutOrStdout(), "removed %s on %s\n", title, e.Engine)
			}
			if !found {
				return fmt.Errorf("there is no cache %s: landfall cache list tells which there are", title)
			}
			return errors.Join(errs...)
		},
	}
	p.flags(c)
	return c
}
