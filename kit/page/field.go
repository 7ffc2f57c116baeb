package page

import (
	"bytes"
	"encoding"
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"landfall.dev/kit"
)

// The types of fields in forms.
const (
	typeText   = "text"
	typeNumber = "number"
	typeBool   = "boolean"
	typeJSON   = "JSON" // lists, objects, and whatever else there is
)

// field is an own field of a document.
type field struct {
	Name, Type string
	// Text is the value as forms show it: strings without quotes, all else in
	// JSON. It is empty where the document lacks the field.
	Text string
	Long bool // it needs more than a line
}

// fieldsOf returns the fields of a document: first those of its kind, in the
// order of their declaration, then others that body has.
func fieldsOf(d *kit.Definition, body json.RawMessage) ([]field, error) {
	members, err := membersOf(body)
	if err != nil {
		return nil, err
	}
	var fields []field
	add := func(name, kind string) {
		f := field{Name: name, Type: kind}
		if i := slices.IndexFunc(members, func(m member) bool { return m.name == name }); i >= 0 {
			var is string
			f.Text, is = textOf(members[i].value)
			if string(members[i].value) != "null" {
				f.Type = is
			}
			members = slices.Delete(members, i, i+1)
		}
		f.Long = f.Type == typeJSON || len(f.Text) > 80 || strings.Contains(f.Text, "\n")
		fields = append(fields, f)
	}
	for _, f := range reflect.VisibleFields(d.Type) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "-" || d.Type.Field(f.Index[0]).Type == reflect.TypeFor[kit.Meta]() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		add(name, typeOf(f.Type))
	}
	for len(members) > 0 {
		add(members[0].name, typeJSON)
	}
	return fields, nil
}

func namesOf(fields []field) []string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	return names
}

// typeOf returns the type of field that holds values of t.
func typeOf(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	text := reflect.TypeFor[encoding.TextMarshaler]()
	switch {
	case t == reflect.TypeFor[time.Time](), t.Implements(text), reflect.PointerTo(t).Implements(text), t.Kind() == reflect.String:
		return typeText
	case t.Kind() == reflect.Bool:
		return typeBool
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64:
		return typeNumber
	}
	return typeJSON
}

// textOf returns the text of a value in JSON and its type.
func textOf(v json.RawMessage) (text, kind string) {
	var s string
	switch {
	case len(v) == 0 || string(v) == "null":
		return "", typeJSON
	case v[0] == '"' && json.Unmarshal(v, &s) == nil:
		return s, typeText
	case v[0] == 't' || v[0] == 'f':
		return string(v), typeBool
	case v[0] == '{' || v[0] == '[':
		return indented(v), typeJSON
	}
	return string(v), typeNumber
}

// indented returns v as people read it; what is short stays on a line.
func indented(v json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, v) != nil {
		return string(v)
	}
	if b.Len() > 60 {
		b.Reset()
		_ = json.Indent(&b, v, "", "  ") // it was fine just now
	}
	return b.String()
}

// member is a member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// membersOf returns the members of an object in their order; nothing has none.
func membersOf(body json.RawMessage) ([]member, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	var members []member
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return nil, kit.Errorf(kit.ErrInvalid, "", "this is no JSON object: %v", err)
		}
		name, isName := t.(string)
		switch {
		case depth == 0 && t == json.Delim('{'):
			depth++
		case depth == 1 && isName:
			m := member{name: name}
			if err := d.Decode(&m.value); err != nil {
				return nil, kit.Errorf(kit.ErrInvalid, "", "the value of %q is no JSON: %v", name, err)
			}
			members = append(members, m)
		case depth == 1 && t == json.Delim('}'):
			return members, nil
		default:
			return nil, kit.Errorf(kit.ErrInvalid, "", "this is no JSON object")
		}
	}
}

// edited returns body with what was changed in the form, and the fields as the
// form has them.
func edited(d *kit.Definition, body json.RawMessage, form url.Values) (json.RawMessage, []field, error) {
	fields, err := fieldsOf(d, body)
	if err != nil {
		return nil, nil, err
	}
	members, _ := membersOf(body) // fieldsOf has read it
	var wrong error
	for i := range fields {
		f := &fields[i]
		given, ok := form["f."+f.Name]
		if !ok || lines(given[0]) == lines(f.Text) {
			continue
		}
		f.Text = lines(given[0])
		value, err := f.value()
		if err != nil {
			wrong = err
			continue
		}
		members = slices.DeleteFunc(members, func(m member) bool { return m.name == f.Name })
		if value != nil {
			members = append(members, member{f.Name, value})
		}
	}
	return encode(members), fields, wrong
}

// lines returns text with the line ends that forms change as they were.
func lines(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

// value returns the field's value in JSON; nil means that it is left out.
func (f field) value() (json.RawMessage, error) {
	if f.Type == typeText {
		return json.Marshal(f.Text)
	}
	text := strings.TrimSpace(f.Text)
	if text == "" {
		return nil, nil
	}
	var v json.RawMessage
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, &kit.Error{Fault: kit.ErrInvalid, Detail: f.Name + " is no JSON value: " + err.Error(), Hint: "write a text in quotes, a list like [1, 2], an object like {\"a\": 1}"}
	}
	if _, is := textOf(v); f.Type != typeJSON && is != f.Type && string(v) != "null" {
		return nil, kit.Errorf(kit.ErrInvalid, "", "%s is a %s, not %s", f.Name, f.Type, text)
	}
	return v, nil
}

func encode(members []member) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(m.name) // a string always can be
		b.Write(name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}
