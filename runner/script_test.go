package runner

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"landfall.dev/api"
)

func shell(script string) api.Step { return api.Step{Shell: &api.ShellStep{Script: script}} }

func inject(content string) api.Step {
	return api.Step{Inject: &api.InjectStep{Content: content}}
}

func TestStepsAfterABuildThatTookTooLong(t *testing.T) {
	h := newHub(t)
	start(t, newRunner(t, h.config()))
	after := []api.After{
		{On: []api.Result{api.ResultAborted}, Steps: []api.Step{shell("cat file; echo aborted $V; exit 1")}},
		{On: []api.Result{api.ResultFailure}, Steps: []api.Step{shell("echo failed $V")}},
		{On: []api.Result{api.ResultSuccess}, Steps: []api.Step{shell("echo never")}},
	}
	steps := []api.Step{inject("V=two words"), shell("echo kept > file; sleep 1000")}
	h.submit("late", api.JobSpec{Steps: steps, After: after, TimeoutSeconds: 1})
	h.submit("fails", api.JobSpec{Steps: steps, After: after, TimeoutSeconds: 1, TimeoutFails: true})
	h.submit("quiet", api.JobSpec{Steps: steps, After: after, QuietSeconds: 1})
	for id, want := range map[string][2]string{
		"late":  {"took longer than 1 second", "\nkept\n+ echo aborted two words\naborted two words\n"},
		"fails": {"took longer than 1 second", "\nfailed two words\n"},
		"quiet": {"wrote nothing for 1 second", "\naborted two words\n"},
	} {
		b := h.ended(id)
		log := h.log(id, 1)
		if b.State != api.BuildFailed || b.Error != want[0] || !strings.Contains(log, want[1]) || strings.Contains(log, "\nnever") {
			t.Errorf("%s is %s, %q; want failed, %q, and in its log %q:\n%s", id, b.State, b.Error, want[0], want[1], log)
		}
	}
}

func TestStepsAfterACancelledBuild(t *testing.T) {
	h := newHub(t)
	r := newRunner(t, h.config())
	dir := t.TempDir()
	begun, ended := filepath.Join(dir, "begun"), filepath.Join(dir, "ended")
	h.submit("long", api.JobSpec{
		Steps: []api.Step{inject("V=v"), shell(sleeper(begun))},
		After: []api.After{
			{On: []api.Result{api.ResultAborted}, Steps: []api.Step{shell("[ $V = v ]; : > " + ended)}},
			{On: []api.Result{api.ResultSuccess, api.ResultFailure}, Steps: []api.Step{shell(": > " + begun + "-never")}},
		},
	})
	start(t, r)
	eventually(t, exists(begun))
	if _, err := h.Admin().Do(t.Context(), "builds/long", "cancel", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, exists(ended))
	eventually(t, gone(t, begun))
	eventually(t, cleared(r.Dir))
	if exists(begun+"-never")() == "" {
		t.Error("steps for another result were run")
	}
}

func TestStepsAfterTheBuildGoByItsLog(t *testing.T) {
	h := newHub(t)
	start(t, newRunner(t, h.config()))
	after := func(pattern, script string) api.After {
		return api.After{Log: []string{"no such text", pattern}, Steps: []api.Step{shell(script)}}
	}
	h.submit("passes", api.JobSpec{
		Steps: []api.Step{shell("echo found 12 things > /dev/stderr")},
		After: []api.After{after(`^found \d+`, "echo reacts"), after("^ound", "echo never")},
	})
	h.submit("fails", api.JobSpec{Steps: []api.Step{shell("true")}, After: []api.After{after(": true", "echo why; exit 5")}})
	b := h.ended("passes")
	if log := h.log("passes", 1); b.State != api.BuildPassed || !strings.Contains(log, "--- after the build, step 2: echo reacts\n+ echo reacts\nreacts\n") || strings.Contains(log, "never") {
		t.Errorf("it is %s, %q:\n%s", b.State, b.Error, log)
	}
	if b := h.ended("fails"); b.State != api.BuildFailed || b.Error != "step 2 exited with 5" {
		t.Errorf("it is %s, %q", b.State, b.Error)
	}
}

func TestCopiedArtifacts(t *testing.T) {
	h := newHub(t)
	start(t, newRunner(t, h.config()))
	h.submit("older", api.JobSpec{Script: []string{"echo older > a.txt"}, Artifacts: []string{"*.txt"}})
	h.ended("older")
	h.submit("newer", api.JobSpec{Script: []string{"mkdir -p out/bin; echo newer > out/bin/tool; echo x > out/no"}, Artifacts: []string{"out/**"}})
	h.ended("newer")
	// What is the last build depends on when those below end, so this is first.
	h.submit("taker", api.JobSpec{Env: map[string]string{"WHICH": "test"}, Artifacts: []string{"to/**"}, Steps: []api.Step{
		inject("NAME=n"), {Copy: &api.CopyStep{Job: "$WHICH", Exclude: []string{"out/no"}, Target: "to/$NAME"}}}})
	if b := h.ended("taker"); len(b.Artifacts) != 1 || b.Artifacts[0].Path != "to/n/out/bin/tool" {
		t.Errorf("the last build's were not copied: %v\n%s", b.Artifacts, h.log("taker", 1))
	}
	show := shell("find . -name .git -prune -o -type f -print | sort; cat */tool || :")
	for name, test := range map[string]struct {
		step  api.CopyStep
		state api.BuildState
		want  []string
	}{
		"flat":     {api.CopyStep{Job: "test", Files: []string{"**/tool"}, Target: "flat", Flat: true, Build: "newer"}, "passed", []string{"1 files of build newer\n", "./flat/tool\n", "\nnewer\n"}},
		"specific": {api.CopyStep{Job: "test", Build: "older"}, "passed", []string{"./a.txt\n"}},
		"none":     {api.CopyStep{Job: "other"}, "failed", []string{"There is no build that has passed of the job other.\n"}},
		"optional": {api.CopyStep{Job: "test", Build: "gone", Optional: true}, "passed", []string{"There is no build gone of the job test.\n", "./README\n"}},
		"no file":  {api.CopyStep{Job: "test", Build: "older", Files: []string{"b"}}, "failed", []string{"Build older has kept no file that is asked for.\n"}},
	} {
		id := strings.ReplaceAll(name, " ", "-")
		h.submit(id, api.JobSpec{Steps: []api.Step{{Copy: &test.step}, show}})
		b := h.ended(id)
		log := h.log(id, 1)
		for _, want := range test.want {
			if !strings.Contains(log, want) {
				t.Errorf("%s: the log has no %q:\n%s", name, want, log)
			}
		}
		if b.State != test.state {
			t.Errorf("%s: it is %s, %q; want %s", name, b.State, b.Error, test.state)
		}
	}
}

func TestStepsThatStartBuilds(t *testing.T) {
	h := newHub(t)
	start(t, newRunner(t, h.config())) // which has one place
	call := func(job, script string) *api.CallStep {
		return &api.CallStep{Called: api.Called{Jobs: []string{job}, Pass: api.Pass{Params: map[string]string{"SCRIPT": script}}},
			Wait: true, StepFails: api.ResultFailure, Unstable: api.ResultUnstable}
	}
	h.submit("fine", api.JobSpec{Steps: []api.Step{
		inject("JOB=down\nWORD=hello"),
		{Call: call("$JOB", "echo $WORD > file; cat file")},
		shell("#!/bin/sh\necho $TRIGGERED_BUILD_RESULT_down $TRIGGERED_BUILD_NUMBER_down $WORD; echo A=1 > p"),
		{Call: &api.CallStep{Called: api.Called{Jobs: []string{"later"}, Pass: api.Pass{Params: map[string]string{"SCRIPT": "true"}}}}},
	}, Downstream: []api.Downstream{
		{Jobs: []string{"next"}, On: []api.Result{api.ResultSuccess}, Pass: api.Pass{File: "p"}},
		{Jobs: []string{"never"}, On: []api.Result{api.ResultFailure}},
	}})
	b := h.ended("fine")
	log := h.log("fine", 1)
	if want := "down builds/fine.1.2.0 passed\n--- step 3: echo $TRIGGERED_BUILD_RESULT_down $TRIGGERED_BUILD_NUMBER_down $WORD; echo A=1 > p\nSUCCESS fine.1.2.0 hello\n"; !strings.Contains(log, want) {
		t.Errorf("the log has no %q:\n%s", want, log)
	}
	if b.State != api.BuildPassed || b.Result != api.ResultSuccess || len(b.Calls) != 1 || b.Calls[0].Job != "next 1" {
		t.Errorf("it is %s, %q, and starts %v", b.State, b.Error, b.Calls)
	}
	if log := h.log("fine.1.2.0", 1); !strings.Contains(log, "hello") {
		t.Errorf("the build that it started wrote\n%s", log)
	}
	h.ended("fine.1.4.0")

	missing := call("down", "true")
	missing.Pass = api.Pass{File: "none", FileNeeded: true}
	for id, test := range map[string]struct {
		step *api.CallStep
		want string
	}{
		"fails":   {call("down", "exit 3"), "failed FAILURE step 1 exited with 1: down builds/fails.1.1.0 failed step 1 exited with 3"},
		"no file": {missing, "failed FAILURE step 1 exited with 1: There is no file of properties none."},
	} {
		id = strings.ReplaceAll(id, " ", "-")
		h.submit(id, api.JobSpec{Steps: []api.Step{{Call: test.step}, shell("echo never")}})
		b := h.ended(id)
		if got := string(b.State) + " " + string(b.Result) + " " + b.Error; got != test.want {
			t.Errorf("%s: got %q, want %q\n%s", id, got, test.want, h.log(id, 1))
		}
	}
}

func TestTheLogDecides(t *testing.T) {
	h := newHub(t)
	start(t, newRunner(t, h.config()))
	for id, test := range map[string]struct {
		script string
		spec   api.JobSpec
		want   string
	}{
		"found":     {"echo WARN 1", api.JobSpec{Finds: []api.Find{{Pattern: "^WARN", Result: api.ResultUnstable}}}, `failed UNSTABLE a line of the log matches "^WARN" 0`},
		"not-found": {"echo fine", api.JobSpec{Finds: []api.Find{{Pattern: "^WARN", Result: api.ResultUnstable}}}, "passed SUCCESS  0"},
		"missing":   {"echo fine", api.JobSpec{Finds: []api.Find{{Pattern: "^DONE", Missing: true, Result: api.ResultFailure}}}, `failed FAILURE no line of the log matches "^DONE" 0`},
		"again":     {"echo timed out; exit 1", api.JobSpec{Retry: &api.Retry{Max: 1, Log: "timed out$"}}, "failed FAILURE step 1 exited with 1: timed out 1"},
		"not-again": {"exit 1", api.JobSpec{Retry: &api.Retry{Max: 1, Log: "timed out$"}}, "failed FAILURE step 1 exited with 1 0"},
	} {
		test.spec.Steps = []api.Step{shell("#!/bin/sh\n" + test.script)}
		h.submit(id, test.spec)
		b := h.ended(id)
		if got := fmt.Sprintf("%s %s %s %d", b.State, b.Result, b.Error, b.Retries); got != test.want {
			t.Errorf("%s: got %q, want %q", id, got, test.want)
		}
	}
}

func TestParametersAndWhatABuildIsCalled(t *testing.T) {
	h := newHub(t)
	start(t, newRunner(t, h.config()))
	params := []api.Parameter{
		{Name: "PARAM", Default: "default"}, {Name: "GERRIT_CHANGE_NUMBER", Default: "none"}, {Name: "COLOUR", Choices: []string{"red", "blue"}},
		{Name: "EMPTY"}, {Name: "PASSWORD", Default: "hunter2!", Secret: true},
	}
	h.submit("named", api.JobSpec{
		Parameters: params,
		Steps: []api.Step{
			inject("VERSION=1.2"),
			shell("#!/bin/sh\necho $PARAM $COLOUR [$EMPTY] $JOB_NAME $BUILD_ID $GERRIT_CHANGE_NUMBER $GIT_COMMIT; echo 'hunter2!hunter2!'; [ $BUILD_NUMBER -gt 0 ] && [ \"$WORKSPACE\" = \"$PWD\" ] && echo release v7 made"),
		},
		BuildName: "$JOB_NAME-${VERSION}", Describe: &api.Describe{Pattern: `release v(\d+)`, Text: `release \1 on $COLOUR`},
	})
	b := h.ended("named")
	log := h.log("named", 1)
	if b.State != api.BuildPassed || b.Name != "test-1.2" || b.Description != "release 7 on red" {
		t.Errorf("it is %s, %q, called %q, %q:\n%s", b.State, b.Error, b.Name, b.Description, log)
	}
	if !strings.Contains(log, "\nfrom the run red [] test named 7 c0ffee0123456789\n********\nrelease") {
		t.Errorf("the log is\n%s", log)
	}
	h.submit("logs", api.JobSpec{Steps: []api.Step{shell("echo logs: here")}, Describe: &api.Describe{Pattern: "^logs: .*"}})
	if b := h.ended("logs"); b.Description != "logs: here" || b.Name != "" {
		t.Errorf("it is called %q, %q", b.Name, b.Description)
	}
	params[0].Choices = []string{"this", "that"}
	h.submit("refused", api.JobSpec{Parameters: params, Steps: []api.Step{shell("echo never")}})
	if b := h.ended("refused"); b.Error != `the parameter PARAM is "from the run": choose one of this, that` || b.State != api.BuildFailed {
		t.Errorf("it is %s, %q", b.State, b.Error)
	}
}

func TestWhichArtifactsAreKept(t *testing.T) {
	h := newHub(t)
	start(t, newRunner(t, h.config()))
	files := shell("mkdir out; touch out/a out/b out/c.tmp; [ $LANDFALL_BUILD = good ]")
	for id, test := range map[string]struct {
		spec api.JobSpec
		want string
	}{
		"good":   {api.JobSpec{Artifacts: []string{"out/*"}, ArtifactsExcept: []string{"**/*.tmp", "out/b"}}, "passed out/a"},
		"bad":    {api.JobSpec{Artifacts: []string{"out/*"}}, "failed"},
		"always": {api.JobSpec{Artifacts: []string{"out/a"}, ArtifactsAlways: true}, "failed out/a"},
		"needed": {api.JobSpec{Steps: []api.Step{shell("true")}, Artifacts: []string{"x", "y"}, ArtifactsNeeded: true}, "failed no file matches the artifacts' patterns x, y"},
	} {
		if test.spec.Steps == nil {
			test.spec.Steps = []api.Step{files}
		}
		h.submit(id, test.spec)
		b := h.ended(id)
		got := []string{string(b.State)}
		for _, a := range b.Artifacts {
			got = append(got, a.Path)
		}
		if b.ExitCode == 0 && b.Error != "" {
			got = append(got, b.Error)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %q, %q; want %q", id, got, b.Error, test.want)
		}
	}
}

func TestSourcesInAFolder(t *testing.T) {
	h := newHub(t)
	start(t, newRunner(t, h.config()))
	h.submit("within", api.JobSpec{SourceDir: "src/demo", Steps: []api.Step{shell("cat src/demo/README")}, Artifacts: []string{"src/demo/*"}})
	h.submit("outside", api.JobSpec{SourceDir: "../demo", Steps: []api.Step{shell("true")}})
	if b := h.ended("within"); b.State != api.BuildPassed || len(b.Artifacts) != 1 {
		t.Errorf("it is %s, %q, with %v", b.State, b.Error, b.Artifacts)
	}
	if b := h.ended("outside"); b.State != api.BuildFailed || !strings.Contains(b.Error, `the folder "../demo" for the sources is not in the workspace`) {
		t.Errorf("it is %s, %q", b.State, b.Error)
	}
}
