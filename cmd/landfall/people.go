package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

func (a *app) userCommand() *cobra.Command {
	var name, email string
	var groups []string
	create := command("create LOGIN", "Make a user", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		u, err := api.Users.Create(c.Context(), client, args[0], api.User{Name: name, Email: email})
		if err != nil {
			return err
		}
		for _, g := range groups {
			if err := join(c, client, g, string(u.Link)); err != nil {
				return err
			}
		}
		return show(a, c.OutOrStdout(), u, func(u api.User) []string {
			return []string{fmt.Sprintf("made %s (%s <%s>)", u.Link, u.Name, u.Email)}
		})
	})
	create.Flags().StringVar(&name, "name", "", "the person's name")
	create.Flags().StringVar(&email, "email", "", "the person's email address")
	create.Flags().StringSliceVar(&groups, "group", nil, "groups to join: developers, release-managers, administrators, or your own")
	return group("user", "People", create,
		command("list", "List the users", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
			return list(c.Context(), a, c.OutOrStdout(), api.Users, "", "", []string{"user", "name", "email"},
				func(u api.User) []string { return []string{u.Link.ID(), u.Name, u.Email} })
		}))
}

// join makes the subject a member of the group, which it makes if need be.
func join(c *cobra.Command, client kit.Client, name, subject string) error {
	_, err := rest.Groups.Create(c.Context(), client, name, rest.Group{Members: []string{subject}})
	if !errors.Is(err, kit.ErrConflict) {
		return err
	}
	_, err = rest.Groups.Modify(c.Context(), client, name, func(g *rest.Group) error {
		if !slices.Contains(g.Members, subject) {
			g.Members = append(g.Members, subject)
		}
		return nil
	})
	return err
}

func (a *app) accountCommand() *cobra.Command {
	var acc api.ServiceAccount
	create := command("create NAME", "Make an account for a runner or an agent", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		made, err := api.ServiceAccounts.Create(c.Context(), client, args[0], acc)
		if err != nil {
			return err
		}
		return show(a, c.OutOrStdout(), made, func(m api.ServiceAccount) []string {
			return []string{fmt.Sprintf("made %s, for the role %s", m.Link, m.Role)}
		})
	})
	create.Flags().StringVar(&acc.Role, "role", "", "runner or agent")
	create.Flags().StringVar(&acc.Environment, "environment", "", "the environment that an agent is for")
	create.Flags().StringVar(&acc.Description, "description", "", "what it is")
	return group("account", "Machines: runners and agents", create,
		command("list", "List the accounts", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
			return list(c.Context(), a, c.OutOrStdout(), api.ServiceAccounts, "", "", []string{"account", "role", "environment"},
				func(x api.ServiceAccount) []string { return []string{x.Link.ID(), x.Role, x.Environment} })
		}))
}

func (a *app) tokenCommand() *cobra.Command {
	var description string
	create := command("create SUBJECT", "Make a token and print it: it cannot be had again", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		root, err := a.pinnedRoot(c, kit.Link(args[0]))
		if err != nil {
			return err
		}
		var answer struct {
			Token string `json:"token"`
		}
		in := map[string]string{"subject": args[0], "description": description}
		if err := a.callJSON(c.Context(), http.MethodPost, "/identity/tokens", in, &answer); err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), answer.Token+root)
		return err
	})
	create.Flags().StringVar(&description, "description", "", "what it is for")
	revoke := command("revoke ID", "Revoke the token lf_ID_...", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		return client.Delete(c.Context(), rest.Tokens.Link(args[0]), 0)
	})
	return group("token", "Tokens", create, revoke,
		command("list", "List the tokens, without their secrets", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
			return list(c.Context(), a, c.OutOrStdout(), rest.Tokens, "", "created", []string{"id", "subject", "created", "description"},
				func(t rest.Token) []string {
					return []string{t.Link.ID(), t.Subject, t.Created.Format("2006-01-02 15:04"), t.Description}
				})
		}))
}

// pinnedRoot returns what is added to a token of the subject: "~" and the digest
// of the hub's trust root, if it is the account of an agent whose environment
// follows a channel. Such an agent need not trust the hub at its first use, and
// believes only what is signed. Others take what pipelines deploy, which nobody
// signs.
func (a *app) pinnedRoot(c *cobra.Command, subject kit.Link) (string, error) {
	if subject.Kind() != api.ServiceAccounts.Name {
		return "", nil
	}
	client, err := a.client()
	if err != nil {
		return "", err
	}
	acc, err := api.ServiceAccounts.Read(c.Context(), client, subject.ID())
	if err != nil || acc.Role != "agent" {
		return "", err
	}
	e, err := api.Environments.Read(c.Context(), client, acc.Environment)
	if errors.Is(err, kit.ErrNotFound) {
		return "", &kit.Error{
			Fault: kit.ErrNotFound, Link: api.Environments.Link(acc.Environment), Detail: "the environment of " + string(subject) + " does not exist yet: whether it follows a channel decides what the token pins",
			Hint: "make it first: landfall env create " + acc.Environment, Err: err,
		}
	}
	if err != nil || e.Channel == "" {
		return "", err
	}
	root, err := api.TrustMetadata.Read(c.Context(), client, "1.root.json")
	if errors.Is(err, kit.ErrNotFound) {
		return "", &kit.Error{
			Fault: kit.ErrConflict, Link: e.Link, Detail: fmt.Sprintf("it follows %s, whose releases its agent believes by the trust's root, and the hub has no trust yet", e.Channel),
			Hint: "set it up first: an administrator runs landfall trust init --keys DIR", Err: err,
		}
	}
	if err != nil {
		return "", err
	}
	return "~" + kit.DigestOf([]byte(root.Content)).Hex(), nil
}
