package transform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// split makes the member i several, in its place.
func (s *step) split(ms []member, i int) ([]member, error) {
	values, err := s.parts(ms[i].value)
	if err != nil {
		return ms, located(s.From[0], err)
	}
	if len(values) != len(s.to) {
		return ms, &FieldError{s.From[0], fmt.Errorf("it was split into %d values for %d fields", len(values), len(s.to))}
	}
	made := make([]member, 0, len(s.to))
	for j, v := range values {
		if v == nil {
			continue
		}
		if v, err = scanValue(v); err != nil {
			return ms, &FieldError{s.To[j], err}
		}
		if at := find(ms, s.to[j].name); at >= 0 && at != i {
			return ms, s.taken(s.to[j])
		}
		made = append(made, member{s.to[j].key, s.to[j].name, v})
	}
	return slices.Replace(ms, i, i+1, made...), nil
}

// parts returns what the value is split into, nil for what is left out.
func (s *step) parts(v []byte) ([]json.RawMessage, error) {
	if s.Separator == "" {
		return guard(s.Split, v)
	}
	t, err := textOf(v)
	if err != nil {
		return nil, err
	}
	out := make([]json.RawMessage, len(s.to))
	for i, part := range strings.SplitN(t, s.Separator, len(s.to)) {
		out[i] = appendText(nil, part)
	}
	return out, nil
}

// merge makes several members one, in the place of the first.
func (s *step) merge(ms []member) ([]member, error) {
	values := make([]json.RawMessage, len(s.from))
	n, first := 0, -1 // up to the last that counts
	for i := range s.from {
		at := find(ms, s.from[i].name)
		if at < 0 {
			continue
		}
		values[i] = ms[at].value
		if first < 0 || at < first {
			first = at
		}
		if i == 0 || s.absent == nil || !bytes.Equal(values[i], s.absent[i]) {
			n = i + 1
		}
	}
	if first < 0 {
		return ms, nil
	}
	clear(values[n:])
	if at := find(ms, s.to[0].name); at >= 0 && !slices.Contains(s.From, s.To[0]) {
		return ms, s.taken(s.to[0])
	}
	v, err := s.whole(values, n)
	if err != nil {
		return ms, located(s.To[0], err)
	}
	if n > 0 {
		if v, err = scanValue(v); err != nil {
			return ms, &FieldError{s.To[0], err}
		}
		ms[first] = member{s.to[0].key, s.to[0].name, v}
	}
	kept := ms[:0]
	for i, m := range ms {
		if n > 0 && i == first || find(s.from, m.name) < 0 {
			kept = append(kept, m)
		}
	}
	return kept, nil
}

// whole returns what the first n values are merged to; those that are missing
// are nil.
func (s *step) whole(values []json.RawMessage, n int) (json.RawMessage, error) {
	if n == 0 {
		return nil, nil
	}
	if s.Separator == "" {
		return guard(s.Merge, values)
	}
	texts := make([]string, n)
	for i, v := range values[:n] {
		if v == nil {
			return nil, &FieldError{s.From[i], fmt.Errorf("it is missing, and so cannot be merged with %q", s.From[n-1])}
		}
		t, err := textOf(v)
		if err != nil {
			return nil, &FieldError{s.From[i], err}
		}
		texts[i] = t
	}
	joined := strings.Join(texts, s.Separator)
	again := strings.SplitN(joined, s.Separator, len(s.from))
	for i := range texts {
		if !s.back && (texts[i] != again[i] || i == n-1 && n < len(again)) {
			return nil, &FieldError{s.From[i], fmt.Errorf("it has the separator %q in it, and so could not be split from %q again", s.Separator, s.To[0])}
		}
	}
	return appendText(nil, joined), nil
}

// textOf returns the text that the JSON value v is.
func textOf(v []byte) (string, error) {
	if v[0] != '"' {
		return "", fmt.Errorf("it is %s, not a text", nameOf(v))
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return string(v[1 : len(v)-1]), nil
	}
	var t string
	err := json.Unmarshal(v, &t)
	return t, err
}

// appendText appends t as a JSON value, with the bytes that need no escapes as
// they are.
func appendText(b []byte, t string) []byte {
	b = append(b, '"')
	for i := range len(t) {
		switch c := t[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// nameOf says what the JSON value v is.
func nameOf(v []byte) string {
	switch v[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 't', 'f', 'n':
		return string(v)
	}
	return "a number"
}
