package kit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// member is one field of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// object is a JSON object with its fields in their order.
type object []member

// maxDepth bounds how deep a patch may be nested.
const maxDepth = 64

// index finds fields of an object by name.
type index map[string]int

func (o object) index() index {
	x := make(index, len(o))
	for i, m := range o {
		x[m.name] = i
	}
	return x
}

// parseObject reads a JSON object. Of repeated names the last wins. The values
// are parts of b.
func parseObject(b []byte) (object, error) {
	if !json.Valid(b) {
		return nil, broken(b)
	}
	b = bytes.Trim(b, " \t\r\n")
	if b[0] != '{' {
		return nil, &Error{Fault: ErrInvalid, Detail: "the body is not a JSON object"}
	}
	o := make(object, 0, 8)
	var at index // once the object is large
	for b = skip(b[1:]); b[0] != '}'; {
		end := valueEnd(b)
		name, err := unquote(b[:end])
		if err != nil {
			return nil, err
		}
		b = skip(skip(b[end:])[1:]) // the colon
		end = valueEnd(b)
		m := member{name, json.RawMessage(b[:end:end])}
		if b = skip(b[end:]); b[0] == ',' {
			b = skip(b[1:])
		}
		if i, found := o.find(at, name); found {
			o[i] = m
			continue
		}
		o = append(o, m)
		if at != nil {
			at[name] = len(o) - 1
		} else if len(o) == largeObject {
			at = o.index()
		}
	}
	return o, nil
}

// largeObject is the number of fields from which on they are found by a map.
const largeObject = 16

// find returns where the field is; at is the object's index, or nil.
func (o object) find(at index, name string) (int, bool) {
	if at != nil {
		i, found := at[name]
		return i, found
	}
	i := slices.IndexFunc(o, func(m member) bool { return m.name == name })
	return i, i >= 0
}

// skip returns b, which is part of valid JSON, without the space before it.
func skip(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\t' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// valueEnd returns the length of the value that b, part of valid JSON, begins
// with.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
		case ',', ':', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue // a number or a word, which ends with one of the others
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(b)
}

// unquote returns the string that the JSON string q is.
func unquote(q []byte) (string, error) {
	if bytes.IndexByte(q, '\\') < 0 && utf8.Valid(q) {
		return string(q[1 : len(q)-1]), nil
	}
	var s string
	err := json.Unmarshal(q, &s)
	return s, err
}

// broken says why b is no JSON.
func broken(b []byte) error {
	var v json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&v); err != nil {
		return jsonError(b, dec, err)
	}
	if !isObject(v) {
		return &Error{Fault: ErrInvalid, Detail: "the body is not a JSON object"}
	}
	return &Error{Fault: ErrInvalid, Detail: fmt.Sprintf("the body goes on after its JSON object, at byte %d", dec.InputOffset())}
}

// jsonError says where in b the JSON is broken.
func jsonError(b []byte, dec *json.Decoder, err error) error {
	offset := dec.InputOffset()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset = syntax.Offset
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		offset, err = int64(len(b)), errors.New("it ends too early")
	}
	line := 1 + bytes.Count(b[:min(int(offset), len(b))], []byte("\n"))
	return &Error{Fault: ErrInvalid, Detail: fmt.Sprintf("the body is not valid JSON at line %d, byte %d: %v", line, offset, err)}
}

func (o object) encode() json.RawMessage {
	size := 2
	for _, m := range o {
		size += len(m.name) + len(m.value) + 4
	}
	b := append(make([]byte, 0, size), '{')
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(quote(b, m.name), ':')
		b = append(b, m.value...)
	}
	return append(b, '}')
}

// quote appends s as a JSON string.
func quote(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			q, _ := json.Marshal(s) // a string has JSON
			return append(b, q...)
		}
	}
	b = append(append(b, '"'), s...)
	return append(b, '"')
}

func isObject(v json.RawMessage) bool {
	v = bytes.TrimLeft(v, " \t\r\n")
	return len(v) > 0 && v[0] == '{'
}

// MergePatch applies patch to the JSON object doc, both raw, after RFC 7396
// (JSON Merge Patch): null removes a field, objects merge, anything else
// replaces. Fields that the patch does not name keep their bytes and order.
func MergePatch(doc, patch []byte) (json.RawMessage, error) {
	return mergePatch(doc, patch, maxDepth)
}

func mergePatch(doc, patch []byte, depth int) (json.RawMessage, error) {
	if depth == 0 {
		return nil, Errorf(ErrInvalid, "", "the patch is nested deeper than %d objects", maxDepth)
	}
	p, err := parseObject(patch)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(doc)) == 0 {
		doc = []byte("{}")
	}
	d, err := parseObject(doc)
	if err != nil {
		return nil, err
	}
	var at index
	if len(d) >= largeObject {
		at = d.index()
	}
	known := d // what the patch adds has other names
	removed := map[string]bool{}
	for _, m := range p {
		i, found := known.find(at, m.name)
		value := m.value
		if isObject(value) {
			old := json.RawMessage("{}")
			if found && isObject(d[i].value) {
				old = d[i].value
			}
			if value, err = mergePatch(old, value, depth-1); err != nil {
				return nil, err
			}
		}
		switch {
		case string(value) == "null":
			removed[m.name] = true
		case found:
			d[i].value = value
		default:
			d = append(d, member{m.name, value})
		}
	}
	return slices.DeleteFunc(d, func(m member) bool { return removed[m.name] }).encode(), nil
}

// DiffPatch returns the merge patch that turns the JSON object from into to.
// An empty patch is "{}".
func DiffPatch(from, to []byte) (json.RawMessage, error) { return diff(from, to, nil) }

// diff is DiffPatch of what a program has read from the object full, and what
// it writes, for a program that may not know all of full's fields: they are
// kept also where the patch replaces a list. Full may be nil.
func diff(from, to []byte, full *original) (json.RawMessage, error) {
	f, err := parseObject(from)
	if err != nil {
		return nil, err
	}
	t, err := parseObject(to)
	if err != nil {
		return nil, err
	}
	inF, inT := f.index(), t.index()
	var p object
	for _, m := range f {
		if _, ok := inT[m.name]; !ok {
			p = append(p, member{m.name, json.RawMessage("null")})
		}
	}
	for _, m := range t {
		var old json.RawMessage
		if i, ok := inF[m.name]; ok {
			old = f[i].value
		}
		switch {
		case bytes.Equal(old, m.value):
		case isObject(old) && isObject(m.value):
			sub, err := diff(old, m.value, full.inside(m.name))
			if err != nil {
				return nil, err
			}
			if string(sub) != "{}" {
				p = append(p, member{m.name, sub})
			}
		case full != nil && isList(old) && isList(m.value):
			if m.value, err = rebase(full.inside(m.name).bytes(), old, m.value); err != nil {
				return nil, err
			}
			p = append(p, m)
		default:
			p = append(p, m)
		}
	}
	return p.encode(), nil
}
