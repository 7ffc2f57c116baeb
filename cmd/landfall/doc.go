package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/kit"
)

func (a *app) docCommand() *cobra.Command {
	return group("doc", "Documents of any kind",
		a.docGet(), a.docList(), a.docPut(), a.docPatch(), a.docRemove(), a.docWatch())
}

// document returns the link that s is, and the client to use it with.
func (a *app) document(s string) (kit.Link, kit.Client, error) {
	l := kit.Link(s)
	if err := l.Check(); err != nil {
		return "", nil, fmt.Errorf("%q is no link of a document: write KIND/ID, as in changes/42", s)
	}
	client, err := a.client()
	return l, client, err
}

func (a *app) docGet() *cobra.Command {
	return command("get LINK", "Print a document", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		l, client, err := a.document(args[0])
		if err != nil {
			return err
		}
		r, err := client.Read(c.Context(), l, kit.ReadOptions{})
		if err != nil {
			return err
		}
		return writeJSON(c.OutOrStdout(), r)
	})
}

func (a *app) docList() *cobra.Command {
	var q kit.Query
	c := command("list KIND", "Print the documents of a kind, one on each line", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		q.Kind = args[0]
		for {
			p, err := client.List(c.Context(), q)
			if err != nil {
				return err
			}
			for _, r := range p.Items {
				b, err := r.MarshalJSON()
				if err != nil {
					return err
				}
				fmt.Fprintln(c.OutOrStdout(), string(b))
			}
			if q.Token = p.Next; q.Token == "" {
				return nil
			}
		}
	})
	c.Flags().StringVar(&q.Filter, "filter", "", `CEL expression, as in status == "open"`)
	c.Flags().StringVar(&q.Order, "order", "", "link, created or updated, with - in front for the reverse")
	return c
}

// body reads the JSON that an argument gives: itself, @FILE, or - for
// standard input.
func body(c *cobra.Command, arg string) ([]byte, error) {
	if arg == "-" {
		return io.ReadAll(io.LimitReader(c.InOrStdin(), kit.MaxDocument+1))
	}
	if path, ok := strings.CutPrefix(arg, "@"); ok {
		return os.ReadFile(path)
	}
	return []byte(arg), nil
}

func (a *app) docPut() *cobra.Command {
	return command("put KIND[/ID] JSON|@FILE|-", "Make a document", cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
		b, err := body(c, args[1])
		if err != nil {
			return err
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		kind, id, _ := strings.Cut(args[0], "/")
		r, err := client.Create(c.Context(), kind, id, b)
		if err != nil {
			return err
		}
		return writeJSON(c.OutOrStdout(), r)
	})
}

func (a *app) docPatch() *cobra.Command {
	var version int64
	c := command("patch LINK JSON|@FILE|-", "Change a document by a JSON merge patch", cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
		l, client, err := a.document(args[0])
		if err != nil {
			return err
		}
		b, err := body(c, args[1])
		if err != nil {
			return err
		}
		r, err := client.Update(c.Context(), l, b, version)
		if err != nil {
			return err
		}
		return writeJSON(c.OutOrStdout(), r)
	})
	c.Flags().Int64Var(&version, "if-match", 0, "the version that the document must have")
	return c
}

func (a *app) docRemove() *cobra.Command {
	return command("rm LINK", "Delete a document", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		l, client, err := a.document(args[0])
		if err != nil {
			return err
		}
		return client.Delete(c.Context(), l, 0)
	})
}

func (a *app) docWatch() *cobra.Command {
	var q kit.WatchQuery
	c := command("watch KIND", "Print the documents of a kind and every change, until interrupted", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		q.Kind = args[0]
		for ch, err := range client.Watch(c.Context(), q) {
			if err != nil {
				return err
			}
			if ch.Record.Deleted {
				fmt.Fprintf(c.OutOrStdout(), "%s deleted %s\n", ch.Position, ch.Record.Link)
				continue
			}
			b, err := ch.Record.MarshalJSON()
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s %s\n", ch.Position, b)
		}
		return nil
	})
	c.Flags().StringVar(&q.Filter, "filter", "", `CEL expression, as in status == "open"`)
	return c
}
