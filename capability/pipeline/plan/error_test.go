package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestErrorsOfPrograms(t *testing.T) {
	for name, c := range map[string]struct {
		program string
		want    string // the whole error, as its reader sees it
	}{
		"syntax": {
			"def main(ctx):\n    return [)\n",
			"pipeline.star:2:13: got ')', want primary expression",
		},
		"deeply nested text": {
			"x = " + strings.Repeat("(", 4<<20),
			"pipeline.star:1:82: excessive nesting",
		},
		"unknown name": {
			"def main(ctx):\n    return [biuld(job = \"test\")]\n",
			"pipeline.star:2:13: undefined: biuld (did you mean \"build\"?)",
		},
		"while": {
			"def main(ctx):\n    while True: pass\n",
			"pipeline.star:2:5: this Starlark dialect does not support while loops",
		},
		"control at the top": {
			"for x in [1]: pass\n",
			"pipeline.star:1:1: for loop not within a function",
		},
		"recursion": {
			"def f(): return f()\n\ndef main(ctx): return f()\n",
			"pipeline.star:1:17: function f called recursively, called from pipeline.star:1:18 in f, called from pipeline.star:3:24 in main",
		},
		"runtime, with the calls that led there": {
			"load(\"ci/lib.star\", \"half\")\n\ndef plan(n):\n    return half(n)\n\ndef main(ctx):\n    return sorted([0], key = plan)\n",
			"ci/lib.star:2:14: floored division by zero, called from pipeline.star:4:16 in plan, called from pipeline.star:7:18 in main",
		},
		"unknown attribute": {
			"def main(ctx):\n    return [ctx.event.brnch]\n",
			"pipeline.star:2:22: \"ctx.event\" struct has no .brnch attribute (did you mean .branch?)",
		},
		"the context cannot be changed": {
			"def main(ctx):\n    ctx.params[\"a\"] = \"b\"\n",
			"pipeline.star:2:15: cannot insert into frozen hash table",
		},
		"endless loop": {
			"def main(ctx):\n    for i in range(1 << 40): pass\n",
			"pipeline.star:2:5: pipeline.star took more than 1000000 steps; is there a loop that is too long?",
		},
		"endless loop in a loaded file": {
			"load(\"ci/endless.star\", \"x\")\n",
			"ci/endless.star:1:6: pipeline.star took more than 1000000 steps; is there a loop that is too long?, called from pipeline.star:1:1 in <toplevel>",
		},
		"no main": {
			"x = 1\n",
			"pipeline.star has no function main: write def main(ctx) that returns a list of nodes",
		},
		"main is no function": {
			"main = 1\n",
			"pipeline.star has no function main: write def main(ctx) that returns a list of nodes",
		},
		"main without an argument": {
			"def main(): return []\n",
			"pipeline.star:1:1: function main accepts no arguments (1 given)",
		},
		"main returns nothing": {
			"def main(ctx):\n    build(job = \"test\")\n",
			"pipeline.star:1:1: main returned None; return a list of nodes and stages",
		},
		"main returns something else": {
			"def main(ctx): return {}\n",
			"pipeline.star:1:1: main returned a dict; return a list of nodes and stages",
		},
		"an entry is something else": {
			"def main(ctx): return [1]\n",
			"pipeline.star:1:1: main's list has an entry that is an int; want nodes, stages, parallel or lists of them",
		},
		"an entry is None": {
			"def f(): pass\n\ndef main(ctx):\n    return [stage(\"verify\", f())]\n",
			"pipeline.star:4:18: stage \"verify\" has an entry that is None; does a function lack its return?",
		},
		"load of a missing file": {
			"load(\"ci/lub.star\", \"half\")\n",
			"pipeline.star:1:1: cannot load ci/lub.star: the project has no file ci/lub.star (did you mean \"ci/lib.star\"?)",
		},
		"load of a missing library file": {
			"load(\"@ci//other.star\", \"x\")\n",
			"pipeline.star:1:1: cannot load @ci//other.star: the library has no file other.star",
		},
		"load of a missing name": {
			"load(\"ci/lib.star\", \"halv\")\n",
			"pipeline.star:1:1: load: name halv not found in module ci/lib.star (did you mean half?)",
		},
		"load of a broken file": {
			"load(\"ci/broken.star\", \"x\")\n",
			"ci/broken.star:1:5: got newline, want primary expression",
		},
		"load cycle": {
			"load(\"ci/one.star\", \"x\")\n",
			"ci/two.star:1:1: cannot load ci/one.star: load cycle: pipeline.star → ci/one.star → ci/two.star → ci/one.star, called from ci/one.star:1:1 in <toplevel>, called from pipeline.star:1:1 in <toplevel>",
		},
		"a project's file in the library": {
			"load(\"@ci//spy.star\", \"x\")\n",
			"@ci//spy.star:1:1: cannot load ci/lib.star: the library has no file ci/lib.star, called from pipeline.star:1:1 in <toplevel>",
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := Input{
				Jobs: []string{"image", "test"},
				Files: map[string]string{
					mainFile:          c.program,
					"ci/lib.star":     "def half(n):\n    return 1 // n + (n // 0)\n",
					"ci/broken.star":  "x = \n",
					"ci/one.star":     "load(\"ci/two.star\", \"x\")\n",
					"ci/two.star":     "load(\"ci/one.star\", \"x\")\n",
					"ci/endless.star": "x = [i for i in range(1 << 40)]\n",
				},
				Library: map[string]string{"spy.star": "load(\"ci/lib.star\", \"half\")\n"},
			}
			wantError(t, in, c.want)
		})
	}
}

func TestErrorsOfCalls(t *testing.T) {
	for name, c := range map[string]struct{ call, want string }{
		"unknown job":               {`build(job = "tset")`, `build: the project has no job "tset" (did you mean "test"?)`},
		"no job":                    {`build("test")`, `build: no job; write build(job = "NAME")`},
		"unfit id":                  {`build("a b", job = "test")`, `build: the id "a b" has more than small letters, digits, dots and hyphens, or is longer than 100`},
		"too many retries":          {`build(job = "test", retries = 11)`, `build: retries is 11; want 0 to 10`},
		"params that are no text":   {`build(job = "test", params = {"n": 1})`, `build: params: "n" is an int; want a string`},
		"unknown argument":          {`build(job = "test", image = 1)`, `build: unexpected keyword argument "image"`},
		"deploy without image":      {`deploy("staging")`, `deploy: missing argument for image`},
		"image is a name":           {`deploy("staging", image = "image")`, `deploy: image is a string; want the node of a build`},
		"image is no build":         {`deploy("staging", image = notify("x"))`, `deploy: image is the node of a notify; want the node of a build`},
		"deploy to nowhere":         {`deploy("", image = build(job = "test"))`, `deploy: the environment's name is empty`},
		"tests that are no text":    {`deploy("x", image = build(job = "test"), tests = ["a", None])`, `deploy: tests: entry 2 is None; want a string`},
		"release without image":     {`release(version = "1")`, `release: missing argument for image`},
		"approval by nobody":        {`approve("go live", by = "")`, `approve: by is ""; want the group that may approve, as "release-managers" or "groups/release-managers", or a person, as "users/rita"`},
		"approvals by one person":   {`approve("go live", by = "users/rita", n = 2)`, `approve: n is 2; want how many people of a group must approve, from 1 to 20`},
		"a step without a script":   {`step("lint", [], image = "x")`, `step: run is a list; want shell scripts, as "make test" or ["make", "make test"]`},
		"a step with a job's name":  {`step("test", "make")`, `step: the project has a job "test": build that with build(job = "test"), or choose another name`},
		"a step with a bad report":  {`step("lint", "make", reports = {"xml": "a.xml"})`, `step: reports: "xml" is no kind; want junit, coverage, sarif, cyclonedx, osv or sonar`},
		"a step with a bad service": {`step("lint", "make", services = {"my db": "postgres:17"})`, `step: services: "my db" is "postgres:17"; want a name of small letters, digits and hyphens, which the step reaches it by, and an image`},
		"a step with a bad cache":   {`step("lint", "make", cache = {"m2": "../x"})`, `step: cache: "m2" is "../x"; want an absolute path in the container, without a comma or colon`},
		"a window of nothing":       {`deploy("staging", image = build(job = "image"), window = [])`, `deploy: window is a list; want times as "Mon-Thu 08:00-16:00", or window("Mon-Thu 08:00-16:00", zone = "Europe/Berlin")`},
		"a window of a wrong day":   {`window("Mo 08:00-16:00")`, `window: "Mo 08:00-16:00": the days "Mo" are none: want days and hours as "Mon-Thu 08:00-16:00", "Sat,Sun" or "22:00-04:00"`},
		"a freeze of a number":      {`window(freeze = [1])`, `window: freeze: entry 1 is an int; want a string`},
		"approval by a machine":     {`approve("go live", by = "accounts/runner")`, `approve: by is "accounts/runner"; want the group that may approve, as "release-managers" or "groups/release-managers", or a person, as "users/rita"`},
		"approval by a sentence":    {`approve("go live", by = "the boss")`, `approve: by is "the boss"; want the group that may approve, as "release-managers" or "groups/release-managers", or a person, as "users/rita"`},
		"stage without a name":      {`stage(build(job = "test"))`, `stage: the first argument is a node; want the name of the stage`},
		"stage with nothing":        {`stage()`, `stage: want a name and then entries, as in stage("verify", build(job = "test"))`},
		"pattern that is malformed": {`ctx.changed("[")`, `changed: "[" is not a pattern: syntax error in pattern`},
		"pattern that is no text":   {`ctx.changed(1)`, `changed: got an int, want a pattern, which is a string`},

		"limit that is none":         {`parallel(limit = -1)`, `parallel: limit is -1; want how many branches may run at once, or 0 for all`},
		"matrix without an axis":     {`matrix(len)`, `matrix: want a function and one list or more, as in matrix(test, ["17", "21"], ["amd64", "arm64"])`},
		"matrix of a number":         {`matrix(len, 1)`, `matrix: axis 1 is an int; want a list`},
		"matrix without end":         {`matrix(len, range(100), range(100))`, `matrix: the axes have more than 500 combinations`},
		"guard of nothing":           {`guard(build(job = "test"))`, `guard: want entries, and what is to be done after, as in guard(deploy(...), rescue = [rollback("staging")])`},
		"ignore of what is no cause": {`ignore(build(job = "test"), upto = "failure")`, `ignore: for parameter "upto": got string, want UNSTABLE, FAILURE, TIMEOUT or INFRA`},
		"retry without end":          {`retry(99, build(job = "test"))`, `retry: the first argument is 99; want how often it is tried again, from 1 to 10`},
		"retry on what is no cause":  {`retry(1, build(job = "test"), on = [300])`, `retry: on has 300; want INFRA, FAILURE, UNSTABLE, TIMEOUT, or an exit code from 1 to 255`},
		"backoff in no unit":         {`retry(1, build(job = "test"), backoff = "10")`, `retry: backoff is "10"; want a duration from "1s" to "720h", as "90s", "20m" or "72h"`},
		"lock without a name":        {`lock("The DB", build(job = "test"))`, `lock: "The DB" is no name of a lock: use small letters, digits, dots and hyphens, at most 60`},
		"timeout that is a number":   {`stage("x", timeout = 3)`, `stage: timeout is 3; want a duration from "1s" to "720h", as "90s", "20m" or "72h"`},
		"condition that is known":    {`build(job = "test", when = ctx.event.branch == "main")`, `build: when is a bool; want a condition, as branch("main") or result(node, "failed"): what is known already is an if of the program`},
		"result that there is not":   {`build(job = "test", when = result("x", "ok"))`, `result: "ok" is no result; want one of [passed failed unstable skipped cancelled]`},
		"promotion of no release":    {`promote("stable", release = build(job = "test"))`, `promote: release is the node of a build; want the node of a release`},
		"gate of no build":           {`gate(builds = [notify("x")])`, `gate: entry 1 of builds is the node of a notify; want the node of a build`},
		"gate that nobody can pass":  {`gate(new_coverage = 101)`, `gate: new_coverage is 101; want a number from 0 to 100`},
		"notice to nobody":           {`notify("x", to = "ops")`, `notify: to is "ops"; want a channel, as "#ops", or a person, as "users/rita"`},
		"expansion by no function":   {`expand("f", build(job = "test"), "x.json")`, `expand: for parameter function: got string, want function`},
		"expansion by a lambda":      {`expand(lambda ctx, v: [], build(job = "test"), "x.json")`, `expand: function lambda is not defined at the top level of pipeline.star: it is called later, by its name`},
		"trigger of nothing":         {`trigger("")`, `trigger: the project's name is empty`},
	} {
		t.Run(name, func(t *testing.T) {
			in := mainOf("return [", c.call, "]")
			e := asError(t, errorOf(t, in))
			if e.Message != c.want || e.File != mainFile || e.Line != 3 {
				t.Errorf("got %s:%d: %s\nwant %s", e.File, e.Line, e.Message, c.want)
			}
		})
	}
}

func TestErrorsOfGraphs(t *testing.T) {
	for name, c := range map[string]struct {
		body []string
		want string
	}{
		"a node stands there twice": {
			[]string{`n = build(job = "test")`, `return [n, stage("again", n)]`},
			"pipeline.star:2:14: this build stands in the plan twice; call build again for another one",
		},
		"an id stands there twice": {
			[]string{`return [`, `build("a", job = "test"),`, `build("a", job = "image"),`, `]`},
			`pipeline.star:4:10: the id "a" is that of the node at pipeline.star:3 already`,
		},
		"the image is not built": {
			[]string{`i = build(job = "image")`, `return [deploy("x", image = i)]`},
			"pipeline.star:3:19: this waits for the image of the build at pipeline.star:2, which is not part of what the function returned",
		},
		"the image is built later": {
			[]string{`i = build(job = "image")`, `return [deploy("x", image = i), build(job = "test"), i]`},
			"pipeline.star:3:19: deploy-x waits for itself: it needs the image of image, which runs after it",
		},
		"two branches wait for each other": {
			[]string{`i, j = build("i", job = "image"), build("j", job = "image")`, `return [parallel([deploy("x", image = j), i], [deploy("y", image = i), j])]`},
			"pipeline.star:3:58: deploy-y waits for itself: it needs the image of i, which runs after it",
		},
		"a lock inside of a later one": {
			[]string{`return [lock("b", lock("a", build(job = "test")))]`},
			"pipeline.star:2:27: lock \"a\" is taken inside of lock \"b\": two runs could wait for each other; take both at once, as in lock([\"a\", \"b\"], ...)",
		},
		"a condition about nothing": {
			[]string{`return [build(job = "test"), notify("x", when = result("tets", "failed"))]`},
			"pipeline.star:2:59: no node has the id \"tets\" (did you mean \"test\"?)",
		},
		"a condition that never holds": {
			[]string{`return [build(job = "test"), notify("x", when = result("test", "failed"))]`},
			"pipeline.star:2:40: this starts only once test has passed, so the result is never one of [failed]: put test into ignore(...), or this into the rescue of a guard",
		},
		"a stage that waits for its own end": {
			[]string{`n = build(job = "test")`, `return [stage("x", n, when = result(n, "passed"))]`},
			"pipeline.star:3:18: #1 waits for itself: it needs the result of test, which runs after it",
		},
		"branches of a limited parallel wait for each other": {
			[]string{`i, j = build("i", job = "image"), build("j", job = "image")`, `return [parallel([deploy("x", image = j), i], [deploy("y", image = i), j], limit = 1)]`},
			"pipeline.star:3:58: deploy-y waits for itself: it needs the image of i, which runs after it",
		},
		"stages nest": {
			[]string{`return [stage("a", parallel(stage("b")))]`},
			`pipeline.star:2:38: stage "b" is inside of stage "a"; stages do not nest`,
		},
		"a list contains itself": {
			[]string{`l = []`, `l.append(l)`, `return l`},
			"pipeline.star:1:1: main's list is nested more than 20 deep",
		},
		"too many nodes": {
			[]string{`return [notify("x") for i in range(501)]`},
			"pipeline.star:2:19: the plan has more than 500 nodes",
		},
		"too much text": {
			[]string{`return [notify("x" * 10000) for i in range(200)]`},
			"pipeline.star:1:1: the plan has 1972 KB; at most 400 KB are allowed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, mainOf(c.body...), c.want)
		})
	}
}

func TestProjectWithoutPipeline(t *testing.T) {
	wantError(t, Input{Files: map[string]string{"ci/lib.star": ""}}, "the project has no pipeline.star")
}

func TestListLongerThanAnyMemoryIsNoPanic(t *testing.T) {
	wantError(t, mainOf(`return list(range(1 << 62))`), "pipeline.star used more than 256 MB of memory")
}

func TestLongMessageIsCut(t *testing.T) {
	e := asError(t, errorOf(t, mainOf(`fail("é" * 100000)`)))
	if len(e.Message) > maxMessage+10 || !strings.HasSuffix(e.Message, "é …") {
		t.Errorf("got a message of %d bytes, want about %d", len(e.Message), maxMessage)
	}
}

func TestMostNodesThatAreAllowed(t *testing.T) {
	p := planOf(t, mainOf(`return [parallel(*[notify("x") for i in range(250)]) for j in range(2)]`))
	last := p.Nodes[maxNodes-1]
	if len(p.Nodes) != maxNodes || len(p.Blocks) != 2 || last.In != "#2" || !slices.Equal(p.Blocks[1].Needs, []string{"#1"}) {
		t.Errorf("got %d nodes in %+v, want %d in two blocks, one after the other", len(p.Nodes), p.Blocks, maxNodes)
	}
}

func TestSuggestion(t *testing.T) {
	jobs := []string{"ledger-test", "ledger-text", "web-image"}
	for name, want := range map[string]string{
		"ledger-tes":  "ledger-test",
		"ledger-tst":  "ledger-test",
		"lodger-text": "ledger-text",
		"ledger-te":   "ledger-test",
		"image":       "",
		"":            "",
	} {
		if want != "" {
			want = fmt.Sprintf(" (did you mean %q?)", want)
		}
		if got := Suggest(name, jobs); got != want {
			t.Errorf("suggestion for %q: got %q, want %q", name, got, want)
		}
	}
}

func errorOf(t *testing.T, in Input) error {
	t.Helper()
	r, _ := serveIn(t, in)
	if r.Error == nil {
		t.Fatalf("got the plan\n%s\nwant an error", draw(r.Plan))
	}
	return r.Error
}

func wantError(t *testing.T, in Input, want string) {
	t.Helper()
	if got := errorOf(t, in).Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
