package osv

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"landfall.dev/api"
)

func TestWhichVersionsAreAffected(t *testing.T) {
	span := func(events ...string) []Range {
		r := Range{Type: "ECOSYSTEM"}
		for _, e := range events {
			kind, v, _ := strings.Cut(e, " ")
			r.Events = append(r.Events, map[string]Event{
				"from": {Introduced: v}, "fixed": {Fixed: v}, "last": {LastAffected: v}, "limit": {Limit: v},
			}[kind])
		}
		return []Range{r}
	}
	git := []Range{{Type: "GIT", Events: []Event{{Introduced: "0"}}}}
	for _, test := range []struct {
		name, ecosystem string
		ranges          []Range
		versions        []string
		in, out         string // versions
		fixed           string // of those that are in
	}{
		{"all", "Go", span("from 0"), nil, "v0.0.1 v9.0.0", "", ""},
		{"until fixed", "Go", span("from 0", "fixed 1.2.3"), nil, "v1.2.2 v1.2.3-rc1 v1.2.3-0.20200101000000-abcdefabcdef", "v1.2.3 v2.0.0", "1.2.3"},
		{"from one on", "npm", span("from 1.0.0", "fixed 1.2.0"), nil, "1.0.0 1.1.9", "1.0.0-beta 0.9.0 1.2.0", "1.2.0"},
		{"twice, out of order", "npm", span("from 2.0.0", "fixed 1.2.0", "from 0", "fixed 2.1.0"), nil, "1.0.0", "1.5.0 2.1.0", "1.2.0"},
		{"twice, the second", "npm", span("from 2.0.0", "fixed 1.2.0", "from 0", "fixed 2.1.0"), nil, "2.0.5", "3.0.0", "2.1.0"},
		{"until the last", "PyPI", span("from 1.0", "last 1.9"), nil, "1.0 1.9 1.9.0", "1.9.post1 1.10 0.9", ""},
		{"limit", "PyPI", span("from 1.0", "limit 2.0"), nil, "1.9", "2.0", ""},
		{"listed", "PyPI", nil, []string{"1.0", "1.1"}, "1.1", "1.2", ""},
		{"listed, of an unknown order", "Hex", span("from 0"), []string{"1.0"}, "1.0", "1.1", ""},
		{"commits only", "Go", git, nil, "", "v1.0.0", ""},
		{"Debian", "Debian", span("from 0", "fixed 2.36-9+deb12u4"), nil, "2.36-9 2.36-9+deb12u3", "2.36-9+deb12u4 2.36-9+deb12u10", "2.36-9+deb12u4"},
		{"Maven", "Maven", span("from 2.0-beta9", "fixed 2.15.0"), nil, "2.0-beta9 2.0 2.14.1 2.15.0-rc1", "2.0-beta8 2.15.0 1.2.17", "2.15.0"},
	} {
		for _, v := range strings.Fields(test.in) {
			if in, fixed, err := Affects(test.ecosystem, test.ranges, test.versions, v); err != nil || !in || fixed != test.fixed {
				t.Errorf("%s: %s is affected: %v, fixed in %q, %v, want it to be, and fixed in %q", test.name, v, in, fixed, err, test.fixed)
			}
		}
		for _, v := range strings.Fields(test.out) {
			if in, _, err := Affects(test.ecosystem, test.ranges, test.versions, v); err != nil || in {
				t.Errorf("%s: %s is affected: %v, %v, want it not to be", test.name, v, in, err)
			}
		}
	}
	if _, _, err := Affects("Go", span("from 0", "fixed 1.0.0"), nil, "(devel)"); err == nil {
		t.Error("a version that is none is compared, want an error")
	}
}

// advisory is a record about versions before 2 of packages of an ecosystem.
func advisory(id, ecosystem, more string, packages ...string) *fstest.MapFile {
	var affected []string
	for _, name := range packages {
		affected = append(affected, fmt.Sprintf(`{"package":{"ecosystem":%q,"name":%q},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"2.0.0"}]}]}`, ecosystem, name))
	}
	return &fstest.MapFile{Data: fmt.Appendf(nil, `{"id":%q,"modified":"2026-01-02T03:04:05Z","summary":"bad",%s"affected":[%s]}`, id, more, strings.Join(affected, ","))}
}

func TestABaseIsSearched(t *testing.T) {
	files := fstest.MapFS{
		"npm/one.json":  advisory("GHSA-1", "npm", `"aliases":["CVE-1"],"database_specific":{"severity":"MODERATE"},`, "left-pad", "left-pad-2", "a"),
		"npm/two.json":  advisory("GHSA-2", "npm", `"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],`, "left-pad"),
		"npm/gone.json": advisory("GHSA-3", "npm", `"withdrawn":"2026-01-01T00:00:00Z",`, "left-pad"),
		"deb.json":      advisory("DSA-1", "Debian:12", "", "openssl"),
		"README.md":     {Data: []byte("none")},
	}
	for i := range 500 { // more than is read at once
		files[fmt.Sprintf("many/%d.json", i)] = advisory(fmt.Sprint("M-", i), "npm", "", fmt.Sprintf("many-%03d", i))
	}
	var c Compiler
	if err := c.AddAll(files); err != nil {
		t.Fatal(err)
	}
	bases := map[string]*Base{}
	for _, b := range c.Bases() {
		opened, err := Open(b.Ecosystem, bytes.NewReader(b.Text), b.Size)
		if err != nil {
			t.Fatal(err)
		}
		bases[b.Ecosystem] = opened
		if want := map[string]int{"npm": 502, "Debian": 1}[b.Ecosystem]; b.Records != want || b.Modified.Year() != 2026 {
			t.Errorf("the base of %s has %d records of %s, want %d", b.Ecosystem, b.Records, b.Modified, want)
		}
	}
	for _, test := range []struct{ ecosystem, release, name, version, want string }{
		{"npm", "", "left-pad", "1.0.0", "GHSA-1 medium 2.0.0, GHSA-2 critical 2.0.0"},
		{"npm", "", "left-pad", "2.0.0", ""},
		{"npm", "", "left-pad-2", "1.0.0", "GHSA-1 medium 2.0.0"},
		{"npm", "", "left", "1.0.0", ""},
		{"npm", "", "a", "1.0.0", "GHSA-1 medium 2.0.0"},        // the first line
		{"npm", "", "many-499", "1.0.0", "M-499 unknown 2.0.0"}, // the last
		{"npm", "", "many-250", "1.0.0", "M-250 unknown 2.0.0"},
		{"npm", "", "zzz", "1.0.0", ""},
		{"Debian", "12", "openssl", "1.1.1", "DSA-1 unknown 2.0.0"},
		{"Debian", "11", "openssl", "1.1.1", ""},
	} {
		found, unclear, err := bases[test.ecosystem].Find(test.release, test.name, test.version)
		var got []string
		for _, v := range found {
			got = append(got, fmt.Sprintf("%s %s %s", v.ID, v.Severity, v.Fixed))
		}
		if err != nil || unclear != 0 || strings.Join(got, ", ") != test.want {
			t.Errorf("%s %s: %q, %d unclear, %v, want %q", test.name, test.version, got, unclear, err, test.want)
		}
	}
	if _, unclear, err := bases["npm"].Find("", "left-pad", "latest"); err != nil || unclear != 2 {
		t.Errorf("a version that is none: %d unclear, %v, want 2", unclear, err)
	}
}

func TestABaseThatIsNone(t *testing.T) {
	if _, err := Open("npm", strings.NewReader("PK\x03\x04"), 4); err == nil || !strings.Contains(err.Error(), "no file that landfall inventory import-osv has made") {
		t.Errorf("a file that is none: %v", err)
	}
	for lines, want := range map[string]string{
		"|a\t{\"id\": 3}\n":                            "about a are damaged",
		"|a\t" + strings.Repeat("x", maxLine+1) + "\n": "a line has more than",
	} {
		b, err := Open("npm", strings.NewReader(format+lines), int64(len(format+lines)))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.Find("", "a", "1.0.0"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", lines, err, want)
		}
	}
	var c Compiler
	for text, want := range map[string]string{"[]": "x.json: it is no advisory in the OSV format: json:", "{}": `it has no "id" and "modified"`} {
		if err := c.Add("x.json", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestScores(t *testing.T) {
	// Examples of the specification of CVSS version 3.1.
	for vector, want := range map[string]float64{
		"CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H": 8.8,
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N": 6.1,
		"CVSS:3.0/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N": 6.4,
		"CVSS:3.1/AV:L/AC:H/PR:H/UI:N/S:U/C:N/I:N/A:L": 1.9,
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H": 10,
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N": 0,
	} {
		if got, ok := cvss3(vector); !ok || got != want {
			t.Errorf("%s has score %v, %v, want %v", vector, got, ok, want)
		}
	}
	// Examples of the user guide of CVSS version 4.0, and the ends of the scale.
	for vector, want := range map[string]float64{
		"CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N":                  7.3,
		"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N":                  9.3,
		"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H/S:P/U:Red":        10,
		"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:P/VC:N/VI:H/VA:L/SC:H/SI:H/SA:H":                  8.6,
		"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:L/VA:L/SC:N/SI:N/SA:N/E:U":              6.8,
		"CVSS:4.0/AV:P/AC:H/AT:P/PR:H/UI:A/VC:N/VI:N/VA:N/SC:N/SI:N/SA:L/E:U":              0.1,
		"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N":                  0,
		"CVSS:4.0/AV:P/AC:L/AT:N/PR:N/UI:N/VC:L/VI:L/VA:L/SC:N/SI:N/SA:N/MAV:N/MSI:S/CR:L": 8.9,
	} {
		if got, ok := cvss4(vector); !ok || got != want {
			t.Errorf("%s has score %v, %v, want %v", vector, got, ok, want)
		}
	}
	for _, vector := range []string{"", "CVSS:4.0/AV:N", "CVSS:3.1/AV:N", "7.5", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:L/VA:L/SC:N/SI:S/SA:N"} {
		if _, ok := cvss4(vector); ok {
			t.Errorf("%q has a score, want none", vector)
		}
		if _, ok := cvss3(vector); ok {
			t.Errorf("%q has a score, want none", vector)
		}
	}
	got := []api.Severity{Scored(9), Scored(7), Scored(6.9), Scored(0.1), Named("MODERATE"), Named("none")}
	if want := []api.Severity{"critical", "high", "medium", "low", "medium", "unknown"}; !slices.Equal(got, want) {
		t.Errorf("the severities are %q, want %q", got, want)
	}
}
