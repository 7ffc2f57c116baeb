package web_test

import (
	"fmt"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

var (
	commit1 = strings.Repeat("a1", 20)
	commit2 = strings.Repeat("b2", 20)
	parent  = strings.Repeat("0f", 20)
	digest  = kit.DigestOf([]byte("an image"))
	ledger  = "ledger@" + string(digest)
	began   = time.Now().UTC().Truncate(time.Second).Add(-90 * time.Second)
)

const ledgerDiff = `diff --git a/account.go b/account.go
index 83db48f..bf269f4 100644
--- a/account.go
+++ b/account.go
@@ -8,8 +8,10 @@ type Account struct {
 	Owner   string
-	Balance int
+	Balance int64
+	Limit   int64
 }
 
 // Pay moves money out of the account.
-func (a *Account) Pay(n int) {
+func (a *Account) Pay(n int64) error {
 	a.Balance -= n
+	return nil
 }
diff --git a/logo.png b/logo.png
new file mode 100644
index 0000000..1f2a3b4
Binary files /dev/null and b/logo.png differ
diff --git a/old.txt b/new.txt
similarity index 100%
rename from old.txt
rename to new.txt
`

// ledgerHub is a hub on which a change of the project ledger went all the way
// to production.
func ledgerHub(h *hub) {
	h.diffs["ledger/"+parent+".."+commit2] = ledgerDiff
	h.diffs["ledger/"+parent+".."+commit1] = ledgerDiff
	put(h, api.Projects, "ledger", api.Project{Description: "Accounts and payments", Type: "service"})
	put(h, api.Refs, api.RefID("ledger", "refs/heads/main"), api.Ref{Project: "ledger", Name: "refs/heads/main", Commit: commit2, By: "users/ada"})
	put(h, api.Pushes, "", api.Push{
		Project: "ledger", Ref: "refs/for/main", Branch: "main", By: "users/ada",
		Commits: []api.Commit{{SHA: commit2, Subject: "Let accounts have a limit", Author: "Ada", Time: began}},
	})
	ledgerChange(h)
	ledgerBuild(h)
	ledgerRun(h)
	ledgerDelivery(h)
	put(h, api.Upgrades, "production~2", ledgerUpgrade(3))
}

func ledgerChange(h *hub) {
	patchSet := api.PatchSet{
		Number: 1, Commit: commit1, Parent: parent, Author: "Ada", Email: "ada@example.com", Uploader: "users/ada",
		Message: "Let accounts have a limit\n\nPayments over it are refused.\n", Created: began, Push: "pushes/1",
		Votes: []api.Vote{{Label: api.LabelVerified, Value: -1, By: "services/review", At: began, Link: "runs/change-1-1"}},
	}
	second := patchSet
	second.Number, second.Commit = 2, commit2
	second.Votes = []api.Vote{
		{Label: api.LabelVerified, Value: 1, By: "services/review", At: began, Link: "runs/change-1-2"},
		{Label: api.LabelCodeReview, Value: 2, By: "users/rita", At: began, Text: "clear"},
	}
	put(h, api.Changes, "", api.Change{
		Project: "ledger", Branch: "main", ChangeID: "I" + commit1, Subject: "Let accounts have a limit", Owner: "users/ada",
		Status: api.ChangeMerged, Merged: commit2, PatchSets: []api.PatchSet{patchSet, second},
		Messages: []api.Message{{At: began, By: "users/ada", Text: "Uploaded patch set 1.", Link: "pushes/1"}, {At: began, By: "users/rita", Text: "Patch set 2: Code-Review+2. clear"},
			{At: began, By: "services/review", Text: "error: passes a lock by value", Link: "reports/ledger-main-b2.image.1", PatchSet: 2, File: "account.go", Line: 10}},
	})
	open := patchSet
	open.Votes = nil
	put(h, api.Changes, "", api.Change{
		Project: "ledger", Branch: "main", ChangeID: "I" + commit2, Subject: "Say why a payment was refused", Owner: "users/ada",
		Status: api.ChangeOpen, PatchSets: []api.PatchSet{open}, Missing: []string{"Verified +1 of a run", "Code-Review +2 of a second person"},
	})
}

func ledgerBuild(h *hub) {
	put(h, api.Jobs, "ledger~ledger-image", api.Job{Project: "ledger", Commit: commit2, Spec: api.JobSpec{Name: "ledger-image", Description: "Builds the image", Origin: []string{"jobs/ledger.yml:12"}}})
	put(h, api.Builds, "ledger-main-b2.image.1", api.Build{
		Project: "ledger", Job: "ledger-image", Commit: commit2, Definitions: commit2, Author: "users/ada",
		Run: "runs/ledger-main-b2", Node: "image", State: api.BuildPassed, Attempt: 1, Runner: "runner-1", Engine: "big", BuildImage: "build/go@" + string(digest),
		Queued: began, Started: began.Add(time.Second), Finished: began.Add(43 * time.Second), Image: ledger,
		Params:    map[string]string{"GOFLAGS": "-trimpath"},
		Artifacts: []api.Artifact{{Path: "dist/ledger", Digest: digest, Size: 7_340_032}},
		Reports:   []api.ReportFile{{Kind: api.ReportSARIF, Path: "lint.sarif", Digest: digest, Size: 2_100}, {Kind: api.ReportCoverage, Path: "*.out", Error: "no file matches this pattern"}, {Kind: api.ReportCycloneDX, Path: "bom.json", Digest: digest, Size: 9_000}},
		Spec: &api.JobSpec{
			Name: "ledger-image", Script: []string{"go test ./...", "go build -o dist/ledger ."}, TimeoutSeconds: 600,
			Pack:   &api.PackSpec{Repository: "ledger"},
			Origin: []string{"jobs/ledger.yml:12", "jobs/templates.yml:3"},
		},
	})
	put(h, api.Reports, "ledger-main-b2.image.1", ledgerReport)
	for n, covered := range []int{500, 600} {
		put(h, api.Reports, fmt.Sprintf("landed-%d", n+1), api.Report{
			Project: "ledger", Job: "ledger-image", Commit: commit2, State: api.ReportPassed,
			Coverage: &api.CoverageReport{Lines: 1000, Covered: covered}, Findings: &api.FindingsReport{Total: 9 - n}, Tests: &api.TestsReport{Passed: 800 + n, Seconds: 12},
		})
	}
	put(h, api.Inventories, "ledger-main-b2.image.1", ledgerInventory)
	put(h, api.Tests, "ledger~ledger-image", api.TestHistory{
		Project: "ledger", Job: "ledger-image", Slowest: ledgerReport.Tests.Slowest,
		Builds: []api.TestedBuild{{Build: "builds/earlier", Commit: commit2, At: began}, {Build: "builds/ledger-main-b2.image.1", Commit: commit2, At: began, Passed: 811, Failed: 1, Seconds: 12.5}},
		Tests:  []api.TestRecord{{Name: "ledger.TestRace", Outcomes: "PF", Flaky: commit2}},
	})
	put(h, api.Images, api.ImageID("ledger", digest), api.Image{Repository: "ledger", Digest: digest, Commit: commit2, Build: "builds/ledger-main-b2.image.1"})
}

var ledgerInventory = api.Inventory{
	Meta: kit.Meta{Source: "builds/ledger-main-b2.image.1"}, Project: "ledger", Job: "ledger-image", Commit: commit2, Image: ledger,
	State: api.InventoryReview, Judged: began, Components: 3, Known: 1, Since: "inventories/before",
	Files:      []api.ReportFile{{Kind: api.ReportCycloneDX, Path: "bom.json", Digest: digest, Size: 9_000}},
	Conditions: []api.Condition{{Name: "components", State: api.ConditionReview, Text: "3 components; 1 to be reviewed"}},
	List:       []api.Component{{PURL: "pkg:npm/parse@1.0.0", Name: "parse", Version: "1.0.0", Licences: []string{"MPL-2.0", "<odd>"}, Ruling: api.Review, Reason: "MPL-2.0"}},
	Licences:   []api.LicenceCount{{Licence: "MIT", Count: 2, Ruling: api.Allow}, {Count: 1, Ruling: api.Allow}},
	Vulnerabilities: []api.Vulnerability{{
		ID: "GHSA-1", Aliases: []string{"CVE-1"}, Severity: api.SeverityHigh, Component: "pkg:npm/parse@1.0.0", Summary: "Never ends", Fixed: "1.0.1", Source: "OSV npm", Ruling: api.Allow,
	}},
	Fresh: &api.Fresh{Packages: []string{"pkg:npm/parse"}},
}

var ledgerReport = api.Report{
	Meta: kit.Meta{Source: "builds/ledger-main-b2.image.1"}, Project: "ledger", Job: "ledger-image", Commit: commit2, Change: "changes/1", PatchSet: 2,
	State: api.ReportFailed, Judged: began,
	Conditions: []api.Condition{
		{Name: "coverage", State: api.ConditionUnjudged, Text: "3 of 4 new lines covered: under the 20-line minimum, not judged"},
		{Name: "issues", State: api.ConditionFailed, Text: "1 new issue on added lines, 0 allowed"},
	},
	Tests: &api.TestsReport{
		Passed: 811, Failed: 1, Skipped: 2, Seconds: 12.5, Quarantined: 1,
		Failures: []api.TestFailure{{Name: "ledger.TestRace", Message: "got 3, want 4", Quarantined: true}},
		Slowest:  []api.TestTime{{Name: "ledger.TestCopy", Seconds: 4.2}},
	},
	Coverage:    &api.CoverageReport{Lines: 900, Covered: 700, NewLines: 4, NewCovered: 3, Missed: []api.MissedLines{{File: "account.go", Lines: "17"}}},
	Duplication: &api.DuplicationReport{NewLines: 40, Duplicated: 12, List: []api.MissedLines{{File: "copy.go", Lines: "3-14"}}},
	Findings:    &api.FindingsReport{Total: 9, New: 1, List: []api.Finding{{Tool: "vet", Rule: "copylocks", Level: "error", File: "account.go", Line: 10, Message: "passes <a lock> by value"}}},
}

func ledgerRun(h *hub) {
	node := func(id string, t api.NodeType, stage string, needs ...string) api.Node {
		return api.Node{ID: id, Type: t, Stage: stage, Needs: needs, Job: "ledger-" + id, Environment: "production", Version: "2.0.0", By: "users/rita", Position: "pipeline.star:9"}
	}
	put(h, api.Runs, "ledger-main-b2", api.Run{
		Project: "ledger", Event: "merged", Commit: commit2, Branch: "main", Author: "users/ada", Definitions: commit2, State: api.RunRunning,
		Plan: api.Plan{Nodes: []api.Node{
			node("check", api.NodeBuild, "build"), node("image", api.NodeBuild, "build"),
			node("automation", api.NodeDeploy, "automation", "check", "image"), node("automation-2", api.NodeDeploy, "automation", "check", "image"),
			node("staging", api.NodeDeploy, "staging", "automation", "automation-2"),
			node("go", api.NodeApprove, "production", "staging"), node("production", api.NodeDeploy, "production", "go"),
		}},
		Nodes: []api.NodeRun{
			{ID: "check", State: api.RunPassed, Started: began, Finished: began.Add(31 * time.Second), Attempt: 1},
			{ID: "image", State: api.RunPassed, Link: "builds/ledger-main-b2.image.1", Started: began, Finished: began.Add(43 * time.Second), Attempt: 1},
			{ID: "automation", State: api.RunPassed, Started: began, Finished: began.Add(9 * time.Second)},
			{ID: "automation-2", State: api.RunFailed, Error: "the tests ended with 1", Started: began, Finished: began.Add(9 * time.Second)},
			{ID: "staging", State: api.RunRunning, Link: "deployments/ledger-main-b2.staging.1", Started: began},
			{ID: "go", State: api.RunRunning}, {ID: "production", State: api.RunWaiting},
		},
	})
}

func ledgerDelivery(h *hub) {
	put(h, api.Releases, "ledger-2.0.0", api.Release{
		Project: "ledger", Version: "2.0.0", Image: ledger, Commit: commit2, Run: "runs/ledger-main-b2", State: api.ReleaseSigned,
		Notes: "## ledger 2.0.0\n\nChanges since 1.9.0.\n\n### Features\n\n- Accounts have a limit (b2b2b2b2b2b2)\n",
	})
	put(h, api.Channels, "ledger-stable", api.Channel{
		Project: "ledger", Name: "stable", Release: "releases/ledger-2.0.0",
		History: []api.Offered{{Release: "releases/ledger-2.0.0", At: began, By: "users/rita", Comment: "after a week in staging"}},
	})
	put(h, api.Environments, "production", api.Environment{Description: "Where customers are", Strategy: api.BlueGreen, Nodes: 3})
	put(h, api.Environments, "acme", api.Environment{Strategy: api.BlueGreen, Channel: "channels/ledger-stable"})
	put(h, api.Deployments, "ledger-main-b2.production.1", api.Deployment{
		Environment: "production", Project: "ledger", Image: ledger, Run: "runs/ledger-main-b2", Node: "production", Attempt: 1,
		Tests: []string{"/ledger smoke"}, State: api.DeploymentPassed, Upgrade: "upgrades/production~2", Address: "https://127.0.0.1:8443",
		Output: "smoke: 12 requests, all answered", Started: began, Finished: began.Add(20 * time.Second),
	})
	put(h, api.Statuses, "production~ledger-main-b2.production.1", api.Status{
		Environment: "production", Deployment: "deployments/ledger-main-b2.production.1", Image: ledger, State: api.DeploymentPassed, Address: "https://127.0.0.1:8443",
	})
	put(h, api.Statuses, "acme~ledger-2.0.0", api.Status{Environment: "acme", Release: "releases/ledger-2.0.0", Image: ledger, State: api.DeploymentPassed})
}

// ledgerUpgrade is an upgrade that has done so many cycles.
func ledgerUpgrade(cycles int) api.Upgrade {
	u := api.Upgrade{
		Environment: "production", Project: "ledger", State: api.UpgradeCopying, UpgradePolicy: api.UpgradePolicy{Budget: 2}, Predicted: 0.084, Epoch: 4,
		Blue:       api.Side{Group: "production-blue", Image: "ledger@" + string(kit.DigestOf([]byte("before")))},
		Green:      api.Side{Group: "production-green", Image: ledger, Release: "releases/ledger-2.0.0"},
		Deployment: "deployments/ledger-main-b2.production.1",
		History:    []api.Moment{{State: api.UpgradePlanned, At: began}, {State: api.UpgradeProvision, At: began.Add(time.Second)}, {State: api.UpgradeCopying, At: began.Add(4 * time.Second), Text: "green is up"}},
	}
	documents := int64(1_240_000)
	for i := range cycles {
		u.Cycles = append(u.Cycles, api.Cycle{
			Number: i + 1, Started: began.Add(time.Duration(5+3*i) * time.Second), Seconds: 2.5 / float64(i+1), Documents: documents, Bytes: documents * 412,
			Rate: 496_000, Left: documents / 18, Predicted: api.Duration(float64(documents) / 18 / 496_000),
		})
		documents /= 18
	}
	return u
}

// longLog is a log of n lines.
func longLog(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d\n", i+1)
	}
	return b.String()
}
