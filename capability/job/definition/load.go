package definition

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// file is a file of definitions, kept for the lines that errors show.
type file struct {
	name  string
	lines []string
}

// line returns the n-th line, counted from 1, or "" if there is none.
func (f *file) line(n int) string {
	if n < 1 || n > len(f.lines) {
		return ""
	}
	return strings.TrimSuffix(f.lines[n-1], "\r")
}

// Load reads all files in dir whose names end in .yml or .yaml, in the order
// of their names and without those in subfolders. The error joins one *Error
// for each mistake that can be seen before the expansion. If dir cannot be
// read, errors.Is finds the cause (fs.ErrNotExist).
func Load(fsys fs.FS, dir string) (*Set, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("read job definitions: %w", err)
	}
	set := newSet()
	for _, e := range entries {
		ext := path.Ext(e.Name())
		if e.IsDir() || ext != ".yml" && ext != ".yaml" {
			continue
		}
		if err := set.read(fsys, path.Join(dir, e.Name())); err != nil {
			return nil, fmt.Errorf("read job definitions: %w", err)
		}
	}
	set.checkFields()
	if err := join(set.errs); err != nil {
		return nil, err
	}
	return set, nil
}

// read adds the definitions of a file to s. Mistakes in the file are added to
// s.errs; the error is of reading it.
func (s *Set) read(fsys fs.FS, name string) error {
	r, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return err
	}
	f := &file{name: name, lines: strings.Split(string(data), "\n")}
	start := position{file: f, line: 1, column: 1}
	if len(data) > maxFile {
		s.report(start.errorf("the file is larger than 1 MiB: split it into several"))
		return nil
	}
	root, wrong := parse(f, data)
	if wrong != nil {
		s.report(wrong)
		return nil
	}
	if root == nil {
		return nil
	}
	c := converter{file: f, done: map[*yaml.Node]*value{}, begun: map[*yaml.Node]bool{}, report: s.report}
	if top := c.value(root); top != nil {
		s.define(top)
	}
	return nil
}

// parse returns the root of the only document in f, or nil if f holds nothing
// but comments.
func parse(f *file, data []byte) (*yaml.Node, *Error) {
	start := position{file: f, line: 1, column: 1}
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return nil, start.errorf("%v", err)
	}
	var first, second yaml.Node
	err = loader.Load(&first)
	if err == nil {
		err = loader.Load(&second)
		if err == nil {
			at := position{file: f, line: second.Line, column: second.Column}
			return nil, at.errorf("a second document begins here: remove the --- or make it another file")
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, syntaxError(start, err)
	}
	if len(first.Content) == 0 {
		return nil, nil
	}
	return first.Content[0], nil
}

// syntaxError turns an error of the YAML library into one of ours.
func syntaxError(start position, err error) *Error {
	load, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		return start.errorf("not valid YAML: %v", err)
	}
	message := load.Message
	if load.ContextMsg != "" {
		message += " " + load.ContextMsg
		if load.ContextMark.Line > 0 && load.ContextMark != load.Mark {
			message += fmt.Sprintf(" that begins at line %d, column %d", load.ContextMark.Line, load.ContextMark.Column)
		}
	}
	at := position{file: start.file, line: max(load.Mark.Line, 1), column: max(load.Mark.Column, 1)}
	if last := len(start.file.lines); at.line > last {
		at.line, at.column = last, len(start.file.line(last))+1
	}
	if line := at.file.line(at.line); strings.HasPrefix(strings.TrimLeft(line, " "), "\t") {
		message += ": indent with spaces, not with tabs"
	}
	return at.errorf("not valid YAML: %s", message)
}

// join returns errs as one error, sorted and without repetitions, or nil.
func join(errs []*Error) error {
	slices.SortFunc(errs, (*Error).compare)
	errs = slices.CompactFunc(errs, func(a, b *Error) bool { return a.compare(b) == 0 })
	all := make([]error, len(errs))
	for i, e := range errs {
		all[i] = e
	}
	return errors.Join(all...)
}
