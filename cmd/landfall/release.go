package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/capability/release"
	"landfall.dev/capability/release/trust"
	"landfall.dev/cmd/landfall/upgrades"
	"landfall.dev/kit"
)

func (a *app) imageCommand() *cobra.Command {
	return group("image", "Images in the registry",
		command("list [CEL FILTER]", "List images, newest first", cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
			return list(c.Context(), a, c.OutOrStdout(), api.Images, strings.Join(args, ""), "-created",
				[]string{"image", "commit", "build", "created"},
				func(i api.Image) []string {
					return []string{upgrades.Short(i.Repository + "@" + string(i.Digest)), fmt.Sprintf("%.12s", i.Commit), i.Build.ID(), i.Created.Format("2006-01-02 15:04")}
				})
		}),
		command("tags [CEL FILTER]", "List tags", cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
			return list(c.Context(), a, c.OutOrStdout(), api.Tags, strings.Join(args, ""), "", []string{"tag", "digest"},
				func(t api.Tag) []string { return []string{t.Repository + ":" + t.Name, string(t.Digest)} })
		}))
}

func describeRelease(r api.Release) []string {
	lines := []string{fmt.Sprintf("%s  %s %s  %s  (%s) %s", r.Link, r.Project, r.Version, r.Image, r.State, r.Error), "commit " + r.Commit}
	return append(lines, strings.Split(strings.TrimSpace(r.Notes), "\n")...)
}

func (a *app) releaseCommand() *cobra.Command {
	var keys string
	sign := command("sign RELEASE", "Sign a release, on the machine that has the release key", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return a.signRelease(c, args[0], keys)
	})
	sign.Flags().StringVar(&keys, "keys", "", "directory with "+trust.ReleaseKeyFile)
	_ = sign.MarkFlagRequired("keys") // the flag exists
	return group("release", "Releases", sign,
		command("list [CEL FILTER]", "List releases, newest first", cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
			return list(c.Context(), a, c.OutOrStdout(), api.Releases, strings.Join(args, ""), "-created",
				[]string{"release", "version", "image", "commit", "state"},
				func(r api.Release) []string {
					return []string{r.Link.ID(), r.Version, upgrades.Short(r.Image), fmt.Sprintf("%.12s", r.Commit), string(r.State)}
				})
		}),
		command("show RELEASE", "Show a release and its notes", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			r, err := api.Releases.Read(c.Context(), client, args[0])
			if err != nil {
				return err
			}
			return show(a, c.OutOrStdout(), r, describeRelease)
		}))
}

// signRelease says what it signs, signs it and posts the result.
func (a *app) signRelease(c *cobra.Command, id, keys string) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	r, err := api.Releases.Read(c.Context(), client, id)
	if err != nil {
		return err
	}
	current, err := currentReleases(c, client)
	if err != nil {
		return err
	}
	metadata, target, err := trust.SignRelease(filepath.Join(keys, trust.ReleaseKeyFile), current, trust.TargetOf(r))
	if err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "signing %s %s: %s of commit %s\n", r.Project, r.Version, r.Image, r.Commit)
	in := release.Signed{Metadata: string(metadata), Target: string(target), Release: r.Link}
	var signed api.Release
	if err := a.callJSON(c.Context(), http.MethodPost, "/tuf/releases", in, &signed); err != nil {
		return err
	}
	return show(a, c.OutOrStdout(), signed, describeRelease)
}

// currentReleases returns the newest file of the releases role.
func currentReleases(c *cobra.Command, client kit.Client) ([]byte, error) {
	newest, content := 0, ""
	for m, err := range api.TrustMetadata.All(c.Context(), client, `link.endsWith(".releases.json")`, "") {
		if err != nil {
			return nil, err
		}
		number, _, _ := strings.Cut(m.Link.ID(), ".")
		if n, err := strconv.Atoi(number); err == nil && n > newest {
			newest, content = n, m.Content
		}
	}
	if newest == 0 {
		return nil, &kit.Error{Fault: kit.ErrNotFound, Detail: "the hub has no trust yet", Hint: "set it up: landfall trust init --keys DIR"}
	}
	return []byte(content), nil
}

func (a *app) channelCommand() *cobra.Command {
	var comment string
	promote := command("promote CHANNEL RELEASE", "Offer a signed release on a channel", cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		wanted := api.Releases.Link(args[1])
		x, err := api.Channels.Send(c.Context(), client, args[0], "promote", api.PromoteArgs{Release: wanted, Comment: comment})
		if err != nil {
			return err
		}
		x, err = api.Channels.Await(c.Context(), client, args[0], func(x api.Channel) bool {
			return len(x.Pending) == 0 && (x.Release == wanted || x.Error != "")
		})
		if err != nil {
			return err
		}
		if x.Error != "" {
			return &kit.Error{Fault: kit.ErrConflict, Link: x.Link, Detail: x.Error}
		}
		return show(a, c.OutOrStdout(), x, func(x api.Channel) []string {
			return []string{fmt.Sprintf("%s offers %s", x.Link, x.Release)}
		})
	})
	promote.Flags().StringVarP(&comment, "message", "m", "", "why")
	create := command("create PROJECT NAME", "Make a channel, PROJECT-NAME", cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		x, err := api.Channels.Create(c.Context(), client, args[0]+"-"+args[1], api.Channel{Project: args[0], Name: args[1]})
		if err != nil {
			return err
		}
		return show(a, c.OutOrStdout(), x, func(x api.Channel) []string { return []string{"made " + string(x.Link)} })
	})
	return group("channel", "Channels that environments follow", create, promote,
		command("list", "List the channels", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
			return list(c.Context(), a, c.OutOrStdout(), api.Channels, "", "", []string{"channel", "release", "since"},
				func(x api.Channel) []string {
					since := ""
					if n := len(x.History); n > 0 {
						since = x.History[n-1].At.Format("2006-01-02 15:04")
					}
					return []string{x.Link.ID(), x.Release.ID(), since}
				})
		}))
}
