package inventory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

// Hub is how the commands reach the hub.
type Hub interface {
	console.Hub
	// Transfer sends body to a route of the hub and returns what it answers.
	Transfer(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error)
}

// Commands returns the commands.
func Commands(h Hub) []*cobra.Command {
	return []*cobra.Command{listCommand(h), reportCommand(h), diffCommand(h), judgeCommand(h), policyCommand(h), importCommand(h)}
}

// command returns a command that calls do with the hub's documents.
func command(h Hub, use, short string, args cobra.PositionalArgs, do func(c *cobra.Command, client kit.Client, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args, RunE: func(c *cobra.Command, args []string) error {
		client, err := h.Client()
		if err != nil {
			return err
		}
		// A document that is not there must not be taken for a hub without any.
		if _, err := client.List(c.Context(), kit.Query{Kind: api.Inventories.Name, Limit: 1}); errors.Is(err, kit.ErrNotFound) {
			return err
		}
		return do(c, client, args)
	}}
}

// show prints a value as JSON, or as lines of text.
func show[T any](w io.Writer, h Hub, v T, text func(T) []string) error {
	if h.JSON() {
		return console.WriteJSON(w, v)
	}
	for _, line := range text(v) {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

func listCommand(h Hub) *cobra.Command {
	c := command(h, "list [CEL FILTER]", "List inventories, newest first", cobra.MaximumNArgs(1), func(c *cobra.Command, client kit.Client, args []string) error {
		q := kit.Query{Kind: api.Inventories.Name, Filter: strings.Join(args, ""), Order: "-created", Limit: 1000}
		if !h.JSON() {
			q.Select = []string{"project", "job", "image", "commit", "change", "patchSet", "state", "components", "known"}
		}
		all := []api.Inventory{}
		for r, err := range kit.Records(c.Context(), client, q) {
			if err != nil {
				return err
			}
			i, err := api.Inventories.Decode(r)
			if err != nil {
				return err
			}
			all = append(all, i)
		}
		if h.JSON() {
			return console.WriteJSON(c.OutOrStdout(), all)
		}
		t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "INVENTORY\tPROJECT\tOF\tCOMMIT\tSTATE\tCOMPONENTS\tVULNERABILITIES")
		for _, i := range all {
			fmt.Fprintf(t, "%s\t%s\t%s\t%.12s\t%s\t%d\t%d\n", i.Link.ID(), i.Project, subject(i), i.Commit, i.State, i.Components, i.Known)
		}
		return t.Flush()
	})
	c.Long = c.Short + `.

There is one of each build that has kept what a tool tells about dependencies. A
job runs such a tool and names its file:

    - job:
        name: ledger-inventory
        image: aquasec/trivy:0.58.0
        script: trivy fs --format cyclonedx --output bom.json .
        reports:
          cyclonedx: [bom.json]

CycloneDX in JSON is read whoever writes it (syft, trivy, osv-scalibr,
cyclonedx-gomod), and under osv the JSON of osv-scanner.`
	return c
}

// subject is what i is an inventory of.
func subject(i api.Inventory) string {
	switch {
	case i.Change != "":
		return fmt.Sprintf("change %s, patch set %d", i.Change.ID(), i.PatchSet)
	case i.Job != "":
		return i.Job
	}
	name, digest, _ := strings.Cut(i.Image, "@sha256:")
	return fmt.Sprintf("%s@%.12s", name, digest)
}

func judgeCommand(h Hub) *cobra.Command {
	return command(h, "judge INVENTORY", "Judge an inventory again, and show the verdict", cobra.ExactArgs(1), func(c *cobra.Command, client kit.Client, args []string) error {
		if _, err := api.Inventories.Send(c.Context(), client, args[0], "judge", nil); err != nil {
			return err
		}
		i, err := api.Inventories.Await(c.Context(), client, args[0], func(i api.Inventory) bool { return i.State != api.InventoryJudging })
		if err != nil {
			return err
		}
		return show(c.OutOrStdout(), h, i, describe)
	})
}

// find returns the inventory that a name means: its id, which is that of a
// build, an image, "ledger@sha256:...", or a release.
func find(ctx context.Context, client kit.Client, name string) (api.Inventory, error) {
	if strings.Contains(name, "@sha256:") {
		return ofImage(ctx, client, name)
	}
	id := name[strings.LastIndexByte(name, '/')+1:]
	i, err := api.Inventories.Read(ctx, client, id)
	if !errors.Is(err, kit.ErrNotFound) {
		return i, err
	}
	r, err := api.Releases.Read(ctx, client, id)
	if errors.Is(err, kit.ErrNotFound) {
		return i, &kit.Error{Fault: kit.ErrNotFound, Detail: fmt.Sprintf("%s is no inventory, and no release", name), Hint: "landfall inventory list has the inventories; an image is written NAME@sha256:..."}
	}
	if err != nil {
		return i, err
	}
	return ofImage(ctx, client, r.Image)
}

// ofImage returns the latest inventory of an image: its own, or that of the
// build that made it.
func ofImage(ctx context.Context, client kit.Client, image string) (i api.Inventory, err error) {
	for i, err := range api.Inventories.All(ctx, client, fmt.Sprintf("image == %q", image), "-created") {
		return i, err
	}
	repository, digest, _ := strings.Cut(image, "@")
	if err := kit.Digest(digest).Check(); err != nil {
		return i, err
	}
	doc, err := api.Images.Read(ctx, client, api.ImageID(repository, kit.Digest(digest)))
	if err == nil && doc.Build != "" {
		i, err = api.Inventories.Read(ctx, client, doc.Build.ID())
	}
	if errors.Is(err, kit.ErrNotFound) || err == nil && i.Link == "" {
		return i, &kit.Error{Fault: kit.ErrNotFound, Detail: "there is no inventory of " + image, Hint: "the job that makes the image has to keep a bill of materials: name it under reports, as cyclonedx"}
	}
	return i, err
}
