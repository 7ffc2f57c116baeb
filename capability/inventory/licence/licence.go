// Package licence reads SPDX licence expressions (SPDX specification 3.0, annex
// "SPDX license expressions") and finds out what a policy says of them.
package licence

import (
	"fmt"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/inventory/glob"
)

const (
	// maxText is how long an expression may be, in bytes.
	maxText = 4000
	// maxDepth is how deep parentheses may be in each other.
	maxDepth = 50
)

// Expression is a licence, or several that are combined.
type Expression struct {
	operator    string // AND, OR; empty for a licence
	left, right *Expression
	// licence may end with +, exception is empty without WITH.
	licence, exception string
}

// Parse reads an expression. Operators may be in lower case.
func Parse(text string) (*Expression, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("the licence expression has %d bytes, the limit is %d", len(text), maxText)
	}
	p := parser{text: text, tokens: strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(text))}
	e, err := p.choice()
	if err == nil && len(p.tokens) > 0 {
		err = p.errorf("there is %q after its end", p.tokens[0])
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

type parser struct {
	text   string
	tokens []string
	depth  int
}

func (p *parser) errorf(format string, args ...any) error {
	return fmt.Errorf("the licence expression %.200q: %s", p.text, fmt.Sprintf(format, args...))
}

// accept takes the next token if it is the operator.
func (p *parser) accept(operator string) bool {
	if len(p.tokens) == 0 || !strings.EqualFold(p.tokens[0], operator) {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

// choice reads what OR combines, which binds weakest.
func (p *parser) choice() (*Expression, error) { return p.combined("OR", p.all) }

// all reads what AND combines.
func (p *parser) all() (*Expression, error) { return p.combined("AND", p.one) }

func (p *parser) combined(operator string, part func() (*Expression, error)) (*Expression, error) {
	e, err := part()
	for err == nil && p.accept(operator) {
		var right *Expression
		right, err = part()
		e = &Expression{operator: operator, left: e, right: right}
	}
	return e, err
}

// one reads a licence, with its exception, or what is in parentheses.
func (p *parser) one() (*Expression, error) {
	if p.accept("(") {
		if p.depth++; p.depth > maxDepth {
			return nil, p.errorf("parentheses are nested more than %d deep", maxDepth)
		}
		e, err := p.choice()
		if err == nil && !p.accept(")") {
			err = p.errorf("a ) is missing")
		}
		p.depth--
		return e, err
	}
	id, err := p.identifier("a licence")
	if err != nil {
		return nil, err
	}
	e := &Expression{licence: id}
	if p.accept("WITH") {
		if e.exception, err = p.identifier("an exception"); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (p *parser) identifier(what string) (string, error) {
	if len(p.tokens) == 0 {
		return "", p.errorf("it ends where %s should be", what)
	}
	id := p.tokens[0]
	operator := slices.Contains([]string{"AND", "OR", "WITH", "(", ")"}, strings.ToUpper(id))
	plain := strings.TrimSuffix(id, "+")
	if document, of, ok := strings.Cut(plain, ":"); ok && strings.HasPrefix(document, "DocumentRef-") && strings.HasPrefix(of, "LicenseRef-") {
		plain = document + of
	}
	if operator || strings.Trim(plain, letters) != "" {
		return "", p.errorf("there is %q where %s should be", id, what)
	}
	p.tokens = p.tokens[1:]
	return id, nil
}

// letters may be in an identifier.
const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."

// Rule returns what r says of a licence: an SPDX expression or, where it is
// none, a name. With it comes the licence that decides.
func Rule(r api.LicenceRules, licence string) (ruling api.Ruling, decides string) {
	e, err := Parse(licence)
	if err != nil {
		if ruling, ok := named(r, licence); ok {
			return ruling, licence
		}
		return others(r.Others), licence
	}
	return e.rule(r)
}

// Missing returns what r says of a component of which no licence is known.
func Missing(r api.LicenceRules) api.Ruling { return others(r.Missing) }

func others(r api.Ruling) api.Ruling {
	if r == "" {
		return api.Allow
	}
	return r
}

// Worse tells whether a is stricter than b.
func Worse(a, b api.Ruling) bool { return rank(a) > rank(b) }

func rank(r api.Ruling) int {
	return slices.Index([]api.Ruling{api.Allow, api.Review, api.Deny}, r)
}

func (e *Expression) rule(r api.LicenceRules) (api.Ruling, string) {
	if e.operator != "" {
		left, why := e.left.rule(r)
		right, other := e.right.rule(r)
		if e.operator == "OR" && Worse(left, right) || e.operator == "AND" && Worse(right, left) {
			return right, other
		}
		return left, why
	}
	if e.exception != "" {
		whole := e.licence + " WITH " + e.exception
		if ruling, ok := named(aboutExceptions(r), whole); ok {
			return ruling, whole
		}
	}
	for _, name := range spellings(e.licence) {
		if ruling, ok := named(r, name); ok {
			return ruling, e.licence
		}
	}
	return others(r.Others), e.licence
}

// aboutExceptions returns the rules that name an exception: "GPL-*" is none.
func aboutExceptions(r api.LicenceRules) api.LicenceRules {
	only := func(rules []string) (with []string) {
		for _, rule := range rules {
			if strings.Contains(strings.ToUpper(rule), " WITH ") {
				with = append(with, rule)
			}
		}
		return with
	}
	return api.LicenceRules{Allow: only(r.Allow), Review: only(r.Review), Deny: only(r.Deny)}
}

// spellings returns the identifiers that mean the same: the GNU licences have
// an older and a newer one.
func spellings(licence string) []string {
	all := []string{licence}
	older, later := strings.CutSuffix(licence, "+")
	switch {
	case later:
		all = append(all, older+"-or-later", older)
	case strings.HasSuffix(licence, "-or-later"):
		all = append(all, strings.TrimSuffix(licence, "-or-later")+"+")
	case strings.HasSuffix(licence, "-only"):
		all = append(all, strings.TrimSuffix(licence, "-only"))
	case gnu(licence):
		all = append(all, licence+"-only")
	}
	return all
}

func gnu(licence string) bool {
	for _, prefix := range []string{"GPL-", "LGPL-", "AGPL-", "GFDL-"} {
		if len(licence) > len(prefix) && strings.EqualFold(licence[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}

// named returns what a rule says that names the licence.
func named(r api.LicenceRules, licence string) (api.Ruling, bool) {
	lists := []struct {
		ruling api.Ruling
		rules  []string
	}{{api.Deny, r.Deny}, {api.Review, r.Review}, {api.Allow, r.Allow}}
	for _, l := range lists {
		if slices.ContainsFunc(l.rules, func(rule string) bool { return strings.EqualFold(rule, licence) }) {
			return l.ruling, true
		}
	}
	for _, l := range lists {
		if slices.ContainsFunc(l.rules, func(rule string) bool { return glob.Matches(rule, licence) }) {
			return l.ruling, true
		}
	}
	return "", false
}

// Combined tells whether e has more than one licence.
func (e *Expression) Combined() bool { return e.operator != "" }
