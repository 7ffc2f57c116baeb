package buildlog

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"landfall.dev/runner/step"
)

// tail follows the output of a script for its last words.
type tail struct {
	line    []byte // that is not ended yet, its beginning
	last    []byte // line that is not empty, of the current step, as it was written
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
		const enough = 4096 // bytes, for a line as it is shown, with their colours
		t.line = append(t.line, line[:min(len(line), max(0, enough-len(t.line)))]...)
		if line[len(line)-1] == '\n' {
			t.endLine()
		}
	}
}

func (t *tail) endLine() {
	defer func() { t.line = t.line[:0] }()
	if ordinary(t.line) { // as nearly all are
		if !t.decided {
			t.last = append(t.last[:0], t.line...)
		}
		return
	}
	line := Plain(t.line)
	switch {
	case headerLine.MatchString(line):
		t.last, t.verdict, t.decided = nil, "", false
	case t.decided:
	case afterLine.MatchString(line):
		t.decided = t.verdict != ""
		if !t.decided {
			t.last = nil
		}
	case verdictLine.MatchString(line):
		t.verdict = verdictLine.FindStringSubmatch(line)[1]
	case line != "":
		t.last = append(t.last[:0], t.line...)
	}
}

// ordinary tells whether a line begins with text, and is none of a script's own.
func ordinary(line []byte) bool {
	return len(line) > 0 && line[0] > ' ' && line[0] < 0x7f && line[0] != '-' && bytes.IndexByte(line, '\r') < 0
}

// failure says how a script failed that has ended with the exit code.
func (t *tail) failure(exit int, outOfMemory bool) string {
	t.endLine()
	what, why := t.verdict, Plain(t.last)
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

// Plain is a line of output as text of at most maxLine characters.
func Plain(line []byte) string {
	text := colour.ReplaceAllString(strings.ToValidUTF8(string(line), "?"), "")
	text = strings.TrimSpace(text)
	text = text[strings.LastIndexByte(text, '\r')+1:] // what a progress bar shows last
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	return step.Shorten(strings.TrimSpace(text))
}
