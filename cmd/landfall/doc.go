package main

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"landfall.dev/cmd/landfall/console"
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

// reading are the flags of commands that read.
type reading struct{ consistency, asOf string }

func (f *reading) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.consistency, "consistency", "", "leader, eventual or linearizable; else as the kind is declared")
	c.Flags().StringVar(&f.asOf, "as-of", "", "an earlier position, as lists and watches tell them")
}

// options returns what the flags say.
func (f *reading) options() (kit.ReadOptions, error) {
	o := kit.ReadOptions{Consistency: kit.Consistency(f.consistency)}
	if f.asOf == "" {
		return o, nil
	}
	var err error
	o.AsOf, err = kit.ParsePosition(f.asOf)
	return o, err
}

func (a *app) docGet() *cobra.Command {
	var f reading
	c := command("get LINK", "Print a document", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		l, client, err := a.document(args[0])
		if err != nil {
			return err
		}
		o, err := f.options()
		if err != nil {
			return err
		}
		r, err := client.Read(c.Context(), l, o)
		if err != nil {
			return err
		}
		return console.WriteJSON(c.OutOrStdout(), r)
	})
	f.flags(c)
	return c
}

// told prints what q tells of the documents, instead of them.
func told(c *cobra.Command, client kit.Client, q kit.Query) error {
	for {
		p, err := client.List(c.Context(), q)
		switch {
		case err != nil:
			return err
		case p.Plan != nil:
			return console.WriteJSON(c.OutOrStdout(), p.Plan)
		case p.Count != nil:
			_, err := fmt.Fprintln(c.OutOrStdout(), *p.Count)
			return err
		}
		for _, g := range p.Groups {
			b, err := json.Marshal(g)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), string(b))
		}
		if q.Token = p.Next; q.Token == "" {
			return nil
		}
	}
}

func (a *app) docList() *cobra.Command {
	var q kit.Query
	var f reading
	c := command("list KIND", "Print the documents of a kind: a table, or with -o json one on each line", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		o, err := f.options()
		if err != nil {
			return err
		}
		q.Kind, q.Consistency, q.AsOf = args[0], o.Consistency, o.AsOf
		if q.Explain || q.Count || len(q.Group)+len(q.Compute) > 0 {
			return told(c, client, q)
		}
		out := a.rows(c.OutOrStdout(), q.Select)
		for r, err := range kit.Records(c.Context(), client, q) {
			if err == nil {
				err = out.row(r)
			}
			if err != nil {
				return err
			}
		}
		return out.end()
	})
	c.Flags().StringVar(&q.Filter, "filter", "", `CEL expression, as in status == "open"`)
	c.Flags().StringVar(&q.Order, "order", "", "link, created, updated or an indexed field, with - in front for the reverse")
	c.Flags().StringSliceVar(&q.Select, "select", nil, "the fields to show beside the envelope, with commas between")
	c.Flags().BoolVar(&q.Count, "count", false, "print how many there are")
	c.Flags().StringSliceVar(&q.Group, "group", nil, "fields: print what --compute says for each combination of their values, as JSON")
	c.Flags().StringSliceVar(&q.Compute, "compute", nil, "of each group: count, or sum, min, max or avg of a field, as in sum(price)")
	c.Flags().BoolVar(&q.Explain, "explain", false, "print how the list is made: index, range, and how many documents are looked at")
	f.flags(c)
	return c
}

// rows print documents, one on each line.
type rows struct {
	json   io.Writer // nil for a table
	table  *tabwriter.Writer
	fields []string
	begun  bool // the table's head is there
}

func (a *app) rows(w io.Writer, fields []string) *rows {
	if a.output == "json" {
		return &rows{json: w}
	}
	return &rows{table: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), fields: fields}
}

func (o *rows) row(r kit.Record) error {
	if o.json != nil {
		b, err := r.MarshalJSON()
		if err == nil {
			_, err = fmt.Fprintln(o.json, string(b))
		}
		return err
	}
	if !o.begun {
		o.begun = true
		fmt.Fprintln(o.table, strings.ToUpper(strings.Join(append([]string{"link", "version", "updated"}, o.fields...), "\t")))
	}
	var own map[string]json.RawMessage
	if len(r.Body) > 0 {
		if err := json.Unmarshal(r.Body, &own); err != nil {
			return fmt.Errorf("%s: %w", r.Link, err)
		}
	}
	fmt.Fprintf(o.table, "%s\t%d\t%s", r.Link, r.Version, r.Updated.Format("2006-01-02 15:04:05"))
	for _, f := range o.fields {
		fmt.Fprint(o.table, "\t", cell(own[f]))
	}
	_, err := fmt.Fprintln(o.table)
	return err
}

// cell returns a value for a table: a string without its quotes.
func cell(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		s = string(raw)
	}
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, s)
}

func (o *rows) end() error {
	if o.table == nil {
		return nil
	}
	return o.table.Flush()
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

// writing are the flags of commands that write.
type writing struct {
	durability, once string
	version          int64
}

func (f *writing) flags(c *cobra.Command, existing bool) {
	c.Flags().StringVar(&f.durability, "durability", "", "all: every live node has it; async: do not wait")
	c.Flags().StringVar(&f.once, "once", "", "a key: the write happens once, however often it is repeated with it")
	if existing {
		c.Flags().Int64Var(&f.version, "if-match", 0, "the version that the document must have")
	}
}

// options give each write a key, its own if the user has none: so it can be
// tried again where an answer was lost.
func (f *writing) options() []kit.WriteOption {
	return []kit.WriteOption{kit.Acknowledged(kit.Durability(f.durability)), kit.Once(cmp.Or(f.once, rand.Text()))}
}

func (a *app) docPut() *cobra.Command {
	var f writing
	c := command("put KIND[/ID] JSON|@FILE|-", "Make a document", cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
		b, err := body(c, args[1])
		if err != nil {
			return err
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		kind, id, _ := strings.Cut(args[0], "/")
		r, err := client.Create(c.Context(), kind, id, b, f.options()...)
		if err != nil {
			return err
		}
		return console.WriteJSON(c.OutOrStdout(), r)
	})
	f.flags(c, false)
	return c
}

func (a *app) docPatch() *cobra.Command {
	var f writing
	c := command("patch LINK JSON|@FILE|-", "Change a document by a JSON merge patch", cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
		l, client, err := a.document(args[0])
		if err != nil {
			return err
		}
		b, err := body(c, args[1])
		if err != nil {
			return err
		}
		r, err := client.Update(c.Context(), l, b, f.version, f.options()...)
		if err != nil {
			return err
		}
		return console.WriteJSON(c.OutOrStdout(), r)
	})
	f.flags(c, true)
	return c
}

func (a *app) docRemove() *cobra.Command {
	var f writing
	c := command("rm LINK", "Delete a document", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		l, client, err := a.document(args[0])
		if err != nil {
			return err
		}
		return client.Delete(c.Context(), l, f.version, f.options()...)
	})
	f.flags(c, true)
	return c
}

func (a *app) docWatch() *cobra.Command {
	var q kit.WatchQuery
	var from string
	c := command("watch KIND", "Print the documents of a kind and every change, until interrupted", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		q.Kind = args[0]
		if from != "" {
			if q.From, err = kit.ParsePosition(from); err != nil {
				return err
			}
		}
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
	c.Flags().StringVar(&from, "from", "", "go on after this position, as a watch has printed it; without it what there is comes first")
	return c
}
