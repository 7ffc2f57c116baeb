package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"landfall.dev/kit/store/field"
)

// decode returns a JSON value of the shape as CEL takes it, nil if it is none.
// A value that does not fit the shape becomes what it is in JSON.
func (s *shape) decode(raw []byte) ref.Val {
	if len(raw) == 0 {
		return nil
	}
	switch c := raw[0]; {
	case c == 'n' && s == anyShape:
		return types.NullValue
	case c == 'n':
		return s.missing
	case c == '"' && s.cel.Kind() == types.StringKind:
		text, ok := field.Unquote(raw)
		if !ok {
			return nil
		}
		return types.String(text)
	case c == '"' && s.cel.Kind() == types.TimestampKind:
		text, _ := field.Unquote(raw)
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil
		}
		return types.Timestamp{Time: at}
	case c == '{' && s.fields != nil:
		return &object{shape: s, raw: raw}
	case c == '{' && s.element != nil:
		values := map[ref.Val]ref.Val{}
		for m := field.Walk(raw); m.Next(); {
			values[types.String(m.Name)] = s.element.decode(m.Raw)
		}
		return newMap(values)
	case c == '[' && s.element != nil:
		var l []ref.Val
		field.Elements(raw, func(value []byte) { l = append(l, s.element.decode(value)) })
		return newList(l)
	case c == '-' || c >= '0' && c <= '9':
		return decodeNumber(raw, s.cel.Kind() == types.DoubleKind)
	}
	return decodeAny(raw)
}

// decodeNumber returns whole numbers as such unless all are fractions.
func decodeNumber(raw []byte, fractions bool) ref.Val {
	text := string(raw)
	if !fractions {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return types.Int(n)
		}
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return types.Uint(n) // which CEL compares with the other numbers
		}
	}
	f, _ := strconv.ParseFloat(text, 64)
	return types.Double(f)
}

func decodeAny(raw []byte) ref.Val {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil
	}
	return types.DefaultTypeAdapter.NativeToValue(number64(v))
}

// number64 replaces the numbers in v.
func number64(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
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

func newList(l []ref.Val) ref.Val { return types.NewRefValList(types.DefaultTypeAdapter, l) }

func newMap(m map[ref.Val]ref.Val) ref.Val {
	return types.NewRefValMap(types.DefaultTypeAdapter, m)
}

// largeField is from how many bytes on a field of an object is decoded once for
// all uses: a loop may have many.
const largeField = 256

// object is a JSON object whose fields are known. It implements ref.Val. It
// belongs to one test, but for one without fields, which a shape has.
type object struct {
	shape *shape
	raw   []byte
	known map[string]ref.Val // large fields that were asked for
}

var (
	_ traits.Indexer = (*object)(nil)
	_ traits.Sizer   = (*object)(nil) // what comparing it costs
)

// Size implements traits.Sizer.
func (o *object) Size() ref.Val { return types.Int(len(o.raw)) }

// field returns the field called name, and whether the object has it.
func (o *object) field(name string) (v ref.Val, has bool) {
	s := o.shape.fields[name]
	if s == nil {
		return nil, false
	}
	if v, has = o.known[name]; has {
		return v, true
	}
	raw := field.Find(o.raw, []string{name})
	if raw == nil {
		return s.missing, false
	}
	if raw[0] == 'n' {
		return s.decode(raw), false
	}
	v = s.decode(raw)
	if len(raw) > largeField {
		if o.known == nil {
			o.known = map[string]ref.Val{}
		}
		o.known[name] = v
	}
	return v, true
}

// Get implements traits.Indexer.
func (o *object) Get(index ref.Val) ref.Val {
	name, ok := index.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(index)
	}
	if v, _ := o.field(string(name)); v != nil {
		return v
	}
	return types.NewErr("no such key: %s", string(name))
}

// ConvertToNative implements ref.Val.
func (o *object) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s has no form as %s", o.shape.cel, t)
}

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return o.shape.cel
	}
	return types.NewErr("%s cannot be converted to %s", o.shape.cel, t)
}

// Equal implements ref.Val.
func (o *object) Equal(other ref.Val) ref.Val {
	p, ok := other.(*object)
	if !ok {
		return types.False
	}
	return decodeAny(o.raw).Equal(decodeAny(p.raw))
}

// Type implements ref.Val.
func (o *object) Type() ref.Type { return o.shape.cel }

// Value implements ref.Val.
func (o *object) Value() any { return o }

// errNoValue makes a filter fail on a document, which then does not pass.
var errNoValue = errors.New("no value")

// fieldType is how CEL reads the field of an object.
func fieldType(name string, s *shape) *types.FieldType {
	return &types.FieldType{
		Type: s.cel,
		IsSet: func(target any) bool {
			o, ok := target.(*object)
			if !ok {
				return false
			}
			_, has := o.field(name)
			return has
		},
		GetFrom: func(target any) (any, error) {
			o, ok := target.(*object)
			if !ok {
				return nil, errNoValue
			}
			v, _ := o.field(name)
			if v == nil {
				return nil, errNoValue
			}
			return v, nil
		},
	}
}
