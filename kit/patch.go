package kit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
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

// parseObject reads a JSON object. Of repeated names the last wins.
func parseObject(b []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	t, err := dec.Token()
	if err != nil {
		return nil, jsonError(b, dec, err)
	}
	if t != json.Delim('{') {
		return nil, &Error{Fault: ErrInvalid, Detail: "the body is not a JSON object"}
	}
	var o object
	at := index{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, jsonError(b, dec, err)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, jsonError(b, dec, err)
		}
		if i, ok := at[name.(string)]; ok {
			o[i].value = v
			continue
		}
		at[name.(string)] = len(o)
		o = append(o, member{name.(string), v})
	}
	if _, err := dec.Token(); err != nil {
		return nil, jsonError(b, dec, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, &Error{Fault: ErrInvalid, Detail: fmt.Sprintf("the body goes on after its JSON object, at byte %d", dec.InputOffset())}
	}
	return o, nil
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
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(m.name)
		b.Write(name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
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
	at := d.index()
	removed := map[string]bool{}
	for _, m := range p {
		i, found := at[m.name]
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
func DiffPatch(from, to []byte) (json.RawMessage, error) {
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
			sub, err := DiffPatch(old, m.value)
			if err != nil {
				return nil, err
			}
			if string(sub) != "{}" {
				p = append(p, member{m.name, sub})
			}
		default:
			p = append(p, m)
		}
	}
	return p.encode(), nil
}
