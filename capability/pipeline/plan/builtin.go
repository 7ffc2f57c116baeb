package plan

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"landfall.dev/api"
	"landfall.dev/kit"
)

const maxRetries = 10

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,99}$`)

// node is a step as a Starlark value. It becomes part of the plan when main
// returns it; until then ID is empty, or what the program asked for.
type node struct {
	api.Node
	pos   syntax.Position
	base  string  // what the ID is made from, if the program did not ask for one
	image *node   // the build whose image is deployed or released
	needs []*node // set by the graph
	index int     // in the plan, from 1; 0 means that it is in none
}

func (n *node) String() string      { return fmt.Sprintf("<%s at %s>", n.Node.Type, n.Position) }
func (*node) Type() string          { return "node" }
func (*node) Freeze()               {} // a program has no way to change it
func (*node) Truth() starlark.Bool  { return true }
func (*node) Hash() (uint32, error) { return 0, errors.New("unhashable: node") }

// group is a stage or a parallel as a Starlark value.
type group struct {
	pos     syntax.Position
	stage   string // the name of a stage; empty means parallel
	entries starlark.Tuple
}

func (g *group) String() string {
	if g.stage != "" {
		return fmt.Sprintf("stage %q", g.stage)
	}
	return "parallel"
}

func (g *group) Type() string {
	if g.stage != "" {
		return "stage"
	}
	return "parallel"
}

func (g *group) Freeze()             { g.entries.Freeze() }
func (*group) Truth() starlark.Bool  { return true }
func (*group) Hash() (uint32, error) { return 0, errors.New("unhashable: stage or parallel") }

// builtins are the functions that a program can call.
func (p *program) builtins() starlark.StringDict {
	names := starlark.StringDict{}
	for name, fn := range map[string]builtin{
		"stage":    stage,
		"parallel": parallel,
		"build":    p.build,
		"deploy":   deploy,
		"release":  release,
		"approve":  approve,
		"notify":   notify,
	} {
		names[name] = starlark.NewBuiltin(name, fn)
	}
	return names
}

type builtin = func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)

func stage(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) == 0 || len(kwargs) > 0 {
		return nil, fmt.Errorf(`%s: want a name and then entries, as in stage("verify", build(job = "test"))`, b.Name())
	}
	name, ok := starlark.AsString(args[0])
	if !ok || name == "" {
		return nil, fmt.Errorf("%s: the first argument is %s; want the name of the stage", b.Name(), typeOf(args[0]))
	}
	return &group{pos: caller(t), stage: name, entries: args[1:]}, nil
}

func parallel(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(kwargs) > 0 {
		return nil, fmt.Errorf("%s: got the named argument %s; want entries only", b.Name(), kwargs[0][0])
	}
	return &group{pos: caller(t), entries: args}, nil
}

func (p *program) build(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeBuild)
	var params *starlark.Dict
	err := starlark.UnpackArgs(b.Name(), args, kwargs, "id?", &n.ID, "job?", &n.Job, "params?", &params, "retries?", &n.Retries)
	if err != nil {
		return nil, err
	}
	if n.Job == "" {
		return nil, fmt.Errorf(`%s: no job; write build(job = "NAME")`, b.Name())
	}
	if !slices.Contains(p.in.Jobs, n.Job) {
		return nil, fmt.Errorf("%s: the project has no job %q%s", b.Name(), n.Job, suggest(n.Job, p.in.Jobs))
	}
	if n.ID != "" && !idPattern.MatchString(n.ID) {
		return nil, fmt.Errorf("%s: the id %q has more than small letters, digits, dots and hyphens, or is longer than 100", b.Name(), n.ID)
	}
	if n.Retries < 0 || n.Retries > maxRetries {
		return nil, fmt.Errorf("%s: retries is %d; want 0 to %d", b.Name(), n.Retries, maxRetries)
	}
	n.base = n.Job
	n.Params, err = stringMap(params)
	if err != nil {
		return nil, fmt.Errorf("%s: params: %w", b.Name(), err)
	}
	return n, nil
}

func deploy(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeDeploy)
	var tests *starlark.List
	err := starlark.UnpackArgs(b.Name(), args, kwargs, "environment", &n.Environment, "image", &n.image, "tests?", &tests)
	if err != nil {
		return nil, err
	}
	if n.Environment == "" {
		return nil, fmt.Errorf("%s: the environment's name is empty", b.Name())
	}
	n.base = "deploy-" + n.Environment
	n.Tests, err = stringList(tests)
	if err != nil {
		return nil, fmt.Errorf("%s: tests: %w", b.Name(), err)
	}
	return n, checkImage(b.Name(), n.image)
}

func release(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeRelease)
	n.base = "release"
	err := starlark.UnpackArgs(b.Name(), args, kwargs, "image", &n.image, "version?", &n.Version)
	if err != nil {
		return nil, err
	}
	return n, checkImage(b.Name(), n.image)
}

func approve(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeApprove)
	var name string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "name", &name, "by", &n.By); err != nil {
		return nil, err
	}
	by := kit.Link(n.By)
	if !strings.Contains(n.By, "/") {
		by = kit.NewLink("groups", n.By)
	}
	if by.Check() != nil || by.Kind() != "groups" && by.Kind() != "users" {
		return nil, fmt.Errorf(`%s: by is %q; want the group that may approve, as "release-managers" or "groups/release-managers", or a person, as "users/rita"`, b.Name(), n.By)
	}
	n.By = string(by)
	n.base = "approve-" + name
	return n, nil
}

func notify(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeNotify)
	n.base = "notify"
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text", &n.Text); err != nil {
		return nil, err
	}
	return n, nil
}

// newNode returns a node for the call that t is in.
func newNode(t *starlark.Thread, kind api.NodeType) *node {
	pos := caller(t)
	return &node{pos: pos, Node: api.Node{
		Type:     kind,
		Position: fmt.Sprintf("%s:%d", pos.Filename(), pos.Line),
	}}
}

// caller returns the position of the call of the builtin that t is in.
func caller(t *starlark.Thread) syntax.Position { return t.CallFrame(1).Pos }

func checkImage(name string, image *node) error {
	if image.Node.Type != api.NodeBuild {
		return fmt.Errorf("%s: image is the node of a %s; want the node of a build", name, image.Node.Type)
	}
	return nil
}

func stringMap(d *starlark.Dict) (map[string]string, error) {
	if d == nil || d.Len() == 0 {
		return nil, nil
	}
	m := make(map[string]string, d.Len())
	for _, item := range d.Items() {
		k, ok := starlark.AsString(item[0])
		if !ok {
			return nil, fmt.Errorf("the key %s is %s; want a string", item[0], typeOf(item[0]))
		}
		if m[k], ok = starlark.AsString(item[1]); !ok {
			return nil, fmt.Errorf("%q is %s; want a string", k, typeOf(item[1]))
		}
	}
	return m, nil
}

func stringList(l *starlark.List) ([]string, error) {
	if l == nil {
		return nil, nil
	}
	var s []string
	for i := range l.Len() {
		text, ok := starlark.AsString(l.Index(i))
		if !ok {
			return nil, fmt.Errorf("entry %d is %s; want a string", i+1, typeOf(l.Index(i)))
		}
		s = append(s, text)
	}
	return s, nil
}

// typeOf names the type of v in a sentence: "an int".
func typeOf(v starlark.Value) string {
	switch v.(type) {
	case starlark.NoneType:
		return "None"
	case starlark.Int:
		return "an int"
	}
	return "a " + v.Type()
}
