package inventory

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/capability/inventory/osv"
	"landfall.dev/kit"
)

func importCommand(h Hub) *cobra.Command {
	c := command(h, "import-osv DIR|ZIP...", "Import known vulnerabilities in the OSV format, in place of those of the same ecosystems", cobra.MinimumNArgs(1),
		func(c *cobra.Command, client kit.Client, args []string) error {
			var compiler osv.Compiler
			for _, path := range args {
				if err := add(&compiler, path); err != nil {
					return kit.Errorf(kit.ErrInvalid, "", "%s: %v", path, err)
				}
			}
			bases := compiler.Bases()
			if len(bases) == 0 {
				return kit.Errorf(kit.ErrInvalid, "", "%s: no advisory about a package is in there: the files that end with .json are read", strings.Join(args, " "))
			}
			all := []api.AdvisoryBase{}
			for _, b := range bases {
				doc, err := bring(c.Context(), h, client, b)
				if err != nil {
					return err
				}
				all = append(all, doc)
			}
			return show(c.OutOrStdout(), h, all, func(all []api.AdvisoryBase) (lines []string) {
				for _, b := range all {
					lines = append(lines, fmt.Sprintf("%s: %d advisories, the latest of %s", b.Ecosystem, b.Records, b.Modified.Format("2006-01-02")))
				}
				return lines
			})
		})
	c.Long = c.Short + `.

osv.dev offers all advisories of an ecosystem as one file, for example
https://osv-vulnerabilities.storage.googleapis.com/Go/all.zip; this command works
without a network but for the hub. Inventories of what has landed last and of
what channels offer are judged again with them.`
	return c
}

// add adds the advisories in a folder or a zip file.
func add(c *osv.Compiler, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return c.AddAll(os.DirFS(path))
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		return fmt.Errorf("it is no folder, and no zip file: %w", err)
	}
	defer z.Close()
	return c.AddAll(z)
}

// bring stores a base, and tells the hub that it takes the place of the one
// before.
func bring(ctx context.Context, h Hub, client kit.Client, b osv.Compiled) (api.AdvisoryBase, error) {
	doc := b.AdvisoryBase
	doc.Digest = kit.DigestOf(b.Text)
	answer, err := h.Transfer(ctx, http.MethodPut, "/blobs/"+string(doc.Digest), bytes.NewReader(b.Text))
	if err != nil {
		return doc, err
	}
	if err := answer.Close(); err != nil {
		return doc, err
	}
	id := api.AdvisoriesID(doc.Ecosystem)
	made, err := api.Advisories.Create(ctx, client, id, doc)
	if !errors.Is(err, kit.ErrConflict) {
		return made, err
	}
	return api.Advisories.Modify(ctx, client, id, func(old *api.AdvisoryBase) error {
		doc.Meta = old.Meta
		*old = doc
		return nil
	})
}
