package quality

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/quality/sonar"
	"landfall.dev/kit"
	"landfall.dev/kit/blob"
	"landfall.dev/kit/kittest"
)

const (
	parent = "1111111111111111111111111111111111111111"
	commit = "2222222222222222222222222222222222222222"
)

// hub is this service with what it reads: a change of one patch set, and its
// difference.
type hub struct {
	t *testing.T
	*kittest.Cluster
	blobs *blob.Disk
}

func newHub(t *testing.T) hub {
	t.Helper()
	return newHubWith(t, sonar.Server{})
}

func newHubWith(t *testing.T, server sonar.Server) hub {
	t.Helper()
	blobs, err := blob.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := hub{t: t, Cluster: kittest.Start(t), blobs: blobs}
	h.Server.Add(kit.Service{
		Name: "others",
		Owns: []kit.Owned{
			kit.Own[api.Build](api.Builds, nil), kit.Own[api.Change](api.Changes, nil), kit.Own[api.Run](api.Runs, nil),
			kit.Own[api.Landing](api.Landings, nil), kit.Own[api.Project](api.Projects, nil),
		},
		Serves: []kit.Route{
			{Pattern: "GET /source/ledger/diff/{range}", Handler: http.HandlerFunc(difference)},
			{Pattern: "GET /source/ledger/archive/{commit}", Handler: kit.Handler(archive)},
			{Pattern: "GET /source/ledger/file/{commit}/{file}", Handler: kit.Handler(source)},
		},
	})
	s := Service(h.Client("services/quality"), h.Server.HTTP("services/quality"), "http://hub", blobs, server)
	h.Server.Add(s)
	h.Run(s)
	made(h, api.Changes, "7", api.Change{Project: "ledger", PatchSets: []api.PatchSet{{Number: 1, Commit: commit, Parent: parent}}})
	return h
}

func difference(w http.ResponseWriter, r *http.Request) {
	if got := r.PathValue("range"); got != parent+".."+commit {
		kit.WriteProblem(w, kit.Errorf(kit.ErrNotFound, "", "there is no commit in %s", got))
		return
	}
	fmt.Fprintf(w, "diff --git a/a.go b/a.go\n--- a/a.go\n+++ b/a.go\n@@ -9,0 +10,30 @@\n%s", strings.Repeat("+x\n", 30))
}

// source has a.go, in which the patch puts lines in front of what was there.
func source(w http.ResponseWriter, r *http.Request) error {
	if r.PathValue("file") != "a.go" {
		return kit.Errorf(kit.ErrNotFound, "", "there is no file %s", r.PathValue("file"))
	}
	text := "one\ntwo\nbad\nthree\n"
	if r.PathValue("commit") == commit {
		text = strings.Repeat("new\n", 9) + text
	}
	_, err := fmt.Fprint(w, text)
	return err
}

// archive has a.go, of whose added lines 10 to 39 those from 21 on are in b.go,
// and a file that is no program.
func archive(w http.ResponseWriter, _ *http.Request) error {
	var block []string
	for n := range 19 {
		block = append(block, fmt.Sprintf("total[%d] = compute(%d, values[%d], false)", n, n+1, n+2))
	}
	text := strings.Repeat("old\n", 9) + strings.Repeat("x\n", 11) + strings.Join(block, "\n")
	out := tar.NewWriter(w)
	for name, content := range map[string]string{"a.go": text, "src/b.go": strings.Join(block, "\n"), "c.txt": text} {
		if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			return err
		}
		if _, err := io.WriteString(out, content); err != nil {
			return err
		}
	}
	return out.Close()
}

func made[T any](h hub, k kit.Kind[T], id string, doc T) T {
	h.t.Helper()
	doc, err := k.Create(h.t.Context(), h.Admin(), id, doc)
	if err != nil {
		h.t.Fatal(err)
	}
	return doc
}

// build ends a build of the change with report files: "kind path", content...
func (h hub) build(id string, b api.Build, files ...string) api.Report {
	h.t.Helper()
	for i := 0; i < len(files); i += 2 {
		kind, path, _ := strings.Cut(files[i], " ")
		d, size, err := h.blobs.Put(h.t.Context(), strings.NewReader(files[i+1]), "")
		if err != nil {
			h.t.Fatal(err)
		}
		b.Reports = append(b.Reports, api.ReportFile{Kind: api.ReportKind(kind), Path: path, Digest: d, Size: size})
	}
	b.Project, b.Job, b.State, b.Commit = "ledger", "test", api.BuildPassed, cmp.Or(b.Commit, commit)
	made(h, api.Builds, id, b)
	return h.await(id, func(r api.Report) bool { return r.State != api.ReportJudging })
}

func (h hub) await(id string, done func(api.Report) bool) api.Report {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	r, err := api.Reports.Await(ctx, h.Admin(), id, done)
	if err != nil {
		h.t.Fatalf("report %s: %v", id, err)
	}
	return r
}

// said is the verdict of r in a line.
func said(r api.Report) string {
	text := string(r.State)
	for _, c := range r.Conditions {
		text += fmt.Sprintf(" | %s %s", c.Name, c.Text)
	}
	return text
}

func ofChange() api.Build { return api.Build{Change: "changes/7", PatchSet: 1} }

const (
	profile  = "mode: set\nexample.com/m/a.go:1.1,20.2 9 1\nexample.com/m/a.go:21.1,60.2 9 0\nexample.com/m/b/b.go:1.1,9.2 1 1\n"
	analysis = `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"vet"}},"results":[
		{"ruleId":"old","message":{"text":"was there"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a.go"},"region":{"startLine":3}}}]},
		{"ruleId":"new","message":{"text":"is new"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a.go"},"region":{"startLine":12}}}]}]}]}`
)

func TestAPatchIsJudgedOnTheLinesThatItAdds(t *testing.T) {
	h := newHub(t)
	r := h.build("change-7-1.test.1", ofChange(), "junit r.xml", "<testsuite><testcase name='a' time='2'/></testsuite>", "coverage c.out", profile, "sarif s.sarif", analysis)
	want := "failed | tests 1 test passed | coverage 11 of 30 new lines covered (36 %): at least 80 % must be | duplication 19 of 30 new lines in blocks that are there twice (63 %): at most 3 % may be: a.go: 21-39 | issues 1 new issue on added lines, 0 allowed: a.go:12: is new; 1 finding elsewhere or below the gate's level"
	if said(r) != want || r.Parent != parent || r.Source != "builds/change-7-1.test.1" || r.PatchSet != 1 || r.Coverage.Missed[0].Lines != "21-39" || r.Duplication.List[0].Lines != "21-39" {
		t.Errorf("the report is %+v, %q, want %q", r, said(r), want)
	}
	made(h, api.Gates, "ledger", api.Gate{GateRules: api.GateRules{NewCoverage: 30, NewIssues: 1}})
	if _, err := api.Reports.Send(t.Context(), h.Admin(), "change-7-1.test.1", "judge", nil); err != nil {
		t.Fatal(err)
	}
	r = h.await("change-7-1.test.1", func(r api.Report) bool { return r.State == api.ReportPassed })
	if r.Rules.NewCoverage != 30 {
		t.Errorf("the report is judged by %+v, want the project's gate", r.Rules)
	}
}

func TestAFindingThatHasMovedIsNotNew(t *testing.T) {
	const found = `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"vet"}},"results":[%s]}]}`
	at := func(lines ...int) string {
		var results []string
		for _, line := range lines {
			results = append(results, fmt.Sprintf(`{"ruleId":"r","message":{"text":"bad"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a.go"},"region":{"startLine":%d}}}]}`, line))
		}
		return fmt.Sprintf(found, strings.Join(results, ","))
	}
	h := newHub(t)
	made(h, api.Gates, "ledger", api.Gate{})
	h.build("main-1", api.Build{Commit: parent}, "sarif s.sarif", at(3))
	h.build("main-2", api.Build{Commit: commit}, "sarif s.sarif", at())
	if r := h.build("moved", ofChange(), "sarif s.sarif", at(12)); said(r) != "passed | issues 0 new issues on added lines; 1 finding on added lines had been there before" {
		t.Errorf("a finding that has moved: %q, want it not to count", said(r))
	}
	if r := h.build("more", ofChange(), "sarif s.sarif", at(12, 11)); !strings.HasPrefix(said(r), "failed | issues 1 new issue on added lines, 0 allowed: a.go:11: bad; 1 finding on added lines") {
		t.Errorf("one that has moved and one more: %q, want the other to count", said(r))
	}
}

func TestWhatHasLandedIsJudgedLikeItsPatch(t *testing.T) {
	h := newHub(t)
	made(h, api.Landings, "7-1", api.Landing{Change: "changes/7", PatchSet: 1})
	made(h, api.Runs, "main", api.Run{Meta: kit.Meta{Source: "landings/7-1"}})
	made(h, api.Runs, "main-r1", api.Run{Meta: kit.Meta{Source: "runs/main"}})
	if r := h.build("main-r1.test.1", api.Build{Run: "runs/main-r1"}, "coverage c.out", profile); r.Parent != parent || !strings.Contains(said(r), "11 of 30") {
		t.Errorf("the report is %q, to %q, want it judged on the lines of the change", said(r), r.Parent)
	}
	if r := h.build("by-hand", api.Build{}, "coverage c.out", profile); r.Parent != "" || said(r) != "passed | coverage it is not known which lines are new" {
		t.Errorf("the report of a person's build is %q, to %q, want it not judged", said(r), r.Parent)
	}
}

func TestAReportThatIsNotWhatItSaysFailsByName(t *testing.T) {
	h := newHub(t)
	made(h, api.Gates, "ledger", api.Gate{})
	b := ofChange()
	b.Reports = []api.ReportFile{{Kind: api.ReportCoverage, Path: "*.out", Error: "no file matches this pattern"}}
	r := h.build("broken", b, "junit r.xml", "<testsuite>\n<testcase name='a'/>\n&lol;</testsuite>", "sarif s.sarif", "[]", "junit ok.xml", "<testsuite><testcase name='b'/></testsuite>")
	want := "failed | reports coverage report *.out: no file matches this pattern; r.xml:3: it is no XML: invalid character entity &lol;; " +
		"s.sarif:1: it is no SARIF report: the report must be an object | tests 2 tests passed | issues 0 new issues on added lines"
	if said(r) != want {
		t.Errorf("the report says %q, want %q", said(r), want)
	}
	lost := ofChange()
	lost.Reports = []api.ReportFile{{Kind: api.ReportJUnit, Path: "r.xml", Digest: kit.DigestOf([]byte("lost"))}}
	if r := h.build("lost", lost); r.State != api.ReportError || !strings.Contains(r.Error, "the junit report r.xml cannot be read") {
		t.Errorf("the report is %s, %q, want an error that names the file", r.State, r.Error)
	}
}

func TestAnAnalysisThatSonarQubeHasNotJudgedFailsByName(t *testing.T) {
	h := newHub(t)
	r := h.build("sonar", ofChange(), "sonar report-task.txt", "projectKey=ledger\nceTaskId=1\n", "sonar other.txt", "none")
	if want := "failed | reports other.txt:1: it is no report-task.txt of a SonarQube scanner: it has no projectKey and ceTaskId; this hub knows no SonarQube server: start it with --sonar-url"; said(r) != want {
		t.Errorf("the report says %q, want %q", said(r), want)
	}
}

func TestSonarQubesGateHasASay(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answers := map[string]string{
			"/api/ce/task": `{"task":{"componentKey":"key","status":"SUCCESS","analysisId":"a"}}`,
			"/api/qualitygates/project_status": `{"projectStatus":{"status":"ERROR","conditions":[
				{"status":"ERROR","metricKey":"new_coverage","comparator":"LT","errorThreshold":"80","actualValue":"7"}]}}`,
		}
		if asked.Add(1) == 1 { // it is asked again until the analysis is done
			answers["/api/ce/task"] = `{"task":{"componentKey":"key","status":"PENDING"}}`
		}
		_, _ = io.WriteString(w, answers[r.URL.Path])
	}))
	t.Cleanup(server.Close)
	h := newHubWith(t, sonar.Server{URL: server.URL})
	made(h, api.Gates, "ledger", api.Gate{GateRules: api.GateRules{Sonar: "key"}})
	b := ofChange()
	b.Finished = time.Now()
	r := h.build("sonar", b, "sonar report-task.txt", "projectKey=key\nceTaskId=1\n")
	if want := "failed | sonar SonarQube's gate of key failed: new_coverage is 7, less than 80"; said(r) != want || asked.Load() != 3 {
		t.Errorf("the report says %q after %d questions, want %q after 3", said(r), asked.Load(), want)
	}
}

func TestATestThatPassedAndFailedOnOneCommitIsPutInQuarantine(t *testing.T) {
	const passes, fails = "<testsuite><testcase name='a'/><testcase name='b'/></testsuite>", "<testsuite><testcase name='a'><failure/></testcase><testcase name='b'/></testsuite>"
	h := newHub(t)
	history := func(builds int) api.TestHistory {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		x, err := api.Tests.Await(ctx, h.Admin(), "ledger~test", func(x api.TestHistory) bool { return len(x.Builds) == builds })
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	h.build("one", ofChange(), "junit r.xml", passes)
	history(1)
	r := h.build("two", ofChange(), "junit r.xml", fails)
	if r.State != api.ReportPassed || !strings.Contains(said(r), "a (passed and failed on 222222222222)") || r.Tests.Quarantined != 1 {
		t.Errorf("the report is %q, want the flaky test not to count", said(r))
	}
	if x := history(2); len(x.Tests) != 1 || x.Tests[0] != (api.TestRecord{Name: "a", Outcomes: "PF", Flaky: commit}) {
		t.Errorf("the history is %+v, want a, which passed and failed", x)
	}
}

func TestWhatMakesNoSenseIsRefused(t *testing.T) {
	h := newHub(t)
	for body, want := range map[string]string{
		`{"newCoverage":101}`:                          "newCoverage 101: it is a percentage",
		`{"newDuplication":101}`:                       "newDuplication 101: it is a percentage",
		`{"newIssues":-1}`:                             "newIssues -1",
		`{"minimumLines":-1}`:                          "minimumLines -1",
		`{"quarantine":51}`:                            "quarantine 51: it is a number of builds, from 0 (none) to 50",
		`{"sonar":"` + strings.Repeat("x", 401) + `"}`: "sonar: the key has more than 400 characters",
		`{"level":"severe","nodes":1}`:                 `level "severe" is not known`,
	} {
		if _, err := h.Admin().Create(t.Context(), "gates", "ledger", []byte(body)); !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("the gate %s: %v, want %q", body, err, want)
		}
	}
	if _, err := h.Admin().Create(t.Context(), "reports", "x", []byte(`{"state":"passed"}`)); !errors.Is(err, kit.ErrForbidden) {
		t.Errorf("a report that somebody makes: %v, want it refused", err)
	}
}
