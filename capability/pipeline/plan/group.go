package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"landfall.dev/api"
)

const (
	maxRepeats  = 10
	maxBackoff  = 3600 // seconds
	maxAxes     = 8
	maxLockName = 60
)

// group is entries with something in common as a Starlark value: a stage, a
// parallel, a guard and so on. Block says what, and Block.Name is a stage's.
type group struct {
	api.Block
	pos     syntax.Position
	entries starlark.Tuple
	names   []string // of the branches of a parallel, as far as they have some
	when    *when

	rescue, always starlark.Indexable // of a guard
}

func (g *group) String() string {
	if g.Name != "" {
		return fmt.Sprintf("%s %q", g.Block.Type, g.Name)
	}
	return string(g.Block.Type)
}

func (g *group) Type() string        { return string(g.Block.Type) }
func (g *group) Freeze()             { g.entries.Freeze() }
func (*group) Truth() starlark.Bool  { return true }
func (*group) Hash() (uint32, error) { return 0, errors.New("unhashable: stage or parallel") }

// plain tells whether the group is nothing but an order of its entries, which
// these can have themselves.
func (g *group) plain() bool {
	switch g.Block.Type {
	case api.BlockStage:
		return g.when == nil && g.TimeoutSeconds == 0 && g.Window == nil
	case api.BlockParallel:
		return g.Limit == 0 && !g.FailFast && len(g.entries) <= maxPlain
	}
	return false
}

// maxPlain is how many branches of a parallel each node after it can name among
// its needs; of more it names the parallel.
const maxPlain = 20

func newGroup(t *starlark.Thread, kind api.BlockType, entries starlark.Tuple) *group {
	pos := caller(t)
	return &group{pos: pos, entries: entries, Block: api.Block{Type: kind, Position: at(pos)}}
}

func stage(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) == 0 {
		return nil, fmt.Errorf(`%s: want a name and then entries, as in stage("verify", build(job = "test"))`, b.Name())
	}
	g := newGroup(t, api.BlockStage, args[1:])
	name, ok := starlark.AsString(args[0])
	if !ok || name == "" {
		return nil, fmt.Errorf("%s: the first argument is %s; want the name of the stage", b.Name(), typeOf(args[0]))
	}
	g.Name = name
	var o options
	if err := starlark.UnpackArgs(b.Name(), nil, kwargs, o.pairs()...); err != nil {
		return nil, err
	}
	var err error
	g.when, g.TimeoutSeconds, g.Window, err = o.read(b.Name())
	return g, err
}

// parallel takes its branches by position or by name; the name is that of the
// branch's nodes.
func parallel(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	g := newGroup(t, api.BlockParallel, slices.Clone(args))
	g.names = make([]string, len(args))
	var own []starlark.Tuple
	for _, kw := range kwargs {
		name := string(kw[0].(starlark.String))
		if name == "limit" || name == "fail_fast" {
			own = append(own, kw)
			continue
		}
		g.entries = append(g.entries, kw[1])
		g.names = append(g.names, strings.ReplaceAll(name, "_", "-"))
	}
	return g, g.limits(b.Name(), own)
}

// limits reads what bounds a parallel.
func (g *group) limits(name string, kwargs []starlark.Tuple) error {
	if err := starlark.UnpackArgs(name, nil, kwargs, "limit?", &g.Limit, "fail_fast?", &g.FailFast); err != nil {
		return err
	}
	if g.Limit < 0 || g.Limit > maxNodes {
		return fmt.Errorf("%s: limit is %d; want how many branches may run at once, or 0 for all", name, g.Limit)
	}
	return nil
}

// matrix calls a function with each combination of the axes' values; what it
// returns are the branches of a parallel.
func matrix(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) < 2 || len(args) > 1+maxAxes {
		return nil, fmt.Errorf(`%s: want a function and one list or more, as in matrix(test, ["17", "21"], ["amd64", "arm64"])`, b.Name())
	}
	fn, ok := args[0].(starlark.Callable)
	if !ok {
		return nil, fmt.Errorf("%s: the first argument is %s; want a function", b.Name(), typeOf(args[0]))
	}
	rows := []starlark.Tuple{nil}
	for i, arg := range args[1:] {
		values, ok := arg.(starlark.Iterable)
		if !ok {
			return nil, fmt.Errorf("%s: axis %d is %s; want a list", b.Name(), i+1, typeOf(arg))
		}
		var longer []starlark.Tuple
		for v := range starlark.Elements(values) {
			for _, row := range rows {
				longer = append(longer, append(slices.Clip(row), v))
			}
			if len(longer) > maxNodes {
				return nil, fmt.Errorf("%s: the axes have more than %d combinations", b.Name(), maxNodes)
			}
		}
		rows = longer
	}
	g := newGroup(t, api.BlockParallel, nil)
	if err := g.limits(b.Name(), kwargs); err != nil {
		return nil, err
	}
	for _, row := range rows {
		v, err := starlark.Call(t, fn, row, nil)
		if err != nil {
			return nil, err
		}
		g.entries = append(g.entries, v)
	}
	g.names = make([]string, len(g.entries))
	return g, nil
}

func guard(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	g := newGroup(t, api.BlockGuard, args)
	var rescue, always starlark.Value
	if err := starlark.UnpackArgs(b.Name(), nil, kwargs, "rescue?", &rescue, "always?", &always); err != nil {
		return nil, err
	}
	if len(args) == 0 || rescue == nil && always == nil {
		return nil, fmt.Errorf(`%s: want entries, and what is to be done after, as in guard(deploy(...), rescue = [rollback("staging")])`, b.Name())
	}
	g.rescue, g.always = entriesOf(rescue), entriesOf(always)
	return g, nil
}

// entriesOf returns v, if it is a list, or a list of it.
func entriesOf(v starlark.Value) starlark.Indexable {
	switch v := v.(type) {
	case nil:
		return nil
	case *starlark.List:
		return v
	case starlark.Tuple:
		return v
	}
	return starlark.Tuple{v}
}

func ignore(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	g := newGroup(t, api.BlockIgnore, args)
	upto := causes["FAILURE"]
	if err := starlark.UnpackArgs(b.Name(), nil, kwargs, "upto?", &upto); err != nil {
		return nil, err
	}
	if upto.Cause == api.CauseTimeout {
		return nil, fmt.Errorf("%s: upto is TIMEOUT, which counts as FAILURE; want UNSTABLE, FAILURE or INFRA", b.Name())
	}
	g.Upto = upto.Cause
	return g, nil
}

func retry(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) < 2 {
		return nil, fmt.Errorf(`%s: want how often, and then entries, as in retry(2, build(job = "test"), on = INFRA)`, b.Name())
	}
	g := newGroup(t, api.BlockRetry, args[1:])
	times, err := starlark.AsInt32(args[0])
	if err != nil || times < 1 || times > maxRepeats {
		return nil, fmt.Errorf("%s: the first argument is %s; want how often it is tried again, from 1 to %d", b.Name(), args[0], maxRepeats)
	}
	g.Retries = times
	var on starlark.Value = causes["INFRA"]
	var backoff starlark.Value
	if err := starlark.UnpackArgs(b.Name(), nil, kwargs, "on?", &on, "backoff??", &backoff); err != nil {
		return nil, err
	}
	if err := g.retryOn(b.Name(), entriesOf(on)); err != nil {
		return nil, err
	}
	if g.BackoffSeconds, err = seconds(b.Name(), "backoff", backoff); err == nil && g.BackoffSeconds > maxBackoff {
		err = fmt.Errorf("%s: backoff is %s; want at most an hour", b.Name(), backoff)
	}
	return g, err
}

// retryOn reads the causes and exit codes for which a retry is.
func (g *group) retryOn(name string, on starlark.Indexable) error {
	for i := range on.Len() {
		v := on.Index(i)
		if c, ok := v.(cause); ok {
			g.On = append(g.On, c.Cause)
			continue
		}
		exit, err := starlark.AsInt32(v)
		if err != nil || exit < 1 || exit > 255 {
			return fmt.Errorf("%s: on has %s; want INFRA, FAILURE, UNSTABLE, TIMEOUT, or an exit code from 1 to 255", name, v)
		}
		g.Exits = append(g.Exits, exit)
	}
	return nil
}

func lock(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) < 2 {
		return nil, fmt.Errorf(`%s: want a name, or a list of them, and then entries, as in lock("database", build(job = "test"))`, b.Name())
	}
	g := newGroup(t, api.BlockLock, args[1:])
	var times starlark.Value
	if err := starlark.UnpackArgs(b.Name(), nil, kwargs, "window??", &times); err != nil {
		return nil, err
	}
	var err error
	if g.Window, err = windowOf(b.Name(), times); err != nil {
		return nil, err
	}
	names := entriesOf(args[0])
	for i := range names.Len() {
		name, ok := starlark.AsString(names.Index(i))
		if !ok || !idPattern.MatchString(name) || len(name) > maxLockName {
			return nil, fmt.Errorf("%s: %s is no name of a lock: use small letters, digits, dots and hyphens, at most %d", b.Name(), names.Index(i), maxLockName)
		}
		g.Locks = append(g.Locks, name)
	}
	slices.Sort(g.Locks)
	g.Locks = slices.Compact(g.Locks)
	g.Name = strings.Join(g.Locks, ", ")
	return g, nil
}

// expand is a group with the node that calls the function.
func expand(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeExpand)
	var fn *starlark.Function
	if err := n.unpack(b, args, kwargs, "function", &fn, "build", &n.of, "artifact", &n.Artifact); err != nil {
		return nil, err
	}
	if n.of.Node.Type != api.NodeBuild {
		return nil, fmt.Errorf("%s: build is the node of a %s; want that of the build which keeps the artifact", b.Name(), n.of.Node.Type)
	}
	if global, ok := fn.Globals()[fn.Name()]; !ok || global != starlark.Value(fn) {
		return nil, fmt.Errorf("%s: function %s is not defined at the top level of %s: it is called later, by its name", b.Name(), fn.Name(), fn.Position().Filename())
	}
	n.Function = fn.Position().Filename() + ":" + fn.Name()
	n.base = "expand-" + fn.Name()
	return newGroup(t, api.BlockExpand, starlark.Tuple{n}), nil
}

// causes are the names of what a node can fail of.
var causes = map[string]cause{
	"UNSTABLE": {api.CauseUnstable},
	"FAILURE":  {api.CauseFailure},
	"TIMEOUT":  {api.CauseTimeout},
	"INFRA":    {api.CauseInfra},
}

// cause is a cause as a Starlark value.
type cause struct{ api.Cause }

func (c cause) String() string        { return strings.ToUpper(string(c.Cause)) }
func (cause) Type() string            { return "cause" }
func (cause) Freeze()                 {}
func (cause) Truth() starlark.Bool    { return true }
func (c cause) Hash() (uint32, error) { return starlark.String(c.Cause).Hash() }

// Unpack reads an argument that is a cause.
func (c *cause) Unpack(v starlark.Value) error {
	got, ok := v.(cause)
	if !ok {
		return fmt.Errorf("got %s, want UNSTABLE, FAILURE, TIMEOUT or INFRA", v.Type())
	}
	*c = got
	return nil
}
