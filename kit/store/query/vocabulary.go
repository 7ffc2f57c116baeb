package query

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"landfall.dev/kit"
)

// vocabulary is what filters of a kind can speak of.
type vocabulary struct {
	name     string
	document *shape
	objects  map[string]*shape // by the names that CEL has for them
	env      *cel.Env
}

// vocabularies has them by *kit.Definition, which is as long-lived as the
// program: to make one takes longer than to compile a filter.
var vocabularies sync.Map

func vocabularyOf(def *kit.Definition) (*vocabulary, error) {
	if v, ok := vocabularies.Load(def); ok {
		return v.(*vocabulary), nil
	}
	s := &shapes{made: map[reflect.Type]*shape{}, named: map[string]*shape{}}
	v := &vocabulary{name: def.Name, document: s.of(def.Type, def.Name), objects: s.named}
	env, err := v.newEnv(nil)
	if err != nil {
		return nil, &kit.Error{Op: "filter " + def.Name, Err: err}
	}
	v.env = env
	vocabularies.Store(def, v)
	return v, nil
}

func (v *vocabulary) newEnv(missed *missed) (*cel.Env, error) {
	known, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	options := []cel.EnvOption{
		cel.DefaultUTCTimeZone(true), cel.CrossTypeNumericComparisons(true), cel.EnableMacroCallTracking(),
		cel.CustomTypeProvider(&objectTypes{known, v.objects, missed}),
	}
	for name, s := range v.document.fields {
		options = append(options, cel.Variable(name, s.cel))
	}
	return cel.NewEnv(options...)
}

// objectTypes tells CEL of the objects in documents. It implements
// types.Provider.
type objectTypes struct {
	types.Provider
	objects map[string]*shape
	missed  *missed // is told of the first field that there is not, or nil
}

// missed is a field that an object does not have.
type missed struct {
	object *shape
	field  string
}

// FindStructType implements types.Provider.
func (p *objectTypes) FindStructType(name string) (*types.Type, bool) {
	if s, ok := p.objects[name]; ok {
		return types.NewTypeTypeWithParam(s.cel), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *objectTypes) FindStructFieldNames(name string) ([]string, bool) {
	if s, ok := p.objects[name]; ok {
		return slices.Sorted(maps.Keys(s.fields)), true
	}
	return p.Provider.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (p *objectTypes) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	s, ok := p.objects[name]
	if !ok {
		return p.Provider.FindStructFieldType(name, field)
	}
	if f, ok := s.fields[field]; ok {
		return fieldType(field, f), true
	}
	if p.missed != nil && p.missed.object == nil {
		*p.missed = missed{s, field}
	}
	return nil, false
}

// compile returns the checked expression, or what is wrong with it.
func (v *vocabulary) compile(expr string) (*cel.Ast, error) {
	ast, issues := v.env.Parse(expr)
	if issues.Err() != nil {
		return nil, v.wrong(nil, issues.Errors()[0])
	}
	v.fractions(ast.NativeRep().Expr())
	checked, issues := v.env.Check(ast)
	if issues.Err() == nil {
		return checked, nil
	}
	// Once more, to know which object has not the field.
	var miss missed
	if env, err := v.newEnv(&miss); err == nil {
		env.Check(ast)
	}
	first := issues.Errors()[0]
	if miss.object != nil && strings.HasPrefix(first.Message, "undefined field") {
		return nil, noField(v.operand(ast, first.ExprID), miss.field, miss.object)
	}
	return nil, v.wrong(ast.NativeRep().Expr(), first)
}

// operand returns what the filter has in front of the field that is selected
// by the expression with the id.
func (v *vocabulary) operand(filter *cel.Ast, id int64) string {
	text := v.name
	celast.PreOrderVisit(filter.NativeRep().Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		if e.ID() != id || e.Kind() != celast.SelectKind {
			return
		}
		if s, err := cel.ExprToString(e.AsSelect().Operand(), filter.NativeRep().SourceInfo()); err == nil {
			text = s
		}
	}))
	return text
}

// fractions turns whole numbers that are compared or computed with fractions
// into such: in JSON, 3 and 3.0 are the same number, in CEL they are not.
func (v *vocabulary) fractions(e celast.Expr) {
	factory := celast.NewExprFactory()
	turn := func(e celast.Expr) {
		if n, ok := literal(e).(types.Int); ok {
			e.SetKindCase(factory.NewLiteral(e.ID(), types.Double(n)))
		}
	}
	celast.PostOrderVisit(e, celast.NewExprVisitor(func(e celast.Expr) {
		if e.Kind() != celast.CallKind || len(e.AsCall().Args()) != 2 {
			return
		}
		a, b := e.AsCall().Args()[0], e.AsCall().Args()[1]
		switch e.AsCall().FunctionName() {
		case operators.Equals, operators.NotEquals, operators.Add, operators.Subtract, operators.Multiply, operators.Divide:
			if v.fraction(a) {
				turn(b)
			}
			if v.fraction(b) {
				turn(a)
			}
		case operators.In:
			if v.fraction(a) && b.Kind() == celast.ListKind {
				for _, element := range b.AsList().Elements() {
					turn(element)
				}
			}
		}
	}))
}

// fraction tells whether e is a number that may have a fraction.
func (v *vocabulary) fraction(e celast.Expr) bool {
	if _, s := v.path(e); s != nil {
		return s.cel.Kind() == types.DoubleKind
	}
	if e.Kind() != celast.CallKind {
		return false
	}
	switch c := e.AsCall(); c.FunctionName() {
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Negate:
		return slices.ContainsFunc(c.Args(), v.fraction)
	}
	return false
}

// path returns the dotted path of the field that e is, with its shape, or nil.
func (v *vocabulary) path(e celast.Expr) (string, *shape) {
	switch e.Kind() {
	case celast.IdentKind:
		return e.AsIdent(), v.document.fields[e.AsIdent()]
	case celast.SelectKind:
		s := e.AsSelect()
		path, of := v.path(s.Operand())
		if of == nil || s.IsTestOnly() {
			return "", nil
		}
		if field, ok := of.fields[s.FieldName()]; ok {
			return path + "." + s.FieldName(), field
		}
		if of.cel.Kind() == types.MapKind {
			return path + "." + s.FieldName(), of.element
		}
	}
	return "", nil
}

// literal returns the value that e is written as, or nil.
func literal(e celast.Expr) ref.Val {
	if e.Kind() == celast.LiteralKind {
		return e.AsLiteral()
	}
	return nil
}

func noField(path, field string, of *shape) error {
	names := slices.Sorted(maps.Keys(of.fields))
	err := kit.Errorf(kit.ErrInvalid, "", "no field %q in %s; it has: %s", field, path, strings.Join(names, ", "))
	if n := kit.Nearest(field, names); n != "" {
		err.Hint = fmt.Sprintf("did you mean %q?", n)
	}
	return err
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']+)'`)
	mismatched = regexp.MustCompile(`^found no matching overload for '([^']+)' applied to '(.*)'$`)
)

// wrong says what is wrong with the filter e, nil if it does not even parse.
func (v *vocabulary) wrong(e celast.Expr, first *common.Error) error {
	if m := undeclared.FindStringSubmatch(first.Message); m != nil {
		if callsFunction(e, m[1]) {
			return kit.Errorf(kit.ErrInvalid, "", "the filter is wrong at column %d: there is no function %q", first.Location.Column()+1, m[1])
		}
		return noField(v.name, m[1], v.document)
	}
	detail, hint := first.Message, ""
	if m := mismatched.FindStringSubmatch(first.Message); m != nil {
		detail, hint = mismatch(m[1], m[2])
	}
	return &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("the filter is wrong at column %d: %s", first.Location.Column()+1, detail), Hint: hint}
}

func callsFunction(e celast.Expr, name string) (found bool) {
	celast.PreOrderVisit(e, celast.NewExprVisitor(func(e celast.Expr) {
		found = found || e.Kind() == celast.CallKind && e.AsCall().FunctionName() == name
	}))
	return found
}

// mismatch says that a function does not take what it is given. The types
// come as "(int, string)", of a method as "int.(string)".
func mismatch(function, given string) (detail, hint string) {
	if symbol, ok := operators.FindReverse(function); ok && symbol != "" {
		function = symbol
	}
	target, args, method := strings.Cut(strings.TrimSuffix(given, ")"), ".(")
	if method {
		detail = fmt.Sprintf("%s has no %s(%s)", inWords(target), function, inWords(args))
		return detail, ""
	}
	kinds := strings.Split(strings.TrimPrefix(target, "("), ", ")
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = inWords(k)
	}
	detail = function + " does not take " + strings.Join(words, " and ")
	switch {
	case slices.Contains(kinds, "timestamp") && slices.Contains(kinds, "string"),
		slices.Contains(kinds, "google.protobuf.Timestamp") && slices.Contains(kinds, "string"):
		hint = `write a time as timestamp("2026-01-31T12:00:00Z")`
	case slices.Contains(kinds, "double") && slices.Contains(kinds, "int"):
		hint = "write the whole number with a point, 3.0, or convert it with double()"
	}
	return detail, hint
}

// inWords replaces CEL's names of types.
func inWords(kind string) string {
	kind = strings.TrimPrefix(kind, "object ")
	if words, ok := typeWords[kind]; ok {
		return words
	}
	return kind
}

var typeWords = map[string]string{
	"string": "a string", "int": "a whole number", "double": "a number with a fraction", "bool": "true or false",
	"timestamp": "a time", "google.protobuf.Timestamp": "a time", "null": "null", "dyn": "anything",
	"wrapper(string)": "a string or null", "wrapper(int)": "a whole number or null",
	"wrapper(double)": "a number with a fraction or null", "wrapper(bool)": "true or false or null",
}
