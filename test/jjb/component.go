package jjb

import (
	"fmt"
	"strings"
)

// place is where a text stands, which decides what is formatted in it.
type place int

const (
	inJob      place = iota // as it is
	inTemplate              // formatted with the project's variables
	inMacro                 // formatted with the arguments a and b, if there are any
)

// kinds of components that have macros, and the key of their list.
var kinds = []struct{ kind, list string }{
	{"builder", "builders"}, {"parameter", "parameters"}, {"trigger", "triggers"},
	{"publisher", "publishers"}, {"wrapper", "wrappers"}, {"property", "properties"}, {"scm", "scm"},
}

func (g *generator) makeMacros() items {
	var list items
	for _, k := range kinds {
		for n := range g.rand.IntN(3) {
			m := macro{name: fmt.Sprintf("my-%s-%d", k.kind, n)}
			if g.chance(60) {
				m.args = []string{"a", "b"}
			}
			at := inMacro
			if m.args == nil {
				at = inJob // without arguments a macro is not formatted
			}
			var body items
			for range 1 + g.rand.IntN(2) {
				body = append(body, g.component(k.kind, at))
			}
			list = append(list, table{{k.kind, table{{"name", m.name}, {k.list, body}}}})
			g.macros[k.kind] = append(g.macros[k.kind], m) // later ones may use it
		}
	}
	return list
}

// components makes what a job or template consists of.
func (g *generator) components(at place) table {
	t := table{{"builders", g.builders(at)}}
	for _, k := range kinds[1:] {
		if !g.chance(45) {
			continue
		}
		var list items
		for range 1 + g.rand.IntN(2) {
			list = append(list, g.component(k.kind, at))
		}
		if k.kind == "parameter" && g.chance(15) {
			t = append(t, entry{k.list, plain("!include: params.inc")})
			continue
		}
		t = append(t, entry{k.list, list})
	}
	if g.chance(10) {
		t = append(t, entry{"project-type", pick(g, "multijob", "freestyle")})
	}
	return t
}

func (g *generator) builders(at place) any {
	if g.chance(8) && at != inMacro {
		return plain("!include: steps.inc")
	}
	var list items
	for range 1 + g.rand.IntN(4) {
		list = append(list, g.component("builder", at))
	}
	return list
}

// component makes one of a kind: a macro's call, or one of the common types.
func (g *generator) component(kind string, at place) any {
	if have := g.macros[kind]; len(have) > 0 && g.chance(35) {
		return g.call(pick(g, have...), at)
	}
	switch kind {
	case "builder":
		return g.builder(at)
	case "parameter":
		return g.parameter(at)
	case "trigger":
		return g.trigger(at)
	case "publisher":
		return table{{"archive", table{{"artifacts", g.text(at)}, {"allow-empty", plain(pick(g, "true", "yes", "false"))}}}}
	case "wrapper":
		if g.chance(30) {
			return "timestamps"
		}
		return table{{"build-name", table{{"name", g.text(at)}}}}
	case "property":
		return table{{"github", table{{"url", g.text(at)}}}}
	default:
		return table{{"git", table{{"url", g.text(at)}, {"branches", items{g.text(at)}}}}}
	}
}

func (g *generator) call(m macro, at place) any {
	if m.args == nil {
		return m.name
	}
	var args table
	for _, a := range m.args {
		args = append(args, entry{a, g.text(at)})
	}
	if g.chance(20) {
		args = append(args, entry{"unused", plain("[1, 2]")})
	}
	return table{{m.name, args}}
}

func (g *generator) builder(at place) any {
	switch n := g.rand.IntN(100); {
	case n < 20:
		return table{{"conditional-step", table{
			{"condition-kind", pick(g, "always", "never")},
			{"steps", g.nested(at)},
		}}}
	case n < 35:
		return table{{"shell", plain(g.include(at))}}
	case n < 45:
		return table{{"shell", table{{"command", g.script(at)}}}}
	case n < 50 && at == inTemplate:
		return table{{"shell", plain(g.jinja())}}
	case n < 54 && at != inMacro:
		return table{{"shell", plain(`!join: ["\n", ["echo joined", 'b {name}', "c"]]`)}}
	case n < 60:
		return table{{"inject", table{{"properties-content", g.text(at)}}}}
	default:
		return table{{"shell", g.script(at)}}
	}
}

// nested makes at least two steps: one alone is written in another form.
func (g *generator) nested(at place) items {
	list := items{table{{"shell", g.script(at)}}}
	for range 1 + g.rand.IntN(2) {
		list = append(list, g.component("builder", at))
	}
	return list
}

func (g *generator) include(at place) string {
	tag := pick(g, "!include-raw:", "!include-raw-escape:", "!include-raw")
	var files []string
	switch {
	case at == inMacro:
		files = []string{"plain.sh", "no-newline.sh"}
	case tag == "!include-raw-escape:":
		files = []string{"plain.sh", "braces.sh", "no-newline.sh", "inc/braces.sh"}
	default:
		files = []string{"plain.sh", "vars.sh", "no-newline.sh"}
	}
	if at == inTemplate && g.chance(20) {
		return tag + " '{system}.sh'"
	}
	if g.chance(30) {
		return tag + " [" + pick(g, files...) + ", " + pick(g, files...) + "]"
	}
	return tag + " " + pick(g, files...)
}

// jinja makes a script that is a template of Jinja2.
func (g *generator) jinja() string {
	if g.chance(30) {
		return "!include-jinja2: template.j2"
	}
	lines := []string{
		"echo {{ name }} {{ colour }} {braces}", "{% if number %}yes{% else %}no{% endif %}", "{{ missing|default('none') }}",
		"{% for x in list %}{{ x }},{% endfor %}", "{{ flavour|upper }} {{ list|length }} {{ table.key }} {{ table['n'] }}",
		"{# a comment #}{{ name ~ '-' ~ system }}", "{% set v = name %}{{ v }}", "{{ list|join('+') }}",
		"{% if system == 'linux' and name %}linux{% elif not name %}none{% endif %}", "{{ [1, 2]|last }} {{ 7 // 2 }} {{ 'a' if number else 'b' }}",
	}
	text := "echo jinja"
	for range 1 + g.rand.IntN(3) {
		text += "\n" + pick(g, lines...)
	}
	return "!j2: " + doubled(text+pick(g, "", "\n"))
}

func (g *generator) parameter(at place) any {
	name := pick(g, "LEVEL", "TARGET", "é")
	switch g.rand.IntN(4) {
	case 0:
		return table{{"bool", table{{"name", name}, {"default", plain(pick(g, "true", "no", "1"))}}}}
	case 1:
		return table{{"choice", table{{"name", name}, {"choices", items{"one", g.text(at)}}, {"description", g.text(at)}}}}
	case 2:
		return table{{"text", table{{"name", name}, {"default", g.script(at)}}}}
	default:
		var value any = plain(g.scalar())
		if at == inTemplate && g.chance(60) {
			value = pick(g, "{level}", "{number}", "{obj:list}", "{table}", "{version}", "{related}", "{level|none}", "{missing|}")
		}
		return table{{"string", table{{"name", name}, {"default", value}, {"description", g.text(at)}}}}
	}
}

func (g *generator) trigger(at place) any {
	switch g.rand.IntN(3) {
	case 0:
		return table{{"timed", pick(g, "@daily", "H 4 * * 1-5", "TZ=Europe/Paris\nH 3 * * *\n", g.text(at))}}
	case 1:
		return table{{"pollscm", table{{"cron", pick(g, "H/10 * * * *", g.text(at))}}}}
	default:
		return table{{"reverse", table{{"jobs", items{"other", g.text(at)}}}}}
	}
}

// script makes the text of a shell step. It never is a variable alone, which
// would give it another type.
func (g *generator) script(at place) string {
	lines := []string{pick(g, "#!/bin/bash -ex", "# a script", "echo begin", "cd -- work")}
	for range 1 + g.rand.IntN(4) {
		lines = append(lines, g.line(at))
	}
	return strings.Join(lines, "\n") + pick(g, "", "\n", "\n\n")
}

// text makes a text of one line.
func (g *generator) text(at place) string { return "t " + g.line(at) }

func (g *generator) line(at place) string {
	any := []string{"echo $PATH", "  indented: text # no comment", "a | b > c 2>&1", `printf '%s\n' "x"`, "é ☃ 日本", "", "- dash", "key: value"}
	switch at {
	case inJob:
		any = append(any, "f() { echo ${x}; }", "{single} {{double}}", "}{", "{name} {missing|default}")
	case inTemplate:
		any = append(any, templated...)
		any = append(any, templated...)
	case inMacro:
		any = append(any, "echo {a}", "{b} {{literal}} ${{HOME}}", "{a}{b}", "{c|not given}", "{{{a}}}", "{a!r} {b:>12}|")
	}
	return pick(g, any...)
}

// templated are lines for templates: each way to use a variable.
var templated = []string{
	"echo {name} {colour}", "{level} {number} {version}", "{os}/{arch}", "${{HOME}} {{x}} {{{{y}}}}",
	"{{{name}}} {{{colour|x}}}", "{missing|default text} {missing|}", "{level|none}!", "{colour!r} {name:>8}|{name:<6}|{name:^7}|",
	"{table[key]} {list[0]} {list[1]}", "{list}", "{table}", "{quoted} {related}", "{template-name}",
	"f() {{ echo {name}; }}", "{number!s:>6}", "{flavour}", "{missing|${{HOME}}}", "{name!r}",
}
