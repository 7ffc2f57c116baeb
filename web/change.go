package web

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// changesPage is a list of changes.
type changesPage struct {
	Changes []api.Change
	Status  api.ChangeStatus // that they have; empty for all
	States  []api.ChangeStatus
	Next    string
}

func (s site) changes(r request) (page, error) {
	c := changesPage{Status: api.ChangeOpen, States: []api.ChangeStatus{api.ChangeOpen, api.ChangeMerged, api.ChangeAbandoned}}
	if r.URL.Query().Has("status") {
		c.Status = api.ChangeStatus(r.FormValue("status"))
	}
	filter, err := projectFilter(r)
	if err != nil {
		return page{}, err
	}
	if c.Status != "" {
		filter = strings.TrimPrefix(fmt.Sprintf("%s && status == %q", filter, c.Status), " && ")
	}
	c.Changes, c.Next, err = list(r, api.Changes, filter, "-updated")
	return page{Title: "Changes", Section: "/changes", Body: "changes", Content: c, Live: follow(api.Changes.Name)}, err
}

// changePage is a change, seen at one of its patch sets.
type changePage struct {
	api.Change
	Seen    api.PatchSet
	Current bool // Seen is the last one
	Split   bool // the difference is shown side by side
	Diff    diff
	Votes   []int // that the caller may give; none if not any
	// Proposal is what the patch set changes of the deployed jobs; nil if nothing.
	Proposal *api.Proposal
	Tried    []api.Build // of jobs, as the patch set defines them
	// What the caller may do to the change as it is.
	Submit, Abandon, Restore, Comment bool
}

func (s site) change(r request) (page, error) {
	c, err := read(r, api.Changes)
	if err != nil {
		return page{}, err
	}
	p := changePage{Change: c, Seen: c.Current(), Current: true, Split: r.FormValue("view") == "split"}
	if text := r.FormValue("ps"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > len(c.PatchSets) {
			return page{}, kit.Errorf(kit.ErrNotFound, c.Link, "change %s has no patch set %q: it has %d", c.Link.ID(), text, len(c.PatchSets))
		}
		p.Seen, p.Current = c.PatchSets[n-1], n == len(c.PatchSets)
	}
	open := c.Status == api.ChangeOpen
	if open && r.may("vote", c.Link) {
		p.Votes = []int{-2, -1, 0, 1, 2}
	}
	p.Submit = open && p.Current && c.Submit == "" && len(c.Missing) == 0 && r.may("submit", c.Link)
	p.Abandon = open && r.may("abandon", c.Link)
	p.Restore = c.Status == api.ChangeAbandoned && r.may("restore", c.Link)
	p.Comment = r.may("comment", c.Link)
	if p.Proposal, err = maybe(api.Proposals.Read(r.Context(), r.client, api.ProposalID(c.Link, p.Seen.Number))); err != nil {
		return page{}, err
	}
	if p.Proposal != nil && p.Proposal.State == api.ProposalNone {
		p.Proposal = nil
	}
	tried := fmt.Sprintf("change == %q && patchSet == %d && run == \"\" && upstream == \"\"", c.Link, p.Seen.Number)
	if p.Tried, err = latest(r, api.Builds, tried, 20); err != nil {
		return page{}, err
	}
	p.Diff = s.diff(r, c.Project, p.Seen.Parent, p.Seen.Commit, p.Split)
	return page{
		Title: c.Subject, Section: "/changes", Body: "change", Content: p, Live: follow(string(c.Link), string(api.Proposals.Link(api.ProposalID(c.Link, p.Seen.Number)))),
		// A later patch set must not slip under the reader's eyes.
		Self: p.address(p.Seen.Number, p.Split),
	}, nil
}

// address returns the path of the change's page at a patch set.
func (p changePage) address(ps int, split bool) string {
	a := fmt.Sprintf("/%s?ps=%d", p.Link, ps)
	if split {
		a += "&view=split"
	}
	return a
}

// At returns the path of the page at another patch set.
func (p changePage) At(ps int) string { return p.address(ps, p.Split) }

// Other returns the path of the page with the other view of the difference.
func (p changePage) Other() string { return p.address(p.Seen.Number, !p.Split) }

// changeForms are the forms on the page of a change.
var changeForms = map[string]form{
	"vote": func(r *http.Request) (any, error) {
		ps, err1 := strconv.Atoi(r.PostFormValue("ps"))
		value, err2 := strconv.Atoi(r.PostFormValue("value"))
		if err1 != nil || err2 != nil {
			return nil, kit.Errorf(kit.ErrInvalid, "", "choose a vote from -2 to +2")
		}
		text := strings.TrimSpace(r.PostFormValue("text"))
		return api.VoteArgs{PatchSet: ps, Label: api.LabelCodeReview, Value: value, Text: text}, nil
	},
	"submit": func(r *http.Request) (any, error) {
		ps, err := strconv.Atoi(r.PostFormValue("ps"))
		if err != nil {
			return nil, kit.Errorf(kit.ErrInvalid, "", "say which patch set to submit")
		}
		return api.SubmitArgs{PatchSet: ps}, nil
	},
	"comment": func(r *http.Request) (any, error) {
		return map[string]string{"text": strings.TrimSpace(r.PostFormValue("text"))}, nil
	},
	"abandon": noArguments,
	"restore": noArguments,
}

// pushPage is a push and the changes that came of it.
type pushPage struct {
	api.Push
	Changes []api.Change
}

func (s site) push(r request) (page, error) {
	p, err := read(r, api.Pushes)
	if err != nil {
		return page{}, err
	}
	filter := fmt.Sprintf("patchSets.exists(p, p.push == %q)", p.Link)
	changes, err := latest(r, api.Changes, filter, 10)
	return page{Title: "Push " + p.Link.ID(), Section: "/projects", Body: "push", Content: pushPage{p, changes}}, err
}
