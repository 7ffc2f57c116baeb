package definition_test

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/jobspec"
)

// treeOf returns a tree with the definitions in main.yaml.
func treeOf(definitions string, files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{"main.yaml": {Data: []byte(definitions)}}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// outline returns what jobs run: "name: type(args) type(args)[children]".
func outline(made []definition.Job) []string {
	var all []string
	for _, j := range made {
		text := j.Name + ":"
		for _, list := range slices.Sorted(maps.Keys(j.Components)) {
			text += outlineOf(j.Components[list])
		}
		for _, err := range j.Errs {
			text += fmt.Sprintf(" !%d:%d %s", err.Line, err.Column, err.Message)
		}
		all = append(all, text)
	}
	return all
}

func outlineOf(components []definition.Component) string {
	text := ""
	for _, c := range components {
		text += " " + c.Type
		if c.Args != nil {
			text += "(" + c.Args.Text() + ")"
		}
		if len(c.Children) > 0 {
			text += "[" + strings.TrimPrefix(outlineOf(c.Children), " ") + "]"
		}
	}
	return text
}

// dialectCase is what both dialects make of a tree: the outline, or what the
// error contains.
type dialectCase struct {
	name, text      string
	files           map[string]string
	modern, classic string
}

func TestWhatTheDialectsMakeOfATree(t *testing.T) {
	cases := []dialectCase{
		{"a plain job with variables of the shell", "- job: {name: j, builders: [shell: 'echo ${{HOME}}']}", nil,
			"j: shell(echo ${HOME})", "j: shell(echo ${{HOME}})"},
		{"a macro with and without arguments", "- builder: {name: m, builders: [shell: '{x|none} ${{A}}']}\n- job: {name: j, builders: [m, m: {x: 1}]}", nil,
			"j: shell(none ${A}) shell(1 ${A})", "j: shell({x|none} ${{A}}) shell(1 ${A})"},
		{"the name of a component from an argument", "- builder: {name: m, builders: ['m-{k}']}\n- builder: {name: m-a, builders: [shell: a]}\n- job: {name: j, builders: [m: {k: a}]}", nil,
			"j: shell(a)", `j: m-{k} !1:33 unknown builder "m-{k}" (it is no macro, and Jenkins Job Builder has none of this name)`},
		{"variables of variables", "- job-template: {name: '{name}-j', builders: [shell: '{a}']}\n- project: {name: p, a: '{b}1', b: '{c}2', c: '3', jobs: ['{name}-j']}", nil,
			"p-j: shell(321)", "p-j: shell({c}21)"},
		{"variables in the template's own", "- job-template: {name: '{name}-j', img: 'r/{name}', builders: [shell: '{img}']}\n- project: {name: p, jobs: ['{name}-j']}", nil,
			"p-j: shell(r/p)", "p-j: shell(r/{name})"},
		{"an axis in the defaults", "- defaults: {name: global, a: [1, 2]}\n- job-template: {name: '{name}-{a}', builders: [shell: '{a}']}\n- project: {name: p, jobs: ['{name}-{a}']}", nil,
			"p-1: shell(1)\np-2: shell(2)", "p-[1, 2]: shell([1, 2])"},
		{"a name that is used with a default in the name only", "- job-template: {name: '{name}-{a|x}', id: t, builders: [shell: '{a|y}']}\n- project: {name: p, jobs: [t]}", nil,
			"p-x: shell(x)", "p-x: shell(y)"},
		{"a custom set of defaults", "- defaults: {name: global, b: GB, node: g}\n- defaults: {name: mine, a: MA}\n- job-template: {name: '{name}-j', defaults: mine, builders: [shell: '{a} {b|none}']}\n- project: {name: p, jobs: ['{name}-j']}", nil,
			"p-j: shell(MA GB)", "p-j: shell(MA GB)"},
		{"defaults at the project", "- defaults: {name: mine, a: MA, node: mine}\n- job-template: {name: '{name}-j', builders: [shell: '{a|none}']}\n- project: {name: p, defaults: mine, jobs: ['{name}-j']}", nil,
			"p-j: shell(MA)", "p-j: shell(MA)"},
		{"maps as text", "- job-template: {name: '{name}-j', builders: [shell: '{d}!']}\n- project: {name: p, d: {a: 1, l: [x]}, jobs: ['{name}-j']}", nil,
			"p-j: shell({'a': 1, 'l': ['x']}!)", "p-j: shell(OrderedDict([('a', 1), ('l', ['x'])])!)"},
		{"a date", "- job-template: {name: '{name}-j', builders: [shell: '{d}']}\n- project: {name: p, d: 2024-01-02T03:04:05Z, jobs: ['{name}-j']}", nil,
			"error: is a date in YAML 1.1", "p-j: shell(2024-01-02 03:04:05+00:00)"},
		{"a group that lists what is not there", "- job-group: {name: g, jobs: [x]}\n- project: {name: p, jobs: [g]}", nil,
			`error: there is no template or job "x"`, ""},
		{"an item of jobs with two keys", "- job-template: {name: a, builders: [shell: x]}\n- project: {name: p, jobs: [{a: , b: }]}", nil,
			"error: an item of jobs must be a name or a map with one key, but has 2 keys", "a: shell(x)"},
		{"a component with two keys", "- job: {name: j, builders: [{shell: a, batch: b}]}", nil, "j: shell(a)", "j: shell(a)"},
		{"a folder", "- job-template: {name: '{name}-j', folder: '{f}'}\n- project: {name: p, f: x, jobs: ['{name}-j']}", nil, "x/p-j:", "x/p-j:"},
		{"files of text", "- builder: {name: m, builders: [shell: !include-raw-escape: s.sh]}\n- job-template: {name: '{name}-j', builders: [m, shell: !include-raw-escape: s.sh, shell: !include-raw: [t.sh, t.sh]]}\n- project: {name: p, jobs: ['{name}-j']}",
			map[string]string{"s.sh": "echo ${A}\r\n", "t.sh": "{name}"},
			"p-j: shell(echo ${A}\n) shell(echo ${A}\n) shell(p\np)", "p-j: shell(echo ${{A}}\n) shell(echo ${A}\n) shell(p\np)"},
		{"a file whose path has a variable", "- job-template: {name: '{name}-j', builders: [shell: !include-raw: 'd/{f}.sh']}\n- project: {name: p, f: s, jobs: ['{name}-j']}",
			map[string]string{"d/s.sh": "{name}"}, "p-j: shell(p)", "p-j: shell({name})"},
		{"a path with a variable in a plain job", "- job: {name: j, f: s, builders: [shell: !include-raw: '{f}.sh']}", map[string]string{"s.sh": "x"},
			"j: shell(x)", "j: shell(raw {f}.sh) !1:42 a tag that needs variables stays as it is here: in the classic dialect, plain jobs and macros without arguments are not formatted"},
		{"a path with a default", "- job-template: {name: '{name}-j', builders: [shell: !include-raw-verbatim: '{f|s}.sh']}\n- project: {name: p, jobs: ['{name}-j']}",
			map[string]string{"s.sh": "{x}"}, "p-j: shell({x})", "error: the tag !include-raw-verbatim: is not known"},
		{"a file of YAML in a folder of its own", "- job: {name: j, builders: !include: sub/b.inc}",
			map[string]string{"sub/b.inc": "- shell: !include-raw: s.sh\n", "sub/s.sh": "inner"}, "j: shell(inner)", `error: there is no file "s.sh"`},
		{"a template of Jinja2", "- job-template: {name: '{name}-j', builders: !j2-yaml: \"{% for s in l %}\\n- shell: '{{ s }} {name}'\\n{% endfor %}\"}\n- project: {name: p, l: [a, b], jobs: ['{name}-j']}", nil,
			"p-j: shell(a p) shell(b p)", "p-j: shell(a p) shell(b p)"},
		{"a template of Jinja2 in a file", "- job-template: {name: '{name}-j', builders: [shell: !include-jinja2: s.j2]}\n- project: {name: p, v: {k: 1}, jobs: ['{name}-j']}",
			map[string]string{"s.j2": "{% if v.k == 1 %}{name} {{ name }}{% endif %}\n"}, "p-j: shell({name} p)", "p-j: shell({name} p)"},
		{"a property's macro sees the job", "- property: {name: m, properties: [github: {url: '{display-name}'}]}\n- job: {name: j, display-name: J, properties: [m: {x: 1}]}", nil,
			"j: github({'url': 'J'})", "j: github({'url': 'J'})"},
		{"a macro that calls itself", "- builder: {name: m, builders: [m]}\n- job: {name: j, builders: [m]}", nil,
			"j: !1:33 macros call each other more than 50 deep: does \"m\" call itself?", "j: !1:33 macros call each other more than 50 deep: does \"m\" call itself?"},
		{"an argument that is missing", "- builder: {name: m, builders: [shell: '{x}', shell: b]}\n- job: {name: j, builders: [m: {y: 1}]}", nil,
			`j: shell(b) !1:41 the variable "x" is not defined; did you mean "y"? (define it in the project, or write {x|text} for a default, or {{x}} if you mean braces)`,
			`j: shell(b) !1:41 the variable "x" is not defined; did you mean "y"? (define it in the project, or write {x|text} for a default, or {{x}} if you mean braces)`},
		{"components in components", "- publisher: {name: m, publishers: [archive: {artifacts: '{x}'}]}\n- job: {name: j, publishers: [conditional-publisher: [{condition-kind: always, action: [m: {x: a}]}], join-trigger: {publishers: [m: {x: b}]}]}", nil,
			"j: conditional-publisher([{'condition-kind': 'always', 'action': [{'m': {'x': 'a'}}]}])[archive({'artifacts': 'a'})] join-trigger({'publishers': [{'m': {'x': 'b'}}]})[archive({'artifacts': 'b'})]",
			"j: conditional-publisher([{'condition-kind': 'always', 'action': [{'m': {'x': 'a'}}]}])[archive({'artifacts': 'a'})] join-trigger({'publishers': [{'m': {'x': 'b'}}]})[archive({'artifacts': 'b'})]"},
	}
	for _, c := range cases {
		for dialect, want := range map[definition.Dialect]string{definition.Modern: c.modern, definition.Classic: c.classic} {
			t.Run(c.name+"/"+string(dialect), func(t *testing.T) {
				var made []definition.Job
				set, err := definition.Load(treeOf(c.text, c.files), []string{"main.yaml"}, definition.Options{Dialect: dialect})
				if err == nil {
					made, err = set.Jobs()
				}
				if part, isError := strings.CutPrefix(want, "error: "); isError {
					if err == nil || !strings.Contains(err.Error(), part) {
						t.Errorf("the error is %v, want %q", err, part)
					}
					return
				}
				if got := strings.Join(outline(made), "\n"); err != nil || got != want {
					t.Errorf("there is\n%s\n(%v), want\n%s\nfor\n%s", got, err, want, c.text)
				}
			})
		}
	}
}

func TestAnErrorInAMacroShowsTheWholeWay(t *testing.T) {
	files := map[string]string{"s.sh": "set -e\necho {what}\n"}
	set, err := definition.Load(treeOf(`- builder:
    name: m
    builders: [shell: !include-raw-expand: s.sh]
- job-template: {name: '{name}-j', builders: [m]}
- project: {name: p, jobs: ['{name}-j']}
`, files), []string{"main.yaml"}, definition.Options{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := set.Jobs()
	if err != nil || len(made) != 1 || len(made[0].Errs) != 1 {
		t.Fatalf("Jobs gave %v, %v, want a job with one error", made, err)
	}
	want := `s.sh:2:6: the variable "what" is not defined (define it in the project, or write {what|text} for a default, or {{what}} if you mean braces)
  in project "p" (main.yaml:5:3)
  in job-template "{name}-j" (main.yaml:4:3)
  in builder "m" (main.yaml:1:3), called at main.yaml:4:47
  in s.sh, included at main.yaml:3:23
    echo {what}
         ^`
	if got := made[0].Errs[0].Error(); got != want {
		t.Errorf("the error is\n%s\nwant\n%s", got, want)
	}
}

func TestStrictMakesErrorsOfWhatTheOriginalDoesNotSay(t *testing.T) {
	for text, want := range map[string]string{
		"- jobb: {name: a}\n": `1:3: unknown kind "jobb"`,
		"- job: {name: j, builders: [{shell: a, batch: b}]}\n":                 "1:29: an item of builders must have one key, its name, but has 2",
		"- job: {name: j, builders: {shell: a}}\n":                             "1:28: builders must be a list",
		"- job: {name: j, builders: [shel: a]}\n":                              `1:29: unknown builder "shel"; did you mean "shell"?`,
		"- job-group: {name: g, jobs: [x]}\n- project: {name: p, jobs: [g]}\n": `1:31: there is no template or job "x"`,
		axisTemplate + "- project: {name: p, a: [], jobs: ['{name}-{a}']}\n":   `2:25: the axis "a" is an empty list`,
	} {
		for _, dialect := range []definition.Dialect{definition.Modern, definition.Classic} {
			set, err := definition.Load(treeOf(text, nil), []string{"main.yaml"}, definition.Options{Dialect: dialect, Strict: true})
			if err == nil {
				_, err = jobspec.Translate(set, nil)
			}
			if err == nil || !strings.HasPrefix(err.Error(), "main.yaml:"+want) {
				t.Errorf("in the dialect %s, the error is\n%v\nwant %s\nfor\n%s", dialect, err, want, text)
			}
		}
	}
}

func TestRetainAnchorsLetsAFileUseThoseOfTheFilesBefore(t *testing.T) {
	fsys := fstest.MapFS{
		"jobs/a.yaml": {Data: []byte("- job: {name: a, builders: &l [shell: x]}\n")},
		"jobs/b.yaml": {Data: []byte("# b\n- job:\n    name: b\n    builders: *l\n    triggers: [timd: x]\n")},
	}
	if _, err := definition.Load(fsys, []string{"jobs"}, definition.Options{}); err == nil {
		t.Error("Load gave no error for an anchor of another file")
	}
	set, err := definition.Load(fsys, []string{"jobs"}, definition.Options{RetainAnchors: true})
	if err != nil {
		t.Fatal(err)
	}
	made, err := set.Jobs()
	want := []string{"a: shell(x)", `b: shell(x) timd(x) !5:16 unknown trigger "timd"; did you mean "timed"? (it is no macro, and Jenkins Job Builder has none of this name)`}
	if got := outline(made); err != nil || !slices.Equal(got, want) {
		t.Errorf("the jobs are %q, %v, want %q", got, err, want)
	}
}

func TestPatternsChooseJobsByTheirFullNames(t *testing.T) {
	set, err := definition.Load(treeOf("- job: {name: a-1}\n- job: {name: b-1, folder: a}\n- job: {name: b-2}\n", nil), []string{"main.yaml"}, definition.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]string{"a*": "[a-1: a/b-1:]", "b-[13]": "[]", "?-[!1]": "[b-2:]", "b-2": "[b-2:]"} {
		made, err := set.Jobs(pattern)
		if got := fmt.Sprint(outline(made)); err != nil || got != want {
			t.Errorf("%s gave %s, %v, want %s", pattern, got, err, want)
		}
	}
}

func TestWarningsSayThatTheDialectLooksWrong(t *testing.T) {
	for text, want := range map[string]map[definition.Dialect]string{
		"- job: {name: j, builders: [shell: 'echo ${{HOME}}']}":                      {definition.Classic: "main.yaml:1:42: in the classic dialect, ${{ stays"},
		"- builder: {name: m, builders: [shell: 'echo ${{HOME}}']}":                  {definition.Classic: "main.yaml:1:46: in the classic dialect, ${{ stays"},
		"- builder: {name: m, builders: [shell: 'echo ${{HOME}} {x}']}":              {},
		"- job: {name: j, builders: [shell: 'echo ${HOME}']}":                        {definition.Modern: "main.yaml:1:42: in the modern dialect, ${HOME} in a job"},
		"- _x: {name: a}\n- job: {name: j, builders: [shell: 'echo $HOME {{}}']}":    {definition.Classic: "main.yaml:1:3: a kind that begins with _"},
		"- job-template: {name: j, builders: [shell: 'echo ${HOME} ${{PATH}} {x}']}": {},
	} {
		for _, dialect := range []definition.Dialect{definition.Modern, definition.Classic} {
			set, err := definition.Load(treeOf(text, nil), []string{"main.yaml"}, definition.Options{Dialect: dialect})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, w := range set.Warnings() {
				got += w.Error()
			}
			if !strings.HasPrefix(got, want[dialect]) || (got == "") != (want[dialect] == "") {
				t.Errorf("in the dialect %s, the warnings are %q, want %q, for\n%s", dialect, got, want[dialect], text)
			}
		}
	}
}

func TestFilesBehindLinksAreReadOnceAndIncludeFromTheirOwnFolder(t *testing.T) {
	link := func(target string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink}
	}
	fsys := fstest.MapFS{
		"shared/jobs/a.yaml":   {Data: []byte("- job: {name: a, builders: [shell: !include-raw: ../sh/a.sh]}\n")},
		"shared/jobs/b/b.yaml": {Data: []byte("- job: {name: b}\n")},
		"shared/sh/a.sh":       {Data: []byte("x")},
		"jobs/shared/jobs":     link("../../shared/jobs"),
		"jobs/again.yaml":      link("../shared/jobs/a.yaml"),
	}
	for _, dialect := range []definition.Dialect{definition.Modern, definition.Classic} {
		set, err := definition.Load(fsys, []string{"jobs"}, definition.Options{Dialect: dialect, Recursive: true})
		if err != nil {
			t.Fatal(err)
		}
		made, err := set.Jobs()
		if got := fmt.Sprint(outline(made)); err != nil || got != "[a: shell(x)]" {
			t.Errorf("in the dialect %s, the jobs are %s, %v, want only a", dialect, got, err)
		}
	}
}

func TestEqualCallsOfMacrosKeepThePlacesOfTheirArguments(t *testing.T) {
	const text = `- builder:
    name: m
    builders:
    - shell: 'echo {a} {b|none}'
    - shell: '{a}'
- job-template:
    name: '{name}-t'
    builders: [m: {a: '{v}'}, m: {a: '{v}', b: 1}]
- project: {name: p, v: same, jobs: ['{name}-t']}
- project: {name: q, v: same, jobs: ['{name}-t']}
`
	for _, dialect := range []definition.Dialect{definition.Modern, definition.Classic} {
		set, err := definition.Load(treeOf(text, nil), []string{"main.yaml"}, definition.Options{Dialect: dialect})
		if err != nil {
			t.Fatal(err)
		}
		made, err := set.Jobs()
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range []int{9, 10} {
			var got []string
			for _, c := range made[i].Components["builders"] {
				got = append(got, fmt.Sprintf("%s:%d", c.Args.Text(), c.Args.At.Line))
			}
			place := fmt.Sprintf("same:%d", line)
			if want := []string{"echo same none:4", place, "echo same 1:4", place}; !slices.Equal(got, want) {
				t.Errorf("%s: %s has %q, want %q", dialect, made[i].Name, got, want)
			}
		}
	}
}
