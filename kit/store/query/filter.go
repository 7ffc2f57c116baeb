package query

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"landfall.dev/kit"
	"landfall.dev/kit/store/field"
)

const (
	maxFilter     = 4096    // bytes of an expression
	maxFilterCost = 100_000 // of testing one document, in CEL's units
	maxFilters    = 256     // kept by a store
)

// Filter is a compiled expression: a document passes if all conjuncts are true.
// Its methods may be called concurrently.
type Filter struct {
	vocabulary *vocabulary
	conjuncts  []*Conjunct
	uses       []string // the fields in them
}

// Compile returns the filter that the CEL expression means for documents of
// def; an empty one passes all. Its variables are the JSON names of the fields,
// with those of the envelope, and have the types of the Go struct. A field that
// a document does not have, or that is null, counts as false, 0, "" or empty, or
// null if it is a pointer, as when the document is decoded; a time has no value
// then. Where the expression fails on a document, the document does not pass.
//
// It is ErrInvalid if expr is no expression over these fields, or not one that
// is true or false, and ErrTooLarge if a pattern in it is.
func Compile(def *kit.Definition, expr string) (*Filter, error) {
	v, err := vocabularyOf(def)
	if err != nil {
		return nil, err
	}
	f := &Filter{vocabulary: v}
	if strings.TrimSpace(expr) == "" {
		return f, nil
	}
	if len(expr) > maxFilter {
		return nil, kit.Errorf(kit.ErrTooLarge, "", "the filter has %d bytes, the limit is %d", len(expr), maxFilter)
	}
	ast, err := v.compile(expr)
	if err != nil {
		return nil, err
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, kit.Errorf(kit.ErrInvalid, "", "the filter yields %s; it has to be true or false", inWords(t.String()))
	}
	for _, e := range split(ast.NativeRep().Expr()) {
		c, err := v.conjunct(ast.NativeRep(), e)
		if err != nil {
			return nil, err
		}
		f.conjuncts = append(f.conjuncts, c)
	}
	f.uses = v.fieldsIn(ast.NativeRep().Expr())
	return f, nil
}

// Passes tells whether the document passes: for who has nobody to tell that it
// is too costly to test, such as a role or a watch. It then does not pass.
func (f *Filter) Passes(r kit.Record) bool {
	passes, err := f.Test(f.conjuncts).Passes(r)
	return passes && err == nil
}

// split returns the expressions that e is the conjunction of.
func split(e celast.Expr) []celast.Expr {
	if e.Kind() != celast.CallKind || e.AsCall().FunctionName() != operators.LogicalAnd {
		return []celast.Expr{e}
	}
	var parts []celast.Expr
	for _, a := range e.AsCall().Args() {
		parts = append(parts, split(a)...)
	}
	return parts
}

// Conjunct is a part of a filter.
type Conjunct struct {
	text    string
	bound   *bound // what it says of one field, nil if it is not of that form
	program cel.Program
}

func (v *vocabulary) conjunct(whole *celast.AST, e celast.Expr) (*Conjunct, error) {
	text, err := cel.ExprToString(e, whole.SourceInfo())
	if err != nil {
		return nil, &kit.Error{Op: "filter " + v.name, Err: err}
	}
	matches, err := patterns(e)
	if err != nil {
		return nil, err
	}
	b := v.bound(e)
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if b == nil { // or else it is one comparison with a constant
		options = append(options, cel.CostLimit(maxFilterCost))
	}
	if matches {
		options = append(options, boundedMatches()...)
	}
	part := celast.NewCheckedAST(celast.NewAST(e, whole.SourceInfo()), whole.TypeMap(), whole.ReferenceMap())
	program, err := v.env.PlanProgram(part, options...)
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrInvalid, Detail: "the filter cannot be used: " + err.Error()}
	}
	return &Conjunct{text: text, bound: b, program: program}, nil
}

// Text returns the expression.
func (c *Conjunct) Text() string { return c.text }

// Field returns the one field that the conjunct is about, "" if it is of
// another form.
func (c *Conjunct) Field() string {
	if c.bound == nil {
		return ""
	}
	return c.bound.path
}

// fieldsIn returns the fields of the document that e names.
func (v *vocabulary) fieldsIn(e celast.Expr) (names []string) {
	celast.PreOrderVisit(e, celast.NewExprVisitor(func(e celast.Expr) {
		if e.Kind() != celast.IdentKind {
			return
		}
		if name := e.AsIdent(); v.document.fields[name] != nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}))
	return names
}

// Test is the use of some conjuncts of a filter on one document after the
// other, not concurrently. It implements cel.Activation.
type Test struct {
	filter    *Filter
	conjuncts []*Conjunct
	record    kit.Record
	walked    bool      // whether own is filled
	own       [][]byte  // the document's values of filter.uses, nil where missing
	values    []ref.Val // the same decoded, nil where that was not asked for
	cost      uint64    // in CEL's units
}

// Test returns a test of the conjuncts, all or some of the filter's.
func (f *Filter) Test(conjuncts []*Conjunct) *Test {
	return &Test{filter: f, conjuncts: conjuncts, own: make([][]byte, len(f.uses)), values: make([]ref.Val, len(f.uses))}
}

// Cost is what the conjuncts took for the last document, in CEL's units; those
// that compare a field with a constant take none.
func (t *Test) Cost() uint64 { return t.cost }

// Passes tells whether the conjuncts are true of the document. It is
// ErrTooLarge if that costs too much to tell.
func (t *Test) Passes(r kit.Record) (bool, error) {
	t.record, t.walked, t.cost = r, false, 0
	for _, c := range t.conjuncts {
		out, details, err := c.program.Eval(t)
		if cost := details.ActualCost(); cost != nil {
			t.cost += *cost
		}
		if costly(err) || t.cost > maxFilterCost {
			return false, tooCostly(r.Link, c)
		}
		if err != nil || out != types.True {
			return false, nil
		}
	}
	return true, nil
}

func tooCostly(link kit.Link, c *Conjunct) error {
	return &kit.Error{
		Fault: kit.ErrTooLarge, Link: link,
		Detail: fmt.Sprintf("to test %s on this document costs more than the limit of %d units", c.text, maxFilterCost),
		Hint:   "loop over less or match shorter strings, or put a condition with && in front that leaves such documents out",
	}
}

// Parent implements cel.Activation.
func (t *Test) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (t *Test) ResolveName(name string) (any, bool) {
	i := slices.Index(t.filter.uses, name)
	if i < 0 {
		return nil, false
	}
	s := t.filter.vocabulary.document.fields[name]
	v, ok := s.envelope(&t.record.Meta, name)
	if !ok {
		v = t.value(i, s)
	}
	return v, v != nil
}

// value returns the field uses[i], of shape s.
func (t *Test) value(i int, s *shape) ref.Val {
	if !t.walked {
		t.walk()
	}
	if t.own[i] == nil {
		return s.missing
	}
	if t.values[i] == nil {
		t.values[i] = s.decode(t.own[i])
	}
	return t.values[i]
}

func (t *Test) walk() {
	clear(t.own)
	clear(t.values)
	for m := field.Walk(t.record.Body); m.Next(); {
		for i, use := range t.filter.uses {
			if string(m.Name) == use {
				t.own[i] = m.Raw
			}
		}
	}
	t.walked = true
}

// Cache keeps what Compile returned.
type Cache struct {
	mu       sync.Mutex
	compiled map[string]*Filter
}

// Compile is the function Compile.
func (c *Cache) Compile(def *kit.Definition, expr string) (*Filter, error) {
	key := def.Name + " " + expr
	c.mu.Lock()
	f, ok := c.compiled[key]
	c.mu.Unlock()
	if ok {
		return f, nil
	}
	f, err := Compile(def, expr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.compiled == nil || len(c.compiled) >= maxFilters {
		c.compiled = map[string]*Filter{}
	}
	c.compiled[key] = f
	return f, nil
}
