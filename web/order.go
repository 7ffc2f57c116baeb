package web

import (
	"fmt"
	"slices"
	"strings"

	"landfall.dev/api"
)

// order knows what comes before what in a plan with blocks.
type order struct {
	blocks map[string]api.Block
	parts  map[string][]string // ids of what is directly in a block
	inner  map[string]bool     // ids that something beside them waits for
	waits  map[string][]string
}

func orderOf(p api.Plan) order {
	o := order{blocks: map[string]api.Block{}, parts: map[string][]string{}, inner: map[string]bool{}, waits: map[string][]string{}}
	add := func(id, in string, waits []string) {
		o.parts[in] = append(o.parts[in], id)
		o.waits[id] = waits
		for _, w := range waits {
			o.inner[w] = true
		}
	}
	for _, b := range p.Blocks {
		o.blocks[b.ID] = b
		add(b.ID, b.In, slices.Concat(b.Needs, b.After))
	}
	for _, n := range p.Nodes {
		add(n.ID, n.In, slices.Concat(n.Needs, n.After))
	}
	return o
}

// before returns the nodes that come directly before the node n.
func (o order) before(n api.Node) []string {
	waits, in := o.waits[n.ID], n.In
	for range o.blocks { // no deeper than there are blocks
		if len(waits) > 0 || in == "" {
			break
		}
		waits, in = o.waits[in], o.blocks[in].In
	}
	var nodes []string
	for _, id := range waits {
		nodes = append(nodes, o.last(id, len(o.blocks))...)
	}
	return nodes
}

// last returns the nodes that end last of what has the id; a node is its own
// last. Blocks are in each other at most depth deep.
func (o order) last(id string, depth int) []string {
	if _, isBlock := o.blocks[id]; !isBlock || depth < 0 {
		return []string{id}
	}
	var nodes []string
	for _, part := range o.parts[id] {
		if !o.inner[part] {
			nodes = append(nodes, o.last(part, depth-1)...)
		}
	}
	return nodes
}

// around says which blocks the node is in, the innermost first.
func (o order) around(n api.Node) string {
	var all []string
	in := n.In
	for range o.blocks {
		b, ok := o.blocks[in]
		if !ok {
			break
		}
		if text := blockText(b); text != "" {
			all = append(all, text)
		}
		in = b.In
	}
	return strings.Join(all, ", ")
}

// blockText says what a block does, unless it only holds its parts together.
func blockText(b api.Block) string {
	switch b.Type {
	case api.BlockParallel:
		if b.Limit > 0 {
			return fmt.Sprintf("at most %d at once", b.Limit)
		}
	case api.BlockRetry:
		return fmt.Sprintf("tried again up to %d times", b.Retries)
	case api.BlockIgnore:
		return "may fail"
	case api.BlockLock:
		return "with the lock " + b.Name
	case api.BlockRescue:
		return "if what it guards has failed"
	case api.BlockAlways:
		return "in any case"
	}
	return ""
}
