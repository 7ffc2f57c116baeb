package job

import (
	"strings"
	"testing"
	"testing/fstest"

	"landfall.dev/api"
)

func TestJobsWrittenForJenkinsAreTranslated(t *testing.T) {
	specs, err := Expand(fstest.MapFS{"jobs/demo.yml": &fstest.MapFile{Data: []byte(`
- builder: {name: both, builders: [{shell: 'one {x}'}, {shell: two}]}
- job-template:
    name: '{name}-verify'
    image: 'golang:{go}'
    timeout: 5
    env: {LEVEL: high}
    artifacts: [own]
    parameters: [string: {name: P, default: '{go}'}]
    builders:
      - both: {x: '{go}'}
      - conditional-step: {condition-kind: always, steps: [both: {x: y}]}
    triggers: [timed: '@daily', pollscm: {cron: '@hourly'}]
    schedule: {missed: all}
    once: true
    wrappers: [timeout: {timeout: 90}]
    publishers:
      - archive: {artifacts: out}
      - postbuildscript: {builders: [{build-on: [FAILURE], build-steps: [both: {x: z}, shell: a]}, {build-on: [ABORTED], build-steps: [shell: b]}]}
      - email: {recipients: r}
- project: {name: demo, go: '1.26', jobs: ['{name}-verify']}
- job: {name: own, image: i, script: make}
- job: {name: never, builders: [batch: dir]}
`)}})
	if err != nil || len(specs) != 3 {
		t.Fatalf("%d jobs, %v", len(specs), err)
	}
	byName := map[string]api.JobSpec{}
	for _, s := range specs {
		byName[s.Name] = s
	}
	s := byName["demo-verify"]
	if s.Image != "golang:1.26" || s.TimeoutSeconds != 300 || s.Env["LEVEL"] != "high" || strings.Join(s.Artifacts, " ") != "out own" || s.Parameters[0].Default != "1.26" {
		t.Errorf("got %+v", s)
	}
	if s.Schedule == nil || s.Schedule.Missed != api.MissedAll || s.Schedule.Timed[0] != "@daily" || !s.Once || s.Triggers[0].Type != "pollscm" {
		t.Errorf("the schedule is %+v", s.Schedule)
	}
	var scripts []string
	add := func(steps []api.Step) {
		for _, s := range steps {
			scripts = append(scripts, s.Shell.Script)
		}
	}
	add(s.Steps[:2])
	add(s.Steps[2].If.Steps)
	for _, a := range s.After {
		scripts = append(scripts, string(a.On[0]))
		add(a.Steps)
	}
	if got := strings.Join(scripts, ", "); got != "one 1.26, two, one y, two, FAILURE, one z, two, a, ABORTED, b" {
		t.Errorf("the steps are %s", got)
	}
	if len(s.Missing) != 1 || s.Missing[0].Component != "publishers: email" || s.Missing[0].Needed || s.Missing[0].At != "jobs/demo.yml:20" {
		t.Errorf("missing are %+v", s.Missing)
	}
	if own := byName["own"]; len(own.Script) != 1 || own.Steps != nil || own.Missing != nil {
		t.Errorf("a job of Landfall's own became %+v", own)
	}
	err = runnable(api.Build{Job: "never"}, byName["never"])
	if err == nil || err.Error() != "the job never cannot run here: jobs/demo.yml:23 builders: batch: it is for Windows" {
		t.Errorf("a job that cannot run: %v", err)
	}
	if err := runnable(api.Build{}, s); err != nil {
		t.Error(err)
	}
}

func TestMistakesInJobsWrittenForJenkins(t *testing.T) {
	_, err := Expand(fstest.MapFS{"jobs/demo.yml": &fstest.MapFile{Data: []byte("- job:\n    name: a\n    builders: [shel: x]\n    publishers: [archive: {artifacts: x, allow-emtpy: true}]\n")}})
	for _, want := range []string{"jobs/demo.yml:3", `unknown builder "shel"; did you mean "shell"?`, "jobs/demo.yml:4", `unknown argument "allow-emtpy" of archive; did you mean "allow-empty"?`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("there is no %q in %v", want, err)
		}
	}
}

func TestDefinitionsThatNothingReadsAreNamed(t *testing.T) {
	files := fstest.MapFS{
		"jobs/a.yml":            {Data: []byte("- job: {name: a, script: make, description: !include-raw 'text/a.yml'}\n")},
		"jobs/text/a.yml":       {Data: []byte("included\n")},
		"jobs/files/config.yml": {Data: []byte("a: 1\n")},
		"jobs/team/notes.md":    {Data: []byte("not a definition\n")},
	}
	for _, test := range []struct{ add, want string }{
		{"jobs/b.yml", ""},
		{"jobs/team/x.yml", "jobs/team/x.yml is not read: definitions are the *.yml files in jobs itself, and what they include"},
		{"jobs/team/deep/y.yaml", "jobs/team/deep/y.yaml and 1 more are not read"},
	} {
		files[test.add] = &fstest.MapFile{Data: []byte("- job: {name: b, script: make}\n")}
		if test.add != "jobs/b.yml" {
			delete(files, "jobs/b.yml")
		}
		if got := Unread(files); !strings.HasPrefix(got, test.want) || test.want == "" && got != "" {
			t.Errorf("with %s: %q, want %q", test.add, got, test.want)
		}
	}
}
