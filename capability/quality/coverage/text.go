package coverage

import (
	"bytes"
	"path"
	"strconv"
	"strings"

	"landfall.dev/capability/quality/input"
)

// eachLine calls f with the lines that are not blank, and their numbers.
func eachLine(data []byte, f func(at int, line string) error) error {
	at := 0
	for line := range bytes.Lines(data) {
		at++
		text := strings.TrimSpace(string(line))
		if text == "" {
			continue
		}
		if err := f(at, text); err != nil {
			return err
		}
	}
	return nil
}

// golang reads Go's coverprofile: after "mode: set", lines of
// "file:line.column,line.column statements count".
func (p *parser) golang(data []byte) error {
	return eachLine(data, func(at int, line string) error {
		if strings.HasPrefix(strings.TrimPrefix(line, "\uFEFF"), "mode:") {
			return nil // also where profiles were concatenated
		}
		b, ok := parseBlock(line)
		if !ok {
			return input.Errorf(p.file, at, "%q is no line of a coverprofile: it is FILE:LINE.COLUMN,LINE.COLUMN STATEMENTS COUNT", input.Brief(line, 100))
		}
		if b.statements == 0 {
			return nil
		}
		for n := b.from; n <= b.to; n++ {
			if err := p.hit(b.name, at, n, b.count); err != nil {
				return err
			}
		}
		return nil
	})
}

// block is a line of a coverprofile.
type block struct {
	name                        string
	from, to, statements, count int
}

func parseBlock(line string) (b block, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 3 {
		return b, false
	}
	n := len(fields)
	where := strings.Join(fields[:n-2], " ") // names may have spaces
	colon := strings.LastIndexByte(where, ':')
	if colon < 1 {
		return b, false
	}
	from, to, _ := strings.Cut(where[colon+1:], ",")
	from, _, _ = strings.Cut(from, ".")
	to, _, _ = strings.Cut(to, ".")
	b.name = where[:colon]
	ok = number(from, &b.from) && number(to, &b.to) && number(fields[n-2], &b.statements) && number(fields[n-1], &b.count)
	return b, ok && b.from <= b.to
}

func number(text string, n *int) bool {
	v, err := strconv.ParseUint(text, 10, 63)
	*n = int(v)
	return err == nil
}

// lcov reads a tracefile: records of SF:FILE, DA:LINE,HITS and further lines,
// ended by end_of_record.
func (p *parser) lcov(data []byte) error {
	name := ""
	return eachLine(data, func(at int, line string) error {
		key, value, _ := strings.Cut(strings.TrimPrefix(line, "\uFEFF"), ":")
		switch key {
		case "SF":
			if name = value; path.Base(name) == "." {
				return input.Errorf(p.file, at, "SF: names no file")
			}
		case "end_of_record":
			name = ""
		case "DA":
			fields := strings.Split(value, ",")
			var n, hits int
			if len(fields) < 2 || !number(fields[0], &n) || !number(strings.TrimPrefix(fields[1], "-"), &hits) {
				return input.Errorf(p.file, at, "%q is no line of a tracefile: it is DA:LINE,HITS", input.Brief(line, 100))
			}
			if name == "" {
				return input.Errorf(p.file, at, "DA: comes before any SF:")
			}
			if strings.HasPrefix(fields[1], "-") {
				hits = 0 // a counter that ran over
			}
			return p.hit(name, at, n, hits)
		case "TN", "VER", "FN", "FNDA", "FNF", "FNH", "FNL", "FNA", "BRDA", "BRF", "BRH", "LH", "LF", "MCDC", "MCF", "MCH":
		default:
			if !strings.HasPrefix(line, "#") {
				return input.Errorf(p.file, at, "%q is no line of a tracefile", input.Brief(line, 100))
			}
		}
		return nil
	})
}
