package pipeline

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
)

// newPlanner returns a planner of a hub with the group release-managers, of
// which users/rita is a member, and the branch main of ledger at c1.
func newPlanner(t *testing.T) planner {
	t.Helper()
	c := kittest.Start(t,
		kit.Service{Name: "pipeline", Reads: []string{"refs", "users", "groups"}},
		kit.Service{Name: "others", Owns: []kit.Owned{kit.Own[api.Ref](api.Refs, nil), kit.Own[api.User](api.Users, nil)}},
	)
	_, err := rest.Groups.Create(t.Context(), c.Admin(), "release-managers", rest.Group{Members: []string{"users/rita"}})
	if err == nil {
		_, err = api.Users.Create(t.Context(), c.Admin(), "rita", api.User{Name: "Rita"})
	}
	if err == nil {
		_, err = api.Refs.Create(t.Context(), c.Admin(), "ledger~heads~main", api.Ref{Commit: "c1"})
	}
	if err != nil {
		t.Fatal(err)
	}
	return planner{client: c.Client("services/pipeline")}
}

// says fails the test unless err is an ErrInvalid with want in it; no want
// means no error.
func says(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v, want no error", what, err)
	case want != "" && (!errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: %v, want that it is invalid, with %q", what, err, want)
	}
}

func TestAPatchSetIsTestedAndByWhatNobodyReviewedIsNothingElse(t *testing.T) {
	image := api.Node{ID: "image", Type: api.NodeBuild}
	deploy := api.Node{ID: "d", Type: api.NodeDeploy, Position: "pipeline.star:7"}
	release := api.Node{ID: "r", Type: api.NodeRelease, Position: "pipeline.star:8"}
	tell := api.Node{ID: "t", Type: api.NodeNotify}
	const untested = "pipeline.star has no build for a patch set, so nothing would test it"
	for _, test := range []struct {
		name, branch string
		nodes        []api.Node
		want         string
	}{
		{"nothing", "main", nil, untested},
		{"a message", "main", []api.Node{tell}, untested},
		{"a build", "main", []api.Node{image}, ""},
		{"a build and a deployment", "main", []api.Node{image, deploy}, ""},
		{"nothing, on an open branch", "topic", nil, untested},
		{"a build and a message, on an open branch", "topic", []api.Node{image, tell}, ""},
		{"a deployment, on an open branch", "topic", []api.Node{image, deploy}, "pipeline.star:7: branch topic takes direct pushes, so nobody has reviewed its pipeline: it can build, but not deploy"},
		{"a release, on an open branch", "topic", []api.Node{image, release}, "pipeline.star:8: branch topic takes direct pushes"},
	} {
		pl, run := api.Plan{Nodes: test.nodes}, api.Run{Change: "changes/7", Branch: test.branch}
		err := checkTested(pl, run)
		if err == nil {
			err = checkReviewed(pl, run, api.Project{Protected: []string{"main"}})
		}
		says(t, test.name, err, test.want)
	}
}

func TestApproversAreKnownWhenThePlanIsMade(t *testing.T) {
	p := newPlanner(t)
	for by, want := range map[string]string{
		"groups/release-managers": "",
		"groups/everyone":         "",
		"users/rita":              "",
		"users/admin":             "",
		"groups/rita":             `pipeline.star:3: nobody could approve: there is no group "rita"; make it with landfall user create NAME --group rita, or name a person by = "users/NAME"`,
		"users/rta":               `pipeline.star:3: nobody could approve: there is no user "rta"`,
	} {
		err := p.checkApprovers(t.Context(), api.Plan{Nodes: []api.Node{{Type: api.NodeBuild}, {Type: api.NodeApprove, By: by, Position: "pipeline.star:3"}}})
		says(t, by, err, want)
	}
	err := p.checkApprovers(t.Context(), api.Plan{Nodes: []api.Node{{Type: api.NodeApprove, By: "groups/release-managers", Approvals: 3, Position: "pipeline.star:4"}}})
	says(t, "too small a group", err, `pipeline.star:4: 3 people are to approve, and the group "release-managers" has only `)
}

func TestOnlyMembersOfAGroupAreAdmitted(t *testing.T) {
	p := newPlanner(t)
	for _, test := range []struct{ by, group, refusal string }{
		{"users/rita", "groups/release-managers", ""},
		{"users/ada", "groups/release-managers", "users/ada cannot approve this, but a member of groups/release-managers"},
		{"users/ada", "groups/everyone", ""},
		{"users/rita", "groups/gone", "users/rita cannot approve this, but a member of groups/gone"},
	} {
		ask := admission{Node: "go", By: test.by, Group: test.group}
		want := ask
		want.Refusal = test.refusal
		if got := admit(t, p, kit.Record{}, ask); got != want {
			t.Errorf("%s of %s: %+v, want %+v", test.by, test.group, got, want)
		}
	}
}

func admit(t *testing.T, p planner, r kit.Record, ask admission) admission {
	t.Helper()
	args, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.admit(t.Context(), r, kit.Op{Data: args})
	if err != nil {
		t.Fatal(err)
	}
	return got.(admission)
}

func TestAnAuthorDoesNotApproveTheirOwnChange(t *testing.T) {
	h := newHub(t)
	p := planner{client: h.cluster.Client("services/pipeline")}
	create(h, api.Changes, "", api.Change{Owner: "users/ada", PatchSets: []api.PatchSet{
		{Number: 1, Uploader: "users/dan"}, {Number: 2, Uploader: "users/bob", Authors: []string{"users/cyn"}},
	}})
	create(h, api.Landings, "1-2", api.Landing{Change: "changes/1", PatchSet: 2})
	landed := api.Run{Meta: kit.Meta{Source: "landings/1-2"}, Author: "users/rita"}
	create(h, api.Runs, "landed", landed)
	for name, run := range map[string]api.Run{
		"what landed":    landed,
		"what ran again": {Meta: kit.Meta{Source: "runs/landed"}, Author: "users/rita", Round: 1},
		"a patch set":    {Change: "changes/1", PatchSet: 2, Author: "users/ada"},
		"no change":      {Meta: kit.Meta{Source: "refs/ledger~heads~main"}, Author: "users/ada"},
	} {
		body, err := json.Marshal(run)
		if err != nil {
			t.Fatal(err)
		}
		r := kit.Record{Meta: run.Meta, Body: body}
		refused := map[string]bool{"users/ada": true, "users/bob": run.Author == "users/rita" || run.Change != "", "users/rita": false, "users/dan": false}
		refused["users/cyn"] = refused["users/bob"]
		for by, want := range refused {
			got := admit(t, p, r, admission{Node: "go", By: by, NotAuthor: true})
			if own := strings.Contains(got.Refusal, "it is their own change"); own != want {
				t.Errorf("%s approves %s: %q, want refused %v", by, name, got.Refusal, want)
			}
		}
	}
}

// A commit that others have landed on is not carried on once more: that would
// take the environments back.
func TestOnlyTheTipOfABranchIsCarriedOnAgain(t *testing.T) {
	p := newPlanner(t)
	for _, test := range []struct {
		name string
		run  api.Run
		want string
	}{
		{"the tip", api.Run{Commit: "c1", Round: 1}, ""},
		{"an older commit, again", api.Run{Commit: "c0", Round: 1}, "branch main has moved on to c1: run that again, not c0"},
		{"an older commit, late", api.Run{Commit: "c0"}, ""},
		{"a patch set", api.Run{Commit: "c2", Round: 1, Change: "changes/7"}, ""},
	} {
		test.run.Project, test.run.Branch = "ledger", "main"
		says(t, test.name, p.checkCurrent(t.Context(), test.run), test.want)
	}
}
