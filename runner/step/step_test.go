package step

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"landfall.dev/api"
)

// shells are those that the script of a build must work in.
var shells = map[string][]string{"dash": {"dash"}, "busybox": {"busybox", "sh"}, "bash": {"bash", "--posix"}}

// runSteps runs the steps of the spec in each of shells, without an engine,
// and calls check with what they left.
func runSteps(t *testing.T, spec api.JobSpec, env []string, check func(t *testing.T, log, result string, exit int)) {
	t.Helper()
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			script, state, work := filepath.Join(dir, "script"), filepath.Join(dir, "state"), filepath.Join(dir, "work")
			for _, d := range []string{filepath.Join(state, "env"), filepath.Join(work, "sub")} {
				if err := os.MkdirAll(d, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Write(script, &spec); err != nil {
				t.Fatal(err)
			}
			values := map[string]api.SecretParts{}
			for _, use := range spec.Secrets {
				values[use.Secret] = api.SecretParts{"value": []byte("the secret " + use.Secret + "\n")}
			}
			if _, err := WriteSecrets(script, spec.Secrets, values); err != nil {
				t.Fatal(err)
			}
			c := exec.Command(shell[0], append(shell[1:], "-c", `. "$LANDFALL_SCRIPT/main.sh"`)...)
			c.Dir = work
			c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LANDFALL_SCRIPT=" + script, "LANDFALL_STATE=" + state}, env...)
			var log bytes.Buffer
			seen := false
			all := NewEnd(&log, func() { seen = true })
			c.Stdout, c.Stderr = all, all
			_ = c.Run() // the exit code is looked at
			if !seen {
				t.Errorf("the end is not marked in the log\n%s", &log)
			}
			result, err := os.ReadFile(filepath.Join(state, "result"))
			if err != nil {
				t.Fatalf("%v; the log is\n%s", err, &log)
			}
			check(t, log.String(), string(result), c.ProcessState.ExitCode())
		})
	}
}

func shell(script string) api.Step { return api.Step{Shell: &api.ShellStep{Script: script}} }

// want returns a check of runSteps: which lines the log has, in this order,
// but for those of "set -x".
func want(result string, exit int, lines ...string) func(*testing.T, string, string, int) {
	return func(t *testing.T, log, gotResult string, gotExit int) {
		t.Helper()
		var got []string
		for line := range strings.Lines(log) {
			if line = strings.TrimSuffix(line, "\n"); line != "" && !strings.HasPrefix(line, "+") {
				got = append(got, line)
			}
		}
		if strings.Join(got, "\n") != strings.Join(lines, "\n") || gotResult != result || gotExit != exit {
			t.Errorf("got %q, exit %d and the log\n%s\nwant %q, exit %d and\n%s", gotResult, gotExit, log, result, exit, strings.Join(lines, "\n"))
		}
	}
}

func TestStepsAreProcessesOfTheirOwn(t *testing.T) {
	runSteps(t, api.JobSpec{Script: []string{"echo plain; x=1"}, Steps: []api.Step{
		shell("# comment\necho ${x-fresh} $WORKSPACE_NOT"),
		shell("#!/bin/sh -e\necho quiet; exit 0; echo never"),
		shell("#!/usr/bin/env cat\nread by another"),
		{Shell: &api.ShellStep{Script: "exit 3", UnstableExit: 3}},
		shell("echo goes on; false; echo never"),
		shell("echo never"),
	}}, nil, want("FAILURE\nstep 5 exited with 3\n", 3,
		"--- step 1: echo plain; x=1", "plain",
		"--- step 2: echo ${x-fresh} $WORKSPACE_NOT", "fresh",
		"--- step 3: echo quiet; exit 0; echo never", "quiet",
		"--- step 4: read by another", "#!/usr/bin/env cat", "read by another",
		"--- step 5: exit 3", "--- step 5 exited with 3: the build is unstable",
		"--- step 6: echo goes on; false; echo never", "goes on", "--- step 6 exited with 1"))
}

func TestInjectedVariablesReachTheStepsThatFollow(t *testing.T) {
	content := "# comment\n! another\n\nA=1\n  B : two words  \nC with space\nD=${A}-$B-$OUTER-$$-\\$X-$UNKNOWN\nPATHISH=/x:$OUTER\nE=long\\\n   er\nF=c:\\dir\nG=\nbad.name=1\nH=it's \"quoted\" `x` $(y)\r\nlf_result=FAILURE\nZ=last"
	runSteps(t, api.JobSpec{Steps: []api.Step{
		shell("#!/bin/sh\nprintf 'FROM=file\\nA=9\\n' >sub/props; exit 0"),
		{Inject: &api.InjectStep{File: "$DIR/props", Content: content}},
		shell("#!/bin/sh\nfor v in \"$FROM\" \"$A\" \"$B\" \"$C\" \"$D\" \"$PATHISH\" \"$E\" \"$F\" \"${G-unset}\" \"$H\" \"$Z\"; do echo \"[$v]\"; done"),
		{Inject: &api.InjectStep{File: "none"}},
	}}, []string{"OUTER=out", "DIR=sub"}, want("FAILURE\nstep 4 exited with 1\n", 1,
		`--- step 1: printf 'FROM=file\nA=9\n' >sub/props; exit 0`,
		"--- step 2: set variables", "--- bad.name is no name for a variable: not set", "--- lf_result is Landfall's own: not set",
		`--- step 3: for v in "$FROM" "$A" "$B" "$C" "$D" "$PATHISH" "$E" "$F" "${G-unset}" "$H" "$Z"; do echo "[$v]"; done`,
		"[file]", "[1]", "[two words]", "[with space]", "[1-two words-out-$-$X-$UNKNOWN]", "[/x:out]", "[longer]", `[c:\dir]`, "[]", "[it's \"quoted\" `x` $(y)]", "[last]",
		"--- step 4: set variables", "There is no file of properties none.", "--- step 4 exited with 1"))
}

func TestFilesAreProvided(t *testing.T) {
	file := func(name, content, variable, target string) api.Step {
		return api.Step{File: &api.FileStep{Name: name, Content: content, Secret: content == "", Variable: variable, Target: target}}
	}
	runSteps(t, api.JobSpec{
		Secrets: []api.SecretUse{{Secret: "key", Part: "value", File: true}},
		Steps: []api.Step{
			file("a.conf", "it's $A\n", "CONF", ""), file("a.conf", "other\n", "", "$DIR"), file("key", "", "KEY", "new/$DIR/k"),
			shell("#!/bin/sh\ncat $CONF sub/a.conf $KEY; echo ${CONF##*/} ${KEY#$PWD}; rm $CONF; cd /; [ -e $KEY ]"),
			file("none", "", "", ""),
		},
	}, []string{"DIR=sub"}, want("FAILURE\nstep 5 exited with 1\n", 1,
		"--- step 1: provide the file a.conf", "--- step 2: provide the file a.conf", "--- step 3: provide the file key",
		"--- step 4: cat $CONF sub/a.conf $KEY; echo ${CONF##*/} ${KEY#$PWD}; rm $CONF; cd /; [ -e $KEY ]",
		"it's $A", "other", "the secret key", "a.conf /new/sub/k",
		"--- step 5: provide the file none", "There is no file none.", "--- step 5 exited with 1"))
}

func TestConditions(t *testing.T) {
	type condition = api.StepCondition
	yes, no := condition{Type: api.ConditionAlways}, condition{Type: api.ConditionNever}
	unclear := condition{Type: api.ConditionBoolean, A: "$NOTHING"}
	for name, test := range map[string]struct {
		of   condition
		want string // yes, no or unclear
	}{
		"always":               {yes, "yes"},
		"never":                {no, "no"},
		"true text":            {condition{Type: "boolean", A: " $YES "}, "yes"},
		"other text":           {condition{Type: "boolean", A: "truth"}, "no"},
		"unset":                {unclear, "unclear"},
		"unset may be":         {condition{Type: "boolean", A: "${NOTHING-}"}, "no"},
		"equal":                {condition{Type: "equal", A: "a$YES", B: "aTrue"}, "yes"},
		"not equal":            {condition{Type: "equal", A: "a$YES", B: "atrue"}, "no"},
		"equal folded":         {condition{Type: "equal", A: "a$YES", B: "ATRUE", FoldCase: true}, "yes"},
		"longer folded":        {condition{Type: "equal", A: "a$YES", B: "ATRUES", FoldCase: true}, "no"},
		"dot is no wildcard":   {condition{Type: "equal", A: "a.b", B: "axb", FoldCase: true}, "no"},
		"match":                {condition{Type: "match", A: "$YES-1.2", B: "[A-Z][a-z]+-([0-9]|\\.)*"}, "yes"},
		"match of a part":      {condition{Type: "match", A: "$YES-1.2", B: "rue"}, "no"},
		"match folded":         {condition{Type: "match", A: "$YES", B: "true|1", FoldCase: true}, "yes"},
		"match of lines":       {condition{Type: "match", A: "$LINES2", B: "one two"}, "yes"},
		"match of one line":    {condition{Type: "match", A: "$LINES2", B: "two"}, "no"},
		"match of nothing":     {condition{Type: "match", A: "", B: ".*"}, "yes"},
		"malformed expression": {condition{Type: "match", A: "a", B: "("}, "unclear"},
		"file":                 {condition{Type: "file", A: "sub"}, "yes"},
		"no file":              {condition{Type: "file", A: "subs"}, "no"},
		"script passes":        {condition{Type: "shell", A: "#!/bin/sh\n[ -d sub ]"}, "yes"},
		"script fails":         {condition{Type: "shell", A: "#!/bin/sh\nexit 7"}, "no"},
		"status":               {condition{Type: "status", A: "UNSTABLE", B: "SUCCESS"}, "yes"},
		"other status":         {condition{Type: "status", A: "ABORTED", B: "UNSTABLE"}, "no"},
		"not no":               {condition{Type: "not", Of: []condition{no}}, "yes"},
		"not unclear":          {condition{Type: "not", Of: []condition{unclear}}, "unclear"},
		"and":                  {condition{Type: "and", Of: []condition{yes, yes}}, "yes"},
		"and no":               {condition{Type: "and", Of: []condition{yes, no, unclear}}, "no"},
		"and unclear":          {condition{Type: "and", Of: []condition{yes, unclear}}, "unclear"},
		"or":                   {condition{Type: "or", Of: []condition{no, {Type: "and", Of: []condition{yes, {Type: "not", Of: []condition{no}}}}, unclear}}, "yes"},
		"or no":                {condition{Type: "or", Of: []condition{no, no}}, "no"},
		"or unclear":           {condition{Type: "or", Of: []condition{no, unclear}}, "unclear"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := api.JobSpec{Steps: []api.Step{{If: &api.IfStep{Condition: test.of, Steps: []api.Step{shell("echo yes")}}}, shell("echo ended")}}
			runSteps(t, spec, []string{"YES=True", "LINES2=one\ntwo"}, func(t *testing.T, log, result string, _ int) {
				got := "no"
				switch {
				case result != "SUCCESS\n\n":
					got = "unclear"
				case strings.Contains(log, "\nyes\n"):
					got = "yes"
				}
				if got != test.want || strings.Contains(log, "\nended\n") == (got == "unclear") {
					t.Errorf("got %s, want %s:\n%s", got, test.want, log)
				}
			})
		})
	}
}

func TestConditionsThatCannotBeEvaluated(t *testing.T) {
	for policy, want := range map[api.OnError]string{
		api.OnErrorFail: "FAILURE", api.OnErrorUnstable: "UNSTABLE end", api.OnErrorRunUnstable: "UNSTABLE ran end",
		api.OnErrorRun: "SUCCESS ran end", api.OnErrorSkip: "SUCCESS end", "": "FAILURE",
	} {
		unclear := api.StepCondition{Type: api.ConditionEqual, A: "$NOTHING", B: "x"}
		spec := api.JobSpec{Steps: []api.Step{{If: &api.IfStep{Condition: unclear, OnError: policy, Steps: []api.Step{shell("echo ran")}}}, shell("echo end")}}
		runSteps(t, spec, nil, func(t *testing.T, log, result string, _ int) {
			got, _, _ := strings.Cut(result, "\n")
			for _, word := range []string{"ran", "end"} {
				if strings.Contains(log, "\n"+word+"\n") {
					got += " " + word
				}
			}
			if got != want || !strings.Contains(log, "there is no variable NOTHING") {
				t.Errorf("%q: got %s, want %s:\n%s", policy, got, want, log)
			}
		})
	}
}

func TestStepsAfterTheBuildGoByItsResult(t *testing.T) {
	after := func(on api.Result, script string) api.After {
		return api.After{On: []api.Result{on}, Steps: []api.Step{shell(script)}}
	}
	spec := api.JobSpec{
		Steps: []api.Step{{Inject: &api.InjectStep{Content: "V=v"}}, shell("exit 4")},
		After: []api.After{
			after("SUCCESS", "echo never"), after("FAILURE", "echo after $V"),
			{Ignore: true, Steps: []api.Step{shell("exit 5"), shell("echo never")}},
			{Unstable: true, Steps: []api.Step{shell("echo all")}},
			{Log: []string{"."}, Steps: []api.Step{shell("echo later")}},
		},
	}
	runSteps(t, spec, nil, want("FAILURE\nstep 2 exited with 4\n", 4,
		"--- step 1: set variables", "--- step 2: exit 4", "--- step 2 exited with 4",
		"--- after the build, step 4: echo after $V", "after v",
		"--- after the build, step 5: exit 5", "--- step 5 exited with 5",
		"--- after the build, step 7: echo all", "all"))
	spec.Steps = nil
	spec.After = spec.After[2:4]
	spec.After[1].Steps = []api.Step{shell("exit 6")}
	runSteps(t, spec, nil, want("UNSTABLE\nstep 3 exited with 6\n", 6,
		"--- after the build, step 1: exit 5", "--- step 1 exited with 5",
		"--- after the build, step 3: exit 6", "--- step 3 exited with 6"))
}

func TestTheScriptIsLeftWhereTheRunnerStartsBuilds(t *testing.T) {
	call := func(job string) api.Step {
		return api.Step{Call: &api.CallStep{Called: api.Called{Jobs: []string{job}}, Wait: true}}
	}
	always := func(steps ...api.Step) api.Step {
		return api.Step{If: &api.IfStep{Condition: api.StepCondition{Type: api.ConditionShell, A: "#!/bin/sh\necho asked >>asked"}, Steps: steps}}
	}
	never := api.Step{If: &api.IfStep{Condition: api.StepCondition{Type: api.ConditionNever}, Steps: []api.Step{call("never")}}}
	spec := api.JobSpec{
		Script: []string{"echo first"},
		Steps: []api.Step{
			{Inject: &api.InjectStep{Content: "V=v"}}, {Shell: &api.ShellStep{Script: "#!/bin/sh\nexit 3", UnstableExit: 3}},
			never, always(shell("#!/bin/sh\necho inner"), call("one"), shell("#!/bin/sh\necho $V $RESULT; wc -l <asked")),
			call("two"), shell("echo never"),
		},
		After: []api.After{{Ignore: true, Steps: []api.Step{call("three"), shell("#!/bin/sh\necho last; exit 1")}}},
	}
	calls := Calls(&spec)
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			script, state := filepath.Join(dir, "script"), filepath.Join(dir, "state")
			if err := os.MkdirAll(filepath.Join(state, "env"), 0o700); err != nil {
				t.Fatal(err)
			}
			if _, err := Write(script, &spec); err != nil {
				t.Fatal(err)
			}
			answers := map[string]Answer{"one": {Said: "one ended\n", Env: map[string]string{"RESULT": "fine"}}, "two": {Said: "two failed\n", Stop: true}, "three": {Verdict: "FAILURE"}}
			var log strings.Builder
			answered := 0
			for {
				c := exec.Command(shell[0], append(shell[1:], "-c", `. "$LANDFALL_SCRIPT/main.sh"`)...)
				all := NewEnd(&log, func() {})
				c.Dir, c.Stdout, c.Stderr = dir, all, all
				c.Env = []string{"PATH=" + os.Getenv("PATH"), "LANDFALL_SCRIPT=" + script, "LANDFALL_STATE=" + state}
				_ = c.Run() // its end is looked at
				n := Left(state)
				if n == answered {
					break
				}
				if calls[n] == nil {
					t.Fatalf("it was left at step %d:\n%s", n, &log)
				}
				answered = n
				if err := Resume(script, n, answers[calls[n].Jobs[0]]); err != nil {
					t.Fatal(err)
				}
			}
			result, why := Ended(state)
			want(string(result)+"\n"+why, 0,
				"--- step 1: echo first", "first", "--- step 2: set variables",
				"--- step 3: exit 3", "--- step 3 exited with 3: the build is unstable",
				"--- step 4: if never", "--- skipped: the condition does not hold", "--- step 6: if a script passes",
				"--- step 7: echo inner", "inner", "--- step 8: start one and wait", "one ended",
				"--- step 9: echo $V $RESULT; wc -l <asked", "v fine", "1",
				"--- step 10: start two and wait", "two failed", "--- step 10 exited with 1",
				"--- after the build, step 12: start three and wait", "--- step 12 makes the build FAILURE",
				"--- after the build, step 13: echo last; exit 1", "last", "--- step 13 exited with 1",
			)(t, log.String(), string(result)+"\n"+why, 0)
			if result != api.ResultFailure || why != "step 3 exited with 3" {
				t.Errorf("it is %s, because %s", result, why)
			}
		})
	}
}

func TestPropertiesOfAFile(t *testing.T) {
	dir := t.TempDir()
	text := "# no\n! no\nA=1\n B : two words \nC with space\nD=$OUT-$$\nlong\\\n er=x\nE"
	if err := os.WriteFile(filepath.Join(dir, "p"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Properties(dir, "./p", map[string]string{"OUT": "o"})
	want := map[string]string{"A": "1", "B": "two words", "C": "with space", "D": "o-$", "longer": "x", "E": ""}
	if !maps.Equal(got, want) || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if _, err := Properties(dir, "../p", nil); err == nil {
		t.Error("a file outside was read")
	}
}

func TestSecretsAreGiven(t *testing.T) {
	uses := []api.SecretUse{
		{Secret: "token", Part: "value", Variable: "TOKEN"}, {Secret: "login", Part: "username:password", Variable: "LOGIN"},
		{Secret: "key", Part: "key", Variable: "KEY", File: true}, {Secret: "key", Part: "key"},
	}
	values := map[string]api.SecretParts{
		"token": {"value": []byte("it's $(secret)\n")}, "login": {"username": []byte("ada"), "password": []byte("pass")}, "key": {"key": []byte("one line\ntwo lines\n")},
	}
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			script, state := filepath.Join(dir, "script"), filepath.Join(dir, "state")
			if err := os.MkdirAll(filepath.Join(state, "env"), 0o700); err != nil {
				t.Fatal(err)
			}
			spec := api.JobSpec{Steps: []api.Step{{Shell: &api.ShellStep{Script: "#!/bin/sh\necho \"$TOKEN$LOGIN\"; cat $KEY; echo $SSH_AUTH_SOCK"}}}}
			if _, err := Write(script, &spec); err != nil {
				t.Fatal(err)
			}
			masked, err := WriteSecrets(script, uses, values)
			if err != nil {
				t.Fatal(err)
			}
			bin := filepath.Join(dir, "bin")
			if err := os.Mkdir(bin, 0o700); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{
				"ssh-agent": "#!/bin/sh\nsleep 1000 >/dev/null 2>&1 &\necho \"SSH_AGENT_PID=$!; SSH_AUTH_SOCK=/agent; export SSH_AGENT_PID SSH_AUTH_SOCK\"\n",
				"ssh-add":   "#!/bin/sh\ncat \"$2\" >" + dir + "/added\n",
			} {
				if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			c := exec.Command(shell[0], append(shell[1:], "-c", `. "$LANDFALL_SCRIPT/main.sh"`)...)
			c.Dir = dir
			c.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "LANDFALL_SCRIPT=" + script, "LANDFALL_STATE=" + state}
			var log bytes.Buffer
			all := NewEnd(&log, func() {})
			c.Stdout, c.Stderr = all, all
			err = c.Run()
			if want := "it's $(secret)\nada:pass\none line\ntwo lines\n/agent\n"; err != nil || !strings.HasSuffix(log.String(), want) {
				t.Errorf("%v; the log is\n%s\nwant at its end\n%s", err, &log, want)
			}
			if added, err := os.ReadFile(filepath.Join(dir, "added")); string(added) != "one line\ntwo lines\n" {
				t.Errorf("the agent got %q, %v", added, err)
			}
			var shown strings.Builder
			m := NewMask(&shown, masked)
			if _, err := m.Write(log.Bytes()); err != nil {
				t.Fatal(err)
			}
			if err := m.Flush(); err != nil || strings.Contains(shown.String(), "secret") || strings.Contains(shown.String(), "line\n") || strings.Contains(shown.String(), "pass\n") {
				t.Errorf("%v; shown is\n%s", err, &shown)
			}
			if err := RemoveSecrets(script, state); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(script, "secrets")); !os.IsNotExist(err) {
				t.Errorf("the files are still there: %v", err)
			}
		})
	}
}

func TestSecretsAreMaskedInPiecesToo(t *testing.T) {
	for _, size := range []int{1, 3, 100} {
		var out strings.Builder
		m := NewMask(&out, []string{"pass", "passwords", "abc"})
		text := "pas password passwords ppass abc password"
		for len(text) > 0 {
			n := min(size, len(text))
			if got, err := m.Write([]byte(text[:n])); got != n || err != nil {
				t.Fatalf("wrote %d, %v", got, err)
			}
			text = text[n:]
		}
		if err := m.Flush(); err != nil {
			t.Fatal(err)
		}
		if got, want := out.String(), "pas ****word **** p**** abc ****word"; got != want {
			t.Errorf("in pieces of %d: %q, want %q", size, got, want)
		}
	}
}
