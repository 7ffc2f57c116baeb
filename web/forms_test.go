package web_test

import (
	"net/http"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

func TestFormsActAsTheirCaller(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	h.Allow("users/rita", look(api.Changes.Name, api.Runs.Name, api.Builds.Name),
		rest.Rule{Kinds: []string{api.Changes.Name}, Verbs: []kit.Verb{"vote", "submit", "comment"}},
		rest.Rule{Kinds: []string{api.Runs.Name}, Verbs: []kit.Verb{"approve"}})
	rita := h.as("users/rita")

	p := rita.post("/changes/2/vote", "ps", "1", "value", "2", "text", "fine")
	if p.path != "/changes/2" {
		t.Errorf("a vote leads to %s, wanted the change", p.path)
	}
	p.shows(t, "Code-Review +2 rita fine")
	rita.post("/changes/2/comment", "text", "and thanks").shows(t, "and thanks")
	rita.post("/changes/2/submit", "ps", "1").shows(t, "rita has submitted it")
	rita.post("/runs/ledger-main-b2/approve", "node", "go")
	h.as("users/admin").post("/reports/ledger-main-b2.image.1/judge").shows(t, "judging", "ledger-image")

	c, err := api.Changes.Read(t.Context(), h.Admin(), "2")
	if err != nil {
		t.Fatal(err)
	}
	if v := c.Current().Votes; len(v) != 1 || v[0].By != "users/rita" || v[0].Value != 2 {
		t.Errorf("got the votes %v, wanted rita's +2", v)
	}
	r, err := api.Runs.Read(t.Context(), h.Admin(), "ledger-main-b2")
	if err != nil {
		t.Fatal(err)
	}
	if r.Nodes[5].State != api.RunPassed {
		t.Errorf("the approved node is %s, wanted passed", r.Nodes[5].State)
	}

	for _, test := range []struct {
		what, path string
		fields     []string
		status     int
		text       string
	}{
		{"what roles do not allow", "/changes/2/abandon", nil, http.StatusForbidden, "users/rita may not abandon this"},
		{"another's right", "/builds/ledger-main-b2.image.1/cancel", nil, http.StatusForbidden, "users/rita may not cancel this"},
		{"what the state forbids", "/changes/1/submit", []string{"ps", "1"}, http.StatusConflict, "patch set 1 is not the current one"},
		{"no vote", "/changes/2/vote", []string{"ps", "1", "value", "lots"}, http.StatusBadRequest, "choose a vote"},
		{"an event that has no form", "/changes/2/landing", nil, http.StatusNotFound, `there is no form "landing"`},
		{"a change that is not there", "/changes/99/submit", []string{"ps", "1"}, http.StatusNotFound, "changes/99"},
	} {
		p := rita.post(test.path, test.fields...)
		if p.status != test.status {
			t.Errorf("%s: got %d, wanted %d", test.what, p.status, test.status)
		}
		p.shows(t, test.text)
		p.leads(t, test.path[:strings.LastIndex(test.path, "/")])
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	b := h.as("users/admin")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.URL()+"/changes/2/abandon", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if p := b.do(req); p.status != http.StatusForbidden {
		t.Errorf("got %d, wanted 403", p.status)
	}
	if p := h.browser().post("/changes/2/abandon"); !strings.HasPrefix(p.path, "/login") {
		t.Errorf("nobody's form leads to %s, wanted the sign-in page", p.path)
	}
	c, err := api.Changes.Read(t.Context(), h.Admin(), "2")
	if err != nil || c.Status != api.ChangeOpen {
		t.Errorf("the change is %s, wanted it open: %v", c.Status, err)
	}
}

func TestRunThatDidNotPassIsRunAgain(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	b := h.as("users/admin")
	const button = "Run this again"
	b.open("/runs/ledger-main-b2").hides(t, button)
	b.post("/runs/ledger-main-b2/cancel").shows(t, button)
	p := b.post("/runs/ledger-main-b2/rerun")
	p.shows(t, "Run again as")
	p.leads(t, "/runs/ledger-main-b2-r1")
	p.hides(t, button)
}

func TestWhatWaitsForItsWindowIsBegunForAReason(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	put(h, api.Runs, "frozen", api.Run{
		Project: "ledger", State: api.RunRunning, Plan: api.Plan{Nodes: []api.Node{{ID: "b", Type: api.NodeBuild, Job: "b"}}},
		Nodes: []api.NodeRun{{ID: "b", State: api.RunWaiting, Until: began.AddDate(1, 0, 0), Error: "waits until Monday"}},
	})
	b := h.as("users/admin")
	const button = "Begin what waits for its window"
	p := b.open("/runs/frozen")
	p.shows(t, button)
	p.shows(t, "waits until Monday")
	b.post("/runs/frozen/override", "reason", "it burns").hides(t, button)
}
