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

// graph collects the nodes and blocks that a function returned, in the order of
// the text. What an entry waits for is always in the same block: so a block
// starts when all that its parts need from outside is there, and nothing waits
// while it has a lock or one of a parallel's places.
type graph struct {
	nodes  []*node
	blocks []*block
	before *Expansion // of an earlier plan that this is to become a part of, or nil
}

// entry is what another can wait for: a node or a block.
type entry interface {
	own() *vertex
	id() string
}

// vertex is an entry's place in the graph.
type vertex struct {
	placed       bool
	in           *block
	needs, after []entry
}

func (v *vertex) own() *vertex { return v }

func (n *node) id() string { return n.ID }

// block is a part of the graph with a result of its own.
type block struct {
	api.Block
	pos  syntax.Position
	when *when
	vertex
}

func (b *block) id() string { return b.ID }

// place is where in the text an entry stands.
type place struct {
	what   string // "main's list", `stage "verify"`
	pos    syntax.Position
	stage  string
	branch string // of a parallel, if it has a name
	block  *block // nil at the top
	depth  int
}

// makePlan returns the plan for what a function at pos returned.
func makePlan(v starlark.Value, what string, pos syntax.Position, before *Expansion) (api.Plan, error) {
	g := &graph{before: before}
	if _, err := g.add(v, nil, place{what: what, pos: pos}); err != nil {
		return api.Plan{}, err
	}
	if err := g.identify(); err != nil {
		return api.Plan{}, err
	}
	if err := g.link(); err != nil {
		return api.Plan{}, err
	}
	plan := api.Plan{Nodes: make([]api.Node, 0, len(g.nodes))}
	for _, n := range g.nodes {
		n.Needs, n.After, n.In = ids(n.needs), ids(n.after), n.in.name()
		n.Node.When = n.when.data()
		if n.image != nil {
			n.Image = n.image.ID
		}
		if n.of != nil {
			n.Of = n.of.ID
		}
		for _, b := range n.builds {
			n.Builds = append(n.Builds, b.ID)
		}
		plan.Nodes = append(plan.Nodes, n.Node)
	}
	for _, b := range g.blocks {
		b.Needs, b.After, b.In = ids(b.needs), ids(b.after), b.in.name()
		b.Block.When = b.when.data()
		plan.Blocks = append(plan.Blocks, b.Block)
	}
	return plan, nil
}

func (b *block) name() string {
	if b == nil {
		return ""
	}
	return b.ID
}

func ids(entries []entry) []string {
	var all []string
	for _, e := range entries {
		all = append(all, e.id())
	}
	return all
}

// add puts v into the graph, to start when all of after have passed. It
// returns what the one that follows v has to wait for: nothing if v is empty.
func (g *graph) add(v starlark.Value, after []entry, in place) ([]entry, error) {
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

func (g *graph) addNode(n *node, after []entry, in place) ([]entry, error) {
	if n.placed {
		return nil, errorAt(n.pos, "this %s stands in the plan twice; call %[1]s again for another one", n.Node.Type)
	}
	if len(g.nodes) == maxNodes-g.before.nodes() {
		return nil, errorAt(n.pos, "the plan has more than %d nodes", maxNodes)
	}
	if n.Node.Type == api.NodeExpand {
		for b := in.block; b != nil; b = b.in {
			if b.Block.Type == api.BlockRetry {
				return nil, errorAt(n.pos, "expand stands in a retry: let the function that it calls return the retry")
			}
		}
	}
	if in.branch != "" && n.ID == "" {
		n.base = in.branch
	}
	g.nodes = append(g.nodes, n)
	n.Stage = in.stage
	n.vertex = vertex{placed: true, in: in.block, needs: after}
	return []entry{n}, nil
}

func (g *graph) addGroup(group *group, after []entry, in place) ([]entry, error) {
	within := place{what: group.String(), pos: group.pos, stage: in.stage, branch: in.branch, block: in.block, depth: in.depth + 1}
	if group.Block.Type == api.BlockStage {
		if in.stage != "" {
			return nil, errorAt(group.pos, "stage %q is inside of stage %q; stages do not nest", group.Name, in.stage)
		}
		within.stage = group.Name
	}
	switch {
	case group.plain() && group.Block.Type == api.BlockStage:
		return g.addSequence(group.entries, after, within)
	case group.plain():
		return g.addParallel(group, after, within)
	}
	b, err := g.addBlock(group.Block, group.pos, after, within)
	if err != nil {
		return nil, err
	}
	b.when = group.when
	within.block = b
	switch b.Block.Type {
	case api.BlockParallel:
		err = g.addBranches(group, within)
	case api.BlockGuard:
		err = g.addGuarded(group, within)
	default:
		_, err = g.addSequence(group.entries, nil, within)
	}
	return []entry{b}, err
}

// addBlock makes a block in the place in.
func (g *graph) addBlock(spec api.Block, pos syntax.Position, after []entry, in place) (*block, error) {
	if len(g.blocks) == maxNodes-g.before.blocks() {
		return nil, errorAt(pos, "the plan has more than %d blocks", maxNodes)
	}
	if err := g.checkLocks(spec, pos, in.block); err != nil {
		return nil, err
	}
	b := &block{Block: spec, pos: pos, vertex: vertex{placed: true, in: in.block, needs: after}}
	g.blocks = append(g.blocks, b)
	b.ID = fmt.Sprintf("#%d", g.before.blocks()+len(g.blocks))
	return b, nil
}

// checkLocks refuses a lock that is taken inside of another with a later name:
// two runs could wait for each other.
func (g *graph) checkLocks(spec api.Block, pos syntax.Position, in *block) error {
	if len(spec.Locks) == 0 {
		return nil
	}
	held := g.before.locks()
	for b := in; b != nil; b = b.in {
		held = append(held, b.Locks...)
	}
	for _, name := range held {
		if spec.Locks[0] <= name {
			return errorAt(pos, "lock %q is taken inside of lock %q: two runs could wait for each other; take both at once, as in lock([%[1]q, %[2]q], ...)", spec.Locks[0], name)
		}
	}
	return nil
}

// addSequence adds entries to run one after the other.
func (g *graph) addSequence(entries starlark.Indexable, after []entry, in place) ([]entry, error) {
	in.depth++
	var last []entry
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
func (g *graph) addParallel(group *group, after []entry, in place) ([]entry, error) {
	var last []entry
	for i, v := range group.entries {
		in.branch = cmp.Or(group.names[i], in.branch)
		added, err := g.add(v, after, in)
		if err != nil {
			return nil, err
		}
		last = append(last, added...)
	}
	return last, nil
}

// addBranches adds the entries of a parallel that is a block, each as one.
func (g *graph) addBranches(parallel *group, in place) error {
	for i, v := range parallel.entries {
		within := in
		within.branch = cmp.Or(parallel.names[i], in.branch)
		inner, isGroup := v.(*group)
		_, isNode := v.(*node)
		if !isNode && (!isGroup || inner.plain()) {
			b, err := g.addBlock(api.Block{Type: api.BlockStage, Name: parallel.names[i], Position: parallel.Position}, parallel.pos, nil, in)
			if err != nil {
				return err
			}
			within.block = b
		}
		if _, err := g.add(v, nil, within); err != nil {
			return err
		}
	}
	return nil
}

// addGuarded adds the entries of a guard, and what is done after them.
func (g *graph) addGuarded(group *group, in place) error {
	var before []entry
	for _, part := range []struct {
		kind    api.BlockType
		entries starlark.Indexable
	}{{api.BlockStage, group.entries}, {api.BlockRescue, group.rescue}, {api.BlockAlways, group.always}} {
		if part.entries == nil {
			continue
		}
		b, err := g.addBlock(api.Block{Type: part.kind, Position: group.Position}, group.pos, nil, in)
		if err != nil {
			return err
		}
		b.after = slices.Clone(before)
		within := in
		within.block = b
		if _, err := g.addSequence(part.entries, nil, within); err != nil {
			return err
		}
		before = append(before, b)
	}
	return nil
}

// identify gives each node an ID. One that the program did not ask for is made
// from what the node does, with a number if that is taken.
func (g *graph) identify() error {
	taken := map[string]string{} // positions
	for _, n := range g.before.plan().Nodes {
		taken[n.ID] = n.Position
	}
	for _, n := range g.nodes {
		if n.ID == "" {
			continue
		}
		if other := taken[n.ID]; other != "" {
			return errorAt(n.pos, "the id %q is that of the node at %s already", n.ID, other)
		}
		taken[n.ID] = n.Position
	}
	next := map[string]int{}
	for _, n := range g.nodes {
		if n.ID != "" {
			continue
		}
		base := cmp.Or(slug(n.base), string(n.Node.Type))
		n.ID = base
		for i := max(2, next[base]); taken[n.ID] != ""; i++ {
			n.ID, next[base] = fmt.Sprintf("%s-%d", base, i), i+1
		}
		taken[n.ID] = n.Position
	}
	return nil
}

// slug makes text fit for an ID. It is empty if text has nothing to keep.
func slug(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	text = strings.Join(words, "-")
	return strings.TrimRight(text[:min(len(text), maxSlug)], "-")
}

// maxSlug leaves room in ids for numbers.
const maxSlug = 80

// link makes each node wait for those whose outcome it takes, wherever they
// stand, and each condition for the nodes that it is about.
func (g *graph) link() error {
	for _, n := range g.nodes {
		if n.image != nil {
			if err := wait(n, n.pos, n.image, "the image of", true); err != nil {
				return err
			}
		}
		if n.of != nil {
			if err := wait(n, n.pos, n.of, "the outcome of", true); err != nil {
				return err
			}
		}
		for _, b := range n.builds {
			if err := wait(n, n.pos, b, "the reports of", false); err != nil {
				return err
			}
		}
		if err := g.linkWhen(n, n.pos, n.when); err != nil {
			return err
		}
	}
	for _, b := range g.blocks {
		if err := g.linkWhen(b, b.pos, b.when); err != nil {
			return err
		}
	}
	return nil
}

func (g *graph) linkWhen(e entry, pos syntax.Position, w *when) error {
	for _, leaf := range w.leaves() {
		if leaf.node == nil {
			i := slices.IndexFunc(g.nodes, func(n *node) bool { return n.ID == leaf.name })
			if i < 0 {
				return errorAt(leaf.pos, "no node has the id %q%s", leaf.name, Suggest(leaf.name, ids(entries(g.nodes))))
			}
			leaf.node = g.nodes[i]
		}
		if leaf == w && slices.Contains(e.own().needs, entry(leaf.node)) && !slices.ContainsFunc(leaf.is, api.RunState.Good) {
			return errorAt(pos, "this starts only once %s has passed, so the result is never one of %v: put %[1]s into ignore(...), or this into the rescue of a guard", leaf.node.ID, leaf.is)
		}
		if err := wait(e, pos, leaf.node, "the result of", false); err != nil {
			return err
		}
	}
	return nil
}

func entries(nodes []*node) []entry {
	var all []entry
	for _, n := range nodes {
		all = append(all, n)
	}
	return all
}

// wait makes e wait for the node n, until that has passed, or only ended. It is
// said of the outermost blocks of both that are not blocks of both.
func wait(e entry, pos syntax.Position, n *node, forWhat string, pass bool) error {
	if !n.placed {
		return errorAt(pos, "this waits for %s the %s at %s, which is not part of what the function returned", forWhat, n.Node.Type, n.Position)
	}
	x, y := siblings(e, n)
	if x == y || waits(y, x) {
		return errorAt(pos, "%s waits for itself: it needs %s %s, which runs after it", e.id(), forWhat, n.ID)
	}
	v := x.own()
	switch {
	case waits(x, y):
	case pass:
		v.needs = append(slices.Clip(v.needs), y) // a copy: siblings share needs
	default:
		v.after = append(v.after, y)
	}
	return nil
}

// siblings returns what e and f are in, or they themselves, in the innermost
// block that both are in.
func siblings(e, f entry) (entry, entry) {
	above := func(e entry) []entry {
		path := []entry{e}
		for b := e.own().in; b != nil; b = b.in {
			path = append(path, b)
		}
		slices.Reverse(path)
		return path
	}
	a, b := above(e), above(f)
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i], b[i]
		}
	}
	return e, e // one is in the other
}

// waits tells whether e starts only after its sibling other has ended.
func waits(e, other entry) bool {
	seen := map[entry]bool{}
	next := []entry{e}
	for len(next) > 0 {
		e, next = next[len(next)-1], next[:len(next)-1]
		for _, before := range slices.Concat(e.own().needs, e.own().after) {
			if before == other {
				return true
			}
			if !seen[before] {
				seen[before] = true
				next = append(next, before)
			}
		}
	}
	return false
}
