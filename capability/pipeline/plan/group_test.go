package plan

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
)

// drawn returns the lines of the plan of main's body.
func drawn(t *testing.T, body ...string) string {
	t.Helper()
	return strings.Join(Draw(planOf(t, mainOf(body...))), "\n")
}

func TestBlocks(t *testing.T) {
	for name, c := range map[string]struct {
		body []string
		want []string
	}{
		"a stage with a limit of time and a condition": {
			[]string{`return [stage("x", build(job = "test"), when = branch("main") & ~event("patchset-*"), timeout = "20m")]`},
			[]string{"stage x", `  test: build job=test in (stage name=x when {"all":[{"branch":["main"]},{"not":{"event":["patchset-*"]}}]} within 1200s)`},
		},
		"a parallel with a limit, whose branches are one each": {
			[]string{`return [parallel([build(job = "test"), build("b", job = "test")], c_d = build(job = "image"), limit = 1)]`},
			[]string{
				"test: build job=test in (stage) in (parallel limit=1)",
				"b: build job=test needs test in (stage) in (parallel limit=1)",
				"c-d: build job=image in (parallel limit=1)",
			},
		},
		"a guard with rescue and always": {
			[]string{`return [guard(build(job = "test"), rescue = notify("bad"), always = [notify("end", to = "#ops")]), notify("x")]`},
			[]string{
				"test: build job=test in (stage) in (guard)",
				"notify: notify text=bad in (rescue after stage at pipeline.star:2) in (guard)",
				"notify-2: notify text=end to=#ops in (always after stage at pipeline.star:2, rescue at pipeline.star:2) in (guard)",
				"notify-3: notify text=x needs guard at pipeline.star:2",
			},
		},
		"ignore, retry and lock": {
			[]string{`return [ignore(retry(2, lock(["b", "a"], build(job = "test")), on = [INFRA, 137], backoff = "10s"), upto = UNSTABLE)]`},
			[]string{`test: build job=test in (lock locks=["a","b"] name=a, b) in (retry backoffSeconds=10 exits=[137] on=["infra"] retries=2) in (ignore upto=unstable)`},
		},
		"a matrix": {
			[]string{`return [matrix(lambda v, a: build("t-%s-%s" % (v, a), job = "test"), ["17", "21"], ["x", "y"], limit = 2, fail_fast = True)]`},
			[]string{
				"t-17-x: build job=test in (parallel failFast=true limit=2)",
				"t-21-x: build job=test in (parallel failFast=true limit=2)",
				"t-17-y: build job=test in (parallel failFast=true limit=2)",
				"t-21-y: build job=test in (parallel failFast=true limit=2)",
			},
		},
		"all further nodes": {
			[]string{
				`i = build(job = "image")`,
				`r = release(image = i)`,
				`return [i, gate(builds = [i], new_coverage = 80, new_issues = 0), trigger("other", job = "j", params = {"a": "b"}), r, promote("stable", release = r), rollback("eu", timeout = "1h")]`,
			},
			[]string{
				"image: build job=image",
				`gate: gate builds=["image"] rules={"newCoverage":80,"newIssues":0} needs image`,
				`other-j: trigger job=j params={"a":"b"} project=other needs gate`,
				"release: release image=image needs other-j",
				"promote-stable: promote channel=stable of=release needs release",
				"rollback-eu: rollback environment=eu needs promote-stable within 3600s",
			},
		},
		"windows, and several approvals": {
			[]string{
				`w = window("Sat", "22:00-04:00", zone = "Europe/Berlin", freeze = "2026-12-24")`,
				`return [approve("x", by = "dba", n = 2, not_author = True), stage("s", lock("l", build(job = "test", window = "Mon 08:00-16:00"), window = w), window = ["Mon", "Tue"])]`,
			},
			[]string{
				"approve-x: approve approvals=2 by=groups/dba notAuthor=true",
				"stage s",
				`  test: build job=test window={"times":["Mon 08:00-16:00"]} in (lock locks=["l"] name=l window={"freezes":["2026-12-24"],"times":["Sat","22:00-04:00"],"zone":"Europe/Berlin"}) in (stage name=s window={"times":["Mon","Tue"]} needs approve-x)`,
			},
		},
		"what a part needs from outside, its block waits for": {
			[]string{`i = build(job = "image")`, `return [parallel(lock("l", build(job = "test"), deploy("x", image = i)), retry(1, i))]`},
			[]string{
				"test: build job=test in (lock locks=[\"l\"] name=l needs retry at pipeline.star:3)",
				"deploy-x: deploy environment=x image=image needs test in (lock locks=[\"l\"] name=l needs retry at pipeline.star:3)",
				"image: build job=image in (retry on=[\"infra\"] retries=1)",
			},
		},
		"a condition about a node waits for its end": {
			[]string{`u = build(job = "test")`, `return [parallel(u, notify("x", when = result(u, "failed") | result("test", "unstable")))]`},
			[]string{
				"test: build job=test",
				`notify: notify text=x after test when {"any":[{"result":{"node":"test","states":["failed"]}},{"result":{"node":"test","states":["unstable"]}}]}`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got, want := drawn(t, c.body...), strings.Join(c.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

const sharding = `
def shard(ctx, found):
    return [parallel(*[build("shard-%s" % s, job = "test", params = {"N": s}) for s in found["shards"]]), deploy("x", image = "image")]

def main(ctx):
    b = build(job = "image")
    return [stage("s", b, lock("m", expand(shard, b, "out/shards.json"))), notify("end")]
`

func expandShards(t *testing.T, function, value string, change func(*Expansion)) (api.Plan, response) {
	t.Helper()
	in := mainOf()
	in.Files[mainFile] = sharding + "\ndef other(ctx, v):\n    return [lock(\"a\", build(job = \"test\"))]\n"
	whole := planOf(t, in)
	in.Expansion = &Expansion{
		Function: function, Source: "out/shards.json of builds/r.image.1", Value: json.RawMessage(value), Plan: whole, Node: "expand-shard", Images: []string{"image"},
	}
	if change != nil {
		change(in.Expansion)
	}
	r, _ := serveIn(t, in)
	return whole, r
}

func TestAPlanIsExpandedFromAnArtifact(t *testing.T) {
	whole, r := expandShards(t, "pipeline.star:shard", `{"shards": ["1", "2"]}`, nil)
	expand := whole.Nodes[1]
	if expand.Function != "pipeline.star:shard" || expand.Of != "image" || expand.Artifact != "out/shards.json" || expand.In != "#2" {
		t.Errorf("the plan has %+v, want how it is to be expanded, in a block of its own in the lock", expand)
	}
	if r.Error != nil {
		t.Fatalf("expansion: %v", r.Error)
	}
	want := []string{
		"shard-1: build job=test params={\"N\":\"1\"}",
		"shard-2: build job=test params={\"N\":\"2\"}",
		"deploy-x: deploy environment=x image=image needs shard-1, shard-2",
	}
	if got := Draw(r.Plan); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestErrorsOfExpansions(t *testing.T) {
	for name, c := range map[string]struct {
		function, value string
		change          func(*Expansion)
		want            string
	}{
		"a function that is gone":         {"pipeline.star:gone", "{}", nil, "pipeline.star has no function gone any more"},
		"a value that does not fit":       {"pipeline.star:shard", "{}", nil, `pipeline.star:3:93: key "shards" not in dict`},
		"an image that is not there":      {"pipeline.star:shard", `{"shards": []}`, func(x *Expansion) { x.Images = nil }, `pipeline.star:3:113: deploy: no build "image" has made an image yet`},
		"an id that is taken":             {"pipeline.star:shard", `{"shards": ["1"]}`, func(x *Expansion) { x.Plan.Nodes[0].ID = "shard-1" }, `pipeline.star:3:29: the id "shard-1" is that of the node at pipeline.star:6 already`},
		"a lock inside of a later one":    {"pipeline.star:other", "1", nil, `pipeline.star:10:17: lock "a" is taken inside of lock "m": two runs could wait for each other; take both at once, as in lock(["a", "m"], ...)`},
		"more nodes than a run may have":  {"pipeline.star:shard", `{"shards": ["1"]}`, func(x *Expansion) { x.Plan.Nodes = append(x.Plan.Nodes, make([]api.Node, 497)...) }, "pipeline.star:3:29: the plan has more than 500 nodes"},
		"a module that cannot be reached": {"@ci//x.star:f", "1", nil, "pipeline.star: the library has no file x.star"},
	} {
		t.Run(name, func(t *testing.T) {
			_, r := expandShards(t, c.function, c.value, c.change)
			if r.Error == nil || r.Error.Error() != c.want {
				t.Errorf("got %v, want %s", r.Error, c.want)
			}
		})
	}
}

func TestAnExpansionStandsInNoRetry(t *testing.T) {
	in := mainOf()
	in.Files[mainFile] = strings.Replace(sharding, `lock("m", `, `retry(1, `, 1)
	wantError(t, in, "pipeline.star:7:42: expand stands in a retry: let the function that it calls return the retry")
}

func TestPlansAreCompared(t *testing.T) {
	before := planOf(t, mainOf(`return [stage("a", build(job = "test")), notify("x"), build("c", job = "test")]`))
	after := planOf(t, mainOf(``, `return [stage("a", build(job = "test")), retry(1, notify("x")), build("d", job = "test")]`))
	want := []string{
		"- notify: notify text=x needs test",
		"+ notify: notify text=x in (retry on=[\"infra\"] retries=1 needs test)",
		"+ d: build job=test needs retry at pipeline.star:3",
		"- c: build job=test needs notify",
	}
	if got := Compare(before, after); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := Compare(before, before); got != nil {
		t.Errorf("a plan differs from itself: %v", got)
	}
}
