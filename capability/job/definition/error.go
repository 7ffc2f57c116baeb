package definition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
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
// word, or "" if none is close or there are very many. The first of several that are equally close
// wins.
func suggest(word string, known []string) string {
	if len(word) > 100 || len(known) > maxKnown {
		return ""
	}
	best, least := "", max(1, len(word)/3)+1
	for _, k := range known {
		if d := distance(word, k, least); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance returns how many bytes must be added, removed, changed or swapped
// with the next to get from a to b (the optimal string alignment distance), or
// limit if it is certainly no less.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
