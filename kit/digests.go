package kit

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// NamedDigest is a digest in a document, with the field that has it:
// "photos[2].original".
type NamedDigest struct {
	Field  string
	Digest Digest
}

// NamesDigests tells whether documents of the kind can name digests: whether
// the document's struct has a Digest, at any depth.
func (d *Definition) NamesDigests() bool { return d.digests != nil }

// Digests returns the digests that the document with the own fields in body
// names, in fields of type Digest: those of the struct itself, of structs in
// it, and the elements, values and keys of lists and maps. Fields of other
// types, those that T does not have, and what is no digest are passed over.
func (d *Definition) Digests(body json.RawMessage) []NamedDigest {
	if d.digests == nil || !bytes.Contains(body, []byte("sha256:")) && !bytes.Contains(body, []byte(`\u`)) {
		return nil
	}
	return d.digests.find(body, "", nil)
}

// digestPlaces says where in a JSON value digests can be.
type digestPlaces struct {
	here   bool                     // the value is one
	keys   bool                     // the names of the object's members are
	each   *digestPlaces            // in the elements of the list, or the object's members
	fields map[string]*digestPlaces // in these members of the object, by their names in lower case
}

// find appends the digests in value, which is at the path.
func (p *digestPlaces) find(value json.RawMessage, path string, found []NamedDigest) []NamedDigest {
	add := func(text, path string) {
		if d := Digest(text); d.Check() == nil {
			found = append(found, NamedDigest{path, d})
		}
	}
	switch value = bytes.TrimSpace(value); {
	case len(value) == 0:
	case value[0] == '"' && p.here:
		var text string
		if json.Unmarshal(value, &text) == nil {
			add(text, path)
		}
	case value[0] == '[' && p.each != nil:
		var elements []json.RawMessage
		_ = json.Unmarshal(value, &elements)
		for i, e := range elements {
			found = p.each.find(e, fmt.Sprintf("%s[%d]", path, i), found)
		}
	case value[0] == '{':
		var members map[string]json.RawMessage
		_ = json.Unmarshal(value, &members)
		for _, name := range slices.Sorted(maps.Keys(members)) {
			at := strings.TrimPrefix(path+"."+name, ".")
			if p.keys {
				add(name, at)
			}
			inside := p.each
			if p.fields != nil {
				inside = p.fields[strings.ToLower(name)] // as encoding/json finds them
			}
			if inside != nil {
				found = inside.find(members[name], at, found)
			}
		}
	}
	return found
}

// leads tells whether there is a digest in p or below it; seen are the places
// that were looked at.
func (p *digestPlaces) leads(seen map[*digestPlaces]bool) bool {
	if p == nil || seen[p] {
		return false
	}
	seen[p] = true
	if p.here || p.keys || p.each.leads(seen) {
		return true
	}
	for _, f := range p.fields {
		if f.leads(seen) {
			return true
		}
	}
	return false
}

// digestPlacesOf returns where in the JSON form of t digests are, nil for
// nowhere.
func digestPlacesOf(t reflect.Type) *digestPlaces {
	types := digestTypes{}
	root := types.places(t)
	for _, p := range types {
		if !p.each.leads(map[*digestPlaces]bool{}) {
			p.each = nil
		}
		maps.DeleteFunc(p.fields, func(_ string, f *digestPlaces) bool { return !f.leads(map[*digestPlaces]bool{}) })
	}
	if !root.leads(map[*digestPlaces]bool{}) {
		return nil
	}
	return root
}

// digestTypes are the places in types, which may contain themselves.
type digestTypes map[reflect.Type]*digestPlaces

var (
	digestType      = reflect.TypeFor[Digest]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// places returns the places in t. What reads its JSON by itself has none.
func (d digestTypes) places(t reflect.Type) *digestPlaces {
	if t.Kind() == reflect.Pointer {
		return d.places(t.Elem())
	}
	if p, ok := d[t]; ok {
		return p
	}
	p := &digestPlaces{}
	d[t] = p
	if pointer := reflect.PointerTo(t); pointer.Implements(jsonUnmarshaler) || pointer.Implements(textUnmarshaler) {
		return p
	}
	switch t.Kind() {
	case reflect.String:
		p.here = t == digestType
	case reflect.Slice, reflect.Array:
		p.each = d.places(t.Elem())
	case reflect.Map:
		p.keys, p.each = t.Key() == digestType, d.places(t.Elem())
	case reflect.Struct:
		p.fields = map[string]*digestPlaces{}
		d.fields(t, p.fields)
	}
	return p
}

// fields adds the places in the fields of the struct t.
func (d digestTypes) fields(t reflect.Type, to map[string]*digestPlaces) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "" && inner.Kind() == reflect.Struct && inner != t:
			d.fields(inner, to)
		default:
			if name == "" {
				name = f.Name
			}
			to[strings.ToLower(name)] = d.places(f.Type)
		}
	}
}
