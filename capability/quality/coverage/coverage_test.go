package coverage

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var files = []string{"cover.out", "cobertura.xml", "jacoco.xml", "lcov.info"}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// text writes a profile as lines like "a.go 1:2 4:0".
func text(p Profile) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		line := name
		for _, n := range slices.Sorted(maps.Keys(p[name])) {
			line += fmt.Sprintf(" %d:%d", n, p[name][n])
		}
		all = append(all, line)
	}
	return all
}

func TestFormats(t *testing.T) {
	for name, want := range map[string][]string{
		"cover.out": {
			"example.com/ledger/account.go 10:4 11:4 12:4 14:3 15:3 16:2 17:2 18:3",
			"example.com/ledger/cmd/main.go 5:0 6:0 7:0 8:0",
		},
		"cobertura.xml": {"/build/src/ledger/account.py 1:1 2:3 4:0"},
		"jacoco.xml":    {"org/example/Account.java 7:3 8:2 9:0"},
		"lcov.info":     {"/build/src/web/live.js 1:2 2:0 3:0", "web/diff.js 7:4294967295"},
	} {
		p, err := new(Reader).Read(name, read(t, name))
		if got := text(p); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s says %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestCounting(t *testing.T) {
	p := Profile{}
	p.Add("a", Lines{1: 0, 2: 3, 9: 0, 4: 0}, func(line int) bool { return line < 9 })
	p.Add("a", Lines{1: 1, 2: 0}, nil)
	p.Add("b", Lines{7: 0}, nil)
	if lines, covered := p.Count(); lines != 4 || covered != 2 || !slices.Equal(p["a"].Missed(), []int{4}) {
		t.Errorf("%d of %d lines are covered, a misses %v; want 2 of 4, and 4", covered, lines, p["a"].Missed())
	}
}

func TestWhatIsNoReportIsNamedByLine(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "c:1: it is no coverage report that is known"},
		{"something else", "PK\x03\x04", "c:1: it is no coverage report that is known"},
		{"another line", "mode: set\na.go:1.1,2.2 1 1\na.go:1.1\n", `c:3: "a.go:1.1" is no line of a coverprofile`},
		{"a range that goes back", "mode: set\na.go:9.1,2.2 1 1\n", "c:2:"},
		{"a range without end", "mode: set\na.go:1.1,99999999999.2 1 1\n", "c:2: line 1000001 of a.go: lines are numbered from 1 to 1000000"},
		{"many ranges", "mode: set\na:1.1,999999.1 1 1\nb:1.1,9.1 1 1\n", "c:3: the reports are about more than 1000000 lines"},
		{"a page", "<html>\n</html>", "c:1: it is no coverage report: it begins with <html>"},
		{"Clover", `<coverage generated="1" clover="4.4"><project/></coverage>`, "c:1: it is a report of Clover"},
		{"a number that is none", "<report>\n<package name='a'><sourcefile name='b'><line nr='x'/>", `c:2: <line nr="x">: it is no number`},
		{"a line of no file", "<coverage>\n<line number='1' hits='1'/></coverage>", "c:2: a <line> is in no file"},
		{"hits before a file", "TN:\nDA:1,1\n", "c:2: DA: comes before any SF:"},
		{"hits of no line", "SF:a\nDA:1\n", `c:2: "DA:1" is no line of a tracefile`},
		{"line 0", "SF:a\nDA:0,1\n", "c:2: line 0 of a"},
		{"an unknown line", "SF:a\nhello\n", `c:2: "hello" is no line of a tracefile`},
	} {
		if _, err := new(Reader).Read("c", []byte(test.text)); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range files {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := new(Reader).Read("f", data)
		if err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("%v, want the file's name in front", err)
		}
		if lines, covered := p.Count(); covered > lines || lines > maxLines {
			t.Errorf("%d of %d lines are covered", covered, lines)
		}
	})
}
