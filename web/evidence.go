package web

import (
	"fmt"
	"regexp"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/page/layout"
)

// evidence is one step of the walk back from what runs to what was pushed.
type evidence struct {
	What string
	Link kit.Link // empty if the step is no document
	Text string
	Note string // why the walk cannot be followed from here
}

// trail is a walk under way: what it has come by.
type trail struct {
	request
	steps   []evidence
	run     kit.Link
	project string
	commit  string
	change  kit.Link
}

// walk goes back from an image, and from the run that brought it here if one
// did: image, build, run, commit, change, push.
func walk(r request, image string, run kit.Link) ([]evidence, error) {
	t := trail{request: r, run: run}
	for _, step := range []func() error{
		func() error { return t.image(image) },
		t.ran,
		t.reviewed,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return t.steps, nil
}

func (t *trail) add(what string, link kit.Link, text, note string) {
	t.steps = append(t.steps, evidence{What: what, Link: link, Text: text, Note: note})
}

// excuse turns the error of a document that this caller cannot see into a
// note.
func excuse(err error) (note string, _ error) {
	switch kit.FaultOf(err) {
	case kit.ErrNotFound:
		return "not there any more", nil
	case kit.ErrForbidden:
		return "you may not see it", nil
	}
	return "", err
}

// image goes from an image, "ledger@sha256:...", to the build that made it.
func (t *trail) image(name string) error {
	repository, digest, ok := strings.Cut(name, "@")
	if !ok {
		t.add("image", "", name, "it is not named by its digest")
		return nil
	}
	i, err := api.Images.Read(t.Context(), t.client, api.ImageID(repository, kit.Digest(digest)))
	note, err := excuse(err)
	if err != nil {
		return err
	}
	t.add("image", "", name, note)
	t.commit = i.Commit
	if i.Build == "" {
		return nil
	}
	b, err := api.Builds.Read(t.Context(), t.client, i.Build.ID())
	if note, err = excuse(err); err != nil {
		return err
	}
	t.add("build", i.Build, b.Job, note)
	t.project = b.Project
	if t.run == "" {
		t.run = b.Run
	}
	return nil
}

// ran goes to the commit that the run was for.
func (t *trail) ran() error {
	if t.run != "" {
		run, err := api.Runs.Read(t.Context(), t.client, t.run.ID())
		note, err := excuse(err)
		if err != nil {
			return err
		}
		t.add("run", t.run, run.Event, note)
		if run.Commit != "" {
			t.project, t.commit, t.change = run.Project, run.Commit, run.Change
		}
	}
	if t.commit != "" {
		t.add("commit", "", t.commit, "")
	}
	return nil
}

// hash is a commit as Git writes it.
var hash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// reviewed goes from the commit to the change that brought it, and to the
// push that it came with.
func (t *trail) reviewed() error {
	if !hash.MatchString(t.commit) {
		return nil
	}
	filter := fmt.Sprintf("merged == %q", t.commit)
	if t.change != "" {
		filter = fmt.Sprintf("link == %q", t.change)
	}
	changes, err := latest(t.request, api.Changes, filter, 1)
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		t.steps[len(t.steps)-1].Note = "no change that you may see brought it"
		return nil
	}
	c := changes[0]
	t.add("change", c.Link, c.Subject, "")
	for _, ps := range c.PatchSets {
		if ps.Commit == t.commit && ps.Push != "" {
			t.add("push", ps.Push, fmt.Sprintf("patch set %d by %s", ps.Number, layout.Who(ps.Uploader)), "")
		}
	}
	return nil
}
