package definition

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A text is formatted in three steps, as in Jenkins Job Builder:
//
//  1. A text that is nothing but {name} becomes the variable itself, whatever
//     its kind: {obj:name} and {name|default} too.
//  2. Each {name|default} becomes {name}, or the default if the variable is
//     not defined.
//  3. The rest is Python's str.format (pyformat.go).
//
// A variable in the first two is called by letters, digits and underscores
// only, and double braces around it are swallowed: {{{name}}} is {name}.

// token is a variable as the first two steps know it.
type token struct {
	name       string
	fallback   string
	hasDefault bool
	end        int // of the token in its text
}

// tokenAt reads the token that begins at text[start], with all the braces that
// stand there. The first closing brace from start on is at text[closing], or
// there is none if that is negative.
func tokenAt(text string, start, closing int) (token, bool) {
	open := start + countPrefix(text[start:], '{')
	if (open-start)%2 == 0 || closing < 0 {
		return token{}, false
	}
	var t token
	i := open
	if strings.HasPrefix(text[open:], "obj:") {
		i += len("obj:")
	}
	end := nameEnd(text, i)
	if end == i {
		return token{}, false
	}
	t.name, i = text[i:end], end
	if i < len(text) && text[i] == '|' {
		t.fallback, t.hasDefault = text[i+1:closing], true
		i = closing
	}
	braces := countPrefix(text[i:], '}')
	t.end = i + braces
	return t, braces%2 == 1
}

// nameEnd returns where the word that begins at text[start] ends.
func nameEnd(text string, start int) int {
	for i, r := range text[start:] {
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r) {
			return start + i
		}
	}
	return len(text)
}

func countPrefix(text string, b byte) int {
	n := 0
	for n < len(text) && text[n] == b {
		n++
	}
	return n
}

// wholeName returns the name of the variable if text is nothing but one. A
// newline at the end does not count.
func wholeName(text string) (string, bool) {
	t, ok := tokenAt(text, 0, strings.IndexByte(text, '}'))
	if !ok || t.end != len(text) && text[t.end:] != "\n" {
		return "", false
	}
	return t.name, true
}

// applyDefaults does the second step.
func applyDefaults(text string, defined func(name string) bool) string {
	if !strings.Contains(text, "|") {
		return text
	}
	var b strings.Builder
	done, closing := 0, strings.IndexByte(text, '}')
	for i := 0; i < len(text); {
		if text[i] != '{' {
			i++
			continue
		}
		if closing >= 0 && closing < i {
			closing = nextByte(text, i, '}')
		}
		t, ok := tokenAt(text, i, closing)
		if !ok || !t.hasDefault {
			i += countPrefix(text[i:], '{')
			continue
		}
		b.WriteString(text[done:i])
		if defined(t.name) {
			b.WriteString("{" + t.name + "}")
		} else {
			b.WriteString(t.fallback)
		}
		i, done = t.end, t.end
	}
	b.WriteString(text[done:])
	return b.String()
}

// nextByte returns where the first b in text[from:] is in text, or -1.
func nextByte(text string, from int, b byte) int {
	if i := strings.IndexByte(text[from:], b); i >= 0 {
		return from + i
	}
	return -1
}

// namesIn returns the names of all that may be a variable in text. It finds
// too many rather than too few.
func namesIn(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			_, rest, found := strings.Cut(text, "{")
			if !found {
				return
			}
			text = rest
			name := strings.TrimPrefix(rest, "obj:")
			if end := strings.IndexAny(name, "{}|:![."); end >= 0 {
				name = name[:end]
			}
			if name != "" && !yield(name) {
				return
			}
		}
	}
}

// find returns the place of fragment in the file, for text that was written
// there as v: the position of v if that cannot be told.
func (v *value) find(fragment string) position {
	text, _ := v.data.(string)
	offset := strings.Index(text, fragment)
	if offset < 0 {
		return v.at
	}
	at, from := v.at, v.at.column-1
	if v.block {
		at.line += 1 + strings.Count(text[:offset], "\n")
		from = 0
	}
	line := at.file.line(at.line)
	first, _, _ := strings.Cut(fragment, "\n")
	from = min(max(from, 0), len(line))
	i := strings.Index(line[from:], first)
	if i < 0 {
		return v.at
	}
	at.column = utf8.RuneCountInString(line[:from+i]) + 1
	return at
}
