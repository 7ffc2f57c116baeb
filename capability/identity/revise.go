package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// roles makes the default roles that are missing, brings those up to date that
// nobody has changed, and returns.
func (s identity) roles(ctx context.Context) error {
	for {
		err := s.revise(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !kit.Temporary(err) {
			return err
		}
		slog.Debug("waited to make the roles", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s identity) revise(ctx context.Context) error {
	for name, role := range defaults {
		_, err := rest.Roles.Create(ctx, s.client, name, made(role))
		if errors.Is(err, kit.ErrConflict) {
			err = s.renew(ctx, name, made(role))
		}
		if err != nil {
			return err
		}
	}
	for a, err := range api.ServiceAccounts.All(ctx, s.client, "", "") {
		if err != nil {
			return err
		}
		if err := s.renew(ctx, "account-"+a.Link.ID(), made(accountRole(a))); err != nil {
			return err
		}
	}
	return nil
}

// renew makes the role what it is now by default, if nobody has changed it; else
// it tells the operator what is new. An account's role that is not there has not
// been made yet, or somebody has taken it away.
func (s identity) renew(ctx context.Context, name string, now rest.Role) error {
	old, err := rest.Roles.Read(ctx, s.client, name)
	switch {
	case errors.Is(err, kit.ErrNotFound):
		return nil
	case err != nil:
		return err
	case old.Made == now.Made:
		return nil
	case !untouched(old, now):
		tell(old, now)
		return nil
	}
	renewal := rest.Renewal{Version: old.Version, Subjects: now.Subjects, Rules: now.Rules, Made: now.Made}
	if _, err = rest.Roles.Send(ctx, s.client, name, "renew", renewal); err == nil {
		slog.Info("brought a role up to date", "role", old.Link)
	}
	return err
}

// made returns r with the digest of what it says.
func made(r rest.Role) rest.Role {
	r.Made = digest(r)
	return r
}

func digest(r rest.Role) string {
	b, err := json.Marshal([]any{r.Subjects, r.Rules})
	if err != nil {
		panic("identity: " + err.Error()) // texts
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// untouched tells whether old is as it was made. Roles of the versions that kept
// no digest are, if they were written once and say nothing that now does not.
func untouched(old, now rest.Role) bool {
	if old.Made != "" {
		return old.Made == digest(old)
	}
	return old.Version == 1 && slices.Equal(old.Subjects, now.Subjects) && len(lacking(now, old)) == 0
}

// lacking returns what the rules of want name and no rule of have does. That a
// rule of have is for some documents only is as somebody wanted it.
func lacking(have, want rest.Role) []rest.Rule {
	var rules []rest.Rule
	for _, w := range want.Rules {
		for _, kind := range w.Kinds {
			verbs := slices.DeleteFunc(slices.Clone(w.Verbs), func(v kit.Verb) bool { return names(have, kind, v) })
			last := len(rules) - 1
			switch {
			case len(verbs) == 0:
			case last >= 0 && slices.Equal(rules[last].Verbs, verbs) && slices.Equal(rules[last].IDs, w.IDs):
				rules[last].Kinds = append(rules[last].Kinds, kind)
			default:
				rules = append(rules, rest.Rule{Kinds: []string{kind}, Verbs: verbs, IDs: w.IDs})
			}
		}
	}
	return rules
}

// names tells whether a rule of r is about the verb on the kind.
func names(r rest.Role, kind string, verb kit.Verb) bool {
	return slices.ContainsFunc(r.Rules, func(rule rest.Rule) bool {
		return (slices.Contains(rule.Kinds, kind) || slices.Contains(rule.Kinds, "*")) &&
			(slices.Contains(rule.Verbs, verb) || slices.Contains(rule.Verbs, "*"))
	})
}

// tell logs what a role that somebody has changed lacks, and the command that
// adds it. With the digest of now, it is not told again.
func tell(old, now rest.Role) {
	missing := lacking(old, now)
	if len(missing) == 0 {
		return
	}
	texts := make([]string, len(missing))
	for i, rule := range missing {
		texts[i] = strings.Trim(fmt.Sprint(rule.Verbs), "[]") + " on " + strings.Join(rule.Kinds, " ")
	}
	patch, err := json.Marshal(map[string]any{"rules": append(slices.Clone(old.Rules), missing...), "made": now.Made})
	if err != nil {
		return
	}
	slog.Warn("a role that was changed lacks what is new; the command adds it",
		"role", old.Link, "lacks", strings.Join(texts, "; "),
		"command", fmt.Sprintf("landfall doc patch %s '%s'", old.Link, strings.ReplaceAll(string(patch), "'", `'\''`)))
}
