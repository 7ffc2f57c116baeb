package yaml11

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"landfall.dev/kit"
)

// Error is one mistake in the definitions.
type Error struct {
	// File, Line and Column say where; lines and columns count from 1.
	File         string
	Line, Column int
	// Chain is how the expansion came there, outermost first:
	// `in project "ledger" (jobs/ledger.yml:3:3)`. It may be empty.
	Chain []string
	// Message says what is wrong and what to do.
	Message string
	// Source is the text of the line, empty if there is none.
	Source string
}

// Error returns "file:line:column: message", then the chain, one per line,
// then the line of the file with a mark below the column.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
	for _, c := range e.Chain {
		b.WriteString("\n  " + c)
	}
	if strings.TrimSpace(e.Source) != "" {
		text, mark := excerpt(e.Source, e.Column)
		b.WriteString("\n    " + text + "\n    " + mark)
	}
	return b.String()
}

// Compare orders errors by place, then by text, then by chain.
func (e *Error) Compare(f *Error) int {
	return cmp.Or(
		cmp.Compare(e.File, f.File),
		cmp.Compare(e.Line, f.Line),
		cmp.Compare(e.Column, f.Column),
		cmp.Compare(e.Message, f.Message),
		slices.Compare(e.Chain, f.Chain),
	)
}

// excerpt returns the part of line around column that fits on a screen, and a
// line with a mark below the column.
func excerpt(line string, column int) (text, mark string) {
	const width = 100
	runes := []rune(line)
	for i, r := range runes {
		if !unicode.IsPrint(r) {
			runes[i] = ' '
		}
	}
	at := min(max(column-1, 0), len(runes))
	start := 0
	if at > width*3/4 {
		start = at - width/2
	}
	end := min(start+width, len(runes))
	text = strings.TrimRight(string(runes[start:end]), " ")
	return text, strings.Repeat(" ", at-start) + "^"
}

// Position is a place in a file. Lines and columns count from 1.
type Position struct {
	file         *File
	Line, Column int
}

// String returns "file:line:column".
func (p Position) String() string {
	return p.Origin() + ":" + strconv.Itoa(p.Column)
}

// Origin returns "file:line".
func (p Position) Origin() string {
	return p.file.name + ":" + strconv.Itoa(p.Line)
}

// Errorf makes an Error at p.
func (p Position) Errorf(format string, args ...any) *Error {
	return &Error{
		File:    p.file.name,
		Line:    p.Line,
		Column:  p.Column,
		Message: fmt.Sprintf(format, args...),
		Source:  p.file.line(p.Line),
	}
}

// Suggest returns `; did you mean "x"?` for the known word that is closest to
// word, or "" if none is close or there are very many.
func Suggest(word string, known []string) string {
	if len(word) > 100 || len(known) > maxKnown {
		return ""
	}
	if best := kit.Nearest(word, known); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}

// Brief returns text, cut to what is good to read in a message.
func Brief(text string) string {
	const limit = 80
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	return string(runes[:limit]) + "..."
}

// Find returns the place of fragment in the file, for text that was written
// there as v: the position of v if that cannot be told.
func (v *Value) Find(fragment string) Position {
	text, _ := v.Data.(string)
	offset := strings.Index(text, fragment)
	if offset < 0 {
		return v.At
	}
	at, from := v.At, v.At.Column-1
	if v.Lead > 0 {
		at.Line += v.Lead - 1 + strings.Count(text[:offset], "\n")
		from = 0
	}
	line := at.file.line(at.Line)
	first, _, _ := strings.Cut(fragment, "\n")
	from = min(max(from, 0), len(line))
	i := strings.Index(line[from:], first)
	if i < 0 {
		return v.At
	}
	at.Column = utf8.RuneCountInString(line[:from+i]) + 1
	return at
}

// File is the file that p is in.
func (p Position) File() *File { return p.file }
