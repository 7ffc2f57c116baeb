package plan

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"landfall.dev/api"
)

// when is a condition as a Starlark value: data, which is true or false only
// when the node that has it could start. Conditions are combined by &, | and ~.
type when struct {
	op    syntax.Token // AMP, PIPE, TILDE, or 0 for one that is not combined
	parts []*when
	leaf  api.When
	node  *node  // of result
	name  string // of result, if the node is named by its id
	pos   syntax.Position
	is    []api.RunState
}

var (
	_ starlark.HasBinary = (*when)(nil)
	_ starlark.HasUnary  = (*when)(nil)
)

func (*when) String() string        { return "condition" }
func (*when) Type() string          { return "condition" }
func (*when) Freeze()               {}
func (*when) Hash() (uint32, error) { return 0, errors.New("unhashable: condition") }

// Truth is that of any value which is there: a program cannot look at what is
// known only later.
func (*when) Truth() starlark.Bool { return true }

// Binary makes "both" of & and "one of them" of |.
func (w *when) Binary(op syntax.Token, y starlark.Value, side starlark.Side) (starlark.Value, error) {
	other, ok := y.(*when)
	if !ok || op != syntax.AMP && op != syntax.PIPE {
		return nil, nil
	}
	if side == starlark.Right {
		w, other = other, w
	}
	return &when{op: op, parts: []*when{w, other}}, nil
}

// Unary makes "not" of ~.
func (w *when) Unary(op syntax.Token) (starlark.Value, error) {
	if op != syntax.TILDE {
		return nil, nil
	}
	return &when{op: op, parts: []*when{w}}, nil
}

func branch(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	patterns, err := patterns(b, args, kwargs)
	return &when{leaf: api.When{Branch: patterns}}, err
}

func event(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	patterns, err := patterns(b, args, kwargs)
	return &when{leaf: api.When{Event: patterns}}, err
}

func patterns(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) ([]string, error) {
	if len(args) == 0 || len(kwargs) > 0 {
		return nil, fmt.Errorf(`%s: want one pattern or more, as in %s("release-*")`, b.Name(), b.Name())
	}
	var all []string
	for _, arg := range args {
		pattern, ok := starlark.AsString(arg)
		if _, err := path.Match(pattern, ""); !ok || err != nil {
			return nil, fmt.Errorf("%s: %s is no pattern", b.Name(), arg)
		}
		all = append(all, pattern)
	}
	return all, nil
}

// results are what can have become of a node.
var results = []api.RunState{api.RunPassed, api.RunFailed, api.RunUnstable, api.RunSkipped, api.RunCancelled}

func result(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) < 2 || len(kwargs) > 0 {
		return nil, fmt.Errorf(`%s: want a node or its id, and what may have become of it, as in result("unit", "failed", "unstable")`, b.Name())
	}
	w := &when{pos: caller(t)}
	switch v := args[0].(type) {
	case *node:
		w.node = v
	case starlark.String:
		w.name = string(v)
	default:
		return nil, fmt.Errorf("%s: the first argument is %s; want a node, or its id", b.Name(), typeOf(v))
	}
	for _, arg := range args[1:] {
		text, _ := starlark.AsString(arg)
		if !slices.Contains(results, api.RunState(text)) {
			return nil, fmt.Errorf("%s: %s is no result; want one of %v", b.Name(), arg, results)
		}
		w.is = append(w.is, api.RunState(text))
	}
	return w, nil
}

// leaves are the conditions about nodes in w.
func (w *when) leaves() []*when {
	if w == nil {
		return nil
	}
	if w.is != nil {
		return []*when{w}
	}
	var all []*when
	for _, part := range w.parts {
		all = append(all, part.leaves()...)
	}
	return all
}

// data is w in the plan, once all nodes have ids.
func (w *when) data() *api.When {
	if w == nil {
		return nil
	}
	var parts []api.When
	for _, part := range w.parts {
		parts = append(parts, *part.data())
	}
	switch {
	case w.op == syntax.AMP:
		return &api.When{All: parts}
	case w.op == syntax.PIPE:
		return &api.When{Any: parts}
	case w.op == syntax.TILDE:
		return &api.When{Not: &parts[0]}
	case w.is != nil:
		return &api.When{Result: &api.ResultIs{Node: w.node.ID, States: w.is}}
	}
	return &w.leaf
}
