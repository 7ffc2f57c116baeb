package definition

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"landfall.dev/capability/job/definition/include"
	"landfall.dev/capability/job/definition/python"
	"landfall.dev/capability/job/definition/yaml11"
)

// Load reads definitions: files, and the files in folders whose names end in
// .yml or .yaml, in the order of their names. Paths are relative to the root
// of fsys, which nothing outside of is read. The error joins one *Error for
// each mistake that can be seen before the expansion. If a path cannot be
// read, errors.Is finds the cause (fs.ErrNotExist).
func Load(fsys fs.FS, paths []string, o Options) (*Set, error) {
	if o.Dialect == "" {
		o.Dialect = Modern
	}
	if o.Dialect != Modern && o.Dialect != Classic {
		return nil, fmt.Errorf("read job definitions: there is no dialect %q: there are %s and %s", o.Dialect, Modern, Classic)
	}
	files, err := o.files(fsys, paths)
	if err != nil {
		return nil, fmt.Errorf("read job definitions: %w", err)
	}
	set := newSet(include.NewTree(fsys, o.Dialect == Classic, o.IncludePath), o)
	var before string // the text of earlier files, if their anchors are kept
	for _, name := range files {
		text, err := include.ReadFile(fsys, name)
		if errors.Is(err, include.ErrTooLarge) {
			set.report(yaml11.NewFile(name, nil).Start().Errorf("%v", err))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read job definitions: %w", err)
		}
		top := set.parse(name, before, text)
		if o.RetainAnchors {
			before += strings.TrimSuffix(text, "\n") + "\n"
		}
		if top != nil && o.Dialect == Classic {
			top = set.tree.Resolve(top, set.report)
		}
		if top != nil {
			set.define(top)
		}
	}
	if o.Strict {
		set.checkFields()
	}
	if err := join(set.errs); err != nil {
		return nil, err
	}
	return set, nil
}

// parse returns the definitions in a file, nil if there are none or they are
// wrong. The anchors of the lines before, which other files consist of, are
// known in it.
func (s *Set) parse(name, before, text string) *yaml11.Value {
	file := yaml11.NewFile(name, []byte(text))
	var wrong []*Error
	top := yaml11.Parse(file, s.tree.Tags(), func(err *Error) { wrong = append(wrong, err) })
	if before != "" && len(wrong) > 0 {
		both := file.After(before)
		skipped := yaml11.Parse(yaml11.NewFile(name, []byte(before)), s.tree.Tags(), func(*Error) {})
		again := yaml11.Parse(both, s.tree.Tags(), func(*Error) {})
		if n := len(skipped.List()); again != nil && len(again.List()) >= n {
			return yaml11.New(again.At, again.List()[n:])
		}
	}
	for _, err := range wrong {
		s.report(err)
	}
	return top
}

// files returns the files that paths mean, each once, whatever links lead to it.
func (o Options) files(fsys fs.FS, paths []string) ([]string, error) {
	var all []string
	for _, p := range paths {
		p = path.Clean(p)
		info, err := fs.Stat(fsys, p)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			all = append(all, include.Real(fsys, p))
			continue
		}
		inside, err := o.folder(fsys, p)
		if err != nil {
			return nil, err
		}
		all = append(all, inside...)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(p string) bool {
		again := seen[p]
		seen[p] = true
		return again
	}), nil
}

// folder returns the files of definitions in a folder, and then those of the
// folders in it.
func (o Options) folder(fsys fs.FS, dir string) ([]string, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, err
	}
	var all, below []string
	for _, e := range entries {
		p := path.Join(dir, e.Name())
		isDir := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			info, err := fs.Stat(fsys, p)
			if err != nil {
				continue
			}
			isDir = info.IsDir()
		}
		ext := path.Ext(e.Name())
		switch {
		case !isDir && (ext == ".yml" || ext == ".yaml"):
			all = append(all, include.Real(fsys, p))
		case isDir && o.Recursive && !o.excludes(p):
			in := o
			in.Recursive = e.IsDir() // links are not followed further
			inside, err := in.folder(fsys, p)
			if err != nil {
				return nil, err
			}
			below = append(below, inside...)
		}
	}
	return append(all, below...), nil
}

// excludes reports whether a folder is left out: patterns with a slash are for
// its path, others for its name.
func (o Options) excludes(dir string) bool {
	return slices.ContainsFunc(o.Exclude, func(pattern string) bool {
		if strings.Contains(pattern, "/") {
			return python.Fnmatch(path.Clean(pattern)).MatchString(dir)
		}
		return python.Fnmatch(pattern).MatchString(path.Base(dir))
	})
}
