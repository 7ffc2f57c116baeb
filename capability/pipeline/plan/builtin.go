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

const (
	maxRetries   = 10
	maxApprovals = 20
)

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,99}$`)

// node is a step as a Starlark value. It becomes part of the plan when main
// returns it; until then ID is empty, or what the program asked for.
type node struct {
	api.Node
	pos    syntax.Position
	base   string // what the ID is made from, if the program did not ask for one
	image  *node  // the build whose image is deployed or released
	of     *node  // whose outcome it takes
	builds []*node
	when   *when
	vertex
}

func (n *node) String() string      { return fmt.Sprintf("<%s at %s>", n.Node.Type, n.Position) }
func (*node) Type() string          { return "node" }
func (*node) Freeze()               {} // a program has no way to change it
func (*node) Truth() starlark.Bool  { return true }
func (*node) Hash() (uint32, error) { return 0, errors.New("unhashable: node") }

// builtins are the functions that a program can call.
func (p *program) builtins() starlark.StringDict {
	names := starlark.StringDict{}
	for name, fn := range map[string]builtin{
		"stage":    stage,
		"parallel": parallel,
		"matrix":   matrix,
		"guard":    guard,
		"ignore":   ignore,
		"retry":    retry,
		"lock":     lock,
		"expand":   expand,
		"build":    p.build,
		"step":     p.step,
		"trigger":  trigger,
		"gate":     gate,
		"deploy":   p.deploy,
		"rollback": rollback,
		"release":  p.release,
		"promote":  promote,
		"approve":  approve,
		"notify":   notify,
		"window":   newWindow,
		"branch":   branch,
		"event":    event,
		"result":   result,
	} {
		names[name] = starlark.NewBuiltin(name, fn)
	}
	for name, c := range causes {
		names[name] = c
	}
	return names
}

type builtin = func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)

func (p *program) build(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeBuild)
	var params *starlark.Dict
	err := n.unpack(b, args, kwargs, "id?", &n.ID, "job?", &n.Job, "params?", &params, "retries?", &n.Retries)
	if err != nil {
		return nil, err
	}
	if n.Job == "" {
		return nil, fmt.Errorf(`%s: no job; write build(job = "NAME")`, b.Name())
	}
	if !slices.Contains(p.in.Jobs, n.Job) {
		return nil, fmt.Errorf("%s: the project has no job %q%s", b.Name(), n.Job, Suggest(n.Job, p.in.Jobs))
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

func (p *program) deploy(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeDeploy)
	var tests *starlark.List
	var image starlark.Value
	err := n.unpack(b, args, kwargs, "environment", &n.Environment, "image", &image, "tests?", &tests)
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
	return n, p.setImage(b.Name(), n, image)
}

func rollback(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeRollback)
	if err := n.unpack(b, args, kwargs, "environment", &n.Environment); err != nil {
		return nil, err
	}
	if n.Environment == "" {
		return nil, fmt.Errorf("%s: the environment's name is empty", b.Name())
	}
	n.base = "rollback-" + n.Environment
	return n, nil
}

func (p *program) release(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeRelease)
	n.base = "release"
	var image starlark.Value
	if err := n.unpack(b, args, kwargs, "image", &image, "version?", &n.Version); err != nil {
		return nil, err
	}
	return n, p.setImage(b.Name(), n, image)
}

func promote(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodePromote)
	if err := n.unpack(b, args, kwargs, "channel", &n.Channel, "release", &n.of); err != nil {
		return nil, err
	}
	if n.of.Node.Type != api.NodeRelease {
		return nil, fmt.Errorf("%s: release is the node of a %s; want the node of a release", b.Name(), n.of.Node.Type)
	}
	n.base = "promote-" + n.Channel
	return n, nil
}

func trigger(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeTrigger)
	var params *starlark.Dict
	err := n.unpack(b, args, kwargs, "project", &n.Project, "job?", &n.Job, "params?", &params)
	if err != nil {
		return nil, err
	}
	if n.Project == "" {
		return nil, fmt.Errorf("%s: the project's name is empty", b.Name())
	}
	n.base = n.Project + "-" + n.Job
	n.Params, err = stringMap(params)
	if err != nil {
		return nil, fmt.Errorf("%s: params: %w", b.Name(), err)
	}
	return n, nil
}

func gate(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeGate)
	n.base = "gate"
	var builds *starlark.List
	var coverage, issues starlark.Value
	if err := n.unpack(b, args, kwargs, "builds?", &builds, "new_coverage??", &coverage, "new_issues??", &issues); err != nil {
		return nil, err
	}
	for i := 0; builds != nil && i < builds.Len(); i++ {
		build, ok := builds.Index(i).(*node)
		if !ok || build.Node.Type != api.NodeBuild {
			return nil, fmt.Errorf("%s: entry %d of builds is %s; want the node of a build", b.Name(), i+1, describe(builds.Index(i)))
		}
		n.builds = append(n.builds, build)
	}
	rules := api.NodeRules{}
	for _, limit := range []struct {
		name  string
		value starlark.Value
		to    **int
		most  int
	}{{"new_coverage", coverage, &rules.NewCoverage, 100}, {"new_issues", issues, &rules.NewIssues, 1 << 20}} {
		if limit.value == nil {
			continue
		}
		number, err := starlark.AsInt32(limit.value)
		if err != nil || number < 0 || number > limit.most {
			return nil, fmt.Errorf("%s: %s is %s; want a number from 0 to %d", b.Name(), limit.name, limit.value, limit.most)
		}
		*limit.to, n.Rules = &number, &rules
	}
	return n, nil
}

func approve(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeApprove)
	var name string
	if err := n.unpack(b, args, kwargs, "name", &name, "by", &n.By, "n?", &n.Approvals, "not_author?", &n.NotAuthor); err != nil {
		return nil, err
	}
	by := kit.Link(n.By)
	if !strings.Contains(n.By, "/") {
		by = kit.NewLink("groups", n.By)
	}
	if by.Check() != nil || by.Kind() != "groups" && by.Kind() != "users" {
		return nil, fmt.Errorf(`%s: by is %q; want the group that may approve, as "release-managers" or "groups/release-managers", or a person, as "users/rita"`, b.Name(), n.By)
	}
	if n.Approvals < 0 || n.Approvals > maxApprovals || n.Approvals > 1 && by.Kind() == "users" {
		return nil, fmt.Errorf("%s: n is %d; want how many people of a group must approve, from 1 to %d", b.Name(), n.Approvals, maxApprovals)
	}
	n.By = string(by)
	n.base = "approve-" + name
	return n, nil
}

func notify(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeNotify)
	n.base = "notify"
	if err := n.unpack(b, args, kwargs, "text", &n.Text, "to?", &n.To); err != nil {
		return nil, err
	}
	if n.To != "" && !strings.HasPrefix(n.To, "#") && kit.Link(n.To).Kind() != "users" {
		return nil, fmt.Errorf(`%s: to is %q; want a channel, as "#ops", or a person, as "users/rita"`, b.Name(), n.To)
	}
	return n, nil
}

// newNode returns a node for the call that t is in.
func newNode(t *starlark.Thread, kind api.NodeType) *node {
	pos := caller(t)
	return &node{pos: pos, Node: api.Node{Type: kind, Position: at(pos)}}
}

// unpack reads the arguments of n: those in pairs, and what all nodes have.
func (n *node) unpack(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple, pairs ...any) error {
	var common options
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, append(pairs, common.pairs()...)...); err != nil {
		return err
	}
	var err error
	n.when, n.TimeoutSeconds, n.Window, err = common.read(b.Name())
	return err
}

func at(pos syntax.Position) string { return fmt.Sprintf("%s:%d", pos.Filename(), pos.Line) }

// caller returns the position of the call of the builtin that t is in.
func caller(t *starlark.Thread) syntax.Position { return t.CallFrame(1).Pos }

// setImage makes n deploy or release an image: that of a build of this plan, or
// in an expansion, by its id, that of a build that has ended.
func (p *program) setImage(name string, n *node, image starlark.Value) error {
	if id, ok := starlark.AsString(image); ok && p.in.Expansion != nil {
		if !slices.Contains(p.in.Expansion.Images, id) {
			return fmt.Errorf("%s: no build %q has made an image yet%s", name, id, Suggest(id, p.in.Expansion.Images))
		}
		n.Image = id
		return nil
	}
	build, ok := image.(*node)
	if !ok || build.Node.Type != api.NodeBuild {
		return fmt.Errorf("%s: image is %s; want the node of a build", name, describe(image))
	}
	n.image = build
	return nil
}

// describe is what v is, in a sentence.
func describe(v starlark.Value) string {
	if n, ok := v.(*node); ok {
		return "the node of a " + string(n.Node.Type)
	}
	return typeOf(v)
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
