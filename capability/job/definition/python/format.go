// Package python formats texts as Jenkins Job Builder does with Python's
// str.format. It is a pure function from a text and variables to a value.
package python

import (
	"iter"
	"strings"
	"unicode"

	"landfall.dev/capability/job/definition/yaml11"
)

// maxPadding is the largest width and precision in a format.
const maxPadding = 1000

// Variables are what a text may use.
type Variables interface {
	// Has reports whether the variable is defined.
	Has(name string) bool
	// Lookup returns a variable, or an error: an *Error if the text is wrong to
	// use it. The fragment is where the text does; afterDollar tells that a $
	// stands before that.
	Lookup(name, fragment string, afterDollar bool) (*yaml11.Value, error)
}

// Error is what is wrong with a text, and in which part of it.
type Error struct{ Fragment, Message string }

func (e *Error) Error() string { return e.Message }

// Formatter formats texts. Ordered says that Python prints maps as those of
// the type OrderedDict.
type Formatter struct{ Ordered bool }

// A text is formatted in three steps, as in Jenkins Job Builder:
//
//  1. A text that is nothing but {name} becomes the variable itself, whatever
//     its kind: {obj:name} and {name|default} too.
//  2. Each {name|default} becomes {name}, or the default if the variable is
//     not defined.
//  3. The rest is Python's str.format (field.go).
//
// A variable in the first two is called by letters, digits and underscores
// only, and double braces around it are swallowed: {{{name}}} is {name}.

// Format returns the text of v, formatted: text at the place of v, or the
// variable that is all that the text consists of.
func (f Formatter) Format(v *yaml11.Value, text string, vars Variables) (*yaml11.Value, error) {
	if !strings.ContainsAny(text, "{}") {
		return yaml11.New(v.At, text), nil
	}
	if name, ok := wholeName(text); ok && vars.Has(name) {
		return vars.Lookup(name, text, false)
	}
	out, err := f.expand(applyDefaults(text, vars.Has), vars, 0)
	if err != nil {
		return nil, err
	}
	return yaml11.New(v.At, out), nil
}

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

// IsVariable reports whether text, formatted, can be a variable itself.
func IsVariable(text string) bool {
	_, ok := wholeName(text)
	return ok
}

// applyDefaults does the second step.
func applyDefaults(text string, defined func(name string) bool) string {
	if !strings.Contains(text, "|") {
		return text
	}
	var b strings.Builder
	done := 0
	eachDefault(text, func(t token, start int) {
		b.WriteString(text[done:start])
		if defined(t.name) {
			b.WriteString("{" + t.name + "}")
		} else {
			b.WriteString(t.fallback)
		}
		done = t.end
	})
	b.WriteString(text[done:])
	return b.String()
}

// eachDefault calls f for each variable with a default, and where it starts.
func eachDefault(text string, f func(t token, start int)) {
	closing := strings.IndexByte(text, '}')
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
		f(t, i)
		i = t.end
	}
}

// nextByte returns where the first b in text[from:] is in text, or -1.
func nextByte(text string, from int, b byte) int {
	if i := strings.IndexByte(text[from:], b); i >= 0 {
		return from + i
	}
	return -1
}

// Names returns the names of all that may be a variable in text. It finds
// too many rather than too few.
func Names(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			_, rest, found := strings.Cut(text, "{")
			if !found {
				return
			}
			text = rest
			name, isObj := strings.CutPrefix(rest, "obj:")
			if isObj && !yield("obj") {
				return
			}
			if end := strings.IndexAny(name, "{}|:![."); end >= 0 {
				name = name[:end]
			}
			if name != "" && !yield(name) {
				return
			}
		}
	}
}

// Fields returns the variables that text is made of, in their order, those with
// a default too. Of a text that cannot be formatted, it returns the first ones.
func Fields(text string) []string {
	text = applyDefaults(text, func(string) bool { return true })
	var names []string
	for i := 0; i < len(text); {
		if text[i] != '{' {
			i++
			continue
		}
		if strings.HasPrefix(text[i:], "{{") {
			i += 2
			continue
		}
		f, err := readField(text[i:])
		if err != nil {
			return names // it is reported when the text is formatted
		}
		name, _, _ := strings.Cut(f.name, "[")
		if name == "obj" {
			name = f.spec
		}
		names = append(names, name)
		i += len(f.fragment)
	}
	return names
}

// WordEnd returns where the word that text begins with ends.
func WordEnd(text string) int { return nameEnd(text, 0) }

// Defaults returns the defaults that variables have in text, the last of each.
func Defaults(text string) map[string]string {
	if !strings.Contains(text, "|") {
		return nil
	}
	all := map[string]string{}
	eachDefault(text, func(t token, _ int) { all[t.name] = t.fallback })
	return all
}
