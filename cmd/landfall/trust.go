package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/capability/release/trust"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

func (a *app) trustCommand() *cobra.Command {
	var initKeys, renewKeys string
	initialise := command("init", "Make the keys of the trust, and set the hub up with their public halves: an administrator's act, done once", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return a.initTrust(c, initKeys)
	})
	initialise.Flags().StringVar(&initKeys, "keys", "", "directory for the keys")
	renew := command("renew", "Sign root, targets and releases anew before they end, each whose keys are at hand", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return a.renewTrust(c, renewKeys)
	})
	renew.Flags().StringVar(&renewKeys, "keys", "", "directory with keys that landfall trust init made")
	for _, c := range []*cobra.Command{initialise, renew} {
		_ = c.MarkFlagRequired("keys") // the flag exists
	}
	return group("trust", "What agents believe: keys and signatures", initialise, renew,
		command("show", "Show how long the signatures of each role hold, and when people must sign anew", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
			var roles []api.TrustRole
			if err := a.callJSON(c.Context(), http.MethodGet, "/tuf/roles", nil, &roles); err != nil {
				return err
			}
			return a.showRoles(c, roles)
		}))
}

// initTrust makes keys and sets the hub up with them. Keys that the hub refuses
// are removed, so that the same command may be run again.
func (a *app) initTrust(c *cobra.Command, keys string) error {
	var online trust.Keys
	if err := a.callJSON(c.Context(), http.MethodGet, "/tuf/keys", nil, &online); err != nil {
		return err
	}
	initial, err := trust.Init(keys, online)
	if err != nil {
		return err
	}
	err = a.callJSON(c.Context(), http.MethodPost, "/tuf/init", initial, nil)
	if f := kit.FaultOf(err); err != nil && f >= 400 && f < 500 {
		return errors.Join(err, trust.Discard(keys))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "made the keys in %s: keep root1.key to root3.key away from any network\nroot %s\n", keys, trust.RootDigest([]byte(initial.Root)))
	return nil
}

// renewTrust signs anew what the keys can, and says what they could not.
func (a *app) renewTrust(c *cobra.Command, keys string) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	current, err := trust.Load(func(name string) ([]byte, error) {
		m, err := api.TrustMetadata.Read(c.Context(), client, name)
		return []byte(m.Content), err
	})
	if err != nil {
		return err
	}
	n, err := trust.SignRenewal(keys, current, time.Now())
	if err != nil {
		return err
	}
	var roles []api.TrustRole
	if err := a.callJSON(c.Context(), http.MethodPost, "/tuf/renewal", n, &roles); err != nil {
		return err
	}
	for _, r := range []struct{ role, file, needs string }{
		{"root", n.Root, "two of root1.key, root2.key and root3.key"}, {"targets", n.Targets, "targets.key"}, {"releases", n.Releases, trust.ReleaseKeyFile},
	} {
		if r.file == "" {
			fmt.Fprintf(c.ErrOrStderr(), "%s stays as it is: that takes %s in %s\n", r.role, r.needs, keys)
		}
	}
	return a.showRoles(c, roles)
}

func (a *app) showRoles(c *cobra.Command, roles []api.TrustRole) error {
	if a.output == "json" {
		return console.WriteJSON(c.OutOrStdout(), roles)
	}
	const day = "2006-01-02"
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROLE\tVERSION\tEXPIRES\tSIGNED ANEW BY")
	for _, r := range roles {
		by := "the hub"
		if !r.Renew.IsZero() {
			by = "people, before " + r.Renew.Format(day) + ": landfall trust renew"
		}
		if r.Due(time.Now()) {
			by = "people, NOW: landfall trust renew"
		}
		fmt.Fprintln(t, r.Role+"\t"+strconv.FormatInt(r.Version, 10)+"\t"+r.Expires.Format(day)+"\t"+by)
	}
	return t.Flush()
}
