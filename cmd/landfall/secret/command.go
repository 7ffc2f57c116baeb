// Package secret has the commands for the secrets of projects.
package secret

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
)

// Hub is what the commands need of the hub.
type Hub interface {
	console.Hub
	// Transfer sends a body to a route of the hub and returns the answer's.
	Transfer(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error)
}

// Commands returns the commands about secrets.
func Commands(h Hub) []*cobra.Command {
	return []*cobra.Command{setCommand(h), listCommand(h), removeCommand(h)}
}

// source is where the parts of a secret come from.
type source struct{ file, username, key, passphrase string }

func setCommand(h Hub) *cobra.Command {
	var from source
	c := &cobra.Command{
		Use: "set PROJECT NAME", Short: "Set a secret, whose value is read from standard input",
		Long: "Set a secret of a project. Its value is read from standard input, without the newline at its end, and\n" +
			"sealed by the hub. Builds of what was reviewed get it where their jobs name it (secrets, credentials-binding).",
		Example: "  echo hunter2 | landfall secret set ledger token\n" +
			"  echo hunter2 | landfall secret set ledger registry --username ada\n" +
			"  landfall secret set ledger kubeconfig --file ~/.kube/config\n" +
			"  landfall secret set ledger deploy-key --ssh-key id_ed25519 --username git",
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			parts, err := from.read(c.InOrStdin())
			if err != nil {
				return err
			}
			body, err := json.Marshal(parts)
			if err != nil {
				return err
			}
			answer, err := h.Transfer(c.Context(), "PUT", "/secret/"+args[0]+"/"+args[1], bytes.NewReader(body))
			if err != nil {
				return err
			}
			return answer.Close()
		},
	}
	f := c.Flags()
	f.StringVar(&from.file, "file", "", "read the value from this file, as it is")
	f.StringVar(&from.username, "username", "", "the name that belongs to the password on standard input, or to the key")
	f.StringVar(&from.key, "ssh-key", "", "file with a private key")
	f.StringVar(&from.passphrase, "passphrase-file", "", "file with the passphrase of the key")
	return c
}

// read returns the parts of the secret.
func (s source) read(in io.Reader) (api.SecretParts, error) {
	parts := api.SecretParts{}
	if s.username != "" {
		parts["username"] = []byte(s.username)
	}
	if s.key != "" {
		key, err := os.ReadFile(s.key)
		if err != nil {
			return nil, err
		}
		parts["key"] = key
		if s.passphrase != "" {
			phrase, err := os.ReadFile(s.passphrase)
			if err != nil {
				return nil, err
			}
			parts["passphrase"] = bytes.TrimRight(phrase, "\r\n")
		}
		return parts, nil
	}
	var value []byte
	var err error
	if s.file != "" {
		value, err = os.ReadFile(s.file)
	} else {
		value, err = io.ReadAll(in)
		value = bytes.TrimRight(value, "\r\n")
	}
	if err != nil {
		return nil, err
	}
	if len(value) == 0 {
		return nil, errors.New("the secret is empty: give it on standard input, or with --file or --ssh-key")
	}
	name := "value"
	if s.username != "" {
		name = "password"
	}
	parts[name] = value
	return parts, nil
}

func listCommand(h Hub) *cobra.Command {
	return &cobra.Command{
		Use: "list [PROJECT]", Short: "List secrets: their names and parts, never their values", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := h.Client()
			if err != nil {
				return err
			}
			filter := ""
			if len(args) > 0 {
				if _, err := api.Projects.Read(c.Context(), client, args[0]); err != nil {
					return err
				}
				filter = fmt.Sprintf("project == %q", args[0])
			}
			all := []api.Secret{}
			for s, err := range api.Secrets.All(c.Context(), client, filter, "") {
				if err != nil {
					return err
				}
				s.Sealed = nil
				all = append(all, s)
			}
			if h.JSON() {
				return console.WriteJSON(c.OutOrStdout(), all)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "PROJECT\tNAME\tPARTS\tSET BY\tAT")
			for _, s := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Project, s.Name, strings.Join(s.Parts, ", "), s.By, s.Updated.Format("2006-01-02 15:04"))
			}
			return w.Flush()
		},
	}
}

func removeCommand(h Hub) *cobra.Command {
	return &cobra.Command{
		Use: "rm PROJECT NAME", Short: "Remove a secret", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := h.Client()
			if err != nil {
				return err
			}
			return client.Delete(c.Context(), api.Secrets.Link(args[0]+"~"+args[1]), 0)
		},
	}
}
