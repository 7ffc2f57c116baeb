package native

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestExpressionsMeanTheSameToGrep compares with Go's expressions, which are
// Java's as far as these go.
func TestExpressionsMeanTheSameToGrep(t *testing.T) {
	texts := []string{
		"", "a", "ab", "abc", "ABC", "a.c", "a+c", "12", "x12-3", "master", "stable/1.2", "release-1", "foo bar", "foo\tbar",
		"^", "-", "]", "[", "\\", "$", "true", "TRUE", "a|b", "(a)", "é", "refs/heads/main", "a-b_c", "recheck now", "run-sonar", "^x", "a{2}", "aa",
	}
	for _, e := range []string{
		"a.c", `a\.c`, "a+", "[abc]+", "[^abc]*", "(?i)true", "(?i:abc)", `\d+`, `\w+-?\d*`, `\s`, `\S+`, `.*\s.*`, "(master|stable/.*)", "^master$", "",
		".*", ".+?", "(?:ab)?c?", "a{2}", "a{1,}", "(a|)b", "[\\^]", "[\\]]", "[-a]", "[a^]", `\\`, `\$`, "[^-]+", `(?s).*foo.*`, "(recheck|run-sonar)( now)?", "x[0-9]{2}-[0-9]", "é", `[^\s]+`, "a||b",
	} {
		ere, fold, err := posix(e)
		if err != nil {
			t.Errorf("%q: %v", e, err)
			continue
		}
		want := regexp.MustCompile(`^(?:` + e + `)$`)
		options := []string{"-Ex", "-e", ere}
		if fold {
			options = append(options, "-i")
		}
		var wanted []string
		for _, text := range texts {
			if want.MatchString(text) {
				wanted = append(wanted, text)
			}
		}
		for _, grep := range [][]string{{"grep"}, {"busybox", "grep"}} {
			c := exec.Command(grep[0], append(grep[1:], options...)...)
			c.Stdin = strings.NewReader(strings.Join(texts, "\n") + "\n")
			c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
			out, err := c.CombinedOutput()
			if code := c.ProcessState.ExitCode(); code > 1 {
				t.Fatalf("%q as %q: %v %s", e, ere, err, out)
			}
			if got := strings.TrimSuffix(string(out), "\n"); got != strings.Join(wanted, "\n") {
				t.Errorf("%s: %q as %q matches\n%s\nwant\n%s", grep, e, ere, got, strings.Join(wanted, "\n"))
			}
		}
	}
	for _, e := range []string{"(?!a)b", `(a)\1`, `\bword\b`, "(", "a++"} {
		if ere, _, err := posix(e); err == nil {
			t.Errorf("%q became %q, want an error", e, ere)
		}
	}
}
