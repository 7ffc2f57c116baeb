package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	starlarkjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"

	"landfall.dev/api"
)

// Expansion asks for more of a plan: for what a function returns that is called
// with the context and a value.
type Expansion struct {
	// Function is a file, as load knows it, and the name of a function in it:
	// "@ci//lib.star:shards".
	Function string `json:"function"`
	// Value is what the function is called with, and Source where that is from, for
	// people.
	Value  json.RawMessage `json:"value"`
	Source string          `json:"source"`
	// Plan is what there is already, and Node the id of the node in it that asks.
	Plan api.Plan `json:"plan"`
	Node string   `json:"node"`
	// Images are the ids of builds that have made one.
	Images []string `json:"images,omitempty"`
}

// plan is what there is already: nothing if x is nil.
func (x *Expansion) plan() api.Plan {
	if x == nil {
		return api.Plan{}
	}
	return x.Plan
}

func (x *Expansion) nodes() int  { return len(x.plan().Nodes) }
func (x *Expansion) blocks() int { return len(x.plan().Blocks) }

// locks are those that are held where the expansion takes place.
func (x *Expansion) locks() []string {
	var held []string
	in := ""
	for _, n := range x.plan().Nodes {
		if n.ID == x.Node {
			in = n.In
		}
	}
	for _, b := range slices.Backward(x.plan().Blocks) { // the inner ones first
		if b.ID == in {
			held, in = append(held, b.Locks...), b.In
		}
	}
	return held
}

// expansion calls the function of p.in.Expansion and makes a plan of what it
// returns.
func (p *program) expansion() (api.Plan, error) {
	x := p.in.Expansion
	i := strings.LastIndexByte(x.Function, ':')
	file, name := x.Function[:max(i, 0)], x.Function[i+1:]
	globals, err := p.module(file, "")
	if err != nil {
		return api.Plan{}, p.explain(err)
	}
	fn, ok := globals[name].(*starlark.Function)
	if !ok {
		return api.Plan{}, &Error{File: file, Message: fmt.Sprintf("%s has no function %s any more", file, name)}
	}
	decode := starlarkjson.Module.Members["decode"]
	value, err := starlark.Call(p.thread, decode, starlark.Tuple{starlark.String(x.Value)}, nil)
	if err != nil {
		return api.Plan{}, errorAt(fn.Position(), "%s is no JSON: %v", x.Source, err)
	}
	v, err := starlark.Call(p.thread, fn, starlark.Tuple{p.context(), value}, nil)
	if err != nil {
		return api.Plan{}, err
	}
	return p.finish(v, fn, x)
}
