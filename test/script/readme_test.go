package script

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documents are those whose commands are run.
var documents = []string{"../../README.md", "../../doc/flow.md"}

// elsewhere are their lines that no script runs, with the reason.
var elsewhere = map[string]string{
	"make demo":             "the suite demo of test/run.sh does, with fewer documents",
	"make demo DEMO=--keep": "the suite demo of test/run.sh does, and ends it",
	"make demo DEMO='--engine process --documents 20000'": "the suite demo of test/run.sh does, on Docker",
	"go build -o landfall ./cmd/landfall":                 "TestMain does, and every script runs what it builds",
}

// readmeLine is a script's line that runs one of theirs.
var readmeLine = regexp.MustCompile(`(?m)^(?:! )?(?:as \w+ )?readme '((?:[^']|'')*)'`)

// TestReadmeIsRun holds every command of the documents to a script that runs
// it, and every such line of a script to them.
func TestReadmeIsRun(t *testing.T) {
	var wanted []string
	for _, path := range documents {
		wanted = append(wanted, commandsOf(t, path)...)
	}
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var ran []string
	for _, path := range scripts {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range readmeLine.FindAllStringSubmatch(string(b), -1) {
			line := strings.ReplaceAll(m[1], "''", "'")
			ran = append(ran, line)
			if !slices.Contains(wanted, line) {
				t.Errorf("%s runs a line that no document has: %s", path, line)
			}
		}
	}
	for _, line := range wanted {
		if !slices.Contains(ran, line) && elsewhere[line] == "" {
			t.Errorf("no script runs this line: %s", line)
		}
	}
	for line := range elsewhere {
		if !slices.Contains(wanted, line) {
			t.Errorf("no document has the excepted line: %s", line)
		}
	}
}

// commandsOf returns the indented lines of a Markdown file that are commands,
// not Go, without their comments.
func commandsOf(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	programs := []string{"landfall", "./landfall", "make", "go", "git", "curl", "docker", "skopeo", "ledger", "sh", "cd"}
	var lines []string
	for line := range strings.Lines(string(b)) {
		text, indented := strings.CutPrefix(line, "    ")
		text, _, _ = strings.Cut(text, "  #")
		text = strings.TrimSpace(text)
		if first, _, _ := strings.Cut(text, " "); indented && slices.Contains(programs, first) {
			lines = append(lines, text)
		}
	}
	if len(lines) < 10 {
		t.Fatalf("%s has only %d commands: has its form changed?", path, len(lines))
	}
	return lines
}
