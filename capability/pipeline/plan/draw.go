package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"landfall.dev/api"
)

// Draw returns the plan as lines for people: each node with what it does, what
// it waits for, and the blocks that it is in.
func Draw(p api.Plan) []string {
	d := newDrawing(p)
	var lines []string
	stage := ""
	for _, n := range p.Nodes {
		indent := ""
		if n.Stage != "" {
			indent = "  "
		}
		if n.Stage != stage && n.Stage != "" {
			lines = append(lines, "stage "+n.Stage)
		}
		stage = n.Stage
		lines = append(lines, indent+n.ID+": "+d.describe(n))
	}
	return lines
}

// Compare returns how the plan after differs from before, in lines: "+" for a
// node that is new, "-" for one that is gone, both for one that has changed.
// Where in a file a node is made makes no difference.
func Compare(before, after api.Plan) []string {
	was, is := newDrawing(before).nodes(), newDrawing(after).nodes()
	both := maps.Clone(was)
	maps.Copy(both, is)
	order := make([]string, 0, len(both))
	for _, n := range after.Nodes {
		order = append(order, n.ID)
		delete(both, n.ID)
	}
	order = append(order, slices.Sorted(maps.Keys(both))...)
	var lines []string
	for _, id := range order {
		if was[id] == is[id] {
			continue
		}
		if was[id] != "" {
			lines = append(lines, "- "+id+": "+was[id])
		}
		if is[id] != "" {
			lines = append(lines, "+ "+id+": "+is[id])
		}
	}
	return lines
}

// drawing knows the blocks of a plan by their ids.
type drawing struct {
	plan   api.Plan
	blocks map[string]api.Block
}

func newDrawing(p api.Plan) drawing {
	d := drawing{plan: p, blocks: map[string]api.Block{}}
	for _, b := range p.Blocks {
		d.blocks[b.ID] = b
	}
	return d
}

func (d drawing) nodes() map[string]string {
	all := map[string]string{}
	for _, n := range d.plan.Nodes {
		all[n.ID] = strings.TrimSpace(d.describe(n) + " " + stageOf(n))
	}
	return all
}

func stageOf(n api.Node) string {
	if n.Stage == "" {
		return ""
	}
	return "(stage " + n.Stage + ")"
}

// describe says what the node does, and when.
func (d drawing) describe(n api.Node) string {
	parts := []string{string(n.Type)}
	waits := d.waits(n.Needs, n.After, n.When, n.TimeoutSeconds)
	in := n.In
	n.ID, n.Type, n.Stage, n.In, n.Needs, n.After, n.When, n.TimeoutSeconds, n.Position = "", "", "", "", nil, nil, nil, 0, ""
	parts = append(parts, fields(n)...)
	parts = append(parts, waits...)
	for in != "" {
		b := d.blocks[in]
		parts = append(parts, "in "+d.block(b))
		in = b.In
	}
	return strings.Join(parts, " ")
}

// block says what the block is for, and when it begins.
func (d drawing) block(b api.Block) string {
	parts := []string{string(b.Type)}
	waits := d.waits(b.Needs, b.After, b.When, b.TimeoutSeconds)
	b.ID, b.Type, b.In, b.Needs, b.After, b.When, b.TimeoutSeconds, b.Position = "", "", "", nil, nil, nil, 0, ""
	parts = append(parts, fields(b)...)
	return "(" + strings.Join(append(parts, waits...), " ") + ")"
}

func (d drawing) waits(needs, after []string, when *api.When, timeout int) []string {
	var parts []string
	for _, list := range []struct {
		word string
		ids  []string
	}{{"needs", needs}, {"after", after}} {
		var names []string
		for _, id := range list.ids {
			if b, ok := d.blocks[id]; ok {
				id = string(b.Type) + " at " + b.Position
				if b.Name != "" {
					id = string(b.Type) + " " + b.Name
				}
			}
			names = append(names, id)
		}
		if names != nil {
			parts = append(parts, list.word+" "+strings.Join(names, ", "))
		}
	}
	if when != nil {
		parts = append(parts, "when "+text(when))
	}
	if timeout > 0 {
		parts = append(parts, fmt.Sprintf("within %ds", timeout))
	}
	return parts
}

// fields are those of v that are set, as name=value in the order of the names;
// v is a part of a plan.
func fields(v any) []string {
	var set map[string]any
	if err := json.Unmarshal([]byte(text(v)), &set); err != nil {
		return nil // v is no object
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		switch value := set[name].(type) {
		case string:
			if value != "" {
				all = append(all, name+"="+value)
			}
		default:
			all = append(all, name+"="+text(value))
		}
	}
	return all
}

// text is v in JSON; v is a part of a plan, of which all have that form.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
