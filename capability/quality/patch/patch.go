// Package patch knows which lines a patch adds, and which of its files a report
// means by the names that it has for them.
package patch

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// Patch is the added lines of a difference.
type Patch struct {
	// Cut tells that the difference was too large, and that files are missing.
	Cut bool

	files map[string]map[int]bool // added lines of the files after it
	bases map[string][]string     // the files by the last part of their path
}

// Parse reads a difference in Git's format, as capability source serves it:
// what it had to leave out is a last line that begins with "# cut".
func Parse(diff []byte) (*Patch, error) {
	files, _, err := gitdiff.Parse(bytes.NewReader(diff))
	if err != nil {
		return nil, fmt.Errorf("the difference is not in Git's format: %w", err)
	}
	p := &Patch{files: map[string]map[int]bool{}, bases: map[string][]string{}}
	last := bytes.TrimRight(diff, "\n")
	p.Cut = bytes.HasPrefix(last[bytes.LastIndexByte(last, '\n')+1:], []byte("# cut"))
	for _, f := range files {
		if f.IsDelete || f.NewName == "" {
			continue
		}
		p.files[f.NewName] = added(f)
		base := path.Base(f.NewName)
		p.bases[base] = append(p.bases[base], f.NewName)
	}
	return p, nil
}

func added(f *gitdiff.File) map[int]bool {
	lines := map[int]bool{}
	for _, t := range f.TextFragments {
		n := int(t.NewPosition)
		for _, l := range t.Lines {
			if l.Op == gitdiff.OpAdd {
				lines[n] = true
			}
			if l.New() {
				n++
			}
		}
	}
	return lines
}

// Adds tells whether the patch adds that line of the file.
func (p *Patch) Adds(file string, line int) bool { return p.files[file][line] }

// Count returns how many lines the patch adds to the files that match.
func (p *Patch) Count(match func(file string) bool) int {
	n := 0
	for file, lines := range p.files {
		if match(file) {
			n += len(lines)
		}
	}
	return n
}

// Lines returns the numbers of the lines that the patch adds to the file, in
// order.
func (p *Patch) Lines(file string) []int {
	return slices.Sorted(maps.Keys(p.files[file]))
}

// Names are the names of files in a report, which are seldom those in the
// repository: "example.com/module/a.go", "/build/src/a.c", "org/example/App.java".
type Names struct {
	patch *Patch
	// common is the folder that all of the names are in, with a slash at its end;
	// empty if there is none.
	common string
}

// Names returns the names of one report.
func (p *Patch) Names(all []string) Names {
	n := Names{patch: p}
	for i, name := range all {
		dir := path.Dir(clean(name)) + "/"
		if i == 0 {
			n.common = dir
		}
		for !strings.HasPrefix(dir, n.common) {
			n.common = n.common[:strings.LastIndexByte(strings.TrimSuffix(n.common, "/"), '/')+1]
		}
	}
	return n
}

// clean returns a name with slashes and without needless parts.
func clean(name string) string { return path.Clean(strings.ReplaceAll(name, `\`, "/")) }

// File returns the patch's file that a name of the report means, empty if it
// is none. Besides the same name that is the longest end of it, if what is cut
// off is in front of all names in the report (a module's path, the folder that
// was built in); or else the only file whose path ends with it (a package in one
// of several source folders).
func (n Names) File(name string) string {
	name = clean(name)
	if _, ok := n.patch.files[name]; ok {
		return name
	}
	for i := range len(name) {
		if name[i] != '/' || !strings.HasPrefix(n.common, name[:i+1]) {
			continue
		}
		if _, ok := n.patch.files[name[i+1:]]; ok {
			return name[i+1:]
		}
	}
	if !strings.Contains(name, "/") {
		return ""
	}
	found := ""
	for _, file := range n.patch.bases[path.Base(name)] {
		if strings.HasSuffix(file, "/"+name) {
			if found != "" {
				return ""
			}
			found = file
		}
	}
	return found
}
