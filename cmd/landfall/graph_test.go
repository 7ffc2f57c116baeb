package main

import (
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/blob"
	"landfall.dev/kit/platform"
)

var update = flag.Bool("update", false, "write doc/graph.md anew")

const graphFile = "../../doc/graph.md"

// guards say why a cycle of kinds comes to an end. The key are its kinds.
var guards = map[string]string{
	"builds changes deployments generations inventories landings projects proposals pushes refs releases reports run-locks runs": "each round needs a new commit: a patch set has a number, " +
		"a run is made once for each patch set or landed commit, a node's work once for each attempt, a run that another one triggers at most five deep, a lock once for each attempt of a block, a report once for each build, and a proposal and a landing once for each patch set",
}

// TestGraph draws which kinds lead to which, from what the capabilities
// declare, and holds every cycle to a guard that makes it end.
func TestGraph(t *testing.T) {
	edges := edgesOf(t)
	for _, cycle := range cycles(edges) {
		key := strings.Join(cycle, " ")
		if guards[key] == "" {
			t.Errorf("the kinds %q lead to each other: name the guard that makes it end, in this test", key)
		}
	}
	text := draw(edges)
	if *update {
		if err := os.WriteFile(graphFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(graphFile)
	if err != nil || string(got) != text {
		t.Errorf("doc/graph.md is not what the capabilities declare: run make docs (%v)", err)
	}
}

// edge is a kind that is watched, one that is written because of it, and who
// does so.
type edge struct{ from, to, by string }

func edgesOf(t *testing.T) []edge {
	t.Helper()
	node, err := platform.New(platform.Config{Data: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{node: node, data: t.TempDir(), base: node.URL(), blobs: blobs, log: slog.Default()}
	var edges []edge
	for _, c := range capabilities {
		s, err := c.make(h)
		if err != nil {
			t.Fatal(err)
		}
		edges = append(edges, edgesOfService(s)...)
	}
	return edges
}

// edgesOfService returns an edge from each kind that s watches to each that it
// owns or writes, and from each that lives with it to each that it writes.
func edgesOfService(s kit.Service) []edge {
	var edges []edge
	add := func(from string, tos ...string) {
		for _, to := range tos {
			if from != to {
				edges = append(edges, edge{from, to, s.Name})
			}
		}
	}
	var owned []string
	for _, o := range s.Owns {
		owned = append(owned, o.Name)
		if o.Step != nil {
			add(o.Name, s.Writes...)
		}
	}
	for _, w := range s.Watches {
		add(w.Kind, s.Writes...)
		add(w.Kind, owned...)
	}
	return edges
}

// cycles returns the sets of kinds that lead to each other, sorted.
func cycles(edges []edge) [][]string {
	reach := map[string]map[string]bool{}
	for _, e := range edges {
		if reach[e.from] == nil {
			reach[e.from] = map[string]bool{}
		}
		reach[e.from][e.to] = true
	}
	for grown := true; grown; {
		grown = false
		for from, tos := range reach {
			for to := range maps.Clone(tos) {
				for far := range reach[to] {
					if !reach[from][far] {
						reach[from][far], grown = true, true
					}
				}
			}
		}
	}
	var found [][]string
	seen := map[string]bool{}
	for _, kind := range slices.Sorted(maps.Keys(reach)) {
		if seen[kind] || !reach[kind][kind] {
			continue
		}
		var set []string
		for _, other := range slices.Sorted(maps.Keys(reach[kind])) {
			if reach[other][kind] {
				set, seen[other] = append(set, other), true
			}
		}
		found = append(found, set)
	}
	return found
}

func draw(edges []edge) string {
	var b strings.Builder
	b.WriteString("# Which kinds lead to which\n\nMade by `make docs` from what the capabilities declare: a change of a kind on the left can make the\ncapability write the kind on the right.\n\n```mermaid\nflowchart LR\n")
	lines := map[string]bool{}
	for _, e := range edges {
		lines[fmt.Sprintf("  %s -- %s --> %s\n", e.from, e.by, e.to)] = true
	}
	for _, l := range slices.Sorted(maps.Keys(lines)) {
		b.WriteString(l)
	}
	b.WriteString("```\n\n## Cycles, and what makes them end\n\n")
	for _, c := range cycles(edges) {
		fmt.Fprintf(&b, "- %s: %s.\n", strings.Join(c, ", "), guards[strings.Join(c, " ")])
	}
	return b.String()
}
