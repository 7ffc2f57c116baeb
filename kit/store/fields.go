package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/field"
	"landfall.dev/kit/store/key"
	"landfall.dev/kit/store/memory"
)

// kind is an owned kind with what is known of its documents' fields.
type kind struct {
	kit.Owned
	folded map[string]string // from the folded name of each field to its name
	memory memory.Kind
	mould  *field.Mould // of documents
}

func newKind(o kit.Owned) *kind {
	k := &kind{
		Owned: o, folded: map[string]string{}, mould: field.NewMould(o.Type),
		memory: memory.Kind{Name: o.Name, Local: o.Local, Versions: o.Versions},
	}
	for name := range field.Of(o.Type) {
		k.folded[field.Fold(name)] = name
	}
	for _, fields := range o.Indexes {
		k.memory.Indexes = append(k.memory.Indexes, key.NewIndex(o.Definition, fields))
	}
	return k
}

// fitsIf returns an ErrInvalid error unless body is a JSON object, within the
// limit, that decodes into the kind's type. Fields that the type does not have
// are fine, but not those that differ from one it has only in upper and lower
// case: decoders would take one for the other. If it is valid, the body is known
// to be JSON.
func (k *kind) fitsIf(link kit.Link, body []byte, valid bool) error {
	if len(body) > kit.MaxDocument {
		return tooLarge(link, "the document", len(body))
	}
	if k.mould.Fits(body, valid) {
		return nil
	}
	return k.misfit(link, body)
}

// misfit is fitsIf for a body that needs a closer look.
func (k *kind) misfit(link kit.Link, body []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return kit.Errorf(kit.ErrInvalid, link, "the body is not a JSON object")
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if known, ok := k.folded[field.Fold(name)]; ok && known != name {
			return kit.Errorf(kit.ErrInvalid, link, "field %q: it is written %q", name, known)
		}
	}
	err := json.Unmarshal(body, reflect.New(k.Type).Interface())
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return kit.Errorf(kit.ErrInvalid, link, "field %q is a %s; it has to be %s", wrong.Field, wrong.Value, jsonName(wrong.Type))
	case err != nil:
		return kit.Errorf(kit.ErrInvalid, link, "the body does not fit %s: %v", k.Name, err)
	}
	return nil
}

func tooLarge(link kit.Link, what string, size int) error {
	return &kit.Error{
		Fault: kit.ErrTooLarge, Link: link,
		Detail: fmt.Sprintf("%s has %d bytes, the limit is %d", what, size, kit.MaxDocument),
		Hint:   "keep large data as a blob and its digest in the document",
	}
}

// jsonName says in words of JSON what t decodes from.
func jsonName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number that is not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Pointer:
		return jsonName(t.Elem())
	default:
		return t.String()
	}
}

// writable are the fields of the envelope that the writer sets.
type writable struct {
	source  *kit.Link  // nil: left alone
	expires *time.Time // nil: left alone
}

// parseWritable reads them from a body or a patch; null clears one. It returns
// the body without the envelope.
func parseWritable(link kit.Link, body []byte) (writable, json.RawMessage, error) {
	var w writable
	if len(body) > kit.MaxDocument {
		return w, nil, tooLarge(link, "the body", len(body))
	}
	own, err := kit.StripEnvelope(body)
	if err != nil {
		return w, nil, at(link, err)
	}
	if !bytes.Contains(body, []byte("source")) && !bytes.Contains(body, []byte("expires")) && !bytes.Contains(body, []byte(`\u`)) {
		return w, own, nil // as of most documents; a name may be written with escapes
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return w, nil, kit.Errorf(kit.ErrInvalid, link, "the body is not valid JSON: %v", err)
	}
	if raw, ok := fields["source"]; ok {
		w.source = new(kit.Link)
		if err := json.Unmarshal(raw, w.source); err != nil {
			return w, nil, kit.Errorf(kit.ErrInvalid, link, "field \"source\" is a link: a string like %q", "changes/42")
		}
		if *w.source != "" && w.source.Check() != nil {
			return w, nil, kit.Errorf(kit.ErrInvalid, link, "field \"source\": %q is no link, like %q", *w.source, "changes/42")
		}
	}
	if raw, ok := fields["expires"]; ok {
		w.expires = new(time.Time)
		if err := json.Unmarshal(raw, w.expires); err != nil || w.expires.UTC().Year() < 0 || w.expires.UTC().Year() > 9999 {
			return w, nil, kit.Errorf(kit.ErrInvalid, link, "field \"expires\" is a time like %q (RFC 3339)", "2026-01-31T12:00:00Z")
		}
	}
	return w, own, nil
}

// set puts into m what was written.
func (w writable) set(m *kit.Meta) {
	if w.source != nil {
		m.Source = *w.source
	}
	if w.expires != nil {
		m.Expires = stamp(*w.expires)
	}
}

// stamp returns t as documents have it: in UTC, in microseconds.
func stamp(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	if t.Nanosecond()%1000 != 0 {
		t = t.Truncate(time.Microsecond)
	}
	return t.UTC().Round(0)
}

// at returns err with the link of the document, if it has none yet.
func at(link kit.Link, err error) error {
	var e *kit.Error
	if errors.As(err, &e) && e.Link == "" {
		located := *e
		located.Link = link
		return &located
	}
	return err
}
