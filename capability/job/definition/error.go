package definition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

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

// compare orders errors by place, then by text, then by chain.
func (e *Error) compare(f *Error) int {
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

// position is a place in a file.
type position struct {
	file         *file
	line, column int
}

// String returns "file:line:column".
func (p position) String() string {
	return fmt.Sprintf("%s:%d:%d", p.file.name, p.line, p.column)
}

// origin returns "file:line".
func (p position) origin() string {
	return fmt.Sprintf("%s:%d", p.file.name, p.line)
}

// errorf makes an Error at p.
func (p position) errorf(format string, args ...any) *Error {
	return &Error{
		File:    p.file.name,
		Line:    p.line,
		Column:  p.column,
		Message: fmt.Sprintf(format, args...),
		Source:  p.file.line(p.line),
	}
}

// suggest returns `; did you mean "x"?` for the known word that is closest to
// word, or "" if none is close or there are very many.
func suggest(word string, known []string) string {
	if len(word) > 100 || len(known) > maxKnown {
		return ""
	}
	if best := kit.Nearest(word, known); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}
