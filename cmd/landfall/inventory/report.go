package inventory

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/capability/inventory/bom"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

// maxShown is how many of a list are shown as text.
const maxShown = 50

func reportCommand(h Hub) *cobra.Command {
	var output string
	c := command(h, "report RELEASE|IMAGE|BUILD", "Show what a release, an image or a build contains, and the verdict on it", cobra.ExactArgs(1),
		func(c *cobra.Command, client kit.Client, args []string) error {
			if !slices.Contains(outputs, output) {
				return fmt.Errorf("--output is %q: there are %s", output, strings.Join(outputs, ", "))
			}
			i, err := find(c.Context(), client, args[0])
			switch {
			case err != nil:
				return err
			case output == "json":
				return console.WriteJSON(c.OutOrStdout(), i)
			case output == "table":
				return show(c.OutOrStdout(), h, i, describe)
			}
			bill, err := read(c.Context(), h, i)
			if err != nil {
				return err
			}
			return bill.Write(c.OutOrStdout(), i.Project, i.Commit, i.Vulnerabilities)
		})
	c.Long = c.Short + ".\n\nWith -o json it is the document, with -o cyclonedx all of its components and the listed vulnerabilities as a bill of materials."
	c.Flags().StringVarP(&output, "output", "o", outputs[0], strings.Join(outputs, ", ")) // one more than other commands have
	return c
}

// outputs are those of the command report.
var outputs = []string{"table", "json", "cyclonedx"}

// read returns all that is in the files of i.
func read(ctx context.Context, h Hub, i api.Inventory) (*bom.Bill, error) {
	bill := &bom.Bill{}
	for _, f := range i.Files {
		if f.Digest == "" {
			continue // it was not kept
		}
		data, err := file(ctx, h, f)
		if err != nil {
			return nil, err
		}
		read := bill.ReadCycloneDX
		if f.Kind == api.ReportOSV {
			read = bill.ReadOSV
		}
		if err := read(f.Path, data); err != nil {
			return nil, &kit.Error{Fault: kit.ErrInvalid, Link: i.Link, Detail: err.Error()}
		}
	}
	return bill, nil
}

func file(ctx context.Context, h Hub, f api.ReportFile) ([]byte, error) {
	body, err := h.Transfer(ctx, http.MethodGet, "/blobs/"+string(f.Digest), nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, api.MaxReport))
}

// describe returns all that is to be said of i.
func describe(i api.Inventory) []string {
	lines := []string{strings.TrimSpace(fmt.Sprintf("%s  %s of %s at %.12s: %s %s", i.Link, subject(i), i.Project, i.Commit, i.State, i.Error))}
	if i.Image != "" {
		lines = append(lines, "  image "+i.Image)
	}
	for _, c := range i.Conditions {
		lines = append(lines, fmt.Sprintf("  %-9s %-15s %s", c.State, c.Name, c.Text))
	}
	minded := slices.DeleteFunc(slices.Clone(i.List), func(c api.Component) bool { return c.Ruling == api.Allow || c.Ruling == "" })
	lines = append(lines, some("components that the policy does not allow", minded, func(c api.Component) string {
		return fmt.Sprintf("%-6s  %s  %s", c.Ruling, name(c), c.Reason)
	})...)
	lines = append(lines, some("known vulnerabilities", i.Vulnerabilities, func(v api.Vulnerability) string {
		line := fmt.Sprintf("%-8s  %s in %s: %s", v.Severity, v.ID, v.Component, v.Summary)
		if v.Fixed != "" {
			line += ", fixed in " + v.Fixed
		}
		return line
	})...)
	lines = append(lines, some("licences", i.Licences, func(l api.LicenceCount) string {
		if l.Licence == "" {
			l.Licence = "none is known"
		}
		return fmt.Sprintf("%5d  %-6s  %s", l.Count, l.Ruling, l.Licence)
	})...)
	if f := i.Fresh; f != nil {
		for _, x := range []struct {
			what string
			list []string
		}{{"packages", f.Packages}, {"licences", f.Licences}, {"vulnerabilities", f.Vulnerabilities}} {
			lines = append(lines, some("new "+x.what+" since "+string(i.Since), x.list, func(s string) string { return s })...)
		}
	}
	return lines
}

// name is what people know c by.
func name(c api.Component) string {
	if c.PURL != "" {
		return c.PURL
	}
	return strings.TrimSpace(c.Name + " " + c.Version)
}

// some returns a title and a line for each of the first of a list; nothing for
// an empty one.
func some[T any](title string, list []T, line func(T) string) []string {
	if len(list) == 0 {
		return nil
	}
	lines := []string{title + ":"}
	for _, x := range list[:min(len(list), maxShown)] {
		lines = append(lines, "  "+line(x))
	}
	if more := len(list) - maxShown; more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more: see -o json", more))
	}
	return lines
}

// difference is what one inventory has and another has not.
type difference struct {
	From, To        kit.Link
	Added           []string
	Removed         []string
	Changed         []string // versions
	Vulnerabilities []string // that are new
	Mended          []string // vulnerabilities that are gone
}

func diffCommand(h Hub) *cobra.Command {
	return command(h, "diff A B", "Show what changed from one release, image or build to another", cobra.ExactArgs(2), func(c *cobra.Command, client kit.Client, args []string) error {
		var docs [2]api.Inventory
		var bills [2]*bom.Bill
		for n, arg := range args {
			var err error
			if docs[n], err = find(c.Context(), client, arg); err != nil {
				return err
			}
			if bills[n], err = read(c.Context(), h, docs[n]); err != nil {
				return err
			}
		}
		d := compare(bills[0], bills[1])
		d.From, d.To = docs[0].Link, docs[1].Link
		known := func(all []api.Vulnerability) (names []string) {
			for _, v := range all {
				names = append(names, v.ID+" in "+v.Component)
			}
			return names
		}
		before, after := known(docs[0].Vulnerabilities), known(docs[1].Vulnerabilities)
		d.Vulnerabilities, d.Mended = without(after, before), without(before, after)
		return show(c.OutOrStdout(), h, d, (difference).lines)
	})
}

// compare returns which packages are in b and not in a, and the reverse.
func compare(a, b *bom.Bill) (d difference) {
	before, after := versions(a), versions(b)
	for _, p := range sortedKeys(after) {
		was, is := strings.Join(before[p], ", "), strings.Join(after[p], ", ")
		switch {
		case before[p] == nil:
			d.Added = append(d.Added, strings.TrimSpace(p+" "+is))
		case was != is:
			d.Changed = append(d.Changed, fmt.Sprintf("%s %s → %s", p, was, is))
		}
	}
	for _, p := range sortedKeys(before) {
		if after[p] == nil {
			d.Removed = append(d.Removed, strings.TrimSpace(p+" "+strings.Join(before[p], ", ")))
		}
	}
	return d
}

// versions returns the versions of the packages in b, in order.
func versions(b *bom.Bill) map[string][]string {
	all := map[string][]string{}
	for i, c := range b.Components {
		p := c.Name
		if x := b.Packages[i]; x.Name != "" {
			p = x.Package()
		}
		all[p] = append(all[p], c.Version)
		slices.Sort(all[p])
	}
	return all
}

func (d difference) lines() []string {
	lines := []string{fmt.Sprintf("from %s to %s", d.From, d.To)}
	as := func(s string) string { return s }
	lines = append(lines, some("added", d.Added, as)...)
	lines = append(lines, some("removed", d.Removed, as)...)
	lines = append(lines, some("other versions", d.Changed, as)...)
	lines = append(lines, some("new vulnerabilities", d.Vulnerabilities, as)...)
	lines = append(lines, some("vulnerabilities that are gone", d.Mended, as)...)
	if len(lines) == 1 {
		lines = append(lines, "nothing differs")
	}
	return lines
}
