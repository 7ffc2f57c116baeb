package runner

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// maxLine is how much of a line a build's error shows, in characters.
const maxLine = 200

// tail follows the output of a script for its last words.
type tail struct {
	line    []byte // that is not ended yet, its beginning
	last    string // line that is not empty, of the current step
	verdict string // of the script: "step 2 exited with 1"
	decided bool   // the steps for after the build run, which do not change it
}

var (
	verdictLine = regexp.MustCompile(`^--- (step \d+ exited with \d+)$`)
	headerLine  = regexp.MustCompile(`^--- step \d+: `)
	afterLine   = regexp.MustCompile(`^--- after the build, step \d+: `)
	colour      = regexp.MustCompile("\x1b\\[[0-9;:?]*[A-Za-z]")
)

func (t *tail) write(p []byte) {
	for line := range bytes.Lines(p) {
		const enough = 4096 // bytes, for maxLine characters with their colours
		t.line = append(t.line, line[:min(len(line), max(0, enough-len(t.line)))]...)
		if line[len(line)-1] == '\n' {
			t.endLine()
		}
	}
}

func (t *tail) endLine() {
	line := plain(t.line)
	t.line = t.line[:0]
	switch {
	case headerLine.MatchString(line):
		t.last, t.verdict, t.decided = "", "", false
	case t.decided:
	case afterLine.MatchString(line):
		t.decided = t.verdict != ""
		if !t.decided {
			t.last = ""
		}
	case verdictLine.MatchString(line):
		t.verdict = verdictLine.FindStringSubmatch(line)[1]
	case line != "":
		t.last = line
	}
}

// failure says how a script failed that has ended with the exit code.
func (t *tail) failure(exit int, outOfMemory bool) string {
	t.endLine()
	what, why := t.verdict, t.last
	if what == "" {
		what = fmt.Sprintf("the script exited with %d", exit)
	}
	if outOfMemory {
		why = "out of memory"
	}
	if why == "" {
		return what
	}
	return what + ": " + why
}

// plain is a line of output as text of at most maxLine characters.
func plain(line []byte) string {
	text := colour.ReplaceAllString(strings.ToValidUTF8(string(line), "?"), "")
	text = strings.TrimSpace(text)
	text = text[strings.LastIndexByte(text, '\r')+1:] // what a progress bar shows last
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	return shorten(strings.TrimSpace(text))
}

// shorten cuts text to maxLine characters.
func shorten(text string) string {
	if r := []rune(text); len(r) > maxLine {
		return string(r[:maxLine-1]) + "…"
	}
	return text
}
