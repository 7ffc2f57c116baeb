package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// group is a set of measurements that are made together.
type group struct {
	name string
	// run measures the group's bars.
	run func(context.Context, *measurement) error
}

// groups are all there are, in the order of the page.
var groups = []group{
	kitGroup,
	upgradeGroup,
	frontGroup,
	jobsGroup,
}

// chosen returns the group of table with the name, or all for none.
func chosen(table []group, name string) ([]group, error) {
	if name == "" {
		return table, nil
	}
	var names []string
	for _, g := range table {
		if g.name == name {
			return []group{g}, nil
		}
		names = append(names, g.name)
	}
	return nil, fmt.Errorf("there is no group %q: the groups are %s", name, strings.Join(names, ", "))
}

// measurement is a run of one group.
type measurement struct {
	options
	group string
	dir   string // for whatever the run needs; it is removed afterwards
	out   io.Writer

	bars  []bar
	peers []string // what it is compared with, and the versions
	setup []string // how it was measured, a paragraph each
	also  []string // what was measured beside the bars
}

// options say how much is measured.
type options struct {
	documents int
	watchers  int
	upgrades  int
	writes    int // a second, during upgrades
	held      int
	rounds    int
	warm, per time.Duration
	profiles  string // where profiles of our side are written; empty for none
	command   string // by which all this was asked for; empty for make bench
	only      string // the bars that are wanted: names without the group, with commas; empty for all
}

// wants tells whether one of the bars is wanted.
func (o options) wants(names ...string) bool {
	if o.only == "" {
		return true
	}
	return slices.ContainsFunc(strings.Split(o.only, ","), func(n string) bool { return slices.Contains(names, n) })
}

// bar adds a bar and prints its line.
func (m *measurement) bar(name, what string, ours, peer float64, want limit) {
	b := bar{m.group + "/" + name, what, ours, peer, want}
	m.bars = append(m.bars, b)
	fmt.Fprintln(m.out, b)
}

// tell adds and prints what was measured beside the bars.
func (m *measurement) tell(format string, args ...any) {
	m.also = append(m.also, fmt.Sprintf(format, args...))
	fmt.Fprintln(m.out, m.also[len(m.also)-1])
}

// measure runs g and returns what came of it.
func (g group) measure(ctx context.Context, o options, out io.Writer) (*measurement, error) {
	fmt.Fprintln(out, "== bench", g.name)
	dir, err := os.MkdirTemp("", "landfall-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	m := &measurement{options: o, group: g.name, dir: dir, out: out}
	if err := g.run(ctx, m); err != nil {
		return nil, fmt.Errorf("%s: %w", g.name, err)
	}
	return m, nil
}

// missed tells whether one of the bars is missed.
func (m *measurement) missed() bool {
	return slices.ContainsFunc(m.bars, func(b bar) bool { return !b.met() })
}
