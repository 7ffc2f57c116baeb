package plan

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// What a program may read of the commit that is built.
const (
	maxReads = 20
	MaxFile  = 256 << 10 // bytes of one file
	maxRead  = 1 << 20   // bytes of all
)

// Tree is what is in the commit that is built.
type Tree struct {
	Paths []string `json:"paths"` // of all files, sorted
	// Texts are the files that the program has read, by path.
	Texts map[string]Text `json:"texts,omitempty"`
}

// Text is what is in a file, or why it cannot be read.
type Text struct {
	Text  string `json:"text,omitempty"`
	Error string `json:"error,omitempty"`
}

// Want is what a program has looked at that its Input does not have: the paths
// of the tree, and the text of a file if one is named. It is then run once more.
type Want struct {
	File string `json:"file,omitempty"`
}

// errWant ends an evaluation whose Input lacks something.
var errWant = errors.New("the input lacks something")

// lacks notes what the program wants, and ends it.
func (p *program) lacks(file string) error {
	p.want = &Want{File: file}
	return errWant
}

// pathOf reads the only argument of a function, a path in the tree.
func pathOf(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (string, error) {
	var name string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "path", &name); err != nil {
		return "", err
	}
	if name == "" || path.IsAbs(name) || path.Clean(name) != name || strings.HasPrefix(name, "../") {
		return "", fmt.Errorf(`%s: %q is no path from the root of the project, as "docs/index.md"`, b.Name(), name)
	}
	return name, nil
}

// read returns the text of a file of the commit.
func (p *program) read(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	name, err := pathOf(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	tree := p.in.Tree
	if tree == nil {
		return nil, p.lacks(name)
	}
	if _, ok := slices.BinarySearch(tree.Paths, name); !ok {
		return nil, fmt.Errorf("%s: the commit has no file %s%s", b.Name(), name, Suggest(name, tree.Paths))
	}
	text, ok := tree.Texts[name]
	total := 0
	for _, t := range tree.Texts {
		total += len(t.Text)
	}
	switch {
	case !ok && len(tree.Texts) == maxReads:
		return nil, fmt.Errorf("%s: the program reads more than %d files", b.Name(), maxReads)
	case !ok:
		return nil, p.lacks(name)
	case text.Error != "":
		return nil, fmt.Errorf("%s: %s", b.Name(), text.Error)
	case total > maxRead:
		return nil, fmt.Errorf("%s: the program reads more than %d KB", b.Name(), maxRead>>10)
	}
	return starlark.String(text.Text), nil
}

// exists tells whether the commit has a file or a folder.
func (p *program) exists(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	name, err := pathOf(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	if p.in.Tree == nil {
		return nil, p.lacks("")
	}
	return starlark.Bool(slices.ContainsFunc(p.in.Tree.Paths, func(have string) bool {
		return have == name || strings.HasPrefix(have, name+"/")
	})), nil
}

// glob returns the paths of the commit that match one of the patterns, sorted.
func (p *program) glob(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	patterns, err := globs(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	if p.in.Tree == nil {
		return nil, p.lacks("")
	}
	var found []string
	for _, name := range p.in.Tree.Paths {
		segments := strings.Split(name, "/")
		if slices.ContainsFunc(patterns, func(pattern []string) bool { return matches(pattern, segments) }) {
			found = append(found, name)
		}
	}
	return list(found), nil
}

// reads are the files that the program has read.
func (p *program) reads() []api.FileRead {
	if p.in.Tree == nil {
		return nil
	}
	var all []api.FileRead
	for _, name := range slices.Sorted(maps.Keys(p.in.Tree.Texts)) {
		all = append(all, api.FileRead{Path: name, Digest: kit.DigestOf([]byte(p.in.Tree.Texts[name].Text))})
	}
	return all
}
