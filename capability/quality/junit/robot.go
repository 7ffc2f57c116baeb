package junit

import (
	"strconv"
	"strings"
	"time"

	"landfall.dev/capability/quality/input"
)

// robot reads the output.xml of Robot Framework, of its versions from 3 to 7.
type robot struct {
	file     string
	results  *Results
	suites   []string
	elements []string // that it is in, from the outermost
	test     *Test    // that it is in
	reading  bool     // the text of its status
	said     []byte
}

func (p *robot) start(e input.Element) error {
	p.elements = append(p.elements, e.Name)
	switch e.Name {
	case "suite":
		p.suites = append(p.suites, e.Attr("name"))
	case "test":
		if p.test != nil {
			return input.Errorf(p.file, e.Line, "a <test> is inside another")
		}
		if len(p.results.Tests) >= maxCases {
			return input.Errorf(p.file, e.Line, "the build has more than %d tests", maxCases)
		}
		name := strings.Join(append(p.suites[:len(p.suites):len(p.suites)], e.Attr("name")), ".")
		p.test = &Test{Name: input.Brief(name, maxName), Outcome: Skipped}
	case "status": // of the test itself, not of what it did
		if n := len(p.elements); p.test != nil && n > 1 && p.elements[n-2] == "test" {
			p.status(e)
		}
	}
	return nil
}

func (p *robot) status(e input.Element) {
	switch e.Attr("status") {
	case "PASS":
		p.test.Outcome = Passed
	case "FAIL":
		p.test.Outcome, p.reading, p.said = Failed, true, nil
	}
	if seconds, err := strconv.ParseFloat(e.Attr("elapsed"), 64); err == nil && seconds > 0 && seconds < 1e9 {
		p.test.Seconds = seconds
		return
	}
	const form = "20060102 15:04:05.000"
	begun, err := time.Parse(form, e.Attr("starttime"))
	if err != nil {
		return // it has no time, or was not run
	}
	if ended, err := time.Parse(form, e.Attr("endtime")); err == nil {
		p.test.Seconds = max(0, ended.Sub(begun).Seconds())
	}
}

func (p *robot) text(b []byte) {
	if room := 4*maxMessage - len(p.said); p.reading && room > 0 {
		p.said = append(p.said, b[:min(room, len(b))]...)
	}
}

func (p *robot) end(name string) error {
	p.elements = p.elements[:len(p.elements)-1]
	switch {
	case name == "suite":
		p.suites = p.suites[:len(p.suites)-1]
	case name == "status" && p.reading:
		p.test.Message, p.reading = input.Brief(string(p.said), maxMessage), false
	case name == "test":
		p.results.add(*p.test)
		p.test = nil
	}
	return nil
}
