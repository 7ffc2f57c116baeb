package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/kit"
)

func (a *app) changeCommand() *cobra.Command {
	return group("change", "Changes under review",
		command("list [CEL FILTER]", "List changes, newest first", cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
			return list(c.Context(), a, c.OutOrStdout(), api.Changes, strings.Join(args, ""), "-created",
				[]string{"change", "project", "branch", "status", "patch set", "subject"},
				func(x api.Change) []string {
					return []string{x.Link.ID(), x.Project, x.Branch, string(x.Status), strconv.Itoa(x.Current().Number), x.Subject}
				})
		}),
		command("show CHANGE", "Show a change, its votes and what it lacks", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
			x, err := a.change(c, args[0])
			if err != nil {
				return err
			}
			return show(a, c.OutOrStdout(), x, describeChange)
		}),
		command("diff CHANGE", "Print the difference that the current patch set makes", cobra.ExactArgs(1), a.changeDiff),
		a.voteCommand(),
		a.changeEvent("submit", "Have the current patch set land", func(x api.Change) any {
			return api.SubmitArgs{PatchSet: x.Current().Number}
		}),
		a.changeEvent("abandon", "Close a change without landing it", func(api.Change) any { return nil }),
		a.changeEvent("restore", "Open an abandoned change again", func(api.Change) any { return nil }),
		command("wait CHANGE STATE", "Wait until a change is verified (its gating run has ended), merged or abandoned", cobra.ExactArgs(2), a.changeWait),
	)
}

func (a *app) change(c *cobra.Command, id string) (api.Change, error) {
	client, err := a.client()
	if err != nil {
		return api.Change{}, err
	}
	return api.Changes.Read(c.Context(), client, id)
}

func describeChange(x api.Change) []string {
	ps := x.Current()
	lines := []string{
		fmt.Sprintf("change %s  %s  %s -> %s  (%s)", x.Link.ID(), x.Subject, x.Project, x.Branch, x.Status),
		fmt.Sprintf("patch set %d  %s  by %s", ps.Number, ps.Commit, ps.Uploader),
	}
	for _, v := range ps.Votes {
		lines = append(lines, fmt.Sprintf("  %s %+d  %s  %s %s", v.Label, v.Value, v.By, v.Text, v.Link))
	}
	for _, m := range x.Missing {
		lines = append(lines, "  "+m)
	}
	if x.Merged != "" {
		lines = append(lines, "landed as "+x.Merged)
	}
	return lines
}

func (a *app) changeDiff(c *cobra.Command, args []string) error {
	x, err := a.change(c, args[0])
	if err != nil {
		return err
	}
	ps := x.Current()
	body, err := a.call(c.Context(), http.MethodGet, fmt.Sprintf("/source/%s/diff/%s..%s", x.Project, ps.Parent, ps.Commit), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(c.OutOrStdout(), body)
	return err
}

func (a *app) voteCommand() *cobra.Command {
	var text string
	var minus1, minus2 bool // to the parser of flags, a vote against is one
	c := command("vote CHANGE VALUE", "Vote Code-Review, -2 to +2, on the current patch set", cobra.RangeArgs(1, 2), func(c *cobra.Command, args []string) error {
		switch {
		case minus2:
			args = append(args, "-2")
		case minus1:
			args = append(args, "-1")
		}
		if len(args) != 2 {
			return errors.New("give one vote, from -2 to +2, as in: landfall change vote 42 +2")
		}
		value, err := strconv.Atoi(args[1])
		if err != nil {
			return fmt.Errorf("%q is no vote: use a number from -2 to +2", args[1])
		}
		x, err := a.change(c, args[0])
		if err != nil {
			return err
		}
		vote := api.VoteArgs{PatchSet: x.Current().Number, Label: api.LabelCodeReview, Value: value, Text: text}
		return a.sendChange(c, args[0], "vote", vote)
	})
	c.Flags().StringVarP(&text, "message", "m", "", "what to say with it")
	c.Flags().BoolVarP(&minus1, "minus-one", "1", false, "the vote -1")
	c.Flags().BoolVarP(&minus2, "minus-two", "2", false, "the vote -2")
	return c
}

func (a *app) changeEvent(name, short string, args func(api.Change) any) *cobra.Command {
	return command(name+" CHANGE", short, cobra.ExactArgs(1), func(c *cobra.Command, ids []string) error {
		x, err := a.change(c, ids[0])
		if err != nil {
			return err
		}
		return a.sendChange(c, ids[0], name, args(x))
	})
}

func (a *app) sendChange(c *cobra.Command, id, event string, args any) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	x, err := api.Changes.Send(c.Context(), client, id, event, args)
	if err != nil {
		return err
	}
	return show(a, c.OutOrStdout(), x, describeChange)
}

func (a *app) changeWait(c *cobra.Command, args []string) error {
	done := map[string]func(api.Change) bool{
		"verified":  func(x api.Change) bool { return verdict(x, x.Current().Number) != nil || x.Status != api.ChangeOpen },
		"merged":    func(x api.Change) bool { return x.Status != api.ChangeOpen },
		"abandoned": func(x api.Change) bool { return x.Status != api.ChangeOpen },
	}[args[1]]
	if done == nil {
		return fmt.Errorf("%q cannot be waited for: use verified, merged or abandoned", args[1])
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	x, err := api.Changes.Await(c.Context(), client, args[0], done)
	if err != nil {
		return err
	}
	if err := show(a, c.OutOrStdout(), x, describeChange); err != nil {
		return err
	}
	if args[1] != "verified" && string(x.Status) != args[1] {
		return fmt.Errorf("change %s is %s, not %s", args[0], x.Status, args[1])
	}
	if v := verdict(x, x.Current().Number); args[1] == "verified" && v != nil && v.Value == 0 {
		return fmt.Errorf("change %s has no verdict: %s", args[0], v.Text)
	}
	return nil
}

// verdict returns the vote Verified on a patch set, nil if there is none yet.
// Its value is 0 if the gating run was cancelled.
func verdict(x api.Change, patchSet int) *api.Vote {
	for _, ps := range x.PatchSets {
		for _, v := range ps.Votes {
			if ps.Number == patchSet && v.Label == api.LabelVerified {
				return &v
			}
		}
	}
	return nil
}

func (a *app) projectCommand() *cobra.Command {
	var from string
	var p api.Project
	create := command("create NAME", "Make a project, with the files of a directory as its first commit", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		if err := checkDir(from); err != nil {
			return err
		}
		made, err := api.Projects.Create(c.Context(), client, args[0], p)
		if errors.Is(err, kit.ErrConflict) && from != "" {
			made, err = begun(c, client, args[0], p)
		}
		if err != nil {
			return err
		}
		if from != "" {
			if err := a.importDir(c, args[0], from); err != nil {
				return err
			}
		}
		at, err := a.where()
		if err != nil {
			return err
		}
		return show(a, c.OutOrStdout(), made, func(m api.Project) []string {
			return []string{fmt.Sprintf("made %s: git clone %s/git/%s", m.Link, at.URL, m.Link.ID())}
		})
	})
	create.Flags().StringVar(&from, "from", "", "directory with the first commit's files; an import that broke off is made good")
	create.Flags().StringVar(&p.Type, "type", "", "what pipelines tell projects apart by")
	create.Flags().StringToStringVar(&p.Attributes, "attribute", nil, "further facts for pipelines, KEY=VALUE")
	create.Flags().StringSliceVar(&p.Protected, "protected", nil, "branches that take no direct push (default: all)")
	return group("project", "Projects: one repository each", create,
		command("list", "List the projects", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
			return list(c.Context(), a, c.OutOrStdout(), api.Projects, "", "", []string{"project", "type", "description"},
				func(x api.Project) []string { return []string{x.Link.ID(), x.Type, x.Description} })
		}),
		command("refs NAME", "List where the project's branches stand", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
			return list(c.Context(), a, c.OutOrStdout(), api.Refs, fmt.Sprintf("project == %q", args[0]), "", []string{"ref", "commit", "by"},
				func(x api.Ref) []string { return []string{x.Name, x.Commit, x.By} })
		}))
}

// begun returns the project of that name if it is the one to be made, so that
// an import that broke off can be made good.
func begun(c *cobra.Command, client kit.Client, name string, want api.Project) (api.Project, error) {
	p, err := api.Projects.Read(c.Context(), client, name)
	if err != nil {
		return p, err
	}
	if p.Type != want.Type || !maps.Equal(p.Attributes, want.Attributes) || !slices.Equal(p.Protected, want.Protected) {
		return p, &kit.Error{Fault: kit.ErrConflict, Link: p.Link, Detail: "the project exists, with another type, other attributes or other protected branches", Hint: "give those that it has, or choose another name"}
	}
	return p, nil
}

// checkDir refuses what --from names unless it is empty or a directory.
func checkDir(dir string) error {
	if dir == "" {
		return nil
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("%s is no directory", dir), Hint: "name the one with the project's files by --from"}
	}
	return nil
}

func (a *app) importDir(c *cobra.Command, project, dir string) error {
	in, out := io.Pipe()
	go func() { out.CloseWithError(tarDir(out, dir)) }()
	answer, err := a.call(c.Context(), http.MethodPost, "/source/"+project+"/import", in, "Content-Type", "application/x-tar")
	if err != nil {
		return err
	}
	return answer.Close()
}
