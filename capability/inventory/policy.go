package inventory

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/inventory/glob"
	"landfall.dev/capability/inventory/licence"
	"landfall.dev/capability/inventory/osv"
	"landfall.dev/kit"
)

// nextPolicy refuses rules that nobody can mean, and has what they may concern
// judged again.
func nextPolicy(p api.Policy, e kit.Event, _ time.Time) (api.Policy, []kit.Op) {
	if e.Name != "created" && e.Name != "updated" {
		return p, nil
	}
	if err := check(p.PolicyRules); err != nil {
		return p, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	return p, []kit.Op{kit.Call("spread", fmt.Sprint(p.Version), nil)}
}

// maxRules is how many rules a policy may have.
const maxRules = 2000

func check(r api.PolicyRules) error {
	lists := [][]string{r.Licences.Allow, r.Licences.Review, r.Licences.Deny}
	if n := len(slices.Concat(lists...)) + len(r.Packages) + len(r.Vulnerabilities.Ignore); n > maxRules {
		return fmt.Errorf("the policy has %d rules, the limit is %d", n, maxRules)
	}
	for i, name := range []string{"allow", "review", "deny"} {
		for _, rule := range lists[i] {
			if strings.TrimSpace(rule) == "" {
				return fmt.Errorf("licences.%s: a rule is empty: write an SPDX identifier, as MIT or GPL-*", name)
			}
			if x, err := licence.Parse(strings.ReplaceAll(rule, "*", "x")); err == nil && x.Combined() {
				return fmt.Errorf("licences.%s: %q: a rule is about one licence: write each of them as a rule of its own", name, rule)
			}
		}
	}
	for name, ruling := range map[string]api.Ruling{"others": r.Licences.Others, "missing": r.Licences.Missing} {
		if ruling != "" && !known(ruling) {
			return fmt.Errorf("licences.%s: %q is not known: use allow, review or deny", name, ruling)
		}
	}
	for _, p := range r.Packages {
		if !strings.HasPrefix(p.Package, "pkg:") {
			return fmt.Errorf("packages: %q is no package URL: it begins with pkg:, as pkg:npm/left-pad", p.Package)
		}
		if !known(p.Ruling) {
			return fmt.Errorf("packages: %s: the ruling %q is not known: use allow, review or deny", p.Package, p.Ruling)
		}
	}
	for name, s := range map[string]api.Severity{"review": r.Vulnerabilities.Review, "deny": r.Vulnerabilities.Deny} {
		if s != "" && (osv.Rank(s) < 0 || s == api.SeverityUnknown) {
			return fmt.Errorf("vulnerabilities.%s: %q is not known: use low, medium, high or critical", name, s)
		}
	}
	for _, i := range r.Vulnerabilities.Ignore {
		if i.ID == "" || i.Reason == "" {
			return fmt.Errorf("vulnerabilities.ignore: %q needs an id and a reason", i.ID)
		}
	}
	return nil
}

func known(r api.Ruling) bool { return r == api.Allow || r == api.Review || r == api.Deny }

// component returns what the policy says of c, and why.
func component(r api.PolicyRules, c api.Component) (api.Ruling, string) {
	for _, p := range r.Packages {
		if c.PURL != "" && fits(p.Package, c) {
			return p.Ruling, strings.TrimSpace(p.Package + " " + p.Reason)
		}
	}
	if len(c.Licences) == 0 {
		return licence.Missing(r.Licences), "no licence is known"
	}
	worst, why := api.Allow, ""
	for _, l := range c.Licences {
		if ruling, decides := licence.Rule(r.Licences, l); why == "" || licence.Worse(ruling, worst) {
			worst, why = ruling, decides
		}
	}
	return worst, why
}

// fits tells whether the pattern, in which a version is optional, is of c.
func fits(pattern string, c api.Component) bool {
	pattern = strings.ReplaceAll(strings.ReplaceAll(pattern, "%40", "@"), "%2B", "+")
	return glob.Matches(pattern, c.PURL) || glob.Matches(pattern, strings.TrimSuffix(c.PURL, "@"+c.Version))
}

// vulnerability returns what the policy says of v; ignored tells that it does
// not count.
func vulnerability(r api.VulnerabilityRules, v api.Vulnerability, now time.Time) (ruling api.Ruling, ignored bool) {
	for _, i := range r.Ignore {
		if (i.ID == v.ID || slices.Contains(v.Aliases, i.ID)) && (i.Until.IsZero() || now.Before(i.Until)) {
			return api.Allow, true
		}
	}
	switch rank := osv.Rank(v.Severity); {
	case r.Deny != "" && rank >= osv.Rank(r.Deny):
		return api.Deny, false
	case r.Review != "" && rank >= osv.Rank(r.Review):
		return api.Review, false
	}
	return api.Allow, false
}
