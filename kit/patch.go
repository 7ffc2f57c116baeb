package kit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// member is one field of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// object is a JSON object with its fields in their order.
type object []member

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
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, jsonError(b, dec, err)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, jsonError(b, dec, err)
		}
		o = o.with(name.(string), v)
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

// with returns o with the field name set to v, in its old place or at the end.
func (o object) with(name string, v json.RawMessage) object {
	for i := range o {
		if o[i].name == name {
			o[i].value = v
			return o
		}
	}
	return append(o, member{name, v})
}

func (o object) find(name string) json.RawMessage {
	for i := range o {
		if o[i].name == name {
			return o[i].value
		}
	}
	return nil
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
	for _, m := range p {
		switch {
		case string(m.value) == "null":
			d = d.without(m.name)
		case isObject(m.value):
			old := d.find(m.name)
			if !isObject(old) {
				old = json.RawMessage("{}")
			}
			merged, err := MergePatch(old, m.value)
			if err != nil {
				return nil, err
			}
			d = d.with(m.name, merged)
		default:
			d = d.with(m.name, m.value)
		}
	}
	return d.encode(), nil
}

func (o object) without(name string) object {
	for i := range o {
		if o[i].name == name {
			return append(o[:i:i], o[i+1:]...)
		}
	}
	return o
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
	var p object
	for _, m := range f {
		if t.find(m.name) == nil {
			p = append(p, member{m.name, json.RawMessage("null")})
		}
	}
	for _, m := range t {
		old := f.find(m.name)
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
