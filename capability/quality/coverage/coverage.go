// Package coverage reads which lines tests came through, from Go's
// coverprofile, Cobertura's and JaCoCo's XML and LCOV's tracefiles.
package coverage

import (
	"bytes"
	"math"
	"slices"

	"landfall.dev/capability/quality/input"
)

const (
	// maxLine is the highest number of a line.
	maxLine = 1_000_000
	// maxLines is how many lines a build's reports may be about.
	maxLines = 1_000_000
)

// Lines are the lines of a file that can be covered, and how often they were.
type Lines map[int]uint32

// Profile is what one report says: the lines of files, by the names that it
// has for them.
type Profile map[string]Lines

// Reader reads the reports of a build.
type Reader struct{ lines int }

// Read reads a report, in whichever format it is.
func (r *Reader) Read(file string, data []byte) (Profile, error) {
	p := &parser{Reader: r, file: file, profile: Profile{}}
	read := p.format(data)
	if read == nil {
		return nil, input.Errorf(file, 1, "it is no coverage report that is known: Go's coverprofile, Cobertura, JaCoCo or LCOV")
	}
	if err := read(data); err != nil {
		return nil, err
	}
	return p.profile, nil
}

// parser reads one report.
type parser struct {
	*Reader
	file    string
	profile Profile
}

// format returns what reads data, by how it begins.
func (p *parser) format(data []byte) func([]byte) error {
	text := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\uFEFF")), " \t\r\n")
	for _, f := range []struct {
		beginning string
		read      func([]byte) error
	}{
		{"mode:", p.golang}, {"<", p.xml}, {"TN:", p.lcov}, {"SF:", p.lcov}, {"VER:", p.lcov}, {"#", p.lcov},
	} {
		if bytes.HasPrefix(text, []byte(f.beginning)) {
			return f.read
		}
	}
	return nil
}

// hit notes how often a line of a file was come through. Of several numbers
// for one line, the largest stands.
func (p *parser) hit(name string, at, line, hits int) error {
	if line < 1 || line > maxLine {
		return input.Errorf(p.file, at, "line %d of %s: lines are numbered from 1 to %d", line, input.Brief(name, 200), maxLine)
	}
	lines := p.profile[name]
	if lines == nil {
		lines = Lines{}
		p.profile[name] = lines
	}
	old, known := lines[line]
	if !known {
		if p.lines++; p.lines > maxLines {
			return input.Errorf(p.file, at, "the reports are about more than %d lines", maxLines)
		}
	}
	lines[line] = max(old, uint32(min(hits, math.MaxUint32)))
	return nil
}

// Add adds the lines of a file that keep passes; nil passes all.
func (p Profile) Add(file string, lines Lines, keep func(line int) bool) {
	own := p[file]
	if own == nil {
		own = Lines{}
		p[file] = own
	}
	for line, hits := range lines {
		if keep == nil || keep(line) {
			own[line] = max(own[line], hits)
		}
	}
}

// Count returns how many lines can be covered, and how many were.
func (p Profile) Count() (lines, covered int) {
	for _, l := range p {
		lines += len(l)
		for _, hits := range l {
			if hits > 0 {
				covered++
			}
		}
	}
	return lines, covered
}

// Missed returns the lines that were not covered, in order.
func (l Lines) Missed() []int {
	var missed []int
	for line, hits := range l {
		if hits == 0 {
			missed = append(missed, line)
		}
	}
	slices.Sort(missed)
	return missed
}
