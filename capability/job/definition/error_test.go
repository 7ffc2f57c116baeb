package definition_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
)

func TestErrorShowsPlaceChainAndLine(t *testing.T) {
	_, err := expand(`- job-template:
    name: '{name}-j'
    script: |
      set -e
      echo größer {vresion} now
- job-group: {name: g, jobs: ['{name}-j']}
- project: {name: p, version: 1, jobs: [g]}
`)
	want := `jobs/a.yml:5:19: the variable "vresion" is not defined; did you mean "version"? ` +
		`(define it in the project, or write {vresion|text} for a default, or {{vresion}} if you mean braces)
  in project "p" (jobs/a.yml:7:3)
  in job-group "g" (jobs/a.yml:6:3)
  in job-template "{name}-j" (jobs/a.yml:1:3)
          echo größer {vresion} now
                      ^`
	if err == nil || err.Error() != want {
		t.Errorf("the error is\n%v\nwant\n%s", err, want)
	}
	e, ok := errors.AsType[*definition.Error](err)
	if !ok || e.File != "jobs/a.yml" || e.Line != 5 || e.Column != 19 || len(e.Chain) != 3 {
		t.Errorf("the error is %#v, want an *Error at 5:19 with a chain of 3", e)
	}
}

func TestErrorShowsPartOfALongLine(t *testing.T) {
	_, err := expand("- job: {name: j, script: '" + strings.Repeat("x", 300) + "{no}" + strings.Repeat("y", 300) + "'}\n")
	lines := strings.Split(fmt.Sprint(err), "\n")
	line, mark := lines[len(lines)-2], lines[len(lines)-1]
	if len(line) > 110 || !strings.HasPrefix(line[len(mark)-1:], "{no}") {
		t.Errorf("the error ends with\n%s\n%s\nwant less than 110 characters and a mark below {no}", line, mark)
	}
}

// mistake is a file and the beginnings of its errors, without "jobs/a.yml:".
type mistake struct {
	name, text string
	want       []string
}

func checkMistakes(t *testing.T, mistakes []mistake) {
	t.Helper()
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			_, err := expand(m.text)
			got := all(err)
			if len(got) != len(m.want) {
				t.Fatalf("there are %d errors, want %d:\n%v", len(got), len(m.want), err)
			}
			for i, want := range m.want {
				if !strings.HasPrefix(got[i].Error(), "jobs/a.yml:"+want) {
					t.Errorf("error %d of\n%v\ndoes not begin with\n%s", i, err, want)
				}
			}
		})
	}
}

const axisTemplate = "- job-template: {name: '{name}-{a}', script: x}\n"

func TestMistakesInFiles(t *testing.T) {
	checkMistakes(t, []mistake{
		{"syntax", "- job: {name: a\n- b", []string{`2:4: not valid YAML: did not find expected ',' or '}' while parsing a flow mapping that begins at line 1, column 8`}},
		{"tab", "- job:\n\tname: a\n", []string{"2:1: not valid YAML: found character that cannot start any token while scanning for the next token: indent with spaces"}},
		{"alias of another file", "- job: {name: b, script: *bb}", []string{"1:26: not valid YAML: unknown anchor 'bb'"}},
		{"alias of itself", "- &a [*a]", []string{"1:7: the alias *a stands for something that it is a part of"}},
		{"two documents", "- job: {name: a}\n---\n- job: {name: b}\n", []string{"2:1: a second document begins here"}},
		{"top is a map", "job:\n  name: a\n", []string{`1:1: the file must be a list of definitions ("- job: ..."), but is a map`}},
		{"item is text", "- job\n", []string{"1:3: a definition must be a map with one key, its kind"}},
		{"two keys", "- job:\n  name: a\n", []string{`2:3: a definition must have one key, its kind, but after "job" comes "name": indent`}},
		{"unknown kind", "- job-tempalte: {name: a}\n", []string{`1:3: unknown kind "job-tempalte"; did you mean "job-template"? (the kinds are job, job-template,`}},
		{"empty definition", "- job:\n", []string{"1:3: the job must be a map that begins with its name, but is empty"}},
		{"missing name", "- job: {image: x}\n", []string{`1:3: the job has no name: add "name: ..."`}},
		{"name is a list", "- job: {name: [x]}\n", []string{"1:15: the name of the job must be text, but is a list"}},
		{"key is a boolean", "- job: {name: x, on: x}\n", []string{"1:18: a key must be text, but this is a boolean: quote it"}},
		{"duplicate", "- project: {name: p}\n- project: {name: p}\n", []string{`2:3: there is already a project "p" at jobs/a.yml:1:3`}},
		{"unknown field", "- job: {name: a, scirpt: x}\n", []string{
			`1:18: unknown field "scirpt"; did you mean "script"? (a job has name, id,`}},
		{"unknown field of a project", "- project: {name: a, jbos: [x], other: 1}\n", []string{`1:22: unknown field "jbos"; did you mean "jobs"?`}},
		{"script and builders", "- job: {name: a, script: x, builders: []}\n", []string{"1:39: a job can have script or builders, not both"}},
		{"unknown tag", "- job: {name: a, script: !includ-raw: x.sh}\n", []string{`1:26: the tag !includ-raw: is not known; did you mean "!include-raw:"?`}},
		{"date", "- job: {name: a, script: 2024-01-02}\n", []string{"1:26: 2024-01-02 is a date in YAML 1.1: quote it"}},
		{"merge of text", "- job: {name: a, <<: x}\n", []string{"1:22: <<: needs a map or a list of maps, but this is text"}},
		{"list as a key", "- job: {name: a, [x]: y}\n", []string{"1:18: a key must be text, but is a list"}},
		{"deep nesting", "- " + strings.Repeat("[", 200) + strings.Repeat("]", 200), []string{"1:103: lists and maps are nested more than 100 deep"}},
		{"long number", "- job: {name: a, script: " + strings.Repeat("1", 5000) + "}", []string{"1:26: the number has more than 4300 digits"}},
		{"aliases that explode", bomb(), []string{"8:5: the value is larger than 4 MiB"}},
		{"jobs is text", "- project: {name: p, jobs: t}\n", []string{"1:28: jobs must be a list of names"}},
		{"two keys in jobs", "- project:\n    name: p\n    jobs:\n    - t:\n      v: 1\n", []string{"4:7: an item of jobs must be a name or a map with one key, but has 2 keys: indent"}},
	})
}

func TestMistakesInExpansion(t *testing.T) {
	checkMistakes(t, []mistake{
		{"missing variable", "- job: {name: a, script: 'x {b} {a}'}", []string{`1:29: the variable "b" is not defined (define it`}},
		{"variable of the shell", "- job: {name: a, script: 'echo ${HOME}'}", []string{`1:33: the variable "HOME" is not defined (write ${{HOME}} if you mean the shell's ${HOME})`}},
		{"function of the shell", "- job: {name: a, script: 'f() { echo; }'}", []string{`1:31: the variable " echo; " is not defined (write {{ and }} if you mean braces)`}},
		{"empty braces", "- job: {name: a, script: 'find {}'}", []string{"1:32: {} names no variable: write {{}} if you mean braces"}},
		{"lonely brace", "- job: {name: a, script: 'a }'}\n- job: {name: b, script: 'a {'}", []string{"1:29: a } has no { before it", "2:29: a { has no } after it"}},
		{"obj in a longer text", "- job: {name: a, v: [1], script: 'x {obj:v} y'}", []string{"1:37: {obj:v} can only be the whole text: write {v}"}},
		{"obj of nothing", "- job: {name: a, script: '{obj:v}'}", []string{`1:27: the variable "v" is not defined`}},
		{"default of a dashed name", "- job: {name: a, script: '{my-var|x}'}", []string{`1:27: only a variable of letters, digits and underscores can have a default, but this is "my-var"`}},
		{"missing part", "- job: {name: a, v: {k: 1}, script: '{v[z]}'}", []string{"1:38: there is no [z] in the variable, which is a map"}},
		{"unknown format", "- job: {name: a, v: 1, script: 'f() {v:zz} {v!x}'}", []string{`1:37: the format "zz" is not known`}},
		{"huge width", "- job: {name: a, v: 1, script: ' {v:99999}'}", []string{"1:34: a width or precision may be 1000 at most"}},
		{"cycle", "- job-template: {name: a, v: 'x{w}', w: 'y{v}', script: '{v}'}\n- project: {name: p, jobs: [a]}", []string{"1:30: variables refer to each other in a cycle: v -> w -> v"}},
		{"a file that is not there", "- job: {name: a, script: !include-raw: x.sh}", []string{`1:26: there is no file "x.sh" in ., jobs`}},
		{"a file outside of the tree", "- job: {name: a, script: !include-raw-verbatim: ../../x.sh}", []string{`1:26: the file "../../x.sh" is outside of the tree`}},
		{"a template of Jinja2 with an undefined variable", "- job: {name: a, script: !j2: '{{ nope }}'}", []string{`1:26: the variable "nope" is not defined`}},
		{"a template of Jinja2 that runs for ever", "- job: {name: a, script: !j2: '{% for i in range(1000000000) %}{% endfor %}'}", []string{`1:26: the template of Jinja2 has "range", which Landfall does not run`}},
		{"template that refers to itself", axisTemplate + "- project: {name: p, a: '{a}', jobs: ['{name}-{a}']}", []string{"2:25: variables refer to each other in a cycle: a -> a"}},
		{"missing variable in a variable that nothing uses", axisTemplate + "- project: {name: p, a: 1, e: 'echo ${HOME}', jobs: ['{name}-{a}']}", []string{`2:38: the variable "HOME" is not defined`}},
		{"text that explodes", explosion(), []string{"2:192: the text grows over 4 MiB here"}},
		{"unknown template", axisTemplate + "- project: {name: p, jobs: ['{name}-{b}']}", []string{`2:29: there is no template, group or job "{name}-{b}"; did you mean "{name}-{a}"?`}},
		{"unknown template in a group", "- job-group: {name: g, jobs: [x]}\n- project: {name: p, jobs: [g]}", []string{`1:31: there is no template or job "x"`}},
		{"group in a group", "- job-group: {name: g, jobs: [h]}\n- job-group: {name: h}\n- project: {name: p, jobs: [g]}", []string{`1:31: a group cannot hold the group "h": list that group in the project`}},
		{"groups in a cycle", "- job-group: {name: g, jobs: [h]}\n- job-group: {name: h, jobs: [g]}\n- project: {name: p, jobs: [g]}", []string{`1:31: a group cannot hold the group "h" (groups in a cycle: g -> h -> g)`}},
		{"variables for a job", "- job: {name: j}\n- project: {name: p, jobs: [j: {v: 1}]}", []string{`2:29: "j" is a job, which takes no variables`}},
		{"unknown defaults", "- defaults: {name: mine}\n- job: {name: j, defaults: mien}", []string{`2:28: there are no defaults called "mien"; did you mean "mine"?`}},
		{"unknown key in exclude", axisTemplate + "- project: {name: p, arch: 1, a: [1], exclude: [{a: 1, arhc: 3}], jobs: ['{name}-{a}']}", []string{`2:56: exclude names "arhc", which is no axis or variable; did you mean "arch"? (there are "a", "arch", "exclude", "name", "template-name")`}},
		{"empty exclude", axisTemplate + "- project: {name: p, a: [1], exclude: [{}], jobs: ['{name}-{a}']}", []string{`2:40: an item of exclude must be a map`}},
		{"exclude is a map", axisTemplate + "- project: {name: p, a: [1], exclude: {a: 1}, jobs: ['{name}-{a}']}", []string{`2:39: exclude must be a list of maps`}},
		{"empty axis", axisTemplate + "- project: {name: p, a: [], jobs: ['{name}-{a}']}", []string{`2:25: the axis "a" is an empty list`}},
		{"axis with an empty item", axisTemplate + "- project: {name: p, a: [x: ], jobs: ['{name}-{a}']}", []string{`2:26: the item "x" of the axis "a" must have variables as a map, but has empty`}},
		{"axis with two keys", axisTemplate + "- project: {name: p, a: [{x: 1, y: 2}], jobs: ['{name}-{a}']}", []string{`2:26: an item of the axis "a" must be a value or a map with one key, but has 2 keys`}},
		{"too many jobs", manyPoints(), []string{`2:`}},
		{"equal values of an axis", axisTemplate + "- project: {name: p, a: [1, 1], jobs: ['{name}-{a}']}", []string{`2:40: two jobs are called "p-1": the other is made at jobs/a.yml:2:40`}},
		{"two jobs of one name", "- job: {name: p-1}\n- job-template: {name: 'p-{a}'}\n- project: {name: q, a: 1, jobs: ['p-{a}']}", []string{`3:35: two jobs are called "p-1": the other is made at jobs/a.yml:1:3`}},
	})
}

func TestMistakesInFields(t *testing.T) {
	checkMistakes(t, []mistake{
		{"wrong kinds of fields", `- job:
    name: a
    description: [x]
    image: true
    script: {x: y}
    env: [A]
    timeout: soon
    artifacts: x
    pack: {repo: x}
`, []string{
			"3:18: description must be text, but is a list",
			"4:12: image must be text, but is a boolean: quote it",
			"5:13: script must be text, but is a map",
			"6:10: env must be a map",
			`7:14: timeout must be a number of minutes or a duration as 90s or 1h30m, from 1s to 168h, but is "soon"`,
			"8:16: artifacts must be a list",
			`9:12: unknown field "repo" in pack (pack has repository,`,
		}},
		{"wrong parts of fields", `- job:
    name: a
    builders: [shel: x, m, {shell: [x]}]
    env: {NO: x, A-B: x, C: on}
    timeout: 0
    artifacts: [/etc/*, ../x, 'a[', ~]
`, []string{
			`3:16: unknown builder "shel"; did you mean "shell"? (it is no macro`,
			`3:25: unknown builder "m" (it is no macro`,
			"3:36: shell must be text, but is a list",
			`4:11: the name "False" in env must be text of letters, digits and underscores; it is a boolean`,
			`4:18: the name "A-B" in env must be text`,
			"4:29: the value of C in env must be text, but is a boolean: quote it",
			"5:14: timeout must be a number of minutes",
			"6:17: the artifact \"/etc/*\" must be a path inside the sources",
			"6:25: the artifact \"../x\" must be a path inside the sources",
			`6:31: the artifact "a[" is no pattern`,
			"6:37: an item of artifacts is empty",
		}},
		{"incomplete pack", "- job: {name: a, pack: {repository: x, files: {a: /a}}}", []string{"1:24: pack needs repository (a name), files"}},
		{"pack from outside", "- job: {name: a, pack: {repository: x, files: {../a: /a}, entrypoint: [a]}}", []string{"1:48: files must map a path inside the sources"}},
		{"empty name", "- job-template: {name: '{a}'}\n- project: {name: p, a: '', jobs: ['{a}']}", []string{`2:25: the name "" of a job must not be empty`}},
	})
}

// all returns the errors that err joins.
func all(err error) []*definition.Error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var list []*definition.Error
	for _, e := range joined.Unwrap() {
		list = append(list, e.(*definition.Error))
	}
	return list
}

// bomb returns a file whose aliases grow by 10 in each line.
func bomb() string {
	var b strings.Builder
	b.WriteString("- _x:\n  - &a0 [xxxxxxxxx]\n")
	for i := range 9 {
		alias := fmt.Sprintf("*a%d", i)
		fmt.Fprintf(&b, "  - &a%d [%s]\n", i+1, strings.Join([]string{alias, alias, alias, alias, alias, alias, alias, alias, alias, alias}, ", "))
	}
	return b.String()
}

// explosion returns a job whose variables grow by 10 each.
func explosion() string {
	var b strings.Builder
	b.WriteString("- project: {name: p, jobs: [a]}\n- job-template: {name: a, script: '{v0}'")
	for i := range 9 {
		fmt.Fprintf(&b, ", v%d: '%s'", i, strings.Repeat(fmt.Sprintf("{v%d}", i+1), 10))
	}
	return b.String() + ", v9: xxxxxxxxxx}"
}

// manyPoints returns a template with 10 axes of 10 values.
func manyPoints() string {
	name, lists := "", ""
	for c := 'a'; c <= 'j'; c++ {
		name += fmt.Sprintf("{%c}", c)
		lists += fmt.Sprintf("%c: [1, 2, 3, 4, 5, 6, 7, 8, 9, 0], ", c)
	}
	return fmt.Sprintf("- job-template: {name: '%s'}\n- project: {name: p, %s jobs: ['%[1]s']}", name, lists)
}

func TestAFileOverOneMebibyteIsRefused(t *testing.T) {
	fsys := fstest.MapFS{"jobs/big.yml": {Data: []byte("# " + strings.Repeat("x", yaml11.MaxFile))}}
	_, err := definition.Load(fsys, []string{"jobs"}, definition.Options{Strict: true})
	if want := "jobs/big.yml:1:1: the file is larger than 1 MiB"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("Load gave %.100v, want %s", err, want)
	}
}

func TestAllMistakesOfAllFilesAreReportedAtOnce(t *testing.T) {
	fsys := fstest.MapFS{
		"jobs/a.yml": {Data: []byte("- jobb: {name: a}\n- job: {nmae: a}\n")},
		"jobs/b.yml": {Data: []byte("- [\n")},
		"jobs/c.yml": {Data: []byte("- project: {name: p}\n- project: {name: p}\n")},
	}
	_, err := definition.Load(fsys, []string{"jobs"}, definition.Options{Strict: true})
	var got []string
	for _, e := range all(err) {
		got = append(got, fmt.Sprintf("%s:%d", e.File, e.Line))
	}
	if want := "[jobs/a.yml:1 jobs/a.yml:2 jobs/b.yml:2 jobs/c.yml:2]"; fmt.Sprint(got) != want {
		t.Errorf("Load reported %v, want %s; all:\n%v", got, want, err)
	}
}

func TestAMistakeInATemplateIsReportedOncePerProject(t *testing.T) {
	_, err := expand(`
- job-template: {name: '{name}-{a}', script: '{no}'}
- project: {name: p, a: [1, 2, 3], jobs: ['{name}-{a}']}
- project: {name: q, a: [1, 2, 3], jobs: ['{name}-{a}']}
`)
	if got := all(err); len(got) != 2 {
		t.Errorf("Expand reported %d mistakes, want one each for p and q:\n%v", len(got), err)
	}
}

// FuzzLoad checks that no file makes the package panic or its errors lack a
// place.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"- job: {name: a, script: 'x {a|b} ${{c}}', env: {A: 1}, timeout: 1h}\n",
		"- job-template: {name: '{name}-{a}', script: '{v!r:>{w}}'}\n- project: {name: p, a: [1, x: {b: c}], v: '{a}', w: 5, exclude: [{a: 1}], jobs: ['{name}-{a}']}\n",
		"- defaults: {name: global, image: i}\n- job-group: {name: g, jobs: [t: {v: 1}]}\n- job-template: {name: t, pack: {repository: r, files: {a: /b}, entrypoint: [c]}}\n- project: {name: p, jobs: [g]}\n",
		"- _a: &x {k: [1.0, 0x1f, 1:30, ~, .inf, 2024-01-01]}\n- job: {name: j, <<: [*x], m: '{obj:k}', script: '{m[k][0]}'}\n",
		"- job:\n    name: j\n    script: |\n      {no}\n      }{\n", bomb(), explosion(), manyPoints(), "- &a [*a]", "\xff\xfe",
	} {
		f.Add(seed)
	}
	f.Add("- builder: {name: m, builders: [shell: !include-raw: [a.yml, '{x}.yml'], m: {x: '{x|y}'}]}\n- job: {name: j, builders: [m: {x: 1}], publishers: [postbuildscript: {builders: [m]}], properties: {a: 1}}\n")
	f.Add("- view-template: {name: '{v}', regex: !j2: '{{ v }}'}\n- project: {name: p, views: ['{v}'], v: [!join: [',', [a, b]], !include: a.yml]}\n- job: {name: j, builders: !j2-yaml: \"- shell: {{ x|default('y') }}\"}\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := expand(text)
		checkPlaces(t, err)
		fsys := fstest.MapFS{"jobs/a.yml": {Data: []byte(text)}}
		for _, dialect := range []definition.Dialect{definition.Modern, definition.Classic} {
			set, err := definition.Load(fsys, []string{"jobs"}, definition.Options{Dialect: dialect, AllowDuplicates: true, AllowEmptyVariables: true})
			checkPlaces(t, err)
			if err != nil {
				continue
			}
			made, err := set.Jobs()
			checkPlaces(t, err)
			for _, j := range made {
				for _, e := range j.Errs {
					checkPlaces(t, errors.Join(e))
				}
				if _, err := json.Marshal(yaml11.New(j.At, j.Keys)); err != nil {
					t.Errorf("the job %q has no JSON: %v", j.Name, err)
				}
			}
			_, err = set.Views()
			checkPlaces(t, err)
		}
	})
}

// checkPlaces checks that err, if there, joins errors with a place.
func checkPlaces(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if len(all(err)) == 0 {
		t.Fatalf("the error %v joins no *Error", err)
	}
	for _, e := range all(err) {
		if e.File == "" || e.Line < 1 || e.Column < 1 || e.Message == "" || e.Error() == "" {
			t.Errorf("the error %#v lacks something", e)
		}
	}
}

func TestMistakesAreSoughtAtSomePointsOnly(t *testing.T) {
	_, err := expand(`
- job-template: {name: '{a}', script: '{x{a}}'}
- project: {name: p, a: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], z: [], jobs: ['{a}']}
- job: {name: other, script: '{no}'}
`)
	if got := all(err); len(got) != 2 {
		t.Errorf("Expand reported %d mistakes, want one in the template and one in the job:\n%v", len(got), err)
	}
}
