package definition

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
	tagInclude   = "include"    // a file of YAML
	tagRaw       = "raw"        // classic: the text of a file, formatted with its surroundings
	tagEscape    = "escape"     // classic: the same with doubled braces
	tagExpand    = "expand"     // modern: the text of a file, formatted
	tagVerbatim  = "verbatim"   // modern: the text of a file
	tagJoin      = "join"       // texts with a separator
	tagJinja     = "jinja"      // a template of Jinja2
	tagJinjaFile = "jinja-file" // such a template in a file
	tagJinjaYAML = "jinja-yaml" // a template that makes YAML
)

// tagsOf lists the tags of each dialect.
var tagsOf = map[Dialect]map[string]string{
	Classic: {
		"!include:": tagInclude, "!include": tagInclude, "!include-raw:": tagRaw, "!include-raw": tagRaw,
		"!include-raw-escape:": tagEscape, "!include-raw-escape": tagEscape, "!join:": tagJoin,
		"!include-jinja2:": tagJinjaFile, "!j2:": tagJinja, "!j2-yaml:": tagJinjaYAML,
	},
	Modern: {
		"!include:": tagInclude, "!include": tagInclude, "!include-raw:": tagExpand, "!include-raw": tagExpand,
		"!include-raw-escape:": tagVerbatim, "!include-raw-escape": tagVerbatim, "!join:": tagJoin,
		"!include-raw-expand:": tagExpand, "!include-raw-verbatim:": tagVerbatim,
		"!include-jinja2:": tagJinjaFile, "!j2:": tagJinja, "!j2-yaml:": tagJinjaYAML,
	},
}

// tree is the files that definitions may include: none outside of fsys.
type tree struct {
	fsys    fs.FS
	options Options

	mu    sync.Mutex
	texts map[string]*yaml11.Value // by path and base
	yamls map[string]*yaml11.Value
}

// text returns the text of the file that name means at the place at.
func (t *tree) text(name string, at yaml11.Position) (*yaml11.Value, *yaml11.Error) {
	file, err := t.find(name, at)
	if err != nil {
		return nil, err
	}
	base := path.Dir(file)
	if t.options.Dialect == Classic {
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

// yaml returns what the YAML file that name means at the place at holds; nil
// after it has reported what is wrong.
func (t *tree) yaml(name string, at yaml11.Position, report func(*yaml11.Error)) *yaml11.Value {
	text, err := t.text(name, at)
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
	v = t.parse(text, report)
	t.mu.Lock()
	t.yamls[key] = v
	t.mu.Unlock()
	return v
}

// parse returns what YAML in a text means; nil after a report.
func (t *tree) parse(text *yaml11.Value, report func(*yaml11.Error)) *yaml11.Value {
	failed := false
	v := yaml11.Parse(text.At.File(), tagsOf[t.options.Dialect], func(err *yaml11.Error) {
		failed = true
		report(err)
	})
	if v == nil && !failed {
		return yaml11.New(text.At, nil)
	}
	return v
}

// find returns the path of the file that name means at the place at.
func (t *tree) find(name string, at yaml11.Position) (string, *yaml11.Error) {
	folders := t.options.IncludePath
	if folders == nil {
		folders = []string{"."}
	}
	folders = slices.Concat(folders, []string{at.Base(), "."})
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

func (t *tree) read(file string, at yaml11.Position) (string, *yaml11.Error) {
	text, err := readFile(t.fsys, file)
	if err != nil {
		return "", at.Errorf("include %s: %v", file, err)
	}
	return text, nil
}

var errTooLarge = errors.New("the file is larger than 1 MiB: split it into several")

// readFile returns the text of a file, with lines that end as in Python.
func readFile(fsys fs.FS, name string) (string, error) {
	r, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, yaml11.MaxFile+1))
	if err == nil && len(data) > yaml11.MaxFile {
		err = errTooLarge
	}
	return yaml11.Newlines(string(data)), err
}

// resolver replaces the tags of the classic dialect that need no variables,
// when a file is loaded.
type resolver struct {
	tree   *tree
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
	case tagJoin:
		return joined(v, tag, r.report, func(item *yaml11.Value) *yaml11.Value { return item })
	case tagInclude, tagRaw, tagEscape:
	default:
		return v
	}
	for _, p := range paths(tag) {
		if len(python.Fields(p.Text())) > 0 {
			return v
		}
	}
	out := concatenated(v, tag, func(p *yaml11.Value) *yaml11.Value {
		if tag.Kind == tagInclude {
			inner := r.tree.yaml(p.Text(), p.At, r.report)
			if inner == nil {
				return nil
			}
			return r.resolve(inner)
		}
		text, err := r.tree.text(p.Text(), p.At)
		if err != nil {
			r.report(err)
		}
		return text
	})
	if out != nil && tag.Kind == tagEscape {
		escaped := yaml11.New(out.At, doubled.Replace(out.Text()))
		escaped.Lead = out.Lead
		return escaped
	}
	return out
}

// doubled doubles braces.
var doubled = strings.NewReplacer("{", "{{", "}", "}}")

// paths returns the paths that a tag names.
func paths(tag yaml11.Tag) []*yaml11.Value {
	if items, ok := tag.Arg.Data.([]*yaml11.Value); ok {
		return items
	}
	return []*yaml11.Value{tag.Arg}
}

// concatenated returns what get makes of the path of a tag; of several paths,
// the texts in lines.
func concatenated(v *yaml11.Value, tag yaml11.Tag, get func(*yaml11.Value) *yaml11.Value) *yaml11.Value {
	if _, several := tag.Arg.Data.([]*yaml11.Value); !several {
		return get(tag.Arg)
	}
	var texts []string
	for _, p := range paths(tag) {
		text := get(p)
		if text == nil {
			return nil
		}
		texts = append(texts, text.Text())
	}
	return yaml11.New(v.At, strings.Join(texts, "\n"))
}

// joined does the tag !join: its argument is a separator and a list.
func joined(v *yaml11.Value, tag yaml11.Tag, report func(*yaml11.Error), get func(*yaml11.Value) *yaml11.Value) *yaml11.Value {
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
