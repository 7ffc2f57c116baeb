package junit

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"landfall.dev/capability/quality/input"
)

// A report in TAP, the Test Anything Protocol (https://testanything.org), is
// lines. Those of subtests and of diagnostics are indented, and count through
// the test that they are of.
var (
	tapPlan = regexp.MustCompile(`(?m)^1\.\.(\d+)`)
	tapTest = regexp.MustCompile(`^(not )?ok\b[ \t]*(\d*)[ \t]*-?[ \t]*(.*?)(?:[ \t]*#[ \t]*(?i:(skip|todo))\S*(.*))?$`)
)

// isTAP tells whether data is in TAP: its first line that is no comment is, and
// it has a plan, as each has.
func isTAP(data []byte) bool {
	if !tapPlan.Match(data) {
		return false
	}
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		return bytes.HasPrefix(line, []byte("TAP version ")) || tapPlan.Match(line) || tapTest.Match(line)
	}
	return false
}

// readTAP adds the tests of a report. They are named after its file, too.
func (r *Results) readTAP(file string, data []byte) error {
	suite := strings.TrimSuffix(path.Base(file), path.Ext(file))
	planned, seen, number := -1, 0, 0
	for line := range bytes.Lines(data) {
		number++
		text := strings.TrimRight(string(line), "\r\n")
		if m := tapPlan.FindStringSubmatch(text); m != nil {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				return input.Errorf(file, number, "the plan %q: it is no number of tests", input.Brief(text, 40))
			}
			planned = n
		}
		if why, ok := strings.CutPrefix(text, "Bail out!"); ok {
			return input.Errorf(file, number, "the tests were given up: %s", input.Brief(why, maxMessage))
		}
		m := tapTest.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		if seen++; len(r.Tests) >= maxCases {
			return input.Errorf(file, number, "the build has more than %d tests", maxCases)
		}
		name := m[3]
		if name == "" {
			name = "test " + strconv.Itoa(seen)
		}
		t := Test{Name: input.Brief(suite+"."+name, maxName), Outcome: Passed}
		switch {
		case m[4] != "": // left out, or known not to pass yet
			t.Outcome = Skipped
		case m[1] != "":
			t.Outcome, t.Message = Failed, "not ok "+m[2]
		}
		r.add(t)
	}
	if planned > seen {
		return fmt.Errorf("%s: %d tests were planned, but it has %d: did the program end early?", file, planned, seen)
	}
	return nil
}
