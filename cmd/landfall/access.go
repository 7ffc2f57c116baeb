package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/kit/rest"
	"landfall.dev/kit/rest/audit"
)

func (a *app) accessCommand() *cobra.Command {
	return group("access", "Who may do what",
		command("explain SUBJECT VERB LINK", "Say whether a caller may do something, and which rules of which roles make it so", cobra.ExactArgs(3), func(c *cobra.Command, args []string) error {
			q := url.Values{"subject": {args[0]}, "verb": {args[1]}, "link": {args[2]}}
			var e rest.Explanation
			if err := a.callJSON(c.Context(), http.MethodGet, "/api/roles:explain?"+q.Encode(), nil, &e); err != nil {
				return err
			}
			return show(a, c.OutOrStdout(), e, explained)
		}))
}

// explained are the lines that tell an explanation.
func explained(e rest.Explanation) []string {
	lines := []string{e.Summary}
	if len(e.Groups) > 0 {
		lines = append(lines, "groups: "+strings.Join(e.Groups, ", "))
	}
	for _, r := range e.Because {
		answer := "no"
		if r.Allowed {
			answer = "yes"
		}
		lines = append(lines, fmt.Sprintf("  %-3s  rule %d of %s: %s", answer, r.Rule, r.Role, r.Why))
	}
	return lines
}

func (a *app) auditCommand() *cobra.Command {
	var filter string
	records := func(c *cobra.Command, _ []string) error {
		head := []string{"number", "time", "subject", "verb", "target", "status", "remote", "request"}
		return list(c.Context(), a, c.OutOrStdout(), audit.Records, filter, "", head, func(r audit.Record) []string {
			who := r.Subject
			if r.Behalf != "" {
				who += " for " + r.Behalf
			}
			return []string{
				strconv.FormatInt(r.Number, 10), r.Time.Format("2006-01-02 15:04:05"), who, r.Verb, r.Target,
				strconv.Itoa(r.Status), r.Remote, r.Request,
			}
		})
	}
	c := group("audit", "What was refused, and what administrators did",
		command("verify", "Check that no record was changed or taken out", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			r, err := audit.Verify(c.Context(), client)
			if err != nil {
				return err
			}
			return show(a, c.OutOrStdout(), r, func(r audit.Report) []string {
				if r.Last == 0 {
					return []string{"there are no records"}
				}
				return []string{fmt.Sprintf("records %d to %d are a whole chain; %d refusals left no record of their own", r.First, r.Last, r.Suppressed)}
			})
		}))
	c.RunE = records
	c.Flags().StringVar(&filter, "filter", "", `CEL expression, as in status == 403 && subject == "users/ada"`)
	return c
}
