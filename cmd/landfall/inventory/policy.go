package inventory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// policyFlags are changes to a policy.
type policyFlags struct {
	allow, review, deny, forget  []string // licences
	packages, ignore             []string
	others, missing              string
	denySeverity, reviewSeverity string
	required                     bool
}

func policyCommand(h Hub) *cobra.Command {
	var f policyFlags
	c := command(h, "policy PROJECT", "Show what a project may contain; flags change it", cobra.ExactArgs(1), func(c *cobra.Command, client kit.Client, args []string) error {
		p, err := changePolicy(c, client, args[0], f)
		if err != nil {
			return err
		}
		return show(c.OutOrStdout(), h, p, rules)
	})
	flags := c.Flags()
	flags.StringSliceVar(&f.allow, "allow", nil, "allow a licence: an SPDX identifier or a name, * for any text: BSD-*")
	flags.StringSliceVar(&f.review, "review", nil, "have a person decide about a licence")
	flags.StringSliceVar(&f.deny, "deny", nil, "deny a licence")
	flags.StringSliceVar(&f.forget, "forget", nil, "take back what was said of a licence, a package or a vulnerability")
	flags.StringVar(&f.others, "others", "", "what of licences that no rule names: allow, review or deny")
	flags.StringVar(&f.missing, "missing", "", "what of components of which no licence is known: allow, review or deny")
	flags.StringArrayVar(&f.packages, "package", nil, "an exception for packages, PURL=RULING or PURL=RULING:REASON: 'pkg:npm/left-pad@1.*=allow:a tool'")
	flags.StringArrayVar(&f.ignore, "ignore", nil, "a vulnerability that does not count, ID=REASON: 'CVE-2026-1=never called'")
	flags.StringVar(&f.denySeverity, "deny-severity", "", "the lowest severity of vulnerabilities that is denied: low, medium, high, critical, or none")
	flags.StringVar(&f.reviewSeverity, "review-severity", "", "the lowest that a person is to decide about")
	flags.BoolVar(&f.required, "required", false, "release no image of which there is no inventory")
	return c
}

// changePolicy returns the policy of a project, with the changes that the flags
// say, or one without a link if it has none and there are no changes.
func changePolicy(c *cobra.Command, client kit.Client, project string, f policyFlags) (api.Policy, error) {
	changed := false
	for _, name := range []string{"allow", "review", "deny", "forget", "others", "missing", "package", "ignore", "deny-severity", "review-severity", "required"} {
		changed = changed || c.Flags().Changed(name)
	}
	apply := func(r *api.PolicyRules) error {
		if c.Flags().Changed("required") {
			r.Required = f.required
		}
		return f.apply(r)
	}
	var none api.Policy
	if err := apply(&none.PolicyRules); err != nil {
		return none, err
	}
	p, err := api.Policies.Read(c.Context(), client, project)
	switch {
	case errors.Is(err, kit.ErrNotFound):
		if err := known(c.Context(), client, project); err != nil || !changed {
			return none, err
		}
		return api.Policies.Create(c.Context(), client, project, none)
	case err != nil || !changed:
		return p, err
	}
	return api.Policies.Modify(c.Context(), client, project, func(p *api.Policy) error { return apply(&p.PolicyRules) })
}

// known refuses a project that does not exist.
func known(ctx context.Context, client kit.Client, project string) error {
	_, err := api.Projects.Read(ctx, client, project)
	if errors.Is(err, kit.ErrNotFound) {
		return &kit.Error{Fault: kit.ErrNotFound, Link: api.Projects.Link(project), Detail: "there is no such project", Hint: "landfall project list has them"}
	}
	return err
}

// apply changes r. What is said anew of something takes the place of what was
// said before.
func (f policyFlags) apply(r *api.PolicyRules) error {
	forgotten := slices.Concat(f.forget, f.allow, f.review, f.deny)
	forget := func(list *[]string) {
		*list = slices.DeleteFunc(*list, func(s string) bool { return slices.Contains(forgotten, s) })
	}
	forget(&r.Licences.Allow)
	forget(&r.Licences.Review)
	forget(&r.Licences.Deny)
	r.Licences.Allow = append(r.Licences.Allow, f.allow...)
	r.Licences.Review = append(r.Licences.Review, f.review...)
	r.Licences.Deny = append(r.Licences.Deny, f.deny...)
	set(&r.Licences.Others, f.others)
	set(&r.Licences.Missing, f.missing)
	set(&r.Vulnerabilities.Deny, f.denySeverity)
	set(&r.Vulnerabilities.Review, f.reviewSeverity)
	for _, id := range f.forget {
		r.Packages = slices.DeleteFunc(r.Packages, func(p api.PackageRule) bool { return p.Package == id })
		r.Vulnerabilities.Ignore = slices.DeleteFunc(r.Vulnerabilities.Ignore, func(i api.Ignored) bool { return i.ID == id })
	}
	for _, text := range f.packages {
		at := strings.LastIndex(text, "=")
		if reason := strings.LastIndex(text, ":"); reason > 0 && strings.Contains(text[:reason], "=") {
			at = strings.LastIndex(text[:reason], "=")
		}
		if at < 0 {
			return kit.Errorf(kit.ErrInvalid, "", "--package %s: write PURL=RULING or PURL=RULING:REASON, as in pkg:npm/left-pad=deny", text)
		}
		ruling, reason, _ := strings.Cut(text[at+1:], ":")
		rule := api.PackageRule{Package: text[:at], Ruling: api.Ruling(ruling), Reason: reason}
		r.Packages = slices.DeleteFunc(r.Packages, func(p api.PackageRule) bool { return p.Package == rule.Package })
		r.Packages = append(r.Packages, rule)
	}
	for _, text := range f.ignore {
		id, reason, ok := strings.Cut(text, "=")
		if !ok {
			return kit.Errorf(kit.ErrInvalid, "", "--ignore %s: write ID=REASON, as in 'CVE-2026-1=never called'", text)
		}
		r.Vulnerabilities.Ignore = slices.DeleteFunc(r.Vulnerabilities.Ignore, func(i api.Ignored) bool { return i.ID == id })
		r.Vulnerabilities.Ignore = append(r.Vulnerabilities.Ignore, api.Ignored{ID: id, Reason: reason})
	}
	return nil
}

// set changes a value, if there is a new one; none makes it empty.
func set[T ~string](value *T, text string) {
	switch text {
	case "":
	case "none":
		*value = ""
	default:
		*value = T(text)
	}
}

// rules says p in words.
func rules(p api.Policy) []string {
	if p.Link == "" {
		return []string{"the project has no policy: all is allowed, and nothing is judged; flags make one"}
	}
	lines := []string{fmt.Sprintf("%s, version %d", p.Link, p.Version)}
	for _, l := range []struct {
		ruling api.Ruling
		list   []string
	}{{api.Allow, p.Licences.Allow}, {api.Review, p.Licences.Review}, {api.Deny, p.Licences.Deny}} {
		if len(l.list) > 0 {
			lines = append(lines, fmt.Sprintf("  %-6s  the licences %s", l.ruling, strings.Join(l.list, ", ")))
		}
	}
	or := func(r api.Ruling) api.Ruling {
		if r == "" {
			return api.Allow
		}
		return r
	}
	lines = append(lines, fmt.Sprintf("  %-6s  other licences", or(p.Licences.Others)), fmt.Sprintf("  %-6s  components of which no licence is known", or(p.Licences.Missing)))
	for _, x := range p.Packages {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("  %-6s  %s  %s", x.Ruling, x.Package, x.Reason)))
	}
	for _, s := range []struct {
		ruling   api.Ruling
		severity api.Severity
	}{{api.Review, p.Vulnerabilities.Review}, {api.Deny, p.Vulnerabilities.Deny}} {
		if s.severity != "" {
			lines = append(lines, fmt.Sprintf("  %-6s  vulnerabilities that are %s or worse", s.ruling, s.severity))
		}
	}
	if p.Required {
		lines = append(lines, "  deny    releases of images of which there is no inventory")
	}
	for _, i := range p.Vulnerabilities.Ignore {
		line := fmt.Sprintf("  ignore  %s: %s", i.ID, i.Reason)
		if !i.Until.IsZero() {
			line += ", until " + i.Until.Format("2006-01-02")
		}
		lines = append(lines, line)
	}
	return lines
}

// without returns what of all is not in known.
func without(all, known []string) []string {
	var rest []string
	for _, a := range all {
		if !slices.Contains(known, a) {
			rest = append(rest, a)
		}
	}
	return rest
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
