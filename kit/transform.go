package kit

import "encoding/json"

// Transform is one change of a document's shape from a schema number to the
// next. It is data, compiled by the migrate package; the inverse follows from
// it where there is one.
type Transform struct {
	// Op is rename, default, drop, convert, split, merge or func.
	Op string
	// Field is the field that the transformation reads; To the one, or ToAll
	// the ones, that it writes.
	Field string
	To    string
	ToAll []string
	// Value is the default.
	Value json.RawMessage
	// Convert changes the field's value, Back reverts it; both are pure.
	Convert func(json.RawMessage) (json.RawMessage, error)
	Back    func(json.RawMessage) (json.RawMessage, error)
	// Func changes the whole document's own fields, FuncBack reverts it; a Func
	// without one makes the upgrade forward-only.
	Func     func(json.RawMessage) (json.RawMessage, error)
	FuncBack func(json.RawMessage) (json.RawMessage, error)
}

// Rename gives the field from the name to.
func Rename(from, to string) Transform { return Transform{Op: "rename", Field: from, To: to} }

// Default adds the field with value v where it is missing.
func Default(field string, v any) Transform {
	b, err := json.Marshal(v)
	if err != nil {
		panic("kit: default of " + field + ": " + err.Error())
	}
	return Transform{Op: "default", Field: field, Value: b}
}

// Drop removes the field.
func Drop(field string) Transform { return Transform{Op: "drop", Field: field} }

// Convert changes the value of the field by to; back reverts it, or is nil.
func Convert(field string, to, back func(json.RawMessage) (json.RawMessage, error)) Transform {
	return Transform{Op: "convert", Field: field, Convert: to, Back: back}
}

// Func changes a whole document by to; back reverts it, or is nil.
func Func(to, back func(json.RawMessage) (json.RawMessage, error)) Transform {
	return Transform{Op: "func", Func: to, FuncBack: back}
}
