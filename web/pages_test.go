package web_test

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// look is what a person may do who only looks.
func look(kinds ...string) rest.Rule {
	return rest.Rule{Kinds: kinds, Verbs: []kit.Verb{kit.VerbRead, kit.VerbList}}
}

func TestPagesShowTheFactsOfTheirDocuments(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	h.logs.add("compiling\n\x1b[31mFAIL\x1b[0m one test\n", true)
	b := h.as("users/admin")
	for _, test := range []struct {
		path  string
		texts []string
		links []string
	}{
		{"/", []string{"Say why a payment was refused", "landed on main", "production upgraded live", "ledger-2.0.0", "copying"},
			[]string{"/changes/2", "/runs/ledger-main-b2", "/environments/production", "/channels/ledger-stable", "/upgrades/production~2", "/static/live.js"}},
		{"/changes", []string{"Say why a payment was refused", "open"}, []string{"/changes/2"}},
		{"/changes?status=merged&project=ledger", []string{"Let accounts have a limit", "Verified +1", "Code-Review +2"}, []string{"/changes/1"}},
		{"/changes/1", []string{"merged", "Patch set 2", commit2, "Payments over it are refused.", "Code-Review +2 rita clear", "Files 3 +4 −2",
			"@@ -8,8 +8,10 @@ type Account struct {", "9 Balance int 9 Balance int64 10 Limit int64", "A binary file.", "new.txt was old.txt", "Uploaded patch set 1.", "account.go:10 in patch set 2 error: passes a lock by value"},
			[]string{"/reports/ledger-main-b2.image.1", "/runs/change-1-2", "/pushes/1", "/changes/1?ps=1", "#file-1", "/source/ledger/diff/" + parent + ".." + commit2, "/changes/1?ps=2&view=split"}},
		{"/changes/1?ps=1", []string{"Patch set 1 is not the last one", "Verified -1", commit1}, []string{"/changes/1?ps=2", "/runs/change-1-1"}},
		{"/changes/1?view=split", []string{"9 Balance int 9 Balance int64 10 Limit int64"}, []string{"/changes/1?ps=1&view=split", "/changes/1?ps=2"}},
		{"/changes/2", []string{"Missing before it can land", "Code-Review +2 of a second person"}, []string{"/changes/2/vote", "/changes/2/abandon", "/changes/2/comment"}},
		{"/pushes/1", []string{"refs/for/main", "Let accounts have a limit"}, []string{"/changes/1", "/projects/ledger"}},
		{"/runs", []string{"ledger-main-b2", "running"}, []string{"/runs/ledger-main-b2"}},
		{"/runs/ledger-main-b2", []string{"build ledger-image 43 s", "automation-2", "the tests ended with 1", "approve rita", "check, image"},
			[]string{"/builds/ledger-main-b2.image.1", "/deployments/ledger-main-b2.staging.1", "/runs/ledger-main-b2/approve", "/runs/ledger-main-b2/cancel"}},
		{"/builds?project=ledger", []string{"ledger-image", "passed"}, []string{"/builds/ledger-main-b2.image.1"}},
		{"/builds/ledger-main-b2.image.1", []string{"passed", "took 42 s", "go build -o dist/ledger .", "jobs/templates.yml:3", "GOFLAGS=-trimpath", "7.3 MB", "600 s", "lines 1 to 2 of 2", "FAIL one test", "unjudged coverage 3 of 4 new lines covered", "review components 3 components"},
			[]string{"/reports/ledger-main-b2.image.1", "/blobs/" + string(digest), "/logs/ledger-main-b2.image.1", "/runs/ledger-main-b2", "#L2"}},
		{"/reports/ledger-main-b2.image.1", []string{"failed", "3 of 4 new lines covered: under the 20-line minimum", "811 passed, 1 failed, 2 skipped in 12 s", "ledger.TestRace flaky, does not count got 3, want 4",
			"ledger.TestCopy 4.2 s", "700 of 900 lines, 3 of 4 added ones", "account.go 17", "12 of 40 added lines", "copy.go 3-14", "error account.go:10 passes <a lock> by value copylocks vet", "lint.sarif 2.1 kB", "*.out no file matches this pattern", "Judge it again"},
			[]string{"/builds/ledger-main-b2.image.1", "/changes/1?ps=2", "/projects/ledger", "/blobs/" + string(digest), "/tests/ledger~ledger-image"}},
		{"/tests/ledger~ledger-image", []string{"Tests of ledger-image", "ledger.TestRace P F flaky: passed and failed on b2b2b2b2b2b2", "ledger.TestCopy 4.2 s", "811 1 0 12 s"}, []string{"/builds/earlier", "/builds/ledger-main-b2.image.1"}},
		{"/reports/landed-2", []string{"What has landed by the reports of ledger-image", "Coverage 60 %", "Findings 8", "Tests 801", "Tests take 12 s", "b2b2b2b2b2b2 of"}, []string{"/reports/landed-1", "/reports/landed-2"}},
		{"/tests?project=ledger", []string{"ledger.TestRace ledger-image ledger PF b2b2b2b2b2b2", "ledger.TestCopy ledger-image ledger 4.2 s", "ledger-image ledger 2 1"}, []string{"/tests/ledger~ledger-image"}},
		{"/inventories?project=ledger", []string{"review ledger-main-b2.image.1 ledger ledger-image", "3 1"}, []string{"/inventories/ledger-main-b2.image.1"}},
		{"/inventories/ledger-main-b2.image.1", []string{"review components 3 components; 1 to be reviewed", "parse 1.0.0 MPL-2.0, <odd> review MPL-2.0", "And 2 more", "high GHSA-1 CVE-1 pkg:npm/parse@1.0.0 1.0.1 Never ends OSV npm allow",
			"MIT 2 allow none is known 1 allow", "New since before", "Packages pkg:npm/parse", "bom.json 9.0 kB", "Judge it again"}, []string{"/builds/ledger-main-b2.image.1", "/inventories/before", "/blobs/" + string(digest)}},
		{"/releases", []string{"signed", "2.0.0"}, []string{"/releases/ledger-2.0.0"}},
		{"/releases/ledger-2.0.0", []string{"signed", "Features", "Accounts have a limit", "Offered on ledger-stable", "Inventory review more review components 3 components; 1 to be reviewed"}, []string{"/inventories/ledger-main-b2.image.1", "/builds/ledger-main-b2.image.1", "/changes/1", "/channels/ledger-stable"}},
		{"/channels", []string{"ledger-stable", "ledger-2.0.0"}, []string{"/channels/ledger-stable"}},
		{"/channels/ledger-stable", []string{"after a week in staging", "rita", "acme"}, []string{"/releases/ledger-2.0.0", "/environments/acme"}},
		{"/environments", []string{"production", "acme upgraded live ledger-stable ledger@"}, []string{"/environments/production", "/releases/ledger-2.0.0"}},
		{"/environments/production", []string{"Where customers are", "3 instances", ledger, "https://127.0.0.1:8443"}, []string{"/deployments/ledger-main-b2.production.1", "/upgrades/production~2"}},
		{"/deployments/ledger-main-b2.production.1", []string{"passed", "took 20 s", "smoke: 12 requests", "image " + ledger, "commit " + commit2, "change 1 Let accounts have a limit", "push 1 patch set 2 by ada"},
			[]string{"/runs/ledger-main-b2", "/builds/ledger-main-b2.image.1", "/changes/1", "/pushes/1", "/upgrades/production~2"}},
		{"/upgrades", []string{"copying", "production~2"}, []string{"/upgrades/production~2"}},
		{"/upgrades/production~2", []string{"1,240,000", "68,888", "3,827", "84 ms", "The budget is 2.0 s", "green is up", "production-green"}, []string{"/environments/production", "/deployments/ledger-main-b2.production.1"}},
		{"/projects", []string{"ledger service Accounts and payments"}, []string{"/projects/ledger"}},
		{"/projects/ledger", []string{"git clone http://hub.example/git/ledger", "git push origin HEAD:refs/for/main", "refs/heads/main", "Builds the image", "jobs/ledger.yml:12"}, []string{"/changes/2", "/runs/ledger-main-b2"}},
	} {
		p := b.open(test.path)
		if p.status != http.StatusOK {
			t.Errorf("%s: got %d, wanted 200: %s", test.path, p.status, p.text)
			continue
		}
		p.shows(t, test.texts...)
		p.leads(t, test.links...)
	}
}

func TestAChannelTellsWhenItsSignaturesEnd(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	b := h.as("users/admin")
	now := time.Now().UTC()
	role := func(name string, days int) api.TrustRole {
		end := now.AddDate(0, 0, days)
		return api.TrustRole{Role: name, Version: 1, Expires: end, Renew: end.AddDate(0, 0, -30)}
	}
	hubs := api.TrustRole{Role: "timestamp", Version: 9, Expires: now.Add(time.Hour)}
	h.roles = []api.TrustRole{role("root", 300), role("targets", 90), role("releases", 300), hubs}
	p := b.open("/channels/ledger-stable")
	p.shows(t, "signatures hold until "+now.AddDate(0, 0, 90).Format("2006-01-02"))
	if strings.Contains(p.text, "trust renew") {
		t.Errorf("90 days before the end the page warns: %s", p.text)
	}
	h.roles[1] = role("targets", 20)
	b.open("/channels/ledger-stable").shows(t, "The signatures of targets end at "+now.AddDate(0, 0, 20).Format("2006-01-02"), "landfall trust renew --keys DIR")
}

func TestPagesThatAreNotThereSaySo(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	b := h.as("users/admin")
	for _, test := range []struct {
		path, text, back string
	}{
		{"/changes/99", "changes/99", "/changes"},
		{"/builds/nope", "builds/nope", "/builds"},
		{"/runs/%3Cscript%3E", "there is no document", "/runs"},
		{"/changes/1?ps=7", "has no patch set", "/changes"},
		{"/nowhere", "there is nothing at /nowhere", "/"},
		{"/nowhere/at/all", "there is nothing at /nowhere/at/all", "/"},
	} {
		p := b.open(test.path)
		if p.status != http.StatusNotFound {
			t.Errorf("%s: got %d, wanted 404", test.path, p.status)
		}
		p.shows(t, test.text)
		p.leads(t, test.back)
	}
	p := b.open("/nowhere", "Accept", "application/json")
	if p.status != http.StatusNotFound || !strings.HasPrefix(p.header.Get("Content-Type"), "application/problem+json") {
		t.Errorf("a program gets %d %s, wanted a problem detail", p.status, p.header.Get("Content-Type"))
	}
}

func TestPagesShowWhatTheirCallerMaySee(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	h.logs.add("the log\n", true)
	nobody := h.as("users/eve")
	for _, path := range []string{"/changes", "/changes/1", "/builds/ledger-main-b2.image.1", "/upgrades/production~2", "/projects/ledger"} {
		p := nobody.open(path)
		if p.status != http.StatusForbidden {
			t.Errorf("%s: got %d, wanted 403: %s", path, p.status, p.text)
		}
		p.shows(t, "users/eve may not", "ask an administrator")
		p.hides(t, "ledger-main-b2 ", "Accounts and payments")
	}
	if p := nobody.open("/"); p.status != http.StatusOK {
		t.Errorf("/: got %d, wanted an overview of nothing", p.status)
	} else {
		p.hides(t, "Say why", "production", "ledger-stable")
	}

	h.Allow("users/bob", look(api.Changes.Name), rest.Rule{Kinds: []string{api.Builds.Name}, Verbs: []kit.Verb{kit.VerbRead, kit.VerbList}, IDs: []string{"other"}})
	put(h, api.Builds, "other", api.Build{Project: "other", Job: "other-job", State: api.BuildPassed})
	bob := h.as("users/bob")
	p := bob.open("/changes/2")
	p.shows(t, "Say why a payment was refused", "you may not read the sources")
	p.hides(t, "Balance int", "Abandon", "Code-Review -2")
	p = bob.open("/builds")
	p.shows(t, "other-job")
	p.hides(t, "ledger-image")

	h.Allow("users/sue", look(api.Deployments.Name))
	h.as("users/sue").open("/deployments/ledger-main-b2.production.1").shows(t, "run ledger-main-b2 you may not see it", "took 20 s")
}

func TestTextOfOthersIsEscaped(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>`
	h := start(t)
	ledgerHub(h)
	h.diffs["evil/"+parent+".."+commit1] = "diff --git a/x b/x\nindex 83db48f..bf269f4 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@ " + evil + "\n-old\n+" + evil + "\n"
	h.logs.add(evil+"\n\x1b[31m"+evil+"\x1b[0m\n\x1b]1338;url=http://evil.example/x.gif\x07\x1b]8;;javascript:alert(3)\x07click\x1b]8;;\x07\n", true)
	put(h, api.Changes, "", api.Change{
		Project: "evil", Branch: evil, Subject: evil, Owner: evil, Topic: evil, Status: api.ChangeOpen, Missing: []string{evil},
		PatchSets: []api.PatchSet{{Number: 1, Commit: commit1, Parent: parent, Author: evil, Message: evil, Push: kit.Link(evil), Votes: []api.Vote{{Label: evil, By: evil, Text: evil, Link: "javascript:alert(4)"}}}},
		Messages:  []api.Message{{By: evil, Text: evil, Link: `builds/"onclick=alert(5)`}},
	})
	put(h, api.Builds, "evil", api.Build{Project: evil, Job: evil, Error: evil, State: api.BuildFailed, Spec: &api.JobSpec{Script: []string{evil}, Origin: []string{evil}}, Artifacts: []api.Artifact{{Path: evil, Digest: evil}}})
	put(h, api.Runs, "evil", api.Run{Project: evil, Error: evil, Log: evil, State: evil, Plan: api.Plan{Nodes: []api.Node{{ID: evil, Stage: evil, Job: evil}}}, Nodes: []api.NodeRun{{ID: evil, State: evil, Link: evil}}})
	put(h, api.Upgrades, "evil", api.Upgrade{Environment: evil, State: evil, Error: evil, History: []api.Moment{{State: evil, Text: evil}}})
	put(h, api.Releases, "evil", api.Release{Project: evil, Notes: "# " + evil + "\n\n- " + evil, Image: evil})
	b := h.as("users/admin")
	for _, path := range []string{"/changes/3", "/changes/3?view=split", "/builds/evil", "/runs/evil", "/upgrades/evil", "/releases/evil", "/", "/changes", "/builds", "/runs"} {
		p := b.open(path)
		if p.status != http.StatusOK {
			t.Errorf("%s: got %d, wanted 200: %s", path, p.status, p.text)
		}
		for _, bad := range []string{"<script>", "<img", "evil.example", `href="javascript:`, `"onclick`} {
			if strings.Contains(p.source, bad) {
				t.Errorf("%s: got %q in the page, wanted it escaped", path, bad)
			}
		}
		p.shows(t, "alert(1)")
	}
}

func TestPagesMayLoadNothingFromElsewhere(t *testing.T) {
	h := start(t)
	p := h.as("users/admin").open("/")
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';",
		"X-Content-Type-Options":  "nosniff",
		"Referrer-Policy":         "same-origin",
		"Cache-Control":           "no-store",
	} {
		if got := p.header.Get(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, wanted %q", name, got, want)
		}
	}
	if strings.Contains(p.source, "style=") || strings.Contains(p.source, "onclick") {
		t.Error("the page has styles or scripts of its own, which its policy forbids")
	}
	b := h.browser()
	for path, kind := range map[string]string{"/static/live.js": "text/javascript", "/static/style.css": "text/css", "/static/icon.svg": "image/svg+xml"} {
		p := b.open(path)
		if p.status != http.StatusOK || p.header.Get("Content-Type") != kind || p.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got %d %s", path, p.status, p.header)
		}
		if again := b.open(path, "If-None-Match", p.header.Get("ETag")); again.status != http.StatusNotModified {
			t.Errorf("%s a second time: got %d, wanted 304", path, again.status)
		}
	}
	if p := b.open("/static/..%2fdoc.go"); p.status != http.StatusNotFound {
		t.Errorf("a file that is not public: got %d, wanted 404", p.status)
	}
}

func TestListThatIsTooOldBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		for i := range 60 {
			put(h, api.Projects, fmt.Sprintf("p%d", i), api.Project{})
		}
		get := func(path string) *http.Response {
			t.Helper()
			res, err := h.Server.HTTP("users/admin").Get("http://hub.example" + path)
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		text := func(res *http.Response) string {
			t.Helper()
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("got %s, %v", res.Status, err)
			}
			return html.UnescapeString(string(b))
		}
		next := regexp.MustCompile(`/projects\?page=[^"]+`).FindString(text(get("/projects")))
		if rest := text(get(next)); !strings.Contains(rest, `"/projects/p9"`) {
			t.Fatalf("the next page %q has no p9: %s", next, rest)
		}
		for range 5 { // the history moves on with writes
			if _, err := h.Admin().Update(t.Context(), "projects/p9", []byte(`{"description":"changed"}`), 0); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			put(h, api.Pushes, "", api.Push{})
		}
		again := text(get(next))
		for _, want := range []string{"begins again, as it is now", `"/projects/p0"`, `"/projects?page=`} {
			if !strings.Contains(again, want) {
				t.Errorf("the next page, too late, lacks %s: %s", want, again)
			}
		}
	})
}
