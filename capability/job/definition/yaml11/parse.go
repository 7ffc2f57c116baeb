package yaml11

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"go.yaml.in/yaml/v4"
)

// File is a file of definitions, kept for the lines that errors show.
type File struct {
	name, base string
	lines      []string
	skipped    int // lines before the first
}

// NewFile returns the file called name. A line ends with \n, \r\n or \r.
func NewFile(name string, data []byte) *File {
	return &File{name: name, base: path.Dir(name), lines: strings.Split(Newlines(string(data)), "\n")}
}

// At returns f as a file whose includes are looked for in the folder base, not
// in its own.
func (f *File) At(base string) *File {
	g := *f
	g.base = base
	return &g
}

// Text returns all of f.
func (f *File) Text() *Value {
	v := New(f.Start(), strings.Join(f.lines, "\n"))
	v.Lead = 1
	return v
}

// Newlines returns text as Python reads it: each line ends with \n.
func Newlines(text string) string {
	if !strings.Contains(text, "\r") {
		return text
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
}

// Name is the path of the file.
func (f *File) Name() string { return f.name }

// Base is the folder that includes are looked for in.
func (p Position) Base() string { return p.file.base }

// Start is the first place in f.
func (f *File) Start() Position { return Position{file: f, Line: 1, Column: 1} }

// line returns the n-th line, counted from 1, or "" if there is none.
func (f *File) line(n int) string {
	n += f.skipped
	if n < 1 || n > len(f.lines) {
		return ""
	}
	return f.lines[n-1]
}

// Parse returns the value in the only document in f, which may have the given
// tags (by their names as written, with the caller's names for their kinds).
// It returns nil if f holds nothing but comments, or after it has reported
// what is wrong.
func Parse(f *File, tags map[string]string, report func(*Error)) *Value {
	root, wrong := parse(f)
	if wrong != nil {
		report(wrong)
		return nil
	}
	if root == nil {
		return nil
	}
	c := converter{file: f, tags: tags, done: map[*yaml.Node]*Value{}, begun: map[*yaml.Node]bool{}, report: report}
	return c.value(root)
}

func parse(f *File) (*yaml.Node, *Error) {
	loader, err := yaml.NewLoader(bytes.NewReader([]byte(strings.Join(f.lines, "\n"))))
	if err != nil {
		return nil, f.Start().Errorf("%v", err)
	}
	var first, second yaml.Node
	err = loader.Load(&first)
	if err == nil {
		err = loader.Load(&second)
		if err == nil {
			at := Position{file: f, Line: second.Line, Column: second.Column}
			return nil, at.Errorf("a second document begins here: remove the --- or make it another file")
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, syntaxError(f.Start(), err)
	}
	if len(first.Content) == 0 {
		return nil, nil
	}
	return first.Content[0], nil
}

// syntaxError turns an error of the YAML library into one of ours.
func syntaxError(start Position, err error) *Error {
	load, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		return start.Errorf("not valid YAML: %v", err)
	}
	message := load.Message
	if load.ContextMsg != "" {
		message += " " + load.ContextMsg
		if load.ContextMark.Line > 0 && load.ContextMark != load.Mark {
			message += fmt.Sprintf(" that begins at line %d, column %d", load.ContextMark.Line, load.ContextMark.Column)
		}
	}
	at := Position{file: start.file, Line: max(load.Mark.Line, 1), Column: max(load.Mark.Column, 1)}
	if last := len(start.file.lines); at.Line > last {
		at.Line, at.Column = last, len(start.file.line(last))+1
	}
	if line := at.file.line(at.Line); strings.HasPrefix(strings.TrimLeft(line, " "), "\t") {
		message += ": indent with spaces, not with tabs"
	}
	return at.Errorf("not valid YAML: %s", message)
}

// After returns f as it is after other lines. Its own lines are numbered as in
// f.
func (f *File) After(before string) *File {
	lines := strings.Split(before, "\n")
	lines = lines[:len(lines)-1]
	return &File{name: f.name, base: f.base, lines: append(lines, f.lines...), skipped: len(lines)}
}
