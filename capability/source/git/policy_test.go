package git

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMessageIsRefusedWithReasons(t *testing.T) {
	footer := "\n\nChange-Id: " + changeID + "\n"
	for name, test := range map[string]struct {
		message string
		want    []string
	}{
		"good":                 {"Add a parser" + footer, nil},
		"good with body":       {"Add a parser\n\nIt reads.\n\nSigned-off-by: a\nChange-Id: " + changeID + "\nBug: 1\n", nil},
		"link instead":         {"Add a parser\n\nLink: https://x.example/id/" + changeID + "\n", nil},
		"names nothing":        {"Fix bug." + footer, []string{`subject "Fix bug." names nothing: say what the change does`}},
		"names nothing either": {"  WIP!! " + footer, []string{`subject "WIP!!" names nothing: say what the change does`}},
		"no word":              {"..." + footer, []string{`subject "..." names nothing: say what the change does`}},
		"fix of something":     {"Fix bug in the parser" + footer, nil},
		"72 characters":        {strings.Repeat("ä", 72) + footer, nil},
		"73 characters":        {strings.Repeat("ä", 73) + footer, []string{"subject has 73 characters, more than 72: move details into the body"}},
		"second line":          {"Add a parser\nand more" + footer, []string{"second line is not blank: leave a blank line after the subject"}},
		"no id":                {"Add a parser\n", []string{"missing Change-Id in message footer"}},
		"id before the end":    {"Add a parser" + footer + "\nMore text.\n", []string{"missing Change-Id in message footer"}},
		"id as the subject":    {"Change-Id: " + changeID + "\n", []string{"missing Change-Id in message footer"}},
		"malformed id":         {"Add a parser\n\nChange-Id: I123\n", []string{`malformed Change-Id "I123": it must be I and 40 hexadecimal digits`}},
		"two ids": {"Add a parser" + footer + "Change-Id: I" + strings.Repeat("1", 40) + "\n",
			[]string{"2 Change-Ids in message footer: keep one"}},
		"fixup": {"fixup! Add a parser" + footer, []string{"subject starts with fixup!: fold it into its commit with git rebase --autosquash"}},
		"all at once": {"wip\nmore\n", []string{`subject "wip" names nothing: say what the change does`,
			"second line is not blank: leave a blank line after the subject", "missing Change-Id in message footer"}},
	} {
		t.Run(name, func(t *testing.T) {
			raw := "tree " + EmptyTree + "\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\n" + test.message
			got := Message(parseCommit(strings.Repeat("1", 40), []byte(raw)))
			var want []string
			for _, reason := range test.want {
				want = append(want, "commit 1111111: "+reason)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestChangeIDOfAHeader(t *testing.T) {
	raw := "tree " + EmptyTree + "\nauthor A\ncommitter A <a> x\nchange-id zyxwvutsrqponmlkzyxwvutsrqponmlk\n\nAdd a parser\n"
	c := parseCommit(strings.Repeat("1", 40), []byte(raw))
	if want := "I0123456789abcdef0123456789abcdef6a6a6964"; c.ChangeID != want || len(Message(c)) != 0 {
		t.Errorf("change id: got %q and %q, want %q", c.ChangeID, Message(c), want)
	}
}

// TestHookGivesEachCommitAChangeID installs the hook as the hint says.
func TestHookGivesEachCommitAChangeID(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/tools/hooks/commit-msg" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, CommitMsgHook())
	}))
	defer server.Close()
	c := &client{t, t.TempDir()}
	c.git("init", "-q", "-b", "main")
	c.git("config", "user.name", "Ada")
	c.git("config", "user.email", "ada@example.com")
	write(t, c.dir, "parser", "text\n")
	c.git("add", "parser")
	c.git("commit", "-q", "-m", "Add a parser")
	shell(t, c.dir, strings.Join(Hint(server.URL)[1:], "\n"))

	id := func() string {
		t.Helper()
		commit := parseCommit("", []byte(gitIn(t, c.dir, "cat-file", "commit", "HEAD")+"\n"))
		if len(commit.ChangeID) != 41 {
			t.Errorf("message %q: no Change-Id", commit.Message)
		}
		return commit.ChangeID
	}
	message := func() string { return c.git("log", "-1", "--format=%B") }
	first := id()
	c.git("commit", "-q", "--amend", "--no-edit")
	if again := id(); again != first {
		t.Errorf("Change-Id after an amendment: got %s, want %s", again, first)
	}
	seen := map[string]bool{first: true}
	for range 5 {
		c.git("commit", "-q", "--allow-empty", "-m", "Do the same again")
		seen[id()] = true
	}
	if len(seen) != 6 {
		t.Errorf("Change-Ids of 6 commits: got %d different ones", len(seen))
	}

	c.git("commit", "-q", "--allow-empty", "-m", "Add: more", "-m", "A body.", "-m", "Bug: 1\nSigned-off-by: Ada <ada@example.com>")
	if got, want := message(), "Add: more\n\nA body.\n\nBug: 1\nSigned-off-by: Ada <ada@example.com>\nChange-Id: "+id(); got != want {
		t.Errorf("message with trailers: got %q, want %q", got, want)
	}
	c.git("commit", "-q", "--allow-empty", "-m", "Give an own one", "-m", "Change-Id: "+changeID)
	if got := id(); got != changeID {
		t.Errorf("Change-Id: got %s, want the one given", got)
	}
	c.git("commit", "-q", "--allow-empty", "--fixup", "HEAD")
	if got := message(); strings.Contains(got[len("fixup!"):], "Change-Id") {
		t.Errorf("fixup: got %q, want no Change-Id", got)
	}

	write(t, c.dir, "a", "Change-Id: in the diff\n")
	c.git("add", "a")
	write(t, c.dir, "edit", "#!/bin/sh\nsed -i '1s/^/Add a file/' \"$1\"\n")
	editor := filepath.Join(c.dir, "edit")
	if err := os.Chmod(editor, 0o755); err != nil {
		t.Fatal(err)
	}
	c.git("-c", "core.editor="+editor, "commit", "-q", "-v")
	if got, want := message(), "Add a file\n\nChange-Id: "+id(); got != want {
		t.Errorf("message from the editor: got %q, want %q", got, want)
	}
}
