package field

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Members walks through the fields of a JSON object. It finds their bounds and
// checks no more than it needs for that: of text that is not JSON it yields
// anything, or nothing.
type Members struct {
	rest []byte
	Name []byte // of the field, decoded
	Raw  []byte // its value
}

// Walk returns the fields of the object in b.
func Walk(b []byte) Members {
	b = trimSpace(b)
	if len(b) == 0 || b[0] != '{' {
		return Members{}
	}
	return Members{rest: b[1:]}
}

// Next goes to the next field. It returns false after the last.
func (m *Members) Next() bool {
	b := trimSpace(m.rest)
	if len(b) > 0 && b[0] == ',' {
		b = trimSpace(b[1:])
	}
	n := stringEnd(b)
	if n == 0 {
		return false
	}
	m.Name = b[1 : n-1]
	if bytes.IndexByte(m.Name, '\\') >= 0 {
		var name string
		if json.Unmarshal(b[:n], &name) != nil {
			return false
		}
		m.Name = []byte(name)
	}
	b = trimSpace(b[n:])
	if len(b) == 0 || b[0] != ':' {
		return false
	}
	b = trimSpace(b[1:])
	n = valueEnd(b)
	m.Raw, m.rest = b[:n], b[n:]
	return n > 0
}

// Find returns the value at the path of names inside the object in b, nil if
// there is none. Of repeated names the last counts.
func Find(b []byte, path []string) []byte {
	var found []byte
	for m := Walk(b); m.Next(); {
		if string(m.Name) == path[0] {
			found = m.Raw
		}
	}
	if len(path) > 1 && found != nil {
		return Find(found, path[1:])
	}
	return found
}

// valueEnd returns the length of the value that b starts with, or 0.
func valueEnd(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"':
		return stringEnd(b)
	case '{', '[':
		return nestedEnd(b)
	}
	for i, c := range b {
		if c == ',' || c == '}' || c == ']' || isSpace(c) {
			return i
		}
	}
	return len(b)
}

// nestedEnd returns the length of the object or list that b starts with, or 0.
func nestedEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			n := stringEnd(b[i:])
			if n == 0 {
				return 0
			}
			i += n - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// stringEnd returns the length of the string that b starts with, quotes
// included, or 0.
func stringEnd(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	n := bytes.IndexByte(b[1:], '"') + 2
	if n > 1 && bytes.IndexByte(b[1:n], '\\') < 0 {
		return n
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return 0
}

// Elements yields the values of a JSON list.
func Elements(list []byte, yield func(value []byte)) {
	for b := trimSpace(list[1:]); len(b) > 0 && b[0] != ']'; {
		n := valueEnd(b)
		if n == 0 {
			return
		}
		yield(b[:n])
		b = trimSpace(b[n:])
		if len(b) > 0 && b[0] == ',' {
			b = trimSpace(b[1:])
		}
	}
}

// Unquote decodes a JSON string.
func Unquote(raw []byte) (string, bool) {
	plain := raw[1 : len(raw)-1]
	for _, c := range plain {
		if c == '\\' || c >= utf8.RuneSelf {
			var s string
			err := json.Unmarshal(raw, &s)
			return s, err == nil
		}
	}
	return string(plain), true
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	return b
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
