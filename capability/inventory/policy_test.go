package inventory

import (
	"errors"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

func TestRulesThatNobodyCanMeanAreRefused(t *testing.T) {
	h := newHub(t)
	for body, want := range map[string]string{
		`{"licences":{"deny":[" "]}}`:                              "licences.deny: a rule is empty",
		`{"licences":{"allow":["MIT OR GPL-*"]}}`:                  `licences.allow: "MIT OR GPL-*": a rule is about one licence`,
		`{"licences":{"others":"forbid"}}`:                         `licences.others: "forbid" is not known: use allow, review or deny`,
		`{"packages":[{"package":"left-pad","ruling":"deny"}]}`:    `packages: "left-pad" is no package URL: it begins with pkg:`,
		`{"packages":[{"package":"pkg:npm/left-pad"}]}`:            `packages: pkg:npm/left-pad: the ruling "" is not known`,
		`{"vulnerabilities":{"deny":"severe"}}`:                    `vulnerabilities.deny: "severe" is not known: use low, medium, high or critical`,
		`{"vulnerabilities":{"ignore":[{"id":"CVE-1"}]}}`:          `vulnerabilities.ignore: "CVE-1" needs an id and a reason`,
		`{"packages":[` + strings.Repeat(`{},`, maxRules) + `{}]}`: "the policy has 2001 rules, the limit is 2000",
	} {
		if _, err := h.Admin().Create(t.Context(), "policies", "ledger", []byte(body)); !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("the policy %.80s: %v, want %q", body, err, want)
		}
	}
	for kind, want := range map[string]string{"inventories": "inventories are made of builds", "advisories": "landfall inventory import-osv makes it"} {
		if _, err := h.Admin().Create(t.Context(), kind, "x", []byte(`{"state":"passed"}`)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s that somebody makes: %v, want %q", kind, err, want)
		}
	}
}

func TestWhichComponentsAPolicyAllows(t *testing.T) {
	rules := api.PolicyRules{
		Licences: api.LicenceRules{Allow: []string{"MIT"}, Deny: []string{"GPL-*"}, Others: api.Review, Missing: api.Review},
		Packages: []api.PackageRule{
			{Package: "pkg:npm/%40acme/*", Ruling: api.Allow, Reason: "ours"},
			{Package: "pkg:npm/evil@1.2.3", Ruling: api.Deny, Reason: "hijacked"},
			{Package: "pkg:golang/example.com/left", Ruling: api.Deny},
		},
	}
	for _, test := range []struct {
		purl, version, licences, reason string
		want                            api.Ruling
	}{
		{"pkg:npm/a@1", "1", "MIT", "MIT", api.Allow},
		{"pkg:npm/a@1", "1", "MIT,GPL-2.0-only", "GPL-2.0-only", api.Deny},
		{"pkg:npm/a@1", "1", "", "no licence is known", api.Review},
		{"pkg:npm/a@1", "1", "BSD-3-Clause", "BSD-3-Clause", api.Review},
		{"pkg:npm/@acme/a@1", "1", "GPL-2.0-only", "pkg:npm/%40acme/* ours", api.Allow},
		{"pkg:npm/evil@1.2.3", "1.2.3", "MIT", "pkg:npm/evil@1.2.3 hijacked", api.Deny},
		{"pkg:npm/evil@1.2.4", "1.2.4", "MIT", "MIT", api.Allow},
		{"pkg:golang/example.com/left@v2.0.0", "v2.0.0", "MIT", "pkg:golang/example.com/left", api.Deny},
		{"", "1", "GPL-3.0-or-later", "GPL-3.0-or-later", api.Deny},
	} {
		c := api.Component{PURL: test.purl, Version: test.version}
		if test.licences != "" {
			c.Licences = strings.Split(test.licences, ",")
		}
		if got, reason := component(rules, c); got != test.want || reason != test.reason {
			t.Errorf("%s (%s) is %q for %q, want %q for %q", test.purl, test.licences, got, reason, test.want, test.reason)
		}
	}
}

func TestWhichVulnerabilitiesCount(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	rules := api.VulnerabilityRules{Review: api.SeverityMedium, Deny: api.SeverityHigh, Ignore: []api.Ignored{
		{ID: "CVE-1", Reason: "never called"}, {ID: "CVE-2", Reason: "until the fix", Until: now.Add(-time.Hour)}, {ID: "GHSA-3", Reason: "an alias", Until: now.Add(time.Hour)},
	}}
	for _, test := range []struct {
		id, severity string
		want         api.Ruling
		ignored      bool
	}{
		{"CVE-9", "critical", api.Deny, false}, {"CVE-9", "high", api.Deny, false}, {"CVE-9", "unknown", api.Deny, false},
		{"CVE-9", "medium", api.Review, false}, {"CVE-9", "low", api.Allow, false},
		{"CVE-1", "critical", api.Allow, true}, {"CVE-2", "critical", api.Deny, false}, {"CVE-3", "critical", api.Allow, true},
	} {
		v := api.Vulnerability{ID: test.id, Severity: api.Severity(test.severity), Aliases: []string{"GHSA" + strings.TrimPrefix(test.id, "CVE")}}
		if got, ignored := vulnerability(rules, v, now); got != test.want || ignored != test.ignored {
			t.Errorf("%s (%s) is %q, ignored %v, want %q, %v", test.id, test.severity, got, ignored, test.want, test.ignored)
		}
	}
}
