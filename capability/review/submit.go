package review

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// missing says in words what c's current patch set lacks to be submitted;
// nothing if it can be.
func missing(c api.Change) []string {
	if c.Status == api.ChangeMerged {
		return nil
	}
	if c.Status != api.ChangeOpen {
		return []string{fmt.Sprintf("the change is %s", c.Status)}
	}
	ps := c.Current()
	var reasons []string
	verified, reviewed := false, false
	untested := "the gating run has not passed"
	for _, v := range ps.Votes {
		own := v.By == c.Owner || v.By == ps.Uploader || slices.Contains(ps.Authors, v.By)
		switch {
		case v.Label == api.LabelVerified && v.Value == 0:
			untested = strings.TrimSuffix(v.Text, ".")
		case v.Label == api.LabelVerified && v.Value > 0:
			verified = true
		case v.Label == api.LabelQuality && v.Value == 0:
			reasons = append(reasons, fmt.Sprintf("needs Quality +1 of %s: %s", v.Link, strings.TrimSuffix(v.Text, ".")))
		case (v.Label == api.LabelQuality || v.Label == api.LabelJobs) && v.Value < 0:
			reasons = append(reasons, fmt.Sprintf("%s %+d by %s stands against it: %s", v.Label, v.Value, v.Link, strings.TrimSuffix(v.Text, ".")))
		case v.Label == api.LabelCodeReview && v.Value == 2 && !own:
			reviewed = true
		case v.Value == -1 && v.Label == api.LabelVerified, v.Value == -2:
			reasons = append(reasons, fmt.Sprintf("%s %+d by %s stands against it", v.Label, v.Value, v.By))
		}
	}
	if !verified {
		reasons = append(reasons, "needs Verified +1: "+untested)
	}
	if !reviewed {
		reasons = append(reasons, "needs Code-Review +2 by somebody other than its author")
	}
	return reasons
}

func submit(c api.Change, e kit.Event, now time.Time) (api.Change, []kit.Op) {
	var a api.SubmitArgs
	if err := e.Into(&a); err != nil {
		return c, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if a.PatchSet != c.Current().Number {
		return c, kit.Refuse(kit.ErrConflict, "patch set %d is not the current one, %d: look at that first", a.PatchSet, c.Current().Number)
	}
	if reasons := missing(c); len(reasons) > 0 {
		return c, kit.Refuse(kit.ErrConflict, "change %s cannot be submitted: %s", c.Link.ID(), strings.Join(reasons, "; "))
	}
	if c.Submit != "" {
		return c, nil
	}
	c.Submit = e.By
	return say(c, now, e.By, fmt.Sprintf("Submitted patch set %d.", a.PatchSet), ""), land(c, now)
}

// land wishes that the current patch set's commit becomes the branch's tip. A
// landing of it that has met a conflict before is to be tried again.
func land(c api.Change, now time.Time) []kit.Op {
	ps := c.Current()
	id := fmt.Sprintf("%s-%d", c.Link.ID(), ps.Number)
	again := kit.Send(api.Landings.Link(id), "again", map[string]any{"at": now, "by": c.Submit})
	return []kit.Op{kit.Create(api.Landings, id, api.Landing{
		Meta:     kit.Meta{Source: c.Link},
		Project:  c.Project,
		Branch:   c.Branch,
		Change:   c.Link,
		PatchSet: ps.Number,
		Commit:   ps.Commit,
		By:       c.Submit,
	}), again}
}

// landing takes in what became of a landing. That a commit landed is a fact,
// whatever has happened to the change since it was submitted; a conflict
// matters only to who still wants the current patch set to land.
func landing(c api.Change, e kit.Event, now time.Time) (api.Change, []kit.Op) {
	var l api.Landing
	if err := e.Into(&l); err != nil {
		return c, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	switch {
	case c.Status == api.ChangeMerged:
	case l.State == api.LandingLanded:
		c.Status, c.Merged = api.ChangeMerged, l.Commit
		text := fmt.Sprintf("Patch set %d landed on %s as %.12s, the commit that was tested.", l.PatchSet, c.Branch, l.Commit)
		return say(c, now, l.By, text, l.Link), nil
	case l.State == api.LandingConflict && c.Submit != "" && l.PatchSet == c.Current().Number:
		c.Submit = ""
		return say(c, now, l.By, fmt.Sprintf("It could not land on %s: %s.", c.Branch, l.Detail), l.Link), nil
	}
	return c, nil
}
