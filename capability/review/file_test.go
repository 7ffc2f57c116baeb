package review

import (
	"context"
	"slices"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

// hub is this service with what it watches, and more.
func hub(t *testing.T, more ...kit.Owned) (*kittest.Cluster, *filer) {
	t.Helper()
	c := kittest.Start(t)
	s := Service(c.Client("services/review"))
	c.Server.Add(s)
	c.Server.Add(kit.Service{Name: "others", Owns: append(more,
		kit.Own[api.Push](api.Pushes, nil), kit.Own[api.Run](api.Runs, nil), kit.Own[api.Landing](api.Landings, nil),
		kit.Own[api.User](api.Users, nil), kit.Own[api.Build](api.Builds, nil), kit.Own[api.Report](api.Reports, nil),
	)})
	c.Run(s)
	return c, &filer{client: c.Client("services/review")}
}

func push(t *testing.T, c *kittest.Cluster, id string, p api.Push) kit.Record {
	t.Helper()
	p.Project, p.Branch, p.By = "ledger", "main", "users/ada"
	made, err := api.Pushes.Create(t.Context(), c.Admin(), id, p)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Admin().Read(t.Context(), made.Link, kit.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func await(t *testing.T, c *kittest.Cluster, id string, done func(api.Change) bool) api.Change {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	change, err := api.Changes.Await(ctx, c.Admin(), id, done)
	if err != nil {
		t.Fatalf("change %s did not become what it should: %v; it is %+v", id, err, change)
	}
	return change
}

func TestAPushIsFiledOnceHoweverOften(t *testing.T) {
	c, f := hub(t)
	p := push(t, c, "", api.Push{Topic: "counting", Commits: []api.Commit{
		{SHA: "a1", ChangeID: "Ia", Subject: "Count in", Parents: []string{"c0"}},
		{SHA: "b1", ChangeID: "Ib", Subject: "Count out", Parents: []string{"a1"}},
	}})
	await(t, c, "2", func(api.Change) bool { return true })
	if _, err := f.file(t.Context(), p, kit.Op{}); err != nil {
		t.Fatalf("filing again: %v", err)
	}
	push(t, c, "", api.Push{Commits: []api.Commit{{SHA: "a1", ChangeID: "Ia"}, {SHA: "b2", ChangeID: "Ib", Message: "Count out\n", Parents: []string{"a1"}}}})
	await(t, c, "2", func(x api.Change) bool { return len(x.PatchSets) == 2 })
	if _, err := f.file(t.Context(), p, kit.Op{}); err != nil {
		t.Fatalf("filing the first push late: %v", err)
	}
	var got []string
	for x, err := range api.Changes.All(t.Context(), c.Admin(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		for _, ps := range x.PatchSets {
			got = append(got, x.ChangeID+" "+ps.Commit+" on "+ps.Parent)
		}
	}
	if want := []string{"Ia a1 on c0", "Ib b1 on a1", "Ib b2 on a1"}; !slices.Equal(got, want) {
		t.Errorf("the changes have %q, want %q", got, want)
	}
	if x := await(t, c, "1", func(api.Change) bool { return true }); x.Owner != "users/ada" || x.Topic != "counting" || x.Source != p.Link {
		t.Errorf("the first change is %+v, want ada's from %s", x, p.Link)
	}
}

func TestACommitsAuthorIsFoundByAddress(t *testing.T) {
	c, _ := hub(t)
	for id, email := range map[string]string{"bob": "Bob@Example.com", "rob": "bob@example.com", "cy": "cy@example.com", "dan": ""} {
		if _, err := api.Users.Create(t.Context(), c.Admin(), id, api.User{Name: id, Email: email}); err != nil {
			t.Fatal(err)
		}
	}
	push(t, c, "", api.Push{Commits: []api.Commit{{SHA: "a1", ChangeID: "Ia", Email: "bob@example.COM"}, {SHA: "b1", ChangeID: "Ib"}}})
	for id, want := range map[string][]string{"1": {"users/bob", "users/rob"}, "2": nil} {
		x := await(t, c, id, func(api.Change) bool { return true })
		if got := x.Current().Authors; !slices.Equal(got, want) {
			t.Errorf("change %s is by %q, want %q", id, got, want)
		}
	}
}

func TestARebasedCommitBecomesAPatchSetOfItsChange(t *testing.T) {
	c, _ := hub(t)
	push(t, c, "", api.Push{Commits: []api.Commit{{SHA: "a1", ChangeID: "Ia"}}})
	await(t, c, "1", func(api.Change) bool { return true })
	l := api.Landing{Project: "ledger", Branch: "main", Change: "changes/1", PatchSet: 1, Commit: "a1", State: api.LandingRebased}
	if _, err := api.Landings.Create(t.Context(), c.Admin(), "1-1", l); err != nil {
		t.Fatal(err)
	}
	push(t, c, "landing-1-1", api.Push{Landing: "landings/1-1", Commits: []api.Commit{{SHA: "a2", ChangeID: "Ia"}}})
	x := await(t, c, "1", func(x api.Change) bool { return len(x.PatchSets) == 2 })
	if ps := x.Current(); !ps.Rebase || ps.Commit != "a2" {
		t.Errorf("the patch set is %+v, want the rebased commit", ps)
	}
}

func TestARunAndALandingAreTakenIn(t *testing.T) {
	c, _ := hub(t)
	push(t, c, "", api.Push{Commits: []api.Commit{{SHA: "a1", ChangeID: "Ia"}}})
	await(t, c, "1", func(api.Change) bool { return true })
	if _, err := api.Runs.Create(t.Context(), c.Admin(), "change-1-1", api.Run{Change: "changes/1", PatchSet: 1, State: api.RunPassed}); err != nil {
		t.Fatal(err)
	}
	await(t, c, "1", func(x api.Change) bool { return len(x.Current().Votes) == 1 })
	v := api.VoteArgs{PatchSet: 1, Label: api.LabelCodeReview, Value: 2}
	if _, err := api.Changes.Send(t.Context(), c.Admin(), "1", "vote", v); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Changes.Send(t.Context(), c.Admin(), "1", "submit", api.SubmitArgs{PatchSet: 1}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := api.Landings.Await(ctx, c.Admin(), "1-1", func(api.Landing) bool { return true }); err != nil {
		t.Fatalf("the landing was not wished for: %v", err)
	}
	if _, err := c.Admin().Update(ctx, "landings/1-1", []byte(`{"state":"landed"}`), 0); err != nil {
		t.Fatal(err)
	}
	await(t, c, "1", func(x api.Change) bool { return x.Status == api.ChangeMerged })
}
