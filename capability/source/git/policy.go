package git

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSubject is the longest subject in characters: what git log --oneline and
// mail clients show without a break.
const maxSubject = 72

// nothing holds subjects, in lower case and without punctuation, that say
// nothing about the commit.
var nothing = strings.Split("fix,fixes,fixed,fix it,fix this,fix bug,fix bugs,fixed bug,fix a bug,fix the bug,"+
	"bug,bugs,bugfix,bugfixes,bug fix,bug fixes,fix issue,fix issues,fix problem,fix error,fix errors,hotfix,quick fix,"+
	"wip,work in progress,update,updates,updated,update code,update file,update files,upd,"+
	"change,changes,changed,some changes,minor,minor change,minor changes,small changes,minor fix,minor fixes,"+
	"misc,miscellaneous,stuff,things,cleanup,clean up,tweak,tweaks,improvement,improvements,improve,"+
	"refactor,refactoring,test,tests,testing,tmp,temp,temporary,commit,save,done,review,code review,"+
	"address review,address review comments,address comments,review comments,asdf,foo,bar,x,todo,no message", ",")

// Message returns what is wrong with the message of a commit that is pushed
// for review, as one-line reasons; none if all is well.
func Message(c Commit) []string {
	var reasons []string
	refuse := func(format string, args ...any) {
		reasons = append(reasons, "commit "+short(c.SHA)+": "+fmt.Sprintf(format, args...))
	}
	subject, body, _ := strings.Cut(c.Message, "\n")
	subject = strings.TrimSpace(subject)
	for _, prefix := range []string{"fixup!", "squash!", "amend!"} {
		if strings.HasPrefix(subject, prefix) {
			refuse("subject starts with %s: fold it into its commit with git rebase --autosquash", prefix)
		}
	}
	if namesNothing(subject) {
		refuse("subject %q names nothing: say what the change does", subject)
	}
	if n := utf8.RuneCountInString(subject); n > maxSubject {
		refuse("subject has %d characters, more than %d: move details into the body", n, maxSubject)
	}
	if second, _, _ := strings.Cut(body, "\n"); strings.TrimSpace(second) != "" {
		refuse("second line is not blank: leave a blank line after the subject")
	}
	ids := footers(c.Message)
	for _, id := range ids {
		if !changeIDPattern.MatchString(id) {
			refuse("malformed Change-Id %q: it must be I and 40 hexadecimal digits", id)
		}
	}
	switch {
	case len(ids) > 1:
		refuse("%d Change-Ids in message footer: keep one", len(ids))
	case len(ids) == 0 && c.ChangeID == "":
		refuse("missing Change-Id in message footer")
	}
	return reasons
}

// namesNothing reports whether a subject says nothing about its commit.
func namesNothing(subject string) bool {
	words := strings.FieldsFunc(strings.ToLower(subject), func(c rune) bool { return !unicode.IsLetter(c) })
	return len(words) == 0 || slices.Contains(nothing, strings.Join(words, " "))
}

// Hint returns the lines that tell a user how to get Change-Ids. Base is the
// address of the server, without a slash at its end.
func Hint(base string) []string {
	return []string{
		"Hint: to add a Change-Id to this commit and all that follow, run:",
		`  gitdir=$(git rev-parse --git-dir); mkdir -p "$gitdir/hooks"`,
		`  curl -fLo "$gitdir/hooks/commit-msg" ` + base + `/tools/hooks/commit-msg`,
		`  chmod +x "$gitdir/hooks/commit-msg"`,
		"  git commit --amend --no-edit",
	}
}

//go:embed commit-msg
var commitMsg string

// CommitMsgHook returns a hook for clients, a POSIX shell script that adds a
// Change-Id to the message of each commit that has none.
func CommitMsgHook() string { return commitMsg }
