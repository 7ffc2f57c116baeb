package calls

import (
	"bytes"
	"errors"
	"fmt"
)

// members calls each for the members of a JSON object (RFC 8259), with the
// bytes of their values. It finds where values end, and does not check what is
// inside: whoever takes a value does, and so each byte is looked at once less.
func members(object []byte, each func(name string, value []byte) error) error {
	b, ok := bytes.CutPrefix(bytes.TrimLeft(object, blank), []byte("{"))
	if !ok {
		return errors.New("it is no JSON object")
	}
	b = bytes.TrimLeft(b, blank)
	if rest, empty := bytes.CutPrefix(b, []byte("}")); empty {
		return atEnd(rest)
	}
	for {
		name, value, rest, err := member(b)
		if err != nil {
			return err
		}
		if err := each(name, value); err != nil {
			return fmt.Errorf("%.40q: %w", name, err)
		}
		if len(rest) == 0 {
			return errCut
		}
		switch rest[0] {
		case ',':
			b = bytes.TrimLeft(rest[1:], blank)
		case '}':
			return atEnd(rest[1:])
		default:
			return fmt.Errorf("after %.40q comes neither a comma nor a brace", name)
		}
	}
}

// blank is JSON's white space.
const blank = " \t\r\n"

var errCut = errors.New("it ends in the middle of a JSON object")

func atEnd(rest []byte) error {
	if len(bytes.TrimLeft(rest, blank)) > 0 {
		return errors.New("there is more behind its JSON object")
	}
	return nil
}

// member returns the member at the beginning of b, and what is behind it.
func member(b []byte) (name string, value, rest []byte, err error) {
	if len(b) == 0 || b[0] != '"' {
		return "", nil, nil, errors.New("a name in quotes is missing")
	}
	n := valueEnd(b)
	if n < 0 {
		return "", nil, nil, errCut
	}
	if name, err = text(b[:n]); err != nil {
		return "", nil, nil, err
	}
	b, ok := bytes.CutPrefix(bytes.TrimLeft(b[n:], blank), []byte(":"))
	if !ok {
		return "", nil, nil, fmt.Errorf("after the name %.40q a colon is missing", name)
	}
	b = bytes.TrimLeft(b, blank)
	if n = valueEnd(b); n < 0 {
		return "", nil, nil, errCut
	}
	if n == 0 {
		return "", nil, nil, fmt.Errorf("%.40q has no value", name)
	}
	return name, b[:n:n], bytes.TrimLeft(b[n:], blank), nil
}

// valueEnd returns the length of the value that b begins with, less than 0 if
// b ends before it.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			n := textEnd(b[i:])
			if n < 0 {
				return -1
			}
			i += n - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return i // of what has no end of its own: a number, true, null
			}
			depth--
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return -1
}

// textEnd returns the length of the string that b begins with, less than 0 if
// b ends before it.
func textEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		escapes := 0
		for i-1-escapes > 0 && b[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
	return -1
}
