package jjb

import (
	"fmt"
	"math/rand/v2"
)

// Tree is a tree of definitions and the command line that reads it.
type Tree struct {
	Files map[string]string
	Args  []string // as of jenkins-jobs, without its name
	// Broken says what was broken on purpose; empty if nothing was.
	Broken string
}

// generator makes one tree.
type generator struct {
	rand  *rand.Rand
	files map[string]string
	// macros have the names and arguments of those that there are, by kind.
	macros    map[string][]macro
	templates []template
	groups    []string
	shared    int // anchors of the file that is being made
}

type macro struct {
	name string
	args []string
}

type template struct {
	ref  string
	axes []string
}

// Generate makes the tree of a seed.
func Generate(seed uint64) Tree {
	g := &generator{rand: rand.New(rand.NewPCG(seed, 1)), files: map[string]string{}, macros: map[string][]macro{}}
	g.includes()
	var parts []items
	part := func(list items) { parts = append(parts, list) }
	part(g.makeMacros())
	part(g.defaults())
	part(g.makeTemplates())
	part(g.makeGroups())
	part(g.projects())
	part(g.views())
	broken := ""
	if g.chance(15) {
		var list items
		list, broken = g.breakage()
		part(list)
	}
	args := g.layout(parts)
	return Tree{Files: g.files, Args: args, Broken: broken}
}

func (g *generator) chance(percent int) bool { return g.rand.IntN(100) < percent }

func pick[T any](g *generator, list ...T) T { return list[g.rand.IntN(len(list))] }

// layout spreads the definitions over files, adds plain jobs to each, and
// returns a command line that reads them.
func (g *generator) layout(parts []items) []string {
	names := []string{"main.yaml", "more/a.yml", "more/b.yaml", "more/deep/c.yml", "skip/d.yml"}
	used := 1 + g.rand.IntN(len(names)-1)
	files := make([]items, used)
	retain := g.chance(10)
	for _, p := range parts {
		i := g.rand.IntN(used)
		files[i] = append(files[i], p...)
	}
	for i, definitions := range files {
		var head items
		if i == 0 || !retain { // else those of the first file hold
			head = g.anchors()
		}
		body := append(definitions, g.jobs(i)...)
		if g.chance(70) { // the order of definitions does not count
			g.rand.Shuffle(len(body), func(a, b int) { body[a], body[b] = body[b], body[a] })
		}
		g.files[names[i]] = "# made by a generator\n" + document(g.rand, append(head, body...))
	}
	g.files["skip/x/not.yml"] = "this: is no list\n"
	g.files["more/notes.txt"] = "no definitions\n"
	conf := "[job_builder]\ninclude_path=.:inc\n"
	args := []string{"--conf", "jjb.ini"}
	if g.chance(10) {
		args = append(args, "--allow-empty-variables")
	}
	if g.chance(10) {
		conf += "keep_descriptions=True\n"
	}
	if g.chance(10) {
		conf += "allow_duplicates=yes\n"
	}
	if retain {
		conf += "retain_anchors=True\n"
	}
	args = append(args, "test")
	switch {
	case used == 1:
		args = append(args, "main.yaml")
	case used == 2:
		args = append(args, "main.yaml:more")
	case g.chance(30) && used < 5:
		conf += "recursive=True\nexclude=x:inc\n"
		args = append(args, ".")
	default:
		args = append(args, "-r", "-x", pick(g, "x:inc", "x:in?", "[xy]:inc"), ".")
	}
	if g.chance(20) {
		args = append(args, pick(g, "p*", "*-linux*", "job-?", "*e*"), "team/*")
	}
	g.files["jjb.ini"] = conf + "[jenkins]\nurl=http://127.0.0.1:9/\nquery_plugins_info=False\n"
	return args
}

// includes makes the files that definitions may include.
func (g *generator) includes() {
	g.files["inc/plain.sh"] = "#!/bin/sh\necho plain\n"
	g.files["inc/braces.sh"] = "for x in a; do echo ${x} ${HOME:-none}; done\nf() { echo {}; }\n"
	g.files["inc/vars.sh"] = "echo {name} {level|no level} {{literal}}\n"
	g.files["inc/no-newline.sh"] = "echo end"
	g.files["inc/linux.sh"] = "uname {not a variable}\n"
	g.files["inc/bsd.sh"] = "sysctl ${{x}}\n"
	g.files["inc/template.j2"] = "echo from {{ name }}\n{% for x in list -%}\n  {{ loop.index }} {{ x }}\n{% endfor %}\n"
	g.files["inc/steps.inc"] = "- shell: |\n    echo included\n- shell: 'echo {name|nobody}'\n"
	g.files["inc/params.inc"] = "- string:\n    name: INCLUDED\n    default: 1.10\n"
}

// anchors makes the values that definitions of the same file share.
func (g *generator) anchors() items {
	g.shared = 0
	if !g.chance(40) {
		return nil
	}
	g.shared = 1 + g.rand.IntN(2)
	body := table{{"name", fmt.Sprintf("anchors-%d", g.rand.IntN(1<<30))}}
	for n := range g.shared {
		body = append(body, entry{fmt.Sprintf("shared-%d", n), anchored{fmt.Sprintf("shared%d", n), table{
			{"triggers", items{table{{"timed", pick(g, "@daily", "H H * * *")}}}},
			{"quiet-period", plain("5")},
			{"concurrent", plain(pick(g, "true", "no", "On"))},
		}}})
	}
	return items{table{{"anchors", body}}}
}

// merge adds a shared map to a job or template, sometimes.
func (g *generator) merge(t table) table {
	if g.shared > 0 && g.chance(50) {
		at := g.rand.IntN(len(t) + 1)
		m := entry{"<<", plain(fmt.Sprintf("*shared%d", g.rand.IntN(g.shared)))}
		if g.shared == 2 && g.chance(30) {
			m.value = plain("[*shared0, *shared1]")
		}
		t = append(t[:at:at], append(table{m}, t[at:]...)...)
	}
	return t
}

func (g *generator) defaults() items {
	var list items
	if g.chance(60) {
		list = append(list, table{{"defaults", table{
			{"name", "global"},
			{"description", "of {name}"},
			{"level", plain(g.scalar())},
			{"flavour", g.word()},
			{"wrappers", items{"timestamps"}},
		}}})
	}
	return append(list, table{{"defaults", table{
		{"name", "quick"},
		{"flavour", g.word()},
		{"triggers", items{table{{"pollscm", "H/5 * * * *"}}}},
	}}})
}

func (g *generator) makeTemplates() items {
	var list items
	for n := range 1 + g.rand.IntN(4) {
		t := template{ref: fmt.Sprintf("{name}-t%d", n)}
		for _, axis := range []string{"os", "arch", "version"} {
			if g.chance(45) {
				t.axes = append(t.axes, axis)
				t.ref += "-{" + axis + "}"
			}
		}
		var own table
		if g.chance(12) { // a list that is no axis, for it is not the project's
			t.ref += "-{variant}"
			own = table{{"variant", pick[any](g, items{"v1", plain("2")}, plain("1.0"), "v3")}}
		}
		if g.chance(12) {
			t.ref += "-{mode|fast}"
		}
		body := append(table{{"name", t.ref}}, own...)
		if g.chance(25) {
			t.ref = fmt.Sprintf("template-%d", n)
			body = append(body, entry{"id", t.ref})
		}
		if g.chance(30) {
			body = append(body, entry{"defaults", "quick"})
		}
		if g.chance(40) {
			body = append(body, entry{"colour", g.word()})
		}
		if g.chance(15) {
			body = append(body, entry{"folder", pick(g, "team", "{name}")})
		}
		if g.chance(40) {
			body = append(body, entry{"description", g.text(inTemplate)})
		}
		list = append(list, table{{"job-template", append(body, g.components(inTemplate)...)}})
		g.templates = append(g.templates, t)
	}
	return list
}

func (g *generator) makeGroups() items {
	var list items
	for n := range g.rand.IntN(3) {
		name := fmt.Sprintf("group%d", n)
		body := table{{"name", name}}
		if g.chance(50) {
			body = append(body, entry{"flavour", "of " + name})
		}
		list = append(list, table{{"job-group", append(body, entry{"jobs", g.references(nil)})}})
		g.groups = append(g.groups, name)
	}
	return list
}

// references lists some templates, and groups.
func (g *generator) references(groups []string) items {
	var list items
	for _, t := range g.templates {
		if !g.chance(60) && len(list)+len(groups) > 0 {
			continue
		}
		if g.chance(70) {
			list = append(list, t.ref)
			continue
		}
		vars := table{{"colour", g.word()}}
		if len(t.axes) > 0 {
			vars = append(vars, entry{t.axes[0], g.axis(t.axes[0])})
		}
		list = append(list, table{{t.ref, vars}})
	}
	for _, name := range groups {
		if g.chance(50) {
			list = append(list, name)
		} else {
			list = append(list, table{{name, table{{"level", plain(g.scalar())}}}})
		}
	}
	return list
}

// projects gives each template all the variables that it may use.
func (g *generator) projects() items {
	var list items
	for n := range 1 + g.rand.IntN(3) {
		refs := g.references(nil)
		if len(g.groups) > 0 && g.chance(50) {
			refs = g.references(nil)[:0]
			for _, name := range g.groups[:1] { // two groups could make one job twice
				refs = append(refs, name)
			}
		}
		body := table{
			{"name", fmt.Sprintf("p%d", n)},
			{"jobs", refs},
			{"os", g.axis("os")},
			{"arch", g.axis("arch")},
			{"version", g.axis("version")},
			{"colour", g.word()},
			{"flavour", g.word()},
			{"level", plain(g.scalar())},
			{"number", plain(pick(g, "7", "010", "0x1F", "1_000", "12:30", "+7", "3.0"))},
			{"quoted", pick(g, "a 'b' c", "$HOME", "é ☃", "back\\slash")},
			{"table", table{{"key", pick(g, "held", "{name}")}, {"n", plain("1")}}},
			{"list", items{"x", plain("yes"), plain("1.10"), "it's"}},
			{"related", pick(g, "{colour}-{flavour}", "{name}{{}}", "{missing|none}", "plain")},
			{"system", pick(g, "linux", "bsd")},
		}
		if g.chance(30) {
			body = append(body, entry{"mode", pick[any](g, items{"slow", plain("no")}, "slow", plain("~"))})
		}
		if g.chance(40) {
			body = append(body, entry{"exclude", items{table{{"os", "linux"}, {"arch", plain(pick(g, "1", "'1'", "arm"))}}}})
		}
		list = append(list, table{{"project", body}})
	}
	return list
}

// axis returns the values of an axis: a list, maybe with further variables,
// or one value.
func (g *generator) axis(name string) any {
	switch name {
	case "os":
		if g.chance(30) {
			return items{"linux", table{{"bsd", table{{"colour", "of bsd"}, {"number", plain("99")}}}}}
		}
		return pick[any](g, items{"linux", "bsd"}, items{"linux"}, "linux")
	case "arch":
		return pick[any](g, items{"arm", "amd"}, items{plain("1"), plain("'2'")}, items{plain("010"), "arm"}, "{colour}")
	default:
		return pick[any](g, items{plain("1.10"), plain("1.2")}, items{plain("yes"), plain("no")}, items{plain("12:30"), plain("0o17")}, plain("3"))
	}
}

// jobs makes plain jobs, which this dialect does not format.
func (g *generator) jobs(file int) items {
	var list items
	for n := range g.rand.IntN(3) {
		body := table{{"name", fmt.Sprintf("job-%d%d", file, n)}}
		if g.chance(30) {
			body = append(body, entry{"defaults", "quick"})
		}
		if g.chance(20) {
			body = append(body, entry{"folder", "team"})
		}
		if g.chance(50) {
			body = append(body, entry{"description", g.text(inJob)})
		}
		list = append(list, table{{"job", g.merge(append(body, g.components(inJob)...))}})
	}
	return list
}

func (g *generator) views() items {
	if !g.chance(20) {
		return nil
	}
	return items{table{{"view", table{{"name", "all-of-them"}, {"view-type", "list"}, {"regex", ".*"}}}}}
}

// breakage makes something that is wrong.
func (g *generator) breakage() (items, string) {
	project := func(jobs items, more ...entry) table {
		return table{{"project", append(table{{"name", "wrong"}, {"jobs", jobs}}, more...)}}
	}
	templated := func(script string) items {
		return items{
			table{{"job-template", table{{"name", "wrong-{name}"}, {"builders", items{table{{"shell", script}}}}}}},
			project(items{"wrong-{name}"}),
		}
	}
	job := table{{"job", table{{"name", "wrong"}}}}
	switch g.rand.IntN(9) {
	case 0:
		return templated("echo {nowhere-defined} x"), "a variable that is not defined"
	case 1:
		return templated("f() { echo; }"), "single braces"
	case 2:
		return items{project(items{"no-such-template"})}, "a template that there is not"
	case 3:
		return items{job, table{{"job-template", table{{"name", "{name}"}}}}, project(items{"{name}"})}, "two jobs of one name"
	case 4:
		return items{job, job}, "a job twice"
	case 5:
		return items{table{{"job", nil}, {"name", "wrong"}}}, "a job that is not indented"
	case 6:
		return items{table{{"job", table{{"name", "wrong"}, {"builders", items{table{{"shell", plain("!include-raw: nowhere.sh")}}}}}}}}, "an included file that there is not"
	case 7:
		return items{project(items{}, entry{"a", "{nowhere}"}), table{{"job-template", table{{"name", "{name}-x"}}}},
			table{{"project", table{{"name", "wrong2"}, {"a", "{nowhere}"}, {"jobs", items{"{name}-x"}}}}}}, "a variable of a project that is not defined"
	default:
		return items{
			table{{"builder", table{{"name", "wrong-macro"}, {"builders", items{table{{"shell", "echo {given} {not-given}"}}}}}}},
			table{{"job", table{{"name", "wrong"}, {"builders", items{table{{"wrong-macro", table{{"given", "x"}}}}}}}}},
		}, "an argument that a macro needs"
	}
}

func (g *generator) word() string {
	return pick(g, "red", "dark blue", "x", "a_b-c", "${{HOME}}", "it's", "{{x}}", "é")
}

// scalar returns YAML whose type depends on the version of YAML.
func (g *generator) scalar() string {
	return pick(g, "1", "1.10", "yes", "Off", "010", "0o17", "0x1F", "1_000", "12:30", "1e3", "1.0e+3", "~", "''", "'1'",
		"08", "+7", ".5", "text", "y", "-0.0", "190:20:30", "0b11", "1.5e-7", "NULL", "'~'",
		"2024-01-02", "2024-01-02 03:04:05", "2024-01-02T03:04:05.5+02:00", "<", "1e+3", "0x", "-0x1f", "1__0", "1:60")
}
