package sarif

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAReportWithAllThatMatters(t *testing.T) {
	var f Findings
	for range 2 { // what has a fingerprint is found once
		if err := f.Read("gosec.sarif", read(t, "gosec.sarif")); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, x := range f.List {
		got = append(got, fmt.Sprintf("%s %s %s %s:%d %s [%s]", x.Tool, x.Rule, x.Level, x.File, x.Line, x.Message, x.Fingerprint))
	}
	want := []string{
		"gosec G101 error cmd/ledger/main.go:12 Potential hardcoded credentials [b=2 primaryLocationLineHash=39fa2ee980eb94b0:1]",
		"gosec G104 note /build/src/a b.go:3 Errors unhandled []",
		"gosec G999 warning :0 default []",
		"gosec G101 note :0 rejected []",
	}
	want = append(want, want[1:]...)
	if !slices.Equal(got, want) {
		t.Errorf("found\n%q, want\n%q", got, want)
	}
}

func TestWhatIsNoReportIsNamedByLine(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 200)
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "s:1: it is no SARIF report: EOF"},
		{"a list", "\n[]", "s:2: it is no SARIF report: the report must be an object"},
		{"other JSON", `{"issues": []}`, `s:1: it is no SARIF report: it has no "version" and "runs"`},
		{"another version", "{\n\"version\": \"1.0.0\"}", "s:2: it is SARIF 1.0.0: write version 2.1.0"},
		{"runs that are none", `{"version": "2.1.0", "runs": {}}`, "s:1: it is no SARIF report: runs must be a list"},
		{"a run that is none", `{"version": "2.1.0", "runs": [1]}`, "s:1: it is no SARIF report: a run must be an object"},
		{"a result that is none", "{\"version\": \"2.1.0\", \"runs\": [{\"results\":\n[{\"ruleId\": 3}]}]}", "s:2: it is no SARIF report: json: cannot unmarshal number"},
		{"cut off", "{\"version\": \"2.1.0\",\n\"runs\": [{\"results\": [", "s:2: it is no SARIF report"},
		{"depth where it does not matter", `{"version": "2.1.0", "runs": [{"properties": ` + deep, "s:1: values are nested more than 100 deep"},
	} {
		if err := new(Findings).Read("s", []byte(test.text)); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestABombIsRefused(t *testing.T) {
	for name, test := range map[string]struct{ begin, item, end, want string }{
		"results": {`{"version":"2.1.0","runs":[{"results":[`, `{},`, `{}]}]}`, "the build has more than 100000 findings"},
		"rules":   {`{"version":"2.1.0","runs":[{"tool":{"driver":{"rules":[`, `{},`, `{}]}}}]}`, "the tool has more than 100000 rules"},
		"depth":   {`{"version":"2.1.0","runs":[{"results":[{"locations":`, `[`, ``, "it is no SARIF report: "},
	} {
		bomb := test.begin + strings.Repeat(test.item, 3_000_000) + test.end
		if err := new(Findings).Read("s", []byte(bomb)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(read(f, "gosec.sarif"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var found Findings
		err := found.Read("f", data)
		if err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("%v, want the file's name in front", err)
		}
		for _, x := range found.List {
			if x.Level == none || len(x.Message) > maxMessage || len(x.Rule) > maxName {
				t.Errorf("a finding is out of bounds: %+v", x)
			}
		}
	})
}

func TestFindingsOfOlderAnalysersAreRead(t *testing.T) {
	for name, report := range map[string]string{
		"checkstyle": `<?xml version="1.0"?><checkstyle version="8"><file name="/src/a.py"><error line="3" severity="info" message="too long" source="E501"/><error line="4" severity="ignore" source="x"/></file></checkstyle>`,
		"pmd":        `<pmd xmlns="http://pmd.sourceforge.net/report/2.0.0"><file name="/src/a.py"><violation beginline="3" rule="E501" priority="5">` + "\n  too long\n</violation></file></pmd>",
		"findbugs": `<BugCollection><BugInstance type="E501" priority="3"><ShortMessage>s</ShortMessage><LongMessage>too long</LongMessage>` +
			`<Class><SourceLine start="1" sourcepath="a.py"/></Class><SourceLine start="3" sourcepath="/src/a.py"/><SourceLine start="9" sourcepath="b.py" role="x"/></BugInstance></BugCollection>`,
	} {
		var f Findings
		err := f.Read(name, []byte(report))
		if err != nil || len(f.List) != 1 {
			t.Fatalf("%s: %+v, %v", name, f.List, err)
		}
		got := f.List[0]
		got.Tool = ""
		if want := (api.Finding{Rule: "E501", Level: "note", File: "/src/a.py", Line: 3, Message: "too long"}); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	for report, want := range map[string]string{
		"<coverage/>":    "r.xml:1: it is no report of findings: it begins with <coverage>",
		"<checkstyle>\n": "r.xml:2: it is no XML",
		"<pmd><file name='a'><violation><violation/></violation></file></pmd>": "r.xml:1: a <violation> is inside another finding",
		"<checkstyle><file name='a'><error line='-1'/></file></checkstyle>":    "it is no number from 0",
	} {
		if err := new(Findings).Read("r.xml", []byte(report)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", report, err, want)
		}
	}
}
