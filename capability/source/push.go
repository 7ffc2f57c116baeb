package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/source/git"
	"landfall.dev/kit"
)

// maxSeries is how many commits one push for review may bring.
const maxSeries = 100

// open finds the repository of a request and decides on access.
func (s source) open(r *http.Request, project, service string) (*git.Repository, error) {
	verb := kit.VerbRead
	if service == git.Send {
		verb = "push"
	}
	if kit.CallerOf(r.Context()).May(verb, api.Projects.Link(project)) != nil {
		return nil, git.ErrDenied
	}
	repository, err := s.git.Repository(project)
	if !errors.Is(err, git.ErrNotFound) {
		return repository, err
	}
	// The project may have been made just now.
	if _, unknown := api.Projects.Read(r.Context(), s.client, project); unknown != nil {
		return nil, err
	}
	return s.made(r.Context(), project)
}

// judge returns the judge of one push to project.
func (s source) judge(r *http.Request, project string) git.Judge {
	caller := kit.CallerOf(r.Context())
	return func(ctx context.Context, p *git.Push) git.Verdict {
		j := judgement{source: s, project: project, by: caller.Subject, old: map[string]bool{}}
		j.owner = caller.May(kit.VerbUpdate, api.Projects.Link(project)) == nil
		v := git.Verdict{Results: make([]git.Result, len(p.Commands))}
		doc, err := api.Projects.Read(ctx, s.client, project)
		for i, c := range p.Commands {
			if err != nil {
				v.Results[i].Reason = "the project could not be read: try again"
				continue
			}
			v.Results[i] = j.command(ctx, p, c, doc)
		}
		v.Messages = j.messages
		if len(j.pushes)+len(j.moves) > 0 {
			v.Commit, v.Done = j.commit, j.done
		}
		return v
	}
}

// judgement gathers what one push leads to.
type judgement struct {
	source
	project, by string
	owner       bool // may change the project itself

	pushes   []api.Push
	moves    []git.Command
	messages []string
	old      map[string]bool // commits that are patch sets already
}

func (j *judgement) command(ctx context.Context, p *git.Push, c git.Command, doc api.Project) git.Result {
	if target, ok := strings.CutPrefix(c.Ref, "refs/for/"); ok {
		return j.review(ctx, p, c, target)
	}
	branch, isBranch := strings.CutPrefix(c.Ref, "refs/heads/")
	switch {
	case !isBranch:
		return git.Result{Reason: "only branches and refs/for/BRANCH can be pushed to"}
	case doc.Protects(branch) && c.Old != git.Zero:
		return git.Result{Reason: fmt.Sprintf("branch %s is protected: push to refs/for/%s for review", branch, branch)}
	case doc.Protects(branch) && !j.owner:
		return git.Result{Reason: fmt.Sprintf("branch %s is protected: %s", branch, unborn(branch))}
	case kit.CheckID(api.RefID(j.project, c.Ref)) != nil:
		return git.Result{Reason: fmt.Sprintf("%q is no name of a branch here: use letters, digits, slash, dot, dash and underscore", branch)}
	}
	j.moves = append(j.moves, c)
	return c.Move()
}

// unborn says how a protected branch comes to be.
func unborn(branch string) string {
	return fmt.Sprintf("it does not exist yet, and its first commit is pushed to %s by somebody who may change the project", branch)
}

// review decides on a push to refs/for/target, where target is a branch and
// maybe %topic=NAME.
func (j *judgement) review(ctx context.Context, p *git.Push, c git.Command, target string) git.Result {
	branch, options, _ := strings.Cut(target, "%")
	topic, err := pushOptions(options, p.Options)
	if err != nil {
		return git.Result{Reason: err.Error()}
	}
	if c.New == git.Zero {
		return git.Result{Reason: "refs/for/" + branch + " cannot be deleted"}
	}
	commits, err := p.Commits(ctx, c.New, "refs/heads/"+branch)
	switch {
	case errors.Is(err, git.ErrNotFound):
		return git.Result{Reason: fmt.Sprintf("branch %s not found: %s", branch, unborn(branch))}
	case err != nil:
		j.log.Error("read a push", "project", j.project, "err", err)
		return git.Result{Reason: "the push could not be read: try again"}
	case len(commits) == 0:
		return git.Result{Reason: "no new changes"}
	case len(commits) > maxSeries:
		return git.Result{Reason: fmt.Sprintf("%d commits at once, more than %d: push them in parts", len(commits), maxSeries)}
	}
	if reason := j.check(ctx, p, branch, commits); reason != "" {
		return git.Result{Reason: reason}
	}
	push := api.Push{Project: j.project, Ref: "refs/for/" + branch, Branch: branch, By: j.by, Topic: topic}
	for _, commit := range commits {
		push.Commits = append(push.Commits, commitDocument(commit))
	}
	j.pushes = append(j.pushes, push)
	return git.Result{} // its refs are those of its patch sets, see mark
}

// check applies the policies to a series; it returns the reason to refuse it.
// Everything that is wrong is told in messages.
func (j *judgement) check(ctx context.Context, p *git.Push, branch string, commits []git.Commit) string {
	var reasons []string
	fresh := false
	seen := map[string]string{}
	for _, c := range commits {
		reasons = append(reasons, git.Message(c)...)
		findings, err := p.Check(ctx, c.SHA, "refs/heads/"+branch)
		if err != nil {
			j.log.Error("checked a commit", "commit", c.SHA, "err", err)
			return "the push could not be checked: try again"
		}
		for _, f := range findings {
			reasons = append(reasons, fmt.Sprintf("commit %.7s: %s", c.SHA, f))
		}
		if other := seen[c.ChangeID]; other != "" && c.ChangeID != "" {
			reasons = append(reasons, fmt.Sprintf("commit %.7s: same Change-Id as commit %.7s: squash them, or give each its own", c.SHA, other))
		}
		seen[c.ChangeID] = c.SHA
		known, reason := j.known(ctx, branch, c)
		if reason != "" {
			reasons = append(reasons, reason)
		}
		j.old[c.SHA] = known
		fresh = fresh || !known
	}
	if len(reasons) == 0 && !fresh {
		return "no new changes"
	}
	if len(reasons) == 0 {
		return ""
	}
	for _, r := range reasons {
		j.messages = append(j.messages, "ERROR: "+r)
	}
	if slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(r, "missing Change-Id") }) {
		j.messages = append(j.messages, git.Hint(j.base)...)
	}
	return reasons[0]
}

// known tells whether c is a patch set already, or why its change takes none.
func (j *judgement) known(ctx context.Context, branch string, c git.Commit) (bool, string) {
	for change, err := range api.Changes.All(ctx, j.client, changesWith(j.project, branch, c.ChangeID), "") {
		if err != nil {
			return false, fmt.Sprintf("its change could not be looked up: %v", err)
		}
		for _, ps := range change.PatchSets {
			if ps.Commit == c.SHA {
				return true, ""
			}
		}
		if change.Status != api.ChangeOpen {
			return false, fmt.Sprintf("change %s/%s closed", j.base, change.Link)
		}
	}
	return false, ""
}

// changesWith is the filter for the changes of a branch with a Change-Id.
func changesWith(project, branch, changeID string) string {
	return fmt.Sprintf("project == %q && branch == %q && changeId == %q", project, branch, changeID)
}

// pushOptions reads the options after % and those of git push -o.
func pushOptions(inRef string, given []string) (topic string, err error) {
	all := given
	if inRef != "" {
		all = append(strings.Split(inRef, ","), given...)
	}
	for _, o := range all {
		name, value, _ := strings.Cut(o, "=")
		switch name {
		case "topic":
			topic = value
		case "notify", "no-follow-tags":
		default:
			return "", fmt.Errorf("push option %q is not known: use topic=NAME", name)
		}
	}
	return topic, nil
}

// reportWait bounds how long a push waits for review to name its changes.
const reportWait = 5 * time.Second

// done tells the client the addresses of its changes, once review has opened
// them.
func (j *judgement) done(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, reportWait)
	defer cancel()
	var lines []string
	created, updated := 0, 0
	for _, p := range j.pushes {
		for _, c := range p.Commits {
			if j.old[c.SHA] {
				continue
			}
			change, err := j.await(ctx, p.Branch, c)
			if err != nil {
				return append(lines, "The push is kept; its change will be listed at "+j.base+"/changes")
			}
			mark := ""
			if len(change.PatchSets) == 1 {
				mark, created = " [NEW]", created+1
			} else {
				updated++
			}
			lines = append(lines, fmt.Sprintf("  %s/%s %s%s", j.base, change.Link, change.Subject, mark))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	head := []string{fmt.Sprintf("Processing changes: new: %d, updated: %d, refs: %d, done", created, updated, len(j.pushes)), "", "SUCCESS", ""}
	return append(append(head, lines...), "")
}

// await waits until a change has c as a patch set.
func (j *judgement) await(ctx context.Context, branch string, c api.Commit) (api.Change, error) {
	q := kit.WatchQuery{Kind: api.Changes.Name, Filter: changesWith(j.project, branch, c.ChangeID)}
	for ch, err := range j.client.Watch(ctx, q) {
		if err != nil {
			return api.Change{}, err
		}
		if ch.Record.Deleted {
			continue
		}
		change, err := api.Changes.Decode(ch.Record)
		if err != nil {
			return change, err
		}
		for _, ps := range change.PatchSets {
			if ps.Commit == c.SHA {
				return change, nil
			}
		}
	}
	return api.Change{}, context.Cause(ctx)
}
