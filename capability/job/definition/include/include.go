// Package include finds and reads the files that definitions include, none of
// them outside of their tree, and replaces the tags that need no variables.
package include

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"landfall.dev/capability/job/definition/python"
	"landfall.dev/capability/job/definition/yaml11"
)

// What a tag makes of its argument.
const (
	YAML      = "include"    // a file of YAML
	Raw       = "raw"        // classic: the text of a file, formatted with its surroundings
	Escape    = "escape"     // classic: the same with Doubled braces
	Expand    = "expand"     // modern: the text of a file, formatted
	Verbatim  = "verbatim"   // modern: the text of a file
	Join      = "join"       // texts with a separator
	Jinja     = "jinja"      // a template of Jinja2
	JinjaFile = "jinja-file" // such a template in a file
	JinjaYAML = "jinja-yaml" // a template that makes YAML
)

// classicTags and modernTags are the tags of each dialect.
var (
	classicTags = map[string]string{
		"!include:": YAML, "!include": YAML, "!include-raw:": Raw, "!include-raw": Raw,
		"!include-raw-escape:": Escape, "!include-raw-escape": Escape, "!join:": Join,
		"!include-jinja2:": JinjaFile, "!j2:": Jinja, "!j2-yaml:": JinjaYAML,
	}
	modernTags = map[string]string{
		"!include:": YAML, "!include": YAML, "!include-raw:": Expand, "!include-raw": Expand,
		"!include-raw-escape:": Verbatim, "!include-raw-escape": Verbatim, "!join:": Join,
		"!include-raw-expand:": Expand, "!include-raw-verbatim:": Verbatim,
		"!include-jinja2:": JinjaFile, "!j2:": Jinja, "!j2-yaml:": JinjaYAML,
	}
)

// Tree is the files that definitions may include. It may be used by several
// goroutines at once.
type Tree struct {
	fsys    fs.FS
	classic bool
	path    []string

	mu    sync.Mutex
	texts map[string]*yaml11.Value // by path and base
	yamls map[string]*yaml11.Value
}

// NewTree returns the files in fsys, with the tags of the classic or modern
// dialect. Path lists the folders that are looked in first; nil is the root.
func NewTree(fsys fs.FS, classic bool, path []string) *Tree {
	if path == nil {
		path = []string{"."}
	}
	return &Tree{fsys: fsys, classic: classic, path: path, texts: map[string]*yaml11.Value{}, yamls: map[string]*yaml11.Value{}}
}

// Tags returns the tags that files may have, with what they make of their
// argument.
func (t *Tree) Tags() map[string]string {
	if t.classic {
		return classicTags
	}
	return modernTags
}

// Text returns the text of the file that name means at the place at.
func (t *Tree) Text(name string, at yaml11.Position) (*yaml11.Value, *yaml11.Error) {
	file, err := t.find(name, at)
	if err != nil {
		return nil, err
	}
	base := path.Dir(file)
	if t.classic {
		base = at.Base()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if v, ok := t.texts[file+"\n"+base]; ok {
		return v, nil
	}
	text, err := t.read(file, at)
	if err != nil {
		return nil, err
	}
	v := yaml11.NewFile(file, []byte(text)).At(base).Text()
	t.texts[file+"\n"+base] = v
	return v, nil
}

// YAML returns what the YAML file that name means at the place at holds; nil
// after it has reported what is wrong.
func (t *Tree) YAML(name string, at yaml11.Position, report func(*yaml11.Error)) *yaml11.Value {
	text, err := t.Text(name, at)
	if err != nil {
		report(err)
		return nil
	}
	key := text.At.String() + "\n" + text.At.Base()
	t.mu.Lock()
	v, ok := t.yamls[key]
	t.mu.Unlock()
	if ok {
		return v
	}
	v = t.Parse(text, report)
	t.mu.Lock()
	t.yamls[key] = v
	t.mu.Unlock()
	return v
}

// Parse returns what YAML in a text means; nil after a report.
func (t *Tree) Parse(text *yaml11.Value, report func(*yaml11.Error)) *yaml11.Value {
	failed := false
	v := yaml11.Parse(text.At.File(), t.Tags(), func(err *yaml11.Error) {
		failed = true
		report(err)
	})
	if v == nil && !failed {
		return yaml11.New(text.At, nil)
	}
	return v
}

// find returns the path of the file that name means at the place at.
func (t *Tree) find(name string, at yaml11.Position) (string, *yaml11.Error) {
	folders := slices.Concat(t.path, []string{at.Base(), "."})
	outside := false
	for _, folder := range folders {
		file := path.Join(folder, name)
		if path.IsAbs(name) || !fs.ValidPath(file) {
			outside = true
			continue
		}
		if info, err := fs.Stat(t.fsys, file); err == nil && info.Mode().IsRegular() {
			return file, nil
		}
	}
	if outside {
		return "", at.Errorf("the file %q is outside of the tree: only files in it can be included", yaml11.Brief(name))
	}
	slices.Sort(folders)
	return "", at.Errorf("there is no file %q in %s", yaml11.Brief(name), strings.Join(slices.Compact(folders), ", "))
}

func (t *Tree) read(file string, at yaml11.Position) (string, *yaml11.Error) {
	text, err := ReadFile(t.fsys, file)
	if err != nil {
		return "", at.Errorf("include %s: %v", file, err)
	}
	return text, nil
}

// ErrTooLarge is the error of a file that is too large.
var ErrTooLarge = errors.New("the file is larger than 1 MiB: split it into several")

// ReadFile returns the text of a file, with lines that end as in Python.
func ReadFile(fsys fs.FS, name string) (string, error) {
	r, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, yaml11.MaxFile+1))
	if err == nil && len(data) > yaml11.MaxFile {
		err = ErrTooLarge
	}
	return yaml11.Newlines(string(data)), err
}

// Resolve returns v without the tags of the classic dialect that need no
// variables, as it does when it loads a file; nil after a report.
func (t *Tree) Resolve(v *yaml11.Value, report func(*yaml11.Error)) *yaml11.Value {
	r := resolver{tree: t, report: report, done: map[*yaml11.Value]*yaml11.Value{}}
	return r.resolve(v)
}

type resolver struct {
	tree   *Tree
	report func(*yaml11.Error)
	done   map[*yaml11.Value]*yaml11.Value
	depth  int
}

// resolve returns v without such tags; nil after a report.
func (r *resolver) resolve(v *yaml11.Value) *yaml11.Value {
	if v.Plain {
		return v
	}
	if out, ok := r.done[v]; ok {
		return out
	}
	if r.depth++; r.depth > yaml11.MaxDepth {
		r.report(v.At.Errorf("files include each other more than %d deep", yaml11.MaxDepth))
		r.depth--
		return nil
	}
	out := v
	switch data := v.Data.(type) {
	case []*yaml11.Value:
		items := make([]*yaml11.Value, len(data))
		for i := range data {
			if items[i] = r.resolve(data[i]); items[i] == nil {
				out = nil
			}
		}
		if out != nil {
			out = yaml11.New(v.At, items)
		}
	case yaml11.Map:
		m := make(yaml11.Map, len(data))
		for i, e := range data {
			m[i] = yaml11.Entry{Key: e.Key, Value: r.resolve(e.Value)}
			if m[i].Value == nil {
				out = nil
			}
		}
		if out != nil {
			out = yaml11.New(v.At, m)
		}
	case yaml11.Tag:
		out = r.tag(v, data)
	}
	r.depth--
	r.done[v] = out
	return out
}

func (r *resolver) tag(v *yaml11.Value, tag yaml11.Tag) *yaml11.Value {
	switch tag.Kind {
	case Join:
		return Joined(v, tag, r.report, func(item *yaml11.Value) *yaml11.Value { return item })
	case YAML, Raw, Escape:
	default:
		return v
	}
	for _, p := range Paths(tag) {
		if len(python.Fields(p.Text())) > 0 {
			return v
		}
	}
	out := Concatenated(v, tag, func(p *yaml11.Value) *yaml11.Value {
		if tag.Kind == YAML {
			inner := r.tree.YAML(p.Text(), p.At, r.report)
			if inner == nil {
				return nil
			}
			return r.resolve(inner)
		}
		text, err := r.tree.Text(p.Text(), p.At)
		if err != nil {
			r.report(err)
		}
		return text
	})
	if out != nil && tag.Kind == Escape {
		escaped := yaml11.New(out.At, Doubled.Replace(out.Text()))
		escaped.Lead = out.Lead
		return escaped
	}
	return out
}

// Doubled doubles braces.
var Doubled = strings.NewReplacer("{", "{{", "}", "}}")

// Paths returns the paths that a tag names.
func Paths(tag yaml11.Tag) []*yaml11.Value {
	if items, ok := tag.Arg.Data.([]*yaml11.Value); ok {
		return items
	}
	return []*yaml11.Value{tag.Arg}
}

// Concatenated returns what get makes of the path of a tag; of several paths,
// the texts in lines.
func Concatenated(v *yaml11.Value, tag yaml11.Tag, get func(*yaml11.Value) *yaml11.Value) *yaml11.Value {
	if _, several := tag.Arg.Data.([]*yaml11.Value); !several {
		return get(tag.Arg)
	}
	var texts []string
	for _, p := range Paths(tag) {
		text := get(p)
		if text == nil {
			return nil
		}
		texts = append(texts, text.Text())
	}
	return yaml11.New(v.At, strings.Join(texts, "\n"))
}

// Joined does the tag !join: its argument is a separator and a list.
func Joined(v *yaml11.Value, tag yaml11.Tag, report func(*yaml11.Error), get func(*yaml11.Value) *yaml11.Value) *yaml11.Value {
	args := tag.Arg.List()
	if len(args) != 2 || args[1].List() == nil {
		report(v.At.Errorf("!join: needs a separator and a list of texts (\"!join: [',', [a, b]]\")"))
		return nil
	}
	var texts []string
	for _, item := range args[1].List() {
		text := get(item)
		if text == nil {
			return nil
		}
		texts = append(texts, text.Text())
	}
	return yaml11.New(v.At, strings.Join(texts, args[0].Text()))
}

// Real returns the path of a file without symbolic links: the given one if they
// lead out of fsys or cannot be read.
func Real(fsys fs.FS, name string) string {
	links, ok := fsys.(fs.ReadLinkFS)
	if !ok {
		return name
	}
	const maxLinks = 40
	real, rest, followed := ".", name, 0
	for rest != "" {
		first, after, _ := strings.Cut(rest, "/")
		next := path.Join(real, first)
		info, err := links.Lstat(next)
		if err != nil {
			return name
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			real, rest = next, after
			continue
		}
		target, err := links.ReadLink(next)
		rest = path.Join(real, target, after)
		if followed++; err != nil || path.IsAbs(target) || !fs.ValidPath(rest) || followed > maxLinks {
			return name
		}
		real = "."
	}
	return real
}
