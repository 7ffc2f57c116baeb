// Package logview turns lines of a build's log into what a page shows of them:
// text in the colours of its escape sequences, in sections that fold.
//
// A line "--- TITLE", "+++ TITLE", "~~~ TITLE" or "::group::TITLE" begins a
// section, which the next one ends, or "::endgroup::". One is open if it
// begins with +++, if it is where the build failed or is now, or if it has
// the line that somebody wants to see.
//
// It reads nothing and knows no build.
package logview

import (
	"bytes"
	"html/template"
	"regexp"
	"strings"

	terminal "github.com/buildkite/terminal-to-html/v3"
	"github.com/microcosm-cc/bluemonday"

	"landfall.dev/api"
)

// Line is a line of a log, as it is shown.
type Line struct {
	Number int64
	Text   template.HTML
	Title  bool // it has the form of a section's beginning
	Cut    int64
}

// Part is a section, which folds under its title, or lines that stand by
// themselves.
type Part struct {
	Title *Line // nil if it does not fold
	Lines []Line
	Open  bool
}

// Open says which sections are open, beside those that say so themselves.
type Open struct {
	All  bool
	Line int64 // the one with this line
	Last bool  // the last one: the build is there, or has failed
}

// fewLines are shown unfolded: there is nothing to be gained.
const fewLines = 60

// Parts returns the lines of w in their order.
func Parts(w api.LogWindow, open Open) []Part {
	open.All = open.All || len(w.Lines) <= fewLines
	lines := coloured(w)
	var parts []Part
	outside := true // of a section
	for i, line := range lines {
		text := bare(w.Lines[i].Text)
		ends := verdict.MatchString(text)
		switch {
		case line.Title && !ends && i+1 < len(lines) && !lines[i+1].Title:
			parts = append(parts, Part{Title: &lines[i], Open: open.All || open.Line == line.Number || wanted.MatchString(text)})
			outside = false
			continue
		case line.Title:
			if ends && !outside {
				parts[len(parts)-1].Open, open.Last = true, false
			}
			outside = true // nothing would fold under it
			parts = append(parts, Part{})
		case outside && (len(parts) == 0 || parts[len(parts)-1].Title != nil):
			parts = append(parts, Part{})
		}
		last := &parts[len(parts)-1]
		last.Lines = append(last.Lines, line)
		last.Open = last.Open || line.Number == open.Line
		outside = outside || strings.HasPrefix(text, "::endgroup::")
	}
	for i := len(parts) - 1; i >= 0 && open.Last; i-- {
		if parts[i].Title != nil {
			parts[i].Open, open.Last = true, false
		}
	}
	return parts
}

var (
	// title is how the first line of a section begins.
	title = regexp.MustCompile(`^(?:---|\+\+\+|~~~) +\S|^::group::`)
	// wanted is how that of a section begins that is open: one that says so, and
	// what go test says of a test.
	wanted = regexp.MustCompile(`^\+\+\+|^--- FAIL`)
	// verdict ends the section in which a script failed.
	verdict = regexp.MustCompile(`^--- step [0-9]+ exited with [1-9]`)
	// colour is what may stand before a title.
	colour = regexp.MustCompile(`^(?:\x1b\[[0-9;]*m)+`)
)

func bare(text string) string { return colour.ReplaceAllString(text, "") }

// clean lets through what colours are made of, and nothing that loads or runs.
var clean = func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowAttrs("class").Matching(regexp.MustCompile(`^term-[a-z]+[0-9]+( term-[a-z]+[0-9]+)*$`)).OnElements("span")
	return p
}()

// coloured renders the lines with the colours of their escape sequences. Each
// is rendered by itself, so that nothing in one can change another.
func coloured(w api.LogWindow) []Line {
	if len(w.Lines) == 0 {
		return nil
	}
	var text bytes.Buffer
	for i, line := range w.Lines {
		if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(strings.ReplaceAll(terminal.Render([]byte(line.Text)), "\n", " "))
	}
	var shown []Line
	for html := range strings.SplitSeq(clean.SanitizeReader(&text).String(), "\n") {
		i := len(shown)
		shown = append(shown, Line{
			Number: w.First + int64(i), Text: template.HTML(html), // sanitised
			Title: title.MatchString(bare(w.Lines[i].Text)), Cut: w.Lines[i].Cut,
		})
	}
	return shown
}
