package pipeline

import (
	"strings"
	"testing"

	"landfall.dev/api"
)

func TestAProjectWithoutAPipelineBuildsItsJobsByTheirTriggers(t *testing.T) {
	job := func(name string, events []string, sources ...api.TriggerSource) api.JobSpec {
		return api.JobSpec{Name: name, Origin: []string{"jobs/a.yml:1"}, Triggers: []api.Trigger{{Type: "gerrit", Events: events, Sources: sources}}}
	}
	verify, merged := []string{"patchset-created"}, []string{"merged"}
	jobs := []api.JobSpec{
		job("verify", verify, api.TriggerSource{Project: "ledger"}),
		job("folder/other project", verify, api.TriggerSource{Project: "led"}, api.TriggerSource{Project: "web"}),
		job("folder/main", verify, api.TriggerSource{Project: "l.*", Branches: []string{"release/.*", "main"}}),
		job("release", verify, api.TriggerSource{Branches: []string{"release/.*"}}),
		job("docs", verify, api.TriggerSource{Files: []string{`doc/.*\.md`}}),
		job("code", verify, api.TriggerSource{Files: []string{`.*\.go`}}),
		job("not docs", verify, api.TriggerSource{Except: []string{"doc/.*"}}),
		job("broken", verify, api.TriggerSource{Branches: []string{"("}}),
		job("merge", merged, api.TriggerSource{}),
		{Name: "by hand"},
	}
	for event, want := range map[string]string{"patchset-created": "verify=verify job-2=folder/main docs=docs", "merged": "merge=merge", "triggered": ""} {
		var got []string
		for _, n := range planOfJobs(jobs, api.Run{Project: "ledger", Branch: "main", Event: event}, []string{"doc/a.md", "Makefile"}).Nodes {
			if n.Type != api.NodeBuild || n.Position != "jobs/a.yml:1" {
				t.Errorf("%s: the node %+v", event, n)
			}
			got = append(got, n.ID+"="+n.Job)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %s, want %s", event, strings.Join(got, " "), want)
		}
	}
}

func TestJobsAreBuiltAfterOthersAndMayFailSilently(t *testing.T) {
	job := func(name string, silent bool, after ...string) api.JobSpec {
		return api.JobSpec{Name: name, Triggers: []api.Trigger{{Events: []string{"merged"}, Sources: []api.TriggerSource{{}}, Silent: silent, After: after}}}
	}
	pl := planOfJobs([]api.JobSpec{job("a", false, "c", "elsewhere"), job("b", true), job("c", false, "b"), job("d", false, "e"), job("e", false, "d", "b")}, api.Run{Event: "merged"}, nil)
	var got []string
	for _, n := range pl.Nodes {
		got = append(got, n.ID+n.In+" after "+strings.Join(n.After, ","))
	}
	want := "a after c; b#1 after ; c after b; d after ; e after b"
	if strings.Join(got, "; ") != want || len(pl.Blocks) != 1 || pl.Blocks[0].Type != api.BlockIgnore || pl.Blocks[0].Upto != api.CauseInfra {
		t.Errorf("got %s, %+v; want %s", strings.Join(got, "; "), pl.Blocks, want)
	}
}
