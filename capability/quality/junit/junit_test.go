package junit

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReportsOfWellKnownTools(t *testing.T) {
	for name, want := range map[string][]string{
		"surefire.xml": {
			"P org.example.AccountTest.deposits 0.012 ",
			"F org.example.AccountTest.withdraws 1203.500 expected: <3> but was: <4>",
			`F org.example.AccountTest.closes 0.001 java.lang.NullPointerException: Cannot invoke "Account.close()"`,
			"S org.example.AccountTest.freezes 0.000 ",
		},
		"gotestsum.xml": {
			"P example.com/ledger.TestDeposit 0.250 ",
			"F example.com/ledger.TestWithdraw/too_much 0.001 ledger_test.go:12: got 3, want 4",
			"F example.com/ledger.TestWithdraw 0.001 Failed",
		},
		"pytest.xml": {
			"P tests.test_ledger.test_sum[1-2] 0.001 ",
			"F tests.test_ledger.test_café 0.002 AssertionError: assert 1 == 2",
			"S bare 0.001 ",
		},
	} {
		var r Results
		if err := r.Read(name, read(t, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, x := range r.Tests {
			got = append(got, fmt.Sprintf("%c %s %.3f %s", x.Outcome, x.Name, x.Seconds, x.Message))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has\n%q, want\n%q", name, got, want)
		}
	}
}

func TestOneNameInSeveralReportsHasTheWorstOutcome(t *testing.T) {
	var r Results
	for i, inner := range []string{"<skipped/>", "", "<failure message='no'/>", "", "<skipped/>"} {
		text := fmt.Sprintf("<testsuite><testcase name='a' time='1'>%s</testcase></testsuite>", inner)
		if err := r.Read(fmt.Sprint(i), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if x, ok := r.Find("a"); !ok || len(r.Tests) != 1 || x.Outcome != Failed || x.Seconds != 5 || x.Message != "no" {
		t.Errorf("the tests are %+v, want one that failed after 5 s", r.Tests)
	}
	if _, ok := r.Find("b"); ok {
		t.Error("a test was found that nobody has told of")
	}
}

func TestWhatIsNoReportIsNamedByLine(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "r.xml:1: it has no element: it is empty"},
		{"a page", "<!DOCTYPE html>\n<html></html>", "r.xml:2: it is no JUnit report: it begins with <html>"},
		{"no XML", "ok\tledger\t0.1s\n", "r.xml:2: it has no element"},
		{"cut off", "<testsuite>\n<testcase name='a'>", "r.xml:2: it is no XML: unexpected EOF"},
		{"no name", "<testsuite>\n\n<testcase classname='a'/></testsuite>", "r.xml:3: a <testcase> has no name"},
		{"a test in a test", "<testsuite><testcase name='a'><testcase name='b'/></testcase></testsuite>", "r.xml:1: a <testcase> is inside another"},
		{"a wrong time", "<testsuite><testcase name='a' time='NaN'/></testsuite>", `r.xml:1: <testcase time="NaN">: it is no number of seconds`},
		{"entities", "<!DOCTYPE t [\n<!ENTITY a 'b'>\n]>\n<testsuite>&a;</testsuite>", "r.xml:3: it defines entities"},
		{"an entity", "<testsuite>\n&lol;</testsuite>", "r.xml:2: it is no XML: invalid character entity"},
		{"an encoding", "<?xml version='1.0' encoding='EBCDIC'?><testsuite/>", `the encoding "EBCDIC" is not known: write UTF-8`},
		{"depth", strings.Repeat("<testsuite>", 200), "r.xml:1: elements are nested more than 100 deep"},
	} {
		err := new(Results).Read("r.xml", []byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestTooManyTestsAreRefused(t *testing.T) {
	suite := func(n, from int) []byte {
		var b strings.Builder
		b.WriteString("<testsuite>\n")
		for i := range n {
			fmt.Fprintf(&b, "<testcase classname='c' name='t%d' time='0.01'/>\n", from+i)
		}
		return []byte(b.String() + "</testsuite>")
	}
	var r Results
	for i := range 2 {
		if err := r.Read("a.xml", suite(50_000, i*50_000)); err != nil || len(r.Tests) != (i+1)*50_000 {
			t.Fatalf("%d tests, %v, want %d", len(r.Tests), err, (i+1)*50_000)
		}
	}
	if err := r.Read("b.xml", suite(1, 100_000)); err == nil || !strings.Contains(err.Error(), "b.xml:2: the build has more than 100000 tests") {
		t.Errorf("one more: %v, want it refused", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"surefire.xml", "gotestsum.xml", "pytest.xml"} {
		f.Add(read(f, name))
	}
	f.Add([]byte("<testsuite><testcase name='a'><failure/>x</testcase></testsuite>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Results
		err := r.Read("f", data)
		if err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("%v, want the file's name in front", err)
		}
		for _, x := range r.Tests {
			if x.Name == "" || len(x.Name) > maxName || len(x.Message) > maxMessage || x.Seconds < 0 {
				t.Errorf("a test is out of bounds: %+v", x)
			}
		}
	})
}

func TestReportsOfOtherToolsAreRead(t *testing.T) {
	const tap = "TAP version 13\n1..5\n# a comment\nok 1 - first one\n    ok 1 - of a subtest\nnot ok 2 - second # TODO later\n  ---\n  x: 1\n  ...\nnot ok 3 third\nok 4 # SKIP no network\nok\n"
	const robot = `<robot rpa="false"><suite name="A"><suite name="B">
<test name="first one"><kw><status status="FAIL"/></kw><status status="PASS" starttime="20240102 03:04:05.000" endtime="20240102 03:04:06.500"/></test>
<test name="second"><status status="SKIP">no</status></test>
<test name="third"><kw><msg>x</msg><status status="FAIL">deep</status></kw><status status="FAIL" elapsed="2.5">not ok 3
more</status></test></suite><status status="FAIL"/></suite><statistics/></robot>`
	for name, test := range map[string]struct {
		report string
		want   string
	}{
		"a/smoke.tap": {tap, "smoke.first one P 0 ;smoke.second S 0 ;smoke.third F 0 not ok 3;smoke.test 4 S 0 ;smoke.test 5 P 0 ;"},
		"output.xml":  {robot, "A.B.first one P 1.5 ;A.B.second S 0 ;A.B.third F 2.5 not ok 3;"},
	} {
		var r Results
		err := r.Read(name, []byte(test.report))
		got := ""
		for _, x := range r.Tests {
			got += fmt.Sprintf("%s %c %g %s;", x.Name, x.Outcome, x.Seconds, x.Message)
		}
		if got != test.want || err != nil {
			t.Errorf("%s: got %s, %v; want %s", name, got, err, test.want)
		}
	}
	for report, want := range map[string]string{
		"1..3\nok 1\n":                        "r: 3 tests were planned, but it has 1",
		"1..2\nok 1\nBail out! no database\n": "r:3: the tests were given up: no database",
		"1..99999999999999999999\n":           "r:1: the plan",
		"okay\n":                              "it has no element",
		"<robot><test><test/></test></robot>": "r:1: a <test> is inside another",
	} {
		if err := new(Results).Read("r", []byte(report)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", report, err, want)
		}
	}
}
