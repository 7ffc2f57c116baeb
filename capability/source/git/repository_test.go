package git

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// pushed makes a clone and a function that commits and brings to the project.
func (s *site) pushed() (*client, func(branch, name, content, subject string) string) {
	s.judge = open
	c := s.clone()
	return c, func(branch, name, content, subject string) string {
		s.t.Helper()
		id := c.commit(name, content, subject)
		c.git("push", "-q", "origin", "HEAD:"+branch)
		return id
	}
}

func TestRebaseKeepsAuthorAndMessage(t *testing.T) {
	s := newSite(t)
	c, push := s.pushed()
	first := push("topic", "lines", "new\n"+strings.Repeat("line\n", 20), "Add a first line")
	c.git("checkout", "-q", "--detach", "origin/main")
	tip := push("main", "lines", strings.Repeat("line\n", 20)+"new\n", "Add a last line")

	committer := Person{Name: "Landfall <x>", Email: "hub@example.com", Time: time.Unix(1_800_000_000, 0).UTC()}
	id, err := s.demo.Rebase(t.Context(), first, tip, committer)
	if err != nil {
		t.Fatal(err)
	}
	old, err := s.demo.Commit(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.demo.Commit(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got.Parents) != "["+tip+"]" || got.Message != old.Message || got.ChangeID != changeID {
		t.Errorf("rebased commit: got %+v, want parent %s and the message of %+v", got, tip, old)
	}
	if got.Author != old.Author || got.Author.Name != "Ada" || got.Author.Time.Format(time.RFC3339) != "2023-11-14T23:13:20+01:00" {
		t.Errorf("author: got %+v, want %+v", got.Author, old.Author)
	}
	if got.Committer.Name != "Landfall x" || !got.Committer.Time.Equal(committer.Time) {
		t.Errorf("committer: got %+v, want %+v", got.Committer, committer)
	}
	text, err := s.demo.ReadFile(t.Context(), id, "lines")
	if want := "new\n" + strings.Repeat("line\n", 20) + "new\n"; err != nil || string(text) != want {
		t.Errorf("merged file: got %q, %v, want %q", text, err, want)
	}
	if again, err := s.demo.Rebase(t.Context(), first, tip, committer); err != nil || again != id {
		t.Errorf("rebase again: got %s, %v, want %s", again, err, id)
	}
	if same, err := s.demo.Rebase(t.Context(), id, tip, committer); err != nil || same != id {
		t.Errorf("rebase onto its parent: got %s, %v, want %s", same, err, id)
	}
	if err := s.demo.UpdateRef(t.Context(), "refs/heads/main", id, tip); err != nil {
		t.Errorf("move main to the rebased commit: %v", err)
	}
	s.fsck()
}

func TestRebaseWithConflictNamesThePathsAndLeavesNothing(t *testing.T) {
	s := newSite(t)
	c, push := s.pushed()
	mine := push("topic", "lines", "mine\n", "Write mine")
	c.git("checkout", "-q", "--detach", "origin/main")
	tip := push("main", "lines", "theirs\n", "Write theirs")
	before := s.files()
	_, err := s.demo.Rebase(t.Context(), mine, tip, someone)
	var conflict *MergeConflict
	if !errors.As(err, &conflict) || fmt.Sprint(conflict.Paths) != "[lines]" {
		t.Fatalf("rebase with conflict: got %v, want a conflict in lines", err)
	}
	if want := fmt.Sprintf("commit %s conflicts with %s in lines", mine[:7], tip[:7]); err.Error() != want {
		t.Errorf("error: got %q, want %q", err, want)
	}
	s.unchanged(before)

	root, err := s.demo.Log(t.Context(), "", tip)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.demo.Rebase(t.Context(), root[len(root)-1].SHA, mine, someone); !errors.Is(err, ErrInvalid) {
		t.Errorf("rebase of a commit without parent: got %v, want %v", err, ErrInvalid)
	}
}

func TestRefMovesOnlyFromWhereItIsExpected(t *testing.T) {
	s := newSite(t)
	_, push := s.pushed()
	base, err := s.demo.Tip(t.Context(), "refs/heads/main")
	if err != nil {
		t.Fatal(err)
	}
	next := push("topic", "a", "a", "Add the file a")
	for name, test := range map[string]struct {
		ref, new, old string
		want          error
	}{
		"from elsewhere":     {"refs/heads/main", next, next, ErrConflict},
		"create what exists": {"refs/heads/main", next, Zero, ErrConflict},
		"no such ref":        {"refs/heads/nope", next, base, ErrConflict},
		"below a branch":     {"refs/heads/main/x", next, Zero, ErrConflict},
		"delete a moved ref": {"refs/heads/main", Zero, next, ErrConflict},
		"bad ref":            {"refs/heads/a..b", next, Zero, ErrInvalid},
		"bad id":             {"refs/heads/main", "HEAD", base, ErrInvalid},
		"from none to none":  {"refs/heads/main", Zero, Zero, ErrInvalid},
	} {
		if err := s.demo.UpdateRef(t.Context(), test.ref, test.new, test.old); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
	if err := s.demo.UpdateRef(t.Context(), "refs/heads/main", strings.Repeat("1", 40), base); err == nil {
		t.Error("move to an unknown object: passed")
	}
	for _, move := range [][2]string{{next, base}, {Zero, next}, {base, Zero}} {
		if err := s.demo.UpdateRef(t.Context(), "refs/heads/main", move[0], move[1]); err != nil {
			t.Errorf("move from %s to %s: %v", move[1], move[0], err)
		}
	}
}

func TestCheckFindsFaultsInAddedLinesOnly(t *testing.T) {
	s := newSite(t)
	c, push := s.pushed()
	dirty := push("topic", "old file", "one \ntwo\n<<<<<<< mine\n", "Add a dirty file")
	clean := push("topic", "old file", "one \ntwo\n<<<<<<< mine\nthree\n", "Add a line to it")
	write(t, c.dir, ".gitattributes", "*.txt -whitespace\n")
	spared := push("topic", "a.txt", "one \n", "Add a text")
	after := push("topic", "b.txt", "one \n", "Add another text")
	for _, test := range []struct{ id, base, want string }{
		{dirty, "refs/heads/main", "[old file:1: trailing whitespace old file:3: leftover conflict marker]"},
		{clean, "refs/heads/main", "[]"},
		{spared, "refs/heads/main", "[a.txt:1: trailing whitespace]"},
		{after, "refs/heads/main", "[b.txt:1: trailing whitespace]"},
		{after, "refs/heads/topic", "[]"},
	} {
		findings, err := s.demo.Check(t.Context(), test.id, test.base)
		if got := fmt.Sprint(findings); err != nil || got != test.want {
			t.Errorf("check against %s: got %s, %v, want %s", test.base, got, err, test.want)
		}
	}
	c.git("checkout", "-q", "--detach", "origin/main")
	c.commit("side", "side\n", "Go aside")
	c.git("merge", "-q", "--no-edit", "origin/topic")
	c.git("push", "-q", "origin", "HEAD:refs/heads/merged")
	if findings, err := s.demo.Check(t.Context(), "refs/heads/merged", "refs/heads/main"); err != nil || findings != nil {
		t.Errorf("check of a merge: got %v, %v, want none", findings, err)
	}
}

// A patch is looked at whatever it says about itself, and whatever its files are
// called.
func TestAPatchCannotHideItsWhiteSpace(t *testing.T) {
	for name, test := range map[string]struct {
		attributes, file, want string
	}{
		"a path like an added line":      {"", "+a.txt", "[+a.txt:1: trailing whitespace]"},
		"a path like a finding":          {"", "x:1: trailing whitespace.", "[x:1: trailing whitespace.:1: trailing whitespace]"},
		"a path with a line end":         {"", "a\n", "[white space errors or conflict markers in added lines: see git show --check]"},
		"no white space errors, it says": {"* -whitespace\n", "a", "[a:1: trailing whitespace]"},
		"no text, it says":               {"* -diff\n", "a", "[a:1: trailing whitespace]"},
		"binary, it says":                {"* binary\n", "a", "[a:1: trailing whitespace]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c, push := s.pushed()
			if test.attributes != "" {
				write(t, c.dir, ".gitattributes", test.attributes)
			}
			id := push("topic", test.file, "one: \n", "Add a file")
			findings, err := s.demo.Check(t.Context(), id, "refs/heads/main")
			if got := fmt.Sprint(findings); err != nil || got != test.want {
				t.Errorf("check: got %s, %v, want %s", got, err, test.want)
			}
		})
	}
}

func TestQuarantinedCommitsAreChecked(t *testing.T) {
	s := newSite(t)
	c := s.clone()
	c.commit("a", "a\n", "Add the file a")
	c.commit("b", "b \n", "Add the file b")
	s.judge = func(ctx context.Context, p *Push) Verdict {
		commits, err := p.Commits(ctx, p.Commands[0].New, "refs/heads/main")
		if err != nil || len(commits) != 2 || commits[0].Subject != "Add the file a" {
			t.Errorf("commits: got %+v, %v, want a and b", commits, err)
		}
		if _, err := p.Commits(ctx, p.Commands[0].New, "refs/heads/nope"); !errors.Is(err, ErrNotFound) {
			t.Errorf("commits for an unknown branch: got %v, want %v", err, ErrNotFound)
		}
		if all, err := p.Commits(ctx, p.Commands[0].New, ""); err != nil || len(all) != 2 {
			t.Errorf("commits for any branch: got %d, %v, want 2", len(all), err)
		}
		findings, err := p.Check(ctx, p.Commands[0].New, "refs/heads/main")
		if err != nil || len(findings) != 1 {
			t.Errorf("check: got %v, %v, want one finding", findings, err)
		}
		return Verdict{Results: []Result{{Reason: findings[0].String()}}}
	}
	contains(t, c.refused("push", "origin", "HEAD:refs/for/main"), "(b:1: trailing whitespace)")
}

func TestReadingACommit(t *testing.T) {
	s := newSite(t)
	_, push := s.pushed()
	base, err := s.demo.Tip(t.Context(), "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	id := push("main", "jobs/ümlaut test.yaml", "name: x\n", "Add a job")

	text, err := s.demo.ReadFile(t.Context(), id, "jobs/ümlaut test.yaml")
	if err != nil || string(text) != "name: x\n" {
		t.Errorf("file: got %q, %v", text, err)
	}
	for dir, want := range map[string]string{".": "[README jobs/ lines]", "jobs": "[ümlaut test.yaml]"} {
		if names, err := s.demo.List(t.Context(), id, dir); err != nil || fmt.Sprint(names) != want {
			t.Errorf("list %s: got %q, %v, want %s", dir, names, err, want)
		}
	}
	for commit, want := range map[string]string{id: "[jobs/ümlaut test.yaml]", base: "[README lines]"} {
		if names, err := s.demo.Files(t.Context(), commit); err != nil || fmt.Sprint(names) != want {
			t.Errorf("files of %s: got %q, %v, want %s", commit, names, err, want)
		}
	}
	for from, want := range map[string]string{base: "[Add a job]", "": "[Add a job Start the demo]", id: "[]"} {
		commits, err := s.demo.Log(t.Context(), from, "refs/heads/main")
		subjects := []string{}
		for _, c := range commits {
			subjects = append(subjects, c.Subject)
		}
		if err != nil || fmt.Sprint(subjects) != want {
			t.Errorf("log from %q: got %q, %v, want %s", from, subjects, err, want)
		}
	}
	for pair, want := range map[[2]string]bool{{base, id}: true, {id, base}: false, {id, id}: true} {
		if got, err := s.demo.Ancestor(t.Context(), pair[0], pair[1]); err != nil || got != want {
			t.Errorf("ancestor %v: got %t, %v, want %t", pair, got, err, want)
		}
	}
	diff, err := s.demo.Diff(t.Context(), base, id)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, string(diff), "+++ b/jobs/ümlaut test.yaml", "+name: x")

	var archive bytes.Buffer
	if err := s.demo.Archive(t.Context(), &archive, id); err != nil {
		t.Fatal(err)
	}
	names := ""
	for in := tar.NewReader(&archive); ; {
		head, err := in.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		names += head.Name + " "
	}
	contains(t, names, "README", "jobs/ümlaut test.yaml")
}

// A patch cannot hide its files from who tests it, nor change them on the way.
func TestAnArchiveIsExactlyTheTree(t *testing.T) {
	s := newSite(t)
	c, push := s.pushed()
	attributes := "*_test export-ignore\nhidden export-ignore\nkeyword export-subst ident\n*.dos text eol=crlf\n*.wide text working-tree-encoding=ISO-8859-1\n"
	want := map[string]string{
		".gitattributes": attributes, "a_test": "test\n", "hidden/deep": "x\n", "keyword": "$Format:%H$ $Id$\n",
		"a.dos": "one\n", "a.wide": "\xf6\n", "empty": "", "a\nb": "y\n", strings.Repeat("long/", 60) + "name": "z\n",
	}
	for name, text := range want {
		write(t, c.dir, name, text)
	}
	if err := os.Symlink("a_test", filepath.Join(c.dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(c.dir, "a_test"), 0o755); err != nil {
		t.Fatal(err)
	}
	id := push("topic", "last", "l\n", "Add files")
	want["a.wide"] = "ö\n" // as it is in the commit
	want["README"], want["lines"], want["last"], want["link"] = "demo\n", strings.Repeat("line\n", 20), "l\n", "-> a_test"

	var archive bytes.Buffer
	if err := s.demo.Archive(t.Context(), &archive, id); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for in := tar.NewReader(&archive); ; {
		head, err := in.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		switch head.Typeflag {
		case tar.TypeReg:
			got[head.Name] = string(text)
		case tar.TypeSymlink:
			got[head.Name] = "-> " + head.Linkname
		}
		if executable := head.Mode&0o100 != 0; head.Typeflag == tar.TypeReg && executable != (head.Name == "a_test") {
			t.Errorf("%s has the mode %o", head.Name, head.Mode)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("the archive has %q, want %q", got, want)
	}
	if err := s.demo.Archive(t.Context(), failing{}, id); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("archive to a writer that fails: %v, want its error", err)
	}
}

// failing fails every write.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestReadingWhatIsNotThere(t *testing.T) {
	s := newSite(t)
	ctx, none := t.Context(), strings.Repeat("1", 40)
	for name, test := range map[string]struct {
		do   func() error
		want error
	}{
		"unknown ref":      {func() error { _, err := s.demo.Tip(ctx, "refs/heads/x"); return err }, ErrNotFound},
		"unknown commit":   {func() error { _, err := s.demo.Commit(ctx, none); return err }, ErrNotFound},
		"unknown file":     {func() error { _, err := s.demo.ReadFile(ctx, "HEAD", "x"); return err }, ErrNotFound},
		"unknown dir":      {func() error { _, err := s.demo.List(ctx, "HEAD", "x"); return err }, ErrNotFound},
		"file as dir":      {func() error { _, err := s.demo.List(ctx, "HEAD", "README"); return err }, ErrNotFound},
		"dir as file":      {func() error { _, err := s.demo.ReadFile(ctx, "HEAD", "."); return err }, ErrNotFound},
		"outside":          {func() error { _, err := s.demo.ReadFile(ctx, "HEAD", "../x"); return err }, ErrInvalid},
		"option":           {func() error { return s.demo.Archive(ctx, io.Discard, "--output=/tmp/x") }, ErrInvalid},
		"expression":       {func() error { _, err := s.demo.Diff(ctx, "", "HEAD~1"); return err }, ErrInvalid},
		"unknown archive":  {func() error { return s.demo.Archive(ctx, io.Discard, none) }, ErrNotFound},
		"unknown ancestor": {func() error { _, err := s.demo.Ancestor(ctx, none, "HEAD"); return err }, ErrNotFound},
		"unknown log":      {func() error { _, err := s.demo.Log(ctx, none, "HEAD"); return err }, ErrNotFound},
		"unknown rebase":   {func() error { _, err := s.demo.Rebase(ctx, "HEAD", none, someone); return err }, ErrNotFound},
	} {
		if err := test.do(); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}

func TestLargeDiffIsCutBetweenFiles(t *testing.T) {
	s := newSite(t)
	files := fstest.MapFS{}
	for i := range 5 {
		files[fmt.Sprint(i)] = &fstest.MapFile{Data: []byte(strings.Repeat("a line of text\n", MaxDiff/4/15))}
	}
	id, err := s.demo.Import(t.Context(), files, "Start big\n", someone)
	if err != nil {
		t.Fatal(err)
	}
	diff, err := s.demo.Diff(t.Context(), "", id)
	if err != nil || len(diff) > MaxDiff+200 {
		t.Fatalf("diff: got %d bytes, %v", len(diff), err)
	}
	lines := strings.Split(strings.TrimSpace(string(diff)), "\n")
	contains(t, lines[len(lines)-1], "# cut: the diff is larger than 4194304 bytes; see all of it with: git diff")
	if lines[len(lines)-2] != "+a line of text" {
		t.Errorf("before the mark: got %q, want a whole line", lines[len(lines)-2])
	}
}

func TestImportTakesADirectoryAsItIs(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir()
	write(t, dir, "plain \"quoted\" \\ name", "a\n")
	write(t, dir, "sub/run", "#!/bin/sh\n")
	write(t, dir, ".git/config", "not this\n")
	if err := errors.Join(os.Chmod(filepath.Join(dir, "sub/run"), 0o755), os.Symlink("sub/run", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	id, err := s.demo.Import(t.Context(), os.DirFS(dir), "Start\n\nBody\n", someone)
	if err != nil {
		t.Fatal(err)
	}
	got := gitIn(t, s.demo.dir, "ls-tree", "-r", "-z", id)
	for _, want := range []string{"120000 blob ", "\tlink\x00100644 blob", "\tplain \"quoted\" \\ name\x00100755 blob ", "\tsub/run\x00"} {
		contains(t, got, want)
	}
	c, err := s.demo.Commit(t.Context(), id)
	if err != nil || c.Message != "Start\n\nBody\n" || c.Author != someone || len(c.Parents) != 0 {
		t.Errorf("commit: got %+v, %v", c, err)
	}
	again, err := s.demo.Import(t.Context(), os.DirFS(dir), "Start\n\nBody\n", someone)
	if err != nil || again != id {
		t.Errorf("import again: got %s, %v, want %s", again, err, id)
	}
	if refs := gitIn(t, s.demo.dir, "for-each-ref", "refs/landfall"); refs != "" {
		t.Errorf("refs after an import: got %q", refs)
	}
	before := s.files()
	if _, err := s.demo.Import(t.Context(), os.DirFS(t.TempDir()), "Start\n", someone); !errors.Is(err, ErrInvalid) {
		t.Errorf("import of nothing: got %v, want %v", err, ErrInvalid)
	}
	if _, err := s.demo.Import(t.Context(), os.DirFS(filepath.Join(dir, "nope")), "Start\n", someone); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("import of no directory: got %v, want %v", err, os.ErrNotExist)
	}
	s.unchanged(before)
}
