// Package junit reads JUnit's XML reports, as Ant began them and as Surefire,
// Gradle, pytest, gotestsum and others write them, and what Robot Framework and
// programs that speak TAP write instead.
package junit

import (
	"math"
	"strconv"
	"strings"

	"landfall.dev/capability/quality/input"
)

const (
	// maxCases is how many tests a build may have.
	maxCases = 100_000
	// maxName and maxMessage are in bytes.
	maxName    = 200
	maxMessage = 300
)

// sayNothing is the message that tools for Go give every failure.
const sayNothing = "Failed"

// Outcome is what a test came to.
type Outcome byte

// The outcomes, the worse the later.
const (
	Skipped Outcome = 'S'
	Passed  Outcome = 'P'
	Failed  Outcome = 'F'
)

// Test is a test that ran.
type Test struct {
	// Name is that of its class, a dot, and its own.
	Name    string
	Outcome Outcome
	Seconds float64
	// Message is the first line of what a failure says.
	Message string
}

// Results are the tests of a build, in the order of its reports.
type Results struct {
	Tests []Test

	index map[string]int
}

// Find returns the test of that name.
func (r *Results) Find(name string) (Test, bool) {
	i, ok := r.index[name]
	if !ok {
		return Test{}, false
	}
	return r.Tests[i], true
}

// add adds a test. One of the same name is taken for another try, or other
// arguments: the worst outcome of all stands.
func (r *Results) add(t Test) {
	i, ok := r.index[t.Name]
	if !ok {
		if r.index == nil {
			r.index = map[string]int{}
		}
		r.index[t.Name] = len(r.Tests)
		r.Tests = append(r.Tests, t)
		return
	}
	known := &r.Tests[i]
	known.Seconds += t.Seconds
	if rank(t.Outcome) > rank(known.Outcome) {
		known.Outcome, known.Message = t.Outcome, t.Message
	}
}

func rank(o Outcome) int { return strings.IndexByte("SPF", byte(o)) }

// Read adds the tests of a report. After an error those before it are there.
func (r *Results) Read(file string, data []byte) error {
	if isTAP(data) {
		return r.readTAP(file, data)
	}
	p := parser{file: file, results: r}
	return input.XML(file, data, input.Visitor{Root: p.root, Start: p.start, End: p.end, Text: p.text})
}

// parser reads a report.
type parser struct {
	file    string
	results *Results
	robot   *robot // reads the report instead, if it is its
	test    *Test  // that it is in
	reading bool   // the text of its failure
	said    []byte
}

func (p *parser) root(e input.Element) error {
	switch e.Name {
	case "robot":
		p.robot = &robot{file: p.file, results: p.results}
		return nil
	case "testsuites", "testsuite":
		return nil
	}
	return input.Errorf(p.file, e.Line, "it is no JUnit report: it begins with <%s>, not with <testsuites> or <testsuite>", input.Brief(e.Name, 40))
}

func (p *parser) start(e input.Element) error {
	if p.robot != nil {
		return p.robot.start(e)
	}
	switch e.Name {
	case "testcase":
		return p.begin(e)
	case "failure", "error":
		if p.test != nil && p.test.Outcome != Failed {
			p.test.Outcome, p.test.Message = Failed, input.Brief(e.Attr("message"), maxMessage)
			p.reading, p.said = p.test.Message == "" || p.test.Message == sayNothing, nil
		}
	case "skipped", "disabled":
		if p.test != nil && p.test.Outcome != Failed {
			p.test.Outcome = Skipped
		}
	}
	return nil
}

func (p *parser) begin(e input.Element) error {
	if p.test != nil {
		return input.Errorf(p.file, e.Line, "a <testcase> is inside another")
	}
	if len(p.results.Tests) >= maxCases {
		return input.Errorf(p.file, e.Line, "the build has more than %d tests", maxCases)
	}
	name := e.Attr("name")
	if class := e.Attr("classname"); class != "" && name != "" {
		name = class + "." + name
	}
	if name = input.Brief(name, maxName); name == "" {
		return input.Errorf(p.file, e.Line, "a <testcase> has no name")
	}
	// Some write 1,234.5 for a long one.
	text := strings.ReplaceAll(e.Attr("time"), ",", "")
	seconds, err := strconv.ParseFloat(text, 64)
	if text != "" && (err != nil || seconds < 0 || math.IsInf(seconds, 0) || math.IsNaN(seconds)) {
		return input.Errorf(p.file, e.Line, "<testcase time=%q>: it is no number of seconds", input.Brief(text, 40))
	}
	p.test = &Test{Name: name, Outcome: Passed, Seconds: seconds}
	return nil
}

// text keeps the beginning of what a failure says.
func (p *parser) text(b []byte) {
	if p.robot != nil {
		p.robot.text(b)
		return
	}
	if room := 4*maxMessage - len(p.said); p.reading && room > 0 {
		p.said = append(p.said, b[:min(room, len(b))]...)
	}
}

func (p *parser) end(name string) error {
	if p.robot != nil {
		return p.robot.end(name)
	}
	switch {
	case p.test == nil:
	case name == "failure" || name == "error":
		if said := input.Brief(string(p.said), maxMessage); p.reading && said != "" {
			p.test.Message = said
		}
		p.reading = false
	case name == "testcase":
		p.results.add(*p.test)
		p.test = nil
	}
	return nil
}
