package native

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
)

// job makes an expanded job of its keys in YAML, which call no macros.
func job(t *testing.T, text string) definition.Job {
	t.Helper()
	report := func(err *yaml11.Error) { t.Fatal(err) }
	v := yaml11.Parse(yaml11.NewFile("job.yml", []byte(text)), nil, report)
	j := definition.Job{Name: "demo", Keys: v.Map(), Components: map[string][]definition.Component{}}
	for _, kind := range kinds {
		j.Components[kind] = components(kind, v.Map().Lookup(kind))
	}
	return j
}

func components(kind string, list *yaml11.Value) []definition.Component {
	var all []definition.Component
	for _, item := range list.List() {
		c := definition.Component{Kind: kind, At: item.At}
		if m := item.Map(); m != nil {
			c.Type, c.Args = m[0].Key.Text(), m[0].Value
		} else {
			c.Type = item.Text()
		}
		args := c.Args.Map()
		c.Children = components("builders", args.Lookup("steps"))
		if c.Type == "pre-scm-buildstep" {
			c.Children = components("builders", c.Args)
		}
		for _, g := range args.Lookup("builders").List() {
			if steps := g.Map().Lookup("build-steps"); steps != nil {
				c.Children = append(c.Children, components("builders", steps)...)
			}
		}
		if c.Children == nil && c.Type == "postbuildscript" {
			c.Children = components("builders", args.Lookup("builders"))
		}
		all = append(all, c)
	}
	return all
}

// TestTranslationOfJobs compares what the jobs in testdata become with the
// files beside them; run it with UPDATE=1 to write these anew.
func TestTranslationOfJobs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			spec, missing := Translate(job(t, string(text)))
			got, err := json.MarshalIndent(struct {
				Spec    api.JobSpec
				Missing []Missing
			}{spec, missing}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".yml") + ".json"
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(got)+"\n" != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"publishers: [archive: {artifacts: a, allow-emtpy: true}]": `without publishers: archive unknown argument "allow-emtpy"; did you mean "allow-empty"?`,
		"publishers: [archive: {artifacts: a, latest-only: true}]": "",
		"builders: [shel: x]":    `cannot builders: shel nothing here runs this type`,
		"builders: [batch: dir]": "cannot builders: batch it is for Windows",
		"builders: [conditional-step: {condition-kind: regex, steps: []}]":                                                        `cannot builders: conditional-step nothing here evaluates a condition of the kind "regex"`,
		"builders: [conditional-step: {condition-kind: regex-match, regex: '(?!x)', label: y, steps: [shell: z]}]":                "cannot builders: conditional-step the expression \"(?!x)\" is none that grep can take: error parsing regexp: invalid or unsupported Perl syntax: `(?!`",
		"builders: [conditional-step: {condition-kind: and, steps: [shell: z]}]":                                                  "cannot builders: conditional-step a condition has no operands, or they are nested too deeply",
		"builders: [{trigger-builds: [{project: [a, b], current_parameters: true}]}]":                                             `without builders: trigger-builds unknown argument "current_parameters"; did you mean "current-parameters"?`,
		"builders: [{trigger-builds: [{block: true}]}]":                                                                           "without builders: trigger-builds it names no job to start: add project",
		"builders: [{trigger-builds: [{project: a, parameter-factories: [{factory: counterbuild}]}]}]":                            `cannot builders: trigger-builds a factory of the kind "counterbuild", which makes several builds of one call`,
		"publishers: [{trigger-parameterized-builds: [{project: a, condition: SUCESS}]}]":                                         `without publishers: trigger-parameterized-builds the condition "SUCESS" is not known; did you mean "SUCCESS"?`,
		"publishers: [naginator: {regular-expression: '('}]":                                                                      "without publishers: naginator trying without end: it is tried again 10 times\nwithout publishers: naginator the argument regular-expression is an expression that cannot be searched for: error parsing regexp: missing closing ): `(`",
		"{project-type: matrix, axes: [axis: {type: dynamic, name: A, values: [V]}]}":                                             "cannot axes an axis of the type dynamic finds its values when it is built: list them",
		"{project-type: matrix, axes: [axis: {name: A, values: [a, b]}], execution-strategy: {combination-filter: 'B == \"a\"'}}": `cannot execution-strategy the combination-filter "B == \"a\"": there is no axis B; it may compare axes with texts by ==, !=, in, contains, startsWith and endsWith, and join these by &&, || and !`,
		"properties: [build-blocker: {blocking-jobs: ['(']}]":                                                                     "without properties: build-blocker the expression \"(\" for jobs is malformed: error parsing regexp: missing closing ): `(`",
		"builders: [copyartifact: {project: a, which-build: permalink, optional: true}]":                                          `without builders: copyartifact which-build "permalink" is not known here: it is last-successful, last-completed, upstream-build, specific-build or build-param`,
		"builders: [description-setter: {regexp: '(', descrition: x}]":                                                            "without builders: description-setter unknown argument \"descrition\"; did you mean \"description\"?\nwithout builders: description-setter the argument regexp is an expression that cannot be searched for: error parsing regexp: missing closing ): `(`",
		"wrappers: [timeout: {timeout: 10, write-desc: true}]":                                                                    `without wrappers: timeout unknown argument "write-desc"`,
		"wrappers: [timestamps, {ansicolor: {colormap: xterm}}, mask-passwords]":                                                  "",
		"wrappers: [credentials-binding: [aws: {credential-id: x}]]":                                                              `cannot wrappers: credentials-binding credentials of the kind "aws" are not known here`,
		"wrappers: [ssh-agent-credentials: {users: ['a b']}]":                                                                     `cannot wrappers: ssh-agent-credentials the name "a b" of a secret: it has letters, digits, '.', '_', '~' and '-'`,
		"wrappers: [some-plugin]":   "cannot wrappers: some-plugin nothing here runs this type",
		"publishers: [some-plugin]": "without publishers: some-plugin nothing here runs this type",
		"publishers: [email: {recipients: '$DEFAULT_RECIPIENTS b@example.org, c'}]":                  "without publishers: email whom $DEFAULT_RECIPIENTS stands for: name the addresses\nwithout publishers: email \"c\" is no address: write NAME@HOST",
		"publishers: [postbuildscript: {groovy: [{content: x}]}]":                                    "without publishers: postbuildscript groovy is in Groovy, which nothing here runs",
		"publishers: [postbuildscript: {builders: [{build-on: [SUCESS], build-steps: [shell: x]}]}]": `without publishers: postbuildscript the result "SUCESS" in build-on is not known; did you mean "SUCCESS"?`,
		"properties: [build-discarder: {num-to-keep: 3}, throttle: {max-total: 1}]":                  "",
		"properties: [throttle: {option: category, categories: [c]}]":                                `without properties: throttle how many builds the category "c" may have is kept in Jenkins: it is one at a time; add max-total`,
		"wrappers: [openstack: {single-use: true}]":                                                  "",
		"wrappers: [openstack: {instances: [{cloud-name: c}]}]":                                      "cannot wrappers: openstack no machines are made for a build",
		"parameters: [file: {name: F}]":                                                              "cannot parameters: file no file can be handed to a build",
		"parameters: [string: {default: F}]":                                                         "cannot parameters: string it has no name",
		"scm: [git: {url: u, basedir: ../sub, branches: [master]}]":                                  `cannot scm: git basedir "../sub": it must be a folder in the workspace, without variables`,
		"project-type: pipeline":                                                                     "cannot project-type: pipeline it is a pipeline in Groovy: write a pipeline.star",
		"disabled: true":                                                                             "without disabled that it is disabled: whoever builds it here can",
		"disabled: false":                                                                            "",
		"builders: [{inject: {properties-content: 'A=${FILE,path=\"x\"}-${ENV,var=\"B\"}'}}]":        `without builders: inject nothing here knows what ${FILE,path="x"} stands for`,
		"triggers: [pollscm: {cron: 'H * * * *'}]":                                                   "",
		"triggers: [monitor-files: {}]":                                                              "without triggers: monitor-files " + pipelines,
		"triggers: [gerrit: {trigger-on: [comment-added-event], projects: [{project-compare-type: REG_EXP, project-pattern: '('}]}]": "without triggers: gerrit the event comment-added-event starts nothing: a run is started again on its page, or by the comment recheck\nwithout triggers: gerrit project-pattern \"(\" is an expression that cannot be used: error parsing regexp: missing closing ): `(`",
	} {
		_, missing := Translate(job(t, text))
		var got []string
		for _, m := range missing {
			if m.At != "" && m.At != "job.yml:1" {
				t.Errorf("%s: it is at %s", text, m.At)
			}
			got = append(got, string(m.Severity)+" "+m.Component+" "+m.Reason)
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, strings.Join(got, "\n"), want)
		}
	}
}

func TestTypesThatRunAreCarriedOut(t *testing.T) {
	seen := 0
	for _, typ := range Types() {
		if typ.Support != Runs {
			if typ.Support != Free && typ.Note == "" {
				t.Errorf("%s: %s has no reason", typ.Kind, typ.Name)
			}
			continue
		}
		seen++
		_, built := builders[typ.Name]
		if typ.Kind == "builders" != built && !slices.Contains([]string{"inject", "description-setter", "config-file-provider"}, typ.Name) {
			t.Errorf("%s: %s: builder is %t", typ.Kind, typ.Name, built)
		}
		if typ.Kind != "builders" && types[typ.Kind][typ.Name].do == nil {
			t.Errorf("%s: %s runs, but nothing does it", typ.Kind, typ.Name)
		}
	}
	if seen < 39 {
		t.Errorf("%d types run", seen)
	}
}

func TestStepsAfterTheBuildKeepTheirResultThroughMacros(t *testing.T) {
	j := job(t, `publishers: [postbuildscript: {builders: [
	  {build-on: [FAILURE], build-steps: [m, shell: c]}, {build-on: [SUCCESS], build-steps: [m, n]}]}]`)
	step := func(script string, via ...string) definition.Component {
		return definition.Component{Kind: "builders", Type: "shell", Args: yaml11.New(yaml11.Position{}, script), Via: append([]string{"publisher p"}, via...)}
	}
	p := &j.Components["publishers"][0]
	p.Via = []string{"publisher p"}
	p.Children = []definition.Component{
		step("a", "m at 1", "inner at 9"), step("b", "m at 1"), step("c"), step("d", "m at 2"), step("e", "m at 2"), step("f", "n at 3"),
	}
	spec, missing := Translate(j)
	var got []string
	for _, a := range spec.After {
		got = append(got, string(a.On[0]))
		for _, s := range a.Steps {
			got = append(got, s.Shell.Script)
		}
	}
	if strings.Join(got, " ") != "FAILURE a b c SUCCESS d e f" || len(missing) != 0 {
		t.Errorf("got %q, %v", got, missing)
	}
}

func TestAnUnknownArgumentIsAMistake(t *testing.T) {
	spec, mistakes := Strict(job(t, "builders:\n  - batch: y\npublishers:\n  - archive: {artifacts: a, allow-emtpy: true}\n  - some-plugin\n"))
	if len(mistakes) != 1 {
		t.Fatalf("got %v", mistakes)
	}
	for _, want := range []string{"job.yml:4:29", `unknown argument "allow-emtpy" of archive; did you mean "allow-empty"?`} {
		if !strings.Contains(mistakes[0].Error(), want) {
			t.Errorf("there is no %q in\n%v", want, mistakes[0])
		}
	}
	if len(spec.Missing) != 3 || !spec.Missing[0].Needed || spec.Missing[1].Needed {
		t.Errorf("missing are %+v", spec.Missing)
	}
}

func TestFiltersOfCombinations(t *testing.T) {
	cell := map[string]string{"os": "linux", "db": "pg", "arch": "arm64"}
	for filter, want := range map[string]bool{
		"":                                     true,
		`os == "linux"`:                        true,
		"os=='mac'":                            false,
		`!(os=="linux" && db=="pg")`:           false,
		`os=="mac" || db=="pg" && arch!="x86"`: true,
		`(os=="mac").implies(db=="mysql")`:     true,
		`(os=="linux").implies(db=="mysql")`:   false,
		`db in ["pg", "mysql"] && !(os in ["mac"])`:   true,
		`arch.startsWith("arm") && os.contains('nu')`: true,
		`["a", "linux"].contains(os)`:                 true,
	} {
		if got, err := holds(filter, cell); got != want || err != nil {
			t.Errorf("%s: %t, %v; want %t", filter, got, err, want)
		}
	}
	for _, filter := range []string{`os =`, `os == "linux" &&`, `os.size() > 1`, `x ? y : z`, `(os == "a"`, `os == "a" db`} {
		if _, err := holds(filter, cell); err == nil {
			t.Errorf("%s: no error", filter)
		}
	}
}

func TestJobsAreConnected(t *testing.T) {
	var specs []api.JobSpec
	for _, text := range []string{
		"triggers: [reverse: {jobs: 'b, c', result: unstable}]",
		"builders: [{trigger-builds: [{project: 'a,none', block: true}]}]",
		"properties: [build-blocker: {blocking-jobs: ['[ab]', d.*]}]",
	} {
		spec, missing := Translate(job(t, text))
		if missing != nil {
			t.Errorf("%s: %v", text, missing)
		}
		spec.Name = string(rune('a' + len(specs)))
		specs = append(specs, spec)
	}
	for i, s := range Connect(specs) {
		got, err := json.Marshal(map[string]any{"locks": s.Locks, "then": s.Downstream, "missing": s.Missing})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			`{"locks":[{"name":"block.c","room":10000,"part":1}],"missing":null,"then":null}`,
			`{"locks":[{"name":"block.c","room":10000,"part":1}],"missing":[{"component":"builders: trigger-builds","reason":"there is no job \"none\" in this project","needed":true}],"then":[{"jobs":["a"],"on":["SUCCESS","UNSTABLE"]}]}`,
			`{"locks":[{"name":"block.c","room":10000,"part":10000}],"missing":null,"then":[{"jobs":["a"],"on":["SUCCESS","UNSTABLE"]}]}`,
		}[i]
		if string(got) != want {
			t.Errorf("%s: got\n%s\nwant\n%s", s.Name, got, want)
		}
	}
}

func TestFilesAreTakenFromTheDefinitionsOrFromSecrets(t *testing.T) {
	const text = `
builders:
  - conditional-step: {condition-kind: always, steps: [config-file-provider: {files: [{file-id: kept, variable: A}]}]}
publishers:
  - postbuildscript: {builders: [{build-steps: [config-file-provider: {files: [{file-id: other, target: b}]}]}]}`
	files := fstest.MapFS{"jobs/files/kept": {Data: []byte("text")}}
	spec, missing := Translate(job(t, text))
	specs := []api.JobSpec{spec}
	if err := Provide(specs, files, "jobs"); err != nil || missing != nil {
		t.Fatalf("%v, missing are %v", err, missing)
	}
	kept, other := *specs[0].Steps[0].If.Steps[0].File, *specs[0].After[0].Steps[0].File
	kept.At, other.At = "", ""
	if kept != (api.FileStep{Name: "kept", Content: "text", Variable: "A"}) || other != (api.FileStep{Name: "other", Secret: true, Target: "b"}) {
		t.Errorf("got %+v and %+v", kept, other)
	}
	if s := specs[0].Secrets; len(s) != 1 || s[0].Secret != "other" || !s[0].File || s[0].Variable != "" || s[0].At != "job.yml:5" {
		t.Errorf("the secrets are %+v", s)
	}
	files["jobs/files/kept"].Data = []byte("\xff")
	spec, _ = Translate(job(t, text))
	err := Provide([]api.JobSpec{spec}, files, "jobs")
	if want := "job.yml:3: the file jobs/files/kept is not text of at most 64 KiB"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	_, missing = Translate(job(t, "builders: [config-file-provider: {files: [{file-id: ../x}]}]"))
	if len(missing) != 1 || missing[0].Severity != Cannot || !strings.Contains(missing[0].Reason, `the name "../x" of a file`) {
		t.Errorf("missing are %v", missing)
	}
}
