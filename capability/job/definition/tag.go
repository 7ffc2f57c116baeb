package definition

import (
	"slices"

	"landfall.dev/capability/job/definition/include"
	"landfall.dev/capability/job/definition/jinja"
	"landfall.dev/capability/job/definition/python"
	"landfall.dev/capability/job/definition/yaml11"
)

// maxIncludes is how deep files may include each other.
const maxIncludes = 50

// expandTag returns what a tag stands for, or nil after a report.
func (s *scope) expandTag(v *yaml11.Value, tag yaml11.Tag) *yaml11.Value {
	if s.depth >= maxIncludes {
		s.report(v.At.Errorf("files include each other more than %d deep", maxIncludes))
		return nil
	}
	if err := s.x.work.spend(v, costOfTag); err != nil {
		s.report(err)
		return nil
	}
	s.depth++
	defer func() { s.depth-- }()
	classic := s.x.options.Dialect == Classic
	switch tag.Kind {
	case include.Join:
		return include.Joined(v, tag, s.report, s.format)
	case include.YAML:
		return include.Concatenated(v, tag, s.includeYAML)
	case include.Raw, include.Escape, include.Verbatim:
		if tag.Kind == include.Verbatim && s.objects {
			return v
		}
		return include.Concatenated(v, tag, s.includeText)
	case include.Expand:
		return include.Concatenated(v, tag, func(p *yaml11.Value) *yaml11.Value {
			text := s.includeText(p)
			if text == nil {
				return nil
			}
			return s.within(text, p, func() *yaml11.Value { return s.formatText(text, text.Text()) })
		})
	case include.Jinja:
		return s.render(tag.Arg)
	case include.JinjaFile:
		return include.Concatenated(v, tag, func(p *yaml11.Value) *yaml11.Value {
			text := s.includeText(p)
			if text == nil {
				return nil
			}
			return s.within(text, p, func() *yaml11.Value { return s.render(text) })
		})
	}
	// The template makes YAML, which is formatted in its turn.
	text := s.render(tag.Arg)
	if text == nil {
		return nil
	}
	made := yaml11.NewFile(v.At.File().Name()+" ("+v.At.String()+", made by !j2-yaml)", []byte(text.Text())).At(v.At.Base())
	inner := s.x.set.tree.Parse(made.Text(), s.report)
	if inner != nil && classic {
		inner = s.x.set.tree.Resolve(inner, s.report)
	}
	if inner == nil {
		return nil
	}
	return s.format(inner)
}

// within calls f so that what it reports has a link for an included file.
func (s *scope) within(included, path *yaml11.Value, f func() *yaml11.Value) *yaml11.Value {
	outer := s.at
	s.at = &frame{up: outer, file: included.At.File().Name(), call: path.At}
	defer func() { s.at = outer }()
	return f()
}

// path returns the path that a tag names, with its variables.
func (s *scope) path(p *yaml11.Value) *yaml11.Value {
	if p.Plain {
		return p
	}
	return s.formatText(p, p.Text())
}

func (s *scope) includeText(p *yaml11.Value) *yaml11.Value {
	name := s.path(p)
	if name == nil {
		return nil
	}
	text, err := s.x.set.tree.Text(name.Text(), p.At)
	if err != nil {
		s.report(err)
	}
	return text
}

// includeYAML returns what a file of YAML holds: in the modern dialect
// formatted, in the classic as it is, for it names variables in its path.
func (s *scope) includeYAML(p *yaml11.Value) *yaml11.Value {
	name := s.path(p)
	if name == nil {
		return nil
	}
	v := s.x.set.tree.YAML(name.Text(), p.At, s.report)
	if v == nil {
		return nil
	}
	if s.x.options.Dialect == Classic {
		return s.x.set.tree.Resolve(v, s.report)
	}
	return s.within(v, p, func() *yaml11.Value { return s.format(v) })
}

// render returns what a template of Jinja2 makes.
func (s *scope) render(text *yaml11.Value) *yaml11.Value {
	if err := s.x.work.spend(text, text.Size*16+costOfValue); err != nil {
		s.report(err)
		return nil
	}
	names, err := jinja.Names(text.Text(), s.names())
	if err != nil {
		s.report(text.At.Errorf("%v", err))
		return nil
	}
	vars := map[string]*yaml11.Value{}
	for _, name := range names {
		if slices.Contains(s.stack, name) {
			continue
		}
		v := s.variable(name)
		if v == nil {
			return nil
		}
		vars[name] = v
	}
	out, err := jinja.Render(text.Text(), vars, func(name string) (string, error) {
		included, err := s.x.set.tree.Text(name, text.At)
		if err != nil {
			return "", err
		}
		return included.Text(), nil
	})
	if err != nil {
		s.report(text.At.Errorf("%v", err))
		return nil
	}
	return yaml11.New(text.At, out)
}

// namesInTag calls add for the names that a tag and the files that it names may
// use.
func namesInTag(t *include.Tree, tag yaml11.Tag, add func(name string)) {
	words := func(v *yaml11.Value) {
		for name := range python.Names(v.Text()) {
			add(name)
		}
		for _, name := range jinja.Words(v.Text()) {
			add(name)
		}
	}
	for _, p := range include.Paths(tag) {
		words(p)
		switch tag.Kind {
		case include.Join, include.Jinja, include.JinjaYAML:
			continue
		}
		if text, err := t.Text(p.Text(), p.At); err == nil {
			words(text)
		}
	}
}
