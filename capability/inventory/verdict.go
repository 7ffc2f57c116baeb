package inventory

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/inventory/bom"
	"landfall.dev/capability/inventory/licence"
	"landfall.dev/capability/inventory/osv"
	"landfall.dev/kit"
)

// How much an inventory lists of what there may be any number of.
const (
	maxListed          = 100
	maxVulnerabilities = 100
	maxLicences        = 50
	maxFresh           = 50
	maxNamed           = 5 // in a text
)

// outcome is the result of the action judge.
type outcome struct {
	Files           []api.ReportFile    `json:"files"`
	Since           kit.Link            `json:"since,omitempty"`
	Rules           api.PolicyRules     `json:"rules"`
	Conditions      []api.Condition     `json:"conditions"`
	Components      int                 `json:"components"`
	List            []api.Component     `json:"list,omitempty"`
	Licences        []api.LicenceCount  `json:"licences,omitempty"`
	Known           int                 `json:"known"`
	Vulnerabilities []api.Vulnerability `json:"vulnerabilities,omitempty"`
	Fresh           *api.Fresh          `json:"fresh,omitempty"`
}

func (o outcome) state() api.InventoryState {
	state := api.InventoryPassed
	for _, c := range o.Conditions {
		switch {
		case c.State == api.ConditionFailed:
			return api.InventoryDenied
		case c.State == api.ConditionReview:
			state = api.InventoryReview
		}
	}
	return state
}

// contents is what a build or an image contains, judged.
type contents struct {
	components      []api.Component
	packages        []string // of components, without their versions
	vulnerabilities []api.Vulnerability
	ignored         int // vulnerabilities
	// unclear is how often a version could not be compared with an advisory's.
	unclear int
	// advised tells of the ecosystems of the components whether there are
	// advisories for them.
	advised map[string]bool
}

// evidence is all that the verdict is made of.
type evidence struct {
	rules  api.PolicyRules
	policy bool // the project has one
	// problems are files that are missing or not what they say.
	problems []string
	now      contents
	// before is what has landed, nil if that is not known.
	before *contents
	// patch tells that only what is not in before counts.
	patch bool
}

// ruled judges what is in bill by rules at a time.
func ruled(bill bom.Bill, rules api.PolicyRules, at time.Time) contents {
	c := contents{components: bill.Components, advised: map[string]bool{}}
	for i := range c.components {
		x := &c.components[i]
		x.Ruling, x.Reason = component(rules, *x)
		name := x.Name
		if p := bill.Packages[i]; p.Name != "" {
			name = p.Package()
		}
		c.packages = append(c.packages, name)
	}
	for _, v := range bill.Vulnerabilities {
		ruling, ignored := vulnerability(rules.Vulnerabilities, v, at)
		if ignored {
			c.ignored++
			continue
		}
		v.Ruling = ruling
		c.vulnerabilities = append(c.vulnerabilities, v)
	}
	return c
}

// verdict judges e.
func (e evidence) verdict() outcome {
	o := outcome{Rules: e.rules, Components: len(e.now.components), Known: len(e.now.vulnerabilities)}
	if len(e.problems) > 0 {
		o.Conditions = append(o.Conditions, api.Condition{Name: "reports", State: api.ConditionFailed, Text: few(e.problems, len(e.problems), maxNamed)})
	}
	o.Conditions = append(o.Conditions, e.judgeComponents(), e.judgeVulnerabilities())
	o.Licences = licences(e.now.components, e.rules.Licences)
	o.List = slices.Clone(e.now.components)
	slices.SortStableFunc(o.List, func(a, b api.Component) int {
		return cmp.Or(stricter(a.Ruling, b.Ruling), cmp.Compare(cmp.Or(a.PURL, a.Name), cmp.Or(b.PURL, b.Name)))
	})
	o.List = first(o.List, maxListed)
	o.Vulnerabilities = slices.Clone(e.now.vulnerabilities)
	slices.SortStableFunc(o.Vulnerabilities, func(a, b api.Vulnerability) int {
		return cmp.Or(stricter(a.Ruling, b.Ruling), cmp.Compare(osv.Rank(b.Severity), osv.Rank(a.Severity)), cmp.Compare(a.Component, b.Component), cmp.Compare(a.ID, b.ID))
	})
	o.Vulnerabilities = first(o.Vulnerabilities, maxVulnerabilities)
	o.Fresh = e.fresh()
	return o
}

func first[T any](list []T, n int) []T { return slices.Clip(list[:min(len(list), n)]) }

// stricter puts what is ruled more strictly in front.
func stricter(a, b api.Ruling) int {
	switch {
	case licence.Worse(a, b):
		return -1
	case licence.Worse(b, a):
		return 1
	}
	return 0
}

// fresh returns what is in e now and was not before.
func (e evidence) fresh() *api.Fresh {
	if e.before == nil {
		return nil
	}
	all := func(c contents) (licences []string) {
		for _, x := range c.components {
			licences = append(licences, x.Licences...)
		}
		return licences
	}
	sorted := func(now, before []string) []string {
		list := without(now, before)
		slices.Sort(list)
		return first(slices.Compact(list), maxFresh)
	}
	return &api.Fresh{
		Packages:        sorted(e.now.packages, e.before.packages),
		Licences:        sorted(all(e.now), all(*e.before)),
		Vulnerabilities: sorted(named(e.now.vulnerabilities), named(e.before.vulnerabilities)),
	}
}

// tally is what is denied and what is to be reviewed.
type tally struct {
	denied, review []string
	old            int // that were there before
}

func (t *tally) add(r api.Ruling, text string) {
	switch r {
	case api.Deny:
		t.denied = append(t.denied, text)
	case api.Review:
		t.review = append(t.review, text)
	}
}

// condition returns the verdict, whose text begins with what there is in all.
func (t tally) condition(name, all string) api.Condition {
	c := api.Condition{Name: name, State: api.ConditionPassed, Text: all}
	if n := len(t.denied); n > 0 {
		c.State = api.ConditionFailed
		c.Text += fmt.Sprintf("; %d denied: %s", n, few(t.denied, n, maxNamed))
	}
	if n := len(t.review); n > 0 {
		if c.State == api.ConditionPassed {
			c.State = api.ConditionReview
		}
		c.Text += fmt.Sprintf("; %d to be reviewed, until a rule of the policy decides: %s", n, few(t.review, n, maxNamed))
	}
	if t.old > 0 {
		c.Text += fmt.Sprintf("; %d more that were there before do not count", t.old)
	}
	return c
}

func (e evidence) judgeComponents() api.Condition {
	var t tally
	old := map[string]bool{}
	key := func(c contents, i int) string {
		x := c.components[i]
		return strings.Join([]string{c.packages[i], string(x.Ruling), x.Reason}, "\x00")
	}
	if e.patch && e.before != nil {
		for i := range e.before.components {
			old[key(*e.before, i)] = true
		}
	}
	for i, x := range e.now.components {
		if x.Ruling != api.Allow && old[key(e.now, i)] {
			t.old++
			continue
		}
		t.add(x.Ruling, fmt.Sprintf("%s (%s)", cmp.Or(x.PURL, strings.TrimSpace(x.Name+" "+x.Version)), x.Reason))
	}
	c := t.condition("components", count(len(e.now.components), "component"))
	if !e.policy {
		c.State = api.ConditionUnjudged
		c.Text += "; the project has no policy"
	}
	return c
}

func (e evidence) judgeVulnerabilities() api.Condition {
	var t tally
	old := map[string]bool{}
	if e.patch && e.before != nil {
		for _, name := range named(withoutVersions(e.before.vulnerabilities)) {
			old[name] = true
		}
	}
	names := named(withoutVersions(e.now.vulnerabilities))
	for i, v := range e.now.vulnerabilities {
		if v.Ruling != api.Allow && old[names[i]] {
			t.old++
			continue
		}
		text := fmt.Sprintf("%s (%s) in %s", v.ID, v.Severity, v.Component)
		if v.Fixed != "" {
			text += ", fixed in " + v.Fixed
		}
		t.add(v.Ruling, text)
	}
	all := count(len(e.now.vulnerabilities), "known vulnerability")
	if by := severities(e.now.vulnerabilities); by != "" {
		all += " (" + by + ")"
	}
	c := t.condition("vulnerabilities", all)
	if r := e.rules.Vulnerabilities; r.Deny == "" && r.Review == "" && len(e.now.vulnerabilities) > 0 {
		c.State = api.ConditionUnjudged
		c.Text += "; no policy says which are denied"
	}
	if e.now.ignored > 0 {
		c.Text += fmt.Sprintf("; %d more are ignored by the policy", e.now.ignored)
	}
	if e.now.unclear > 0 {
		c.Text += fmt.Sprintf("; %s of components could not be compared with those of advisories", count(e.now.unclear, "version"))
	}
	var missing []string
	for _, ecosystem := range slices.Sorted(maps.Keys(e.now.advised)) {
		if !e.now.advised[ecosystem] {
			missing = append(missing, ecosystem)
		}
	}
	if len(missing) > 0 {
		c.Text += fmt.Sprintf("; this hub has no advisories of %s", few(missing, len(missing), maxNamed))
	}
	return c
}

// withoutVersions returns vulnerabilities of packages.
func withoutVersions(all []api.Vulnerability) []api.Vulnerability {
	all = slices.Clone(all)
	for i, v := range all {
		if at := strings.LastIndexByte(v.Component, '@'); at > strings.LastIndexByte(v.Component, '/') {
			all[i].Component = v.Component[:at]
		}
	}
	return all
}

// severities counts vulnerabilities: "1 critical, 3 high".
func severities(all []api.Vulnerability) string {
	n := map[api.Severity]int{}
	for _, v := range all {
		n[v.Severity]++
	}
	var parts []string
	for _, s := range []api.Severity{api.SeverityCritical, api.SeverityHigh, api.SeverityMedium, api.SeverityLow, api.SeverityUnknown} {
		if n[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	return strings.Join(parts, ", ")
}

// licences counts the licences of components.
func licences(all []api.Component, rules api.LicenceRules) []api.LicenceCount {
	n := map[string]int{}
	for _, c := range all {
		for _, l := range c.Licences {
			n[l]++
		}
		if len(c.Licences) == 0 {
			n[""]++
		}
	}
	var list []api.LicenceCount
	for _, l := range slices.Sorted(maps.Keys(n)) {
		ruling := licence.Missing(rules)
		if l != "" {
			ruling, _ = licence.Rule(rules, l)
		}
		list = append(list, api.LicenceCount{Licence: l, Count: n[l], Ruling: ruling})
	}
	slices.SortStableFunc(list, func(a, b api.LicenceCount) int { return cmp.Compare(b.Count, a.Count) })
	return first(list, maxLicences)
}

// few joins the first of n things.
func few(list []string, n, limit int) string {
	text := strings.Join(list[:min(len(list), limit)], ", ")
	if n > limit {
		text += fmt.Sprintf(" and %d more", n-limit)
	}
	return text
}

// count returns a number of things: "1 component", "2 vulnerabilities".
func count(n int, thing string) string {
	if stem, ok := strings.CutSuffix(thing, "y"); ok && n != 1 {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// maxOutcome is how large an outcome may be in JSON, in bytes.
const maxOutcome = kit.MaxDocument / 4

// fit shortens the lists of o until it is small enough for a document.
func fit(o outcome) (outcome, error) {
	for range 20 {
		b, err := json.Marshal(o)
		if err != nil || len(b) <= maxOutcome {
			return o, err
		}
		o.List, o.Vulnerabilities, o.Licences = half(o.List), half(o.Vulnerabilities), half(o.Licences)
		if o.Fresh != nil {
			o.Fresh = &api.Fresh{Packages: half(o.Fresh.Packages), Licences: half(o.Fresh.Licences), Vulnerabilities: half(o.Fresh.Vulnerabilities)}
		}
	}
	return o, nil // what is left is no list
}

func half[T any](list []T) []T { return list[:len(list)/2] }
