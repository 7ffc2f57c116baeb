package source_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

func TestAPushForReviewIsKeptAndReported(t *testing.T) {
	s := newSite(t)
	c := s.clone("users/ada")
	one := c.commit("a", "a\n", "Count what comes in")
	two := c.commit("b", "b\n", "Count what goes out")
	out := c.push("HEAD:refs/for/main%topic=counting")
	for _, want := range []string{"Processing changes: new: 2, updated: 0", "SUCCESS", "http://hub/changes/", "Count what goes out [NEW]"} {
		if !strings.Contains(out, want) {
			t.Errorf("git showed\n%s\nwant %q in it", out, want)
		}
	}
	p, err := api.Pushes.Read(t.Context(), s.admin, "1")
	if err != nil || p.By != "users/ada" || p.Branch != "main" || p.Topic != "counting" || len(p.Commits) != 2 {
		t.Fatalf("the push is %+v, %v, want two commits by users/ada for main with the topic counting", p, err)
	}
	if p.Commits[0].SHA != one || p.Commits[1].SHA != two || p.Commits[1].Email != "ada@example.com" {
		t.Errorf("the push has %+v, want %s and %s", p.Commits, one, two)
	}
	change := "main-" + p.Commits[0].ChangeID
	s.reaches("refs/changes/"+change[len(change)-2:]+"/"+change+"/1", one)

	c.amend("b", "b2\n")
	if out := c.push("HEAD:refs/for/main"); !strings.Contains(out, "new: 0, updated: 1") {
		t.Errorf("git showed\n%s\nwant an update", out)
	}
	if s.tip("refs/heads/main") != s.first {
		t.Error("a push for review moved main")
	}
}

func TestPushesAreRefusedWithTheReason(t *testing.T) {
	s := newSite(t)
	c := s.clone("users/ada")
	hook := filepath.Join(c.dir, ".git", "hooks", "commit-msg")
	for _, test := range []struct {
		name string
		make func()
		ref  string
		want string
	}{
		{"a subject that says nothing", func() { c.commit("x", "x\n", "fix bug") }, "HEAD:refs/for/main", `subject "fix bug" names nothing`},
		{"trailing white space", func() { c.commit("x", "x \n", "Add a file") }, "HEAD:refs/for/main", "x:1: trailing whitespace"},
		{"a direct push to a protected branch", func() { c.commit("x", "x\n", "Add a file") }, "HEAD:main", "branch main is protected: push to refs/for/main for review"},
		{"a new protected branch", func() { c.commit("x", "x\n", "Add a file") }, "HEAD:release/1", "branch release/1 is protected"},
		{"a branch that there is not", func() { c.commit("x", "x\n", "Add a file") }, "HEAD:refs/for/mian", "branch mian not found"},
		{"an unknown option", func() { c.commit("x", "x\n", "Add a file") }, "HEAD:refs/for/main%tpoic=x", `push option "tpoic" is not known`},
		{"nothing new", func() {}, "HEAD:refs/for/main", "no new changes"},
		{"a tag", func() {}, "HEAD:refs/tags/v1", "only branches and refs/for/BRANCH can be pushed to"},
		{"a name that no link can have", func() {}, "HEAD:refs/heads/a@b", "is no name of a branch here"},
		{"two commits with one Change-Id", func() {
			c.commit("x", "x\n", "Add a file")
			c.commit("y", "y\n", run(t, c.dir, "log", "-1", "--format=%B"))
		}, "HEAD:refs/for/main", "same Change-Id as commit"},
		{"no Change-Id", func() {
			if err := os.Remove(hook); err != nil {
				t.Fatal(err)
			}
			c.commit("x", "x\n", "Add a file")
		}, "HEAD:refs/for/main", "curl -fLo \"$gitdir/hooks/commit-msg\" http://hub/tools/hooks/commit-msg"},
	} {
		run(t, c.dir, "reset", "--quiet", "--hard", s.first)
		test.make()
		out, err := try(t, c.dir, "push", "origin", test.ref)
		if err == nil || !strings.Contains(out, test.want) {
			t.Errorf("%s: %v\n%s\nwant a refusal with %q", test.name, err, out, test.want)
		}
	}
	page, err := s.admin.List(t.Context(), kit.Query{Kind: "pushes"})
	if err != nil || len(page.Items) > 0 {
		t.Errorf("%d pushes were kept, %v, want none", len(page.Items), err)
	}
	if out, err := try(t, c.dir, "push", s.remote("users/eve"), "HEAD:refs/for/main"); err == nil || !strings.Contains(out, "403") {
		t.Errorf("push without the right to: %v\n%s\nwant 403", err, out)
	}
}

// Whoever may change a project begins it, and its protected branches.
func TestAProtectedBranchBeginsWithADirectPush(t *testing.T) {
	s := newSite(t)
	create(s, api.Projects, "fresh", api.Project{})
	c := clone{s, t.TempDir()}
	run(t, c.dir, "init", "--quiet", "--initial-branch=main")
	one := c.commit("a", "a\n", "fix bug")
	fresh := func(subject string) string { return strings.TrimSuffix(s.remote(subject), "ledger") + "fresh" }
	for _, test := range []struct{ name, subject, ref, want string }{
		{"for review", "users/ada", "HEAD:refs/for/main", "branch main not found: it does not exist yet, and its first commit is pushed to main by somebody who may change the project"},
		{"by a developer", "users/ada", "HEAD:main", "branch main is protected: it does not exist yet, and its first commit is pushed to main by somebody"},
	} {
		if out, err := try(t, c.dir, "push", fresh(test.subject), test.ref); err == nil || !strings.Contains(out, test.want) {
			t.Errorf("push %s: %v\n%s\nwant a refusal with %q", test.name, err, out, test.want)
		}
	}
	for _, branch := range []string{"main", "release/1"} {
		run(t, c.dir, "push", fresh("users/admin"), "HEAD:"+branch)
		r, err := api.Refs.Read(t.Context(), s.admin, api.RefID("fresh", "refs/heads/"+branch))
		want := map[string]kit.Link{"main": "projects/fresh"}[branch] // which a pipeline carries on
		if err != nil || r.Commit != one || r.Source != want || r.By != "users/admin" {
			t.Errorf("%s is %+v, %v, want %s from %q by users/admin", branch, r, err, one, want)
		}
	}
	c.commit("a", "b\n", "Change the file")
	if out, err := try(t, c.dir, "push", fresh("users/admin"), "HEAD:main"); err == nil || !strings.Contains(out, "push to refs/for/main for review") {
		t.Errorf("the second direct push: %v\n%s\nwant a refusal", err, out)
	}
}

// The exceptions from the checks are those of the branch.
func TestAPatchDoesNotChooseItsOwnChecks(t *testing.T) {
	s := newSite(t)
	c := s.clone("users/ada")
	c.commit(".gitattributes", "* -whitespace\n", "Allow any white space")
	c.commit("x", "x \n", "Add a file")
	if out, err := try(t, c.dir, "push", "origin", "HEAD:refs/for/main"); err == nil || !strings.Contains(out, "x:1: trailing whitespace") {
		t.Errorf("push of a series that begins with its own exception: %v\n%s\nwant a refusal", err, out)
	}
}

func TestAClosedChangeTakesNoPatchSet(t *testing.T) {
	s := newSite(t)
	c := s.clone("users/ada")
	c.commit("a", "a\n", "Count what comes in")
	c.push("HEAD:refs/for/main")
	for change, err := range api.Changes.All(t.Context(), s.admin, "", "") {
		if err == nil {
			_, err = s.admin.Update(t.Context(), change.Link, []byte(`{"status":"abandoned"}`), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c.amend("a", "a2\n")
	if out, err := try(t, c.dir, "push", "origin", "HEAD:refs/for/main"); err == nil || !strings.Contains(out, "closed") {
		t.Errorf("push to an abandoned change: %v\n%s\nwant that it is closed", err, out)
	}
}

func TestAPushToAnUnprotectedBranchMovesItsRef(t *testing.T) {
	s := newSite(t)
	c := s.clone("users/ada")
	ref := func() api.Ref {
		r, err := api.Refs.Read(t.Context(), s.admin, "ledger~heads~try~it")
		if err != nil && !errors.Is(err, kit.ErrNotFound) {
			t.Fatal(err)
		}
		return r
	}
	one := c.commit("a", "a\n", "Try it")
	c.push("HEAD:try/it")
	if r := ref(); r.Commit != one || r.By != "users/ada" || r.Source != "" || s.tip("refs/heads/try/it") != one {
		t.Errorf("the ref is %+v, want %s by users/ada, as in the repository", r, one)
	}
	two := c.commit("a", "b\n", "Try it again")
	c.push("HEAD:try/it")
	if r := ref(); r.Commit != two || r.Before != one {
		t.Errorf("the ref is %+v, want %s after %s", r, two, one)
	}

	// The document is ahead of the repository, as for a moment after a landing.
	s.stop()
	if _, err := s.admin.Update(t.Context(), ref().Link, []byte(`{"commit":"`+s.first+`"}`), 0); err != nil {
		t.Fatal(err)
	}
	c.commit("a", "c\n", "Try it once more")
	if out, err := try(t, c.dir, "push", "origin", "HEAD:try/it"); err == nil || !strings.Contains(out, "fetch and push again") {
		t.Errorf("push on top of what is old: %v\n%s\nwant a refusal", err, out)
	}
	s.stop = s.cluster.Run(s.service)
	s.reaches("refs/heads/try/it", s.first)

	c.push(":try/it")
	s.deleted("refs/ledger~heads~try~it")
	if tip := s.tip("refs/heads/try/it"); tip != "" {
		t.Errorf("the deleted branch stands at %s", tip)
	}
	c.push("HEAD:try/it")
}

// deleted waits until the document is gone.
func (s *site) deleted(l kit.Link) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	for _, err := range s.admin.Watch(ctx, kit.WatchQuery{Kind: l.Kind()}) {
		if err != nil {
			s.t.Fatalf("wait for the end of %s: %v", l, err)
		}
		if _, err := s.admin.Read(ctx, l, kit.ReadOptions{}); errors.Is(err, kit.ErrNotFound) {
			return
		}
	}
	s.t.Fatalf("%s is still there", l)
}

// What a push wrote before the process was killed is done by the next one.
func TestTheRepositoryFollowsItsDocumentsAfterACrash(t *testing.T) {
	s := newSite(t)
	c := s.clone("users/ada")
	one := c.commit("a", "a\n", "Try it")
	c.push("HEAD:one")
	c.push("HEAD:two")
	s.stop()
	for id, commit := range map[string]string{"one": s.first, "two": ""} {
		if _, err := s.admin.Update(t.Context(), api.Refs.Link("ledger~heads~"+id), []byte(`{"commit":"`+commit+`"}`), 0); err != nil {
			t.Fatal(err)
		}
	}
	create(s, api.Refs, "ledger~heads~three", api.Ref{Project: "ledger", Name: "refs/heads/three", Commit: one})
	s.stop = s.cluster.Run(s.service)
	s.reaches("refs/heads/one", s.first)
	s.reaches("refs/heads/three", one)
	s.deleted("refs/ledger~heads~two")
	s.reaches("refs/heads/two", "")
}

func TestProjectsHaveProperNames(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"Ledger", "1ledger", "ledger.git", "ledger.lock", "led~ger"} {
		_, err := api.Projects.Create(t.Context(), s.admin, name, api.Project{})
		if !errors.Is(err, kit.ErrInvalid) {
			t.Errorf("project %q: %v, want a refusal", name, err)
		}
	}
	_, err := s.admin.Do(t.Context(), "projects/ledger", "push", nil)
	if !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), "push with git") {
		t.Errorf("the method push: %v, want how to push", err)
	}
}

func TestFilesAreServedByCommit(t *testing.T) {
	s := newSite(t)
	c := s.clone("users/ada")
	second := c.commit("jobs/a.yml", "- job: b\n", "Rename the job")
	c.push("HEAD:try")
	nothing := strings.Repeat("0", 40)
	for _, test := range []struct {
		name, subject, path string
		status              int
		want, without       string
	}{
		{"all files", "users/ada", "/source/ledger/archive/" + s.first, 200, "README", "Rename"},
		{"some files", "users/ada", "/source/ledger/archive/" + s.first + "?path=jobs", 200, "jobs/a.yml", "README"},
		{"one file", "users/ada", "/source/ledger/file/" + second + "/jobs/a.yml", 200, "- job: b\n", ""},
		{"a difference", "users/ada", "/source/ledger/diff/" + s.first + ".." + second, 200, "+- job: b", "README"},
		{"a difference from nothing", "users/ada", "/source/ledger/diff/.." + s.first, 200, "+ledger", ""},
		{"a log", "users/ada", "/source/ledger/log/" + s.first + ".." + second, 200, `"subject":"Rename the job"`, "Start the project"},
		{"what a commit changes", "users/ada", "/source/ledger/changed/" + second, 200, "jobs/a.yml", "README"},
		{"the paths of a commit", "users/ada", "/source/ledger/paths/" + second, 200, "README\x00jobs/a.yml\x00", ""},
		{"no such commit", "users/ada", "/source/ledger/archive/" + nothing, 404, "not found", ""},
		{"no such file", "users/ada", "/source/ledger/file/" + s.first + "/nope", 404, "not found", ""},
		{"no commit at all", "users/ada", "/source/ledger/archive/main", 400, "neither a full commit id", ""},
		{"no range", "users/ada", "/source/ledger/log/" + s.first, 400, "write FROM..TO", ""},
		{"no such project", "users/ada", "/source/nope/archive/" + s.first, 404, "not found", ""},
		{"no right to read", "users/mallory", "/source/ledger/archive/" + s.first, 403, "may not read", ""},
	} {
		status, body := s.call(test.subject, http.MethodGet, test.path, nil)
		if status != test.status || !strings.Contains(body, test.want) || test.without != "" && strings.Contains(body, test.without) {
			t.Errorf("%s: answered %d %.300q, want %d with %q, without %q", test.name, status, body, test.status, test.want, test.without)
		}
	}
}

func TestAnImportMakesTheFirstCommitOnly(t *testing.T) {
	s := newSite(t)
	r, err := api.Refs.Read(t.Context(), s.admin, "ledger~heads~main")
	if err != nil || r.Commit != s.first || r.Source != "projects/ledger" || s.tip("refs/heads/main") != s.first {
		t.Errorf("the ref is %+v, %v, want %s from the project", r, err, s.first)
	}
	create(s, api.Projects, "empty", api.Project{})
	for _, test := range []struct {
		name, subject, project string
		files                  map[string]string
		status                 int
		want                   string
	}{
		{"a second time", "users/admin", "ledger", map[string]string{"a": "a"}, 409, "main branch already"},
		{"of nothing", "users/admin", "empty", nil, 400, "no files"},
		{"out of the project", "users/admin", "empty", map[string]string{"../a": "a"}, 400, "leads out of the project"},
		{"without the right to", "users/ada", "empty", map[string]string{"a": "a"}, 403, "may not update"},
		{"of no project", "users/admin", "nope", map[string]string{"a": "a"}, 404, "projects/nope"},
	} {
		status, body := s.call(test.subject, http.MethodPost, "/source/"+test.project+"/import", packed(t, test.files))
		if status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("import %s: answered %d %s, want %d with %q", test.name, status, body, test.status, test.want)
		}
	}
}
