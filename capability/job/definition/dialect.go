package definition

import (
	"strings"

	"landfall.dev/capability/job/definition/python"
	"landfall.dev/capability/job/definition/yaml11"
)

// Warnings returns what looks as if the definitions were of the other dialect,
// one mistake for each sign of it: in the wrong one, scripts are broken without
// an error.
func (s *Set) Warnings() []*Error {
	var all []*Error
	if s.underscore != nil {
		all = append(all, s.underscore.Errorf("a kind that begins with _ is a place for anchors in the modern dialect only: is this the modern dialect?"))
	}
	for _, kind := range kinds {
		if kind != kindJob && macroLists[kind] == "" {
			continue
		}
		for _, d := range s.order[kind] {
			if sign := s.sign(d); sign != nil {
				return append(all, sign)
			}
		}
	}
	return all
}

// sign returns a text of a plain job, or of a macro without variables, whose
// braces are right in the other dialect only.
func (s *Set) sign(d *definition) *Error {
	v := yaml11.New(d.at, d.body)
	if s.options.Dialect == Classic {
		text := find(v, func(text string) bool { return strings.Contains(text, "${{") })
		if text == nil || d.kind != kindJob && find(v, func(text string) bool { return len(python.Fields(text)) > 0 }) != nil {
			return nil
		}
		return text.Find("${{").Errorf("in the classic dialect, ${{ stays as it is in a %s: is this the modern dialect?", d.kind)
	}
	text := find(v, func(text string) bool { return shellVariable(text) != "" })
	if text == nil || d.vars[strings.Trim(shellVariable(text.Text()), "${}")] != nil {
		return nil
	}
	fragment := shellVariable(text.Text())
	return text.Find(fragment).Errorf("in the modern dialect, %s in a %s is a variable of the definitions: is this the classic dialect?", fragment, d.kind)
}

// shellVariable returns the first ${NAME} in text whose name is in upper case.
func shellVariable(text string) string {
	for {
		_, rest, found := strings.Cut(text, "${")
		if !found {
			return ""
		}
		name, _, closed := strings.Cut(rest, "}")
		if closed && name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" {
			return "${" + name + "}"
		}
		text = rest
	}
}

// find returns the first text in v that is right.
func find(v *yaml11.Value, right func(string) bool) *yaml11.Value {
	switch data := v.Data.(type) {
	case string:
		if right(data) {
			return v
		}
	case []*yaml11.Value:
		for _, item := range data {
			if found := find(item, right); found != nil {
				return found
			}
		}
	case yaml11.Map:
		for _, e := range data {
			if found := find(e.Value, right); found != nil {
				return found
			}
		}
	}
	return nil
}
