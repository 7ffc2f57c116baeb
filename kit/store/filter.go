package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"

	"landfall.dev/kit"
)

const (
	maxFilter     = 4096    // bytes of an expression
	maxFilterCost = 100_000 // of testing one document, in CEL's units
	maxFilters    = 256     // kept by a store
)

// CompileFilter returns the test that the CEL expression means for documents
// of def; an empty one passes all. Its variables are the JSON names of the
// fields, with those of the envelope. A field that a document does not have
// counts as false, 0, "" or empty if its type is one of these, as when the
// document is decoded. Where the expression fails on a document, or is too
// costly, the document does not pass.
//
// It is ErrInvalid if expr is no expression over these fields, or not one that
// is true or false. The test may be called concurrently.
func CompileFilter(def *kit.Definition, expr string) (func(kit.Record) bool, error) {
	if strings.TrimSpace(expr) == "" {
		return func(kit.Record) bool { return true }, nil
	}
	if len(expr) > maxFilter {
		return nil, kit.Errorf(kit.ErrTooLarge, "", "the filter has %d bytes, the limit is %d", len(expr), maxFilter)
	}
	fields := fieldsOf(def.Type)
	options := []cel.EnvOption{cel.DefaultUTCTimeZone(true)}
	for name, t := range fields {
		options = append(options, cel.Variable(name, celType(t)))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, &kit.Error{Op: "filter " + def.Name, Err: err}
	}
	ast, issues := env.Compile(expr)
	if issues.Err() != nil {
		return nil, explain(def, fields, issues)
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, kit.Errorf(kit.ErrInvalid, "", "the filter yields %s; it has to be true or false", t)
	}
	program, err := env.Program(ast, cel.CostLimit(maxFilterCost))
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrInvalid, Detail: "the filter cannot be used: " + err.Error()}
	}
	return func(r kit.Record) bool {
		out, _, err := program.Eval(&variables{record: r, fields: fields})
		return err == nil && out.Value() == true
	}, nil
}

// celType is dynamic for all but times, which JSON has no type for.
func celType(t reflect.Type) *cel.Type {
	if t == reflect.TypeFor[time.Time]() {
		return cel.TimestampType
	}
	return cel.DynType
}

var undeclared = regexp.MustCompile(`undeclared reference to '([^']+)'`)

// explain says what is wrong with a filter.
func explain(def *kit.Definition, fields map[string]reflect.Type, issues *cel.Issues) error {
	first := issues.Errors()[0]
	if m := undeclared.FindStringSubmatch(first.Message); m != nil {
		names := slices.Sorted(maps.Keys(fields))
		err := kit.Errorf(kit.ErrInvalid, "", "no field %q in %s; it has: %s", m[1], def.Name, strings.Join(names, ", "))
		if n := kit.Nearest(m[1], names); n != "" {
			err.Hint = fmt.Sprintf("did you mean %q?", n)
		}
		return err
	}
	return kit.Errorf(kit.ErrInvalid, "", "the filter is wrong at column %d: %s", first.Location.Column()+1, first.Message)
}

// variables are the fields of one document. The body is decoded when the first
// of its fields is asked for. It implements cel.Activation.
type variables struct {
	record kit.Record
	fields map[string]reflect.Type
	body   map[string]json.RawMessage
}

// Parent implements cel.Activation.
func (v *variables) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (v *variables) ResolveName(name string) (any, bool) {
	t, ok := v.fields[name]
	if !ok {
		return nil, false
	}
	if value, ok := v.envelope(name); ok {
		return value, value != nil
	}
	if v.body == nil {
		if err := json.Unmarshal(v.record.Body, &v.body); err != nil {
			return nil, false
		}
	}
	raw, ok := v.body[name]
	if !ok {
		return zero(t)
	}
	return decode(raw, t)
}

// envelope returns a field of the envelope, nil for a time that is not set,
// and whether there is one of that name.
func (v *variables) envelope(name string) (any, bool) {
	m := v.record.Meta
	instant := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t
	}
	switch name {
	case "link":
		return string(m.Link), true
	case "kind":
		return m.Kind, true
	case "schema":
		return int64(m.Schema), true
	case "version":
		return m.Version, true
	case "created":
		return instant(m.Created), true
	case "updated":
		return instant(m.Updated), true
	case "expires":
		return instant(m.Expires), true
	case "source":
		return string(m.Source), true
	case "pending":
		raw, err := json.Marshal(m.Pending)
		if err != nil || len(m.Pending) == 0 {
			return []any{}, true
		}
		list, _ := decode(raw, nil)
		return list, true
	}
	return nil, false
}

// decode returns a JSON value as CEL takes it: whole numbers as int64, times
// as time.Time.
func decode(raw json.RawMessage, t reflect.Type) (any, bool) {
	if t == reflect.TypeFor[time.Time]() {
		var at time.Time
		err := json.Unmarshal(raw, &at)
		return at, err == nil
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, false
	}
	return number64(v), true
}

// number64 replaces the numbers in v.
func number64(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = number64(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = number64(v[k])
		}
	}
	return v
}

// zero returns what a missing field of type t is, if its JSON has one form.
func zero(t reflect.Type) (any, bool) {
	if t.Implements(reflect.TypeFor[json.Marshaler]()) {
		return nil, false
	}
	switch t.Kind() {
	case reflect.Bool:
		return false, true
	case reflect.String:
		return "", true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return int64(0), true
	case reflect.Float32, reflect.Float64:
		return 0.0, true
	case reflect.Slice:
		return []any{}, t.Elem().Kind() != reflect.Uint8
	case reflect.Map:
		return map[string]any{}, true
	}
	return nil, false
}

// filterCache keeps what CompileFilter returned: compiling takes a
// millisecond.
type filterCache struct {
	mu       sync.Mutex
	compiled map[string]func(kit.Record) bool
}

func (c *filterCache) compile(def *kit.Definition, expr string) (func(kit.Record) bool, error) {
	key := def.Name + " " + expr
	c.mu.Lock()
	passes, ok := c.compiled[key]
	c.mu.Unlock()
	if ok {
		return passes, nil
	}
	passes, err := CompileFilter(def, expr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.compiled == nil || len(c.compiled) >= maxFilters {
		c.compiled = map[string]func(kit.Record) bool{}
	}
	c.compiled[key] = passes
	return passes, nil
}
