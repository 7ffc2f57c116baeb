package licence

import (
	"strings"
	"testing"

	"landfall.dev/api"
)

func TestWhatAPolicySaysOfExpressions(t *testing.T) {
	rules := api.LicenceRules{
		Allow:  []string{"MIT", "Apache-2.0", "BSD-*", "GPL-2.0-only WITH Classpath-exception-2.0", "The Go licence*"},
		Review: []string{"MPL-2.0", "LGPL-*", "EPL-1.0"},
		Deny:   []string{"GPL-*", "AGPL-*", "BSD-4-Clause"},
		Others: api.Review,
	}
	for _, test := range []struct {
		expression, decides string
		want                api.Ruling
	}{
		{"MIT", "MIT", api.Allow},
		{"mit", "mit", api.Allow},
		{"BSD-3-Clause", "BSD-3-Clause", api.Allow},
		{"BSD-4-Clause", "BSD-4-Clause", api.Deny}, // a rule without * goes before one with it
		{"GPL-3.0-or-later", "GPL-3.0-or-later", api.Deny},
		{"LGPL-2.1+", "LGPL-2.1+", api.Review},
		{"0BSD", "0BSD", api.Review}, // nobody names it
		{"MIT OR GPL-3.0-only", "MIT", api.Allow},
		{"GPL-3.0-only OR MIT", "MIT", api.Allow},
		{"MIT AND GPL-3.0-only", "GPL-3.0-only", api.Deny},
		{"MIT and Apache-2.0", "MIT", api.Allow},
		{"MIT AND MPL-2.0 OR GPL-2.0-only", "MPL-2.0", api.Review}, // AND binds more strongly
		{"MIT AND (MPL-2.0 OR Apache-2.0)", "MIT", api.Allow},
		{"(GPL-2.0-only OR (AGPL-3.0-only AND MIT))", "GPL-2.0-only", api.Deny},
		{"GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0", api.Allow},
		{"GPL-2.0-only WITH Bison-exception-2.2", "GPL-2.0-only", api.Deny},
		{"EPL-1.0+", "EPL-1.0+", api.Review}, // a rule for a version is one for it and later ones
		{"LicenseRef-ours", "LicenseRef-ours", api.Review},
		{"DocumentRef-a:LicenseRef-b OR MIT", "MIT", api.Allow},
		{"The Go licence, see LICENSE", "The Go licence, see LICENSE", api.Allow}, // a name
		{"Apache License (2.0", "Apache License (2.0", api.Review},
	} {
		if got, decides := Rule(rules, test.expression); got != test.want || decides != test.decides {
			t.Errorf("%s is %q by %s, want %q by %s", test.expression, got, decides, test.want, test.decides)
		}
	}
	if got, _ := Rule(api.LicenceRules{}, "MIT"); got != api.Allow || Missing(api.LicenceRules{Missing: api.Deny}) != api.Deny {
		t.Errorf("without a rule MIT is %q, want it allowed", got)
	}
	if got, _ := Rule(api.LicenceRules{Allow: []string{"GPL-2.0-only"}, Others: api.Deny}, "GPL-2.0"); got != api.Allow {
		t.Errorf("GPL-2.0 is %q where GPL-2.0-only is allowed, which is the same", got)
	}
}

func TestWhatIsNoExpression(t *testing.T) {
	for expression, want := range map[string]string{
		"":                          "it ends where a licence should be",
		"MIT OR":                    "it ends where a licence should be",
		"OR MIT":                    `there is "OR" where a licence should be`,
		"MIT Apache-2.0":            `there is "Apache-2.0" after its end`,
		"(MIT":                      "a ) is missing",
		"MIT)":                      `there is ")" after its end`,
		"MIT/X11":                   `there is "MIT/X11" where a licence should be`,
		"MIT WITH":                  "it ends where an exception should be",
		strings.Repeat("(", 100):    "nested more than 50 deep",
		strings.Repeat("MIT ", 2e3): "the limit is 4000",
	} {
		if _, err := Parse(expression); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", expression, err, want)
		}
	}
}
