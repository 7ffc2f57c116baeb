package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"landfall.dev/api"
)

const maxDepth = 20

// graph collects the nodes that main returned, in the order of the text.
type graph struct {
	nodes []*node
}

// place is where in the text an entry stands.
type place struct {
	what  string // "main's list", `stage "verify"`
	pos   syntax.Position
	stage string
	depth int
}

// makePlan returns the plan for what main returned; pos is main's.
func makePlan(v starlark.Value, pos syntax.Position) (api.Plan, error) {
	g := &graph{}
	if _, err := g.add(v, nil, place{what: "main's list", pos: pos}); err != nil {
		return api.Plan{}, err
	}
	if err := g.identify(); err != nil {
		return api.Plan{}, err
	}
	if err := g.linkImages(); err != nil {
		return api.Plan{}, err
	}
	plan := api.Plan{Nodes: make([]api.Node, 0, len(g.nodes))}
	for _, n := range g.nodes {
		for _, need := range n.needs {
			n.Needs = append(n.Needs, need.ID)
		}
		if n.image != nil {
			n.Image = n.image.ID
		}
		plan.Nodes = append(plan.Nodes, n.Node)
	}
	return plan, nil
}

// add puts v into the graph, to start when all of after have passed. It
// returns the nodes that what follows v has to wait for: none if v is empty.
func (g *graph) add(v starlark.Value, after []*node, in place) ([]*node, error) {
	if in.depth > maxDepth {
		return nil, errorAt(in.pos, "%s is nested more than %d deep", in.what, maxDepth)
	}
	switch v := v.(type) {
	case *node:
		return g.addNode(v, after, in)
	case *group:
		return g.addGroup(v, after, in)
	case *starlark.List:
		return g.addSequence(v, after, in)
	case starlark.Tuple:
		return g.addSequence(v, after, in)
	case starlark.NoneType:
		return nil, errorAt(in.pos, "%s has an entry that is None; does a function lack its return?", in.what)
	}
	return nil, errorAt(in.pos, "%s has an entry that is %s; want nodes, stages, parallel or lists of them", in.what, typeOf(v))
}

func (g *graph) addNode(n *node, after []*node, in place) ([]*node, error) {
	if n.index > 0 {
		return nil, errorAt(n.pos, "this %s stands in the plan twice; call %[1]s again for another one", n.Node.Type)
	}
	if len(g.nodes) == maxNodes {
		return nil, errorAt(n.pos, "the plan has more than %d nodes", maxNodes)
	}
	g.nodes = append(g.nodes, n)
	n.index = len(g.nodes)
	n.Stage = in.stage
	n.needs = after
	return []*node{n}, nil
}

func (g *graph) addGroup(group *group, after []*node, in place) ([]*node, error) {
	within := place{what: group.String(), pos: group.pos, stage: in.stage, depth: in.depth + 1}
	if group.stage == "" {
		return g.addParallel(group.entries, after, within)
	}
	if in.stage != "" {
		return nil, errorAt(group.pos, "stage %q is inside of stage %q; stages do not nest", group.stage, in.stage)
	}
	within.stage = group.stage
	return g.addSequence(group.entries, after, within)
}

// addSequence adds entries to run one after the other.
func (g *graph) addSequence(entries starlark.Indexable, after []*node, in place) ([]*node, error) {
	in.depth++
	var last []*node
	for i := range entries.Len() {
		added, err := g.add(entries.Index(i), after, in)
		if err != nil {
			return nil, err
		}
		if len(added) > 0 {
			after, last = added, added
		}
	}
	return last, nil
}

// addParallel adds entries to run side by side.
func (g *graph) addParallel(entries starlark.Tuple, after []*node, in place) ([]*node, error) {
	var last []*node
	for _, entry := range entries {
		added, err := g.add(entry, after, in)
		if err != nil {
			return nil, err
		}
		last = append(last, added...)
	}
	return last, nil
}

// identify gives each node an ID. One that the program did not ask for is made
// from what the node does, with a number if that is taken.
func (g *graph) identify() error {
	taken := map[string]*node{}
	for _, n := range g.nodes {
		if n.ID == "" {
			continue
		}
		if other := taken[n.ID]; other != nil {
			return errorAt(n.pos, "the id %q is that of the node at %s already", n.ID, other.Position)
		}
		taken[n.ID] = n
	}
	for _, n := range g.nodes {
		if n.ID != "" {
			continue
		}
		base := cmp.Or(slug(n.base), string(n.Node.Type))
		n.ID = base
		for i := 2; taken[n.ID] != nil; i++ {
			n.ID = fmt.Sprintf("%s-%d", base, i)
		}
		taken[n.ID] = n
	}
	return nil
}

// slug makes text fit for an ID. It is empty if text has nothing to keep.
func slug(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	return strings.Join(words, "-")
}

// linkImages makes each node wait for the build of its image, wherever that
// stands.
func (g *graph) linkImages() error {
	for _, n := range g.nodes {
		if n.image == nil {
			continue
		}
		if n.image.index == 0 {
			return errorAt(n.pos, "the image is that of the build at %s, which is not part of what main returned", n.image.Position)
		}
		if g.waits(n.image, n) {
			return errorAt(n.pos, "%s waits for itself: it needs the image of %s, which runs after it", n.ID, n.image.ID)
		}
		if !g.waits(n, n.image) {
			n.needs = append(slices.Clip(n.needs), n.image) // a copy: siblings share needs
		}
	}
	return nil
}

// waits tells whether n starts only after other has passed.
func (g *graph) waits(n, other *node) bool {
	seen := make([]bool, len(g.nodes)+1)
	next := []*node{n}
	for len(next) > 0 {
		n, next = next[len(next)-1], next[:len(next)-1]
		for _, need := range n.needs {
			if need == other {
				return true
			}
			if !seen[need.index] {
				seen[need.index] = true
				next = append(next, need)
			}
		}
	}
	return false
}
