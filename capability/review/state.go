package review

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// next returns c after e, and what must now happen elsewhere. An event about
// an older patch set is recorded there and decides nothing.
func next(c api.Change, e kit.Event, now time.Time) (api.Change, []kit.Op) {
	c, ops := decide(c, e, now)
	c.Missing = missing(c)
	return c, ops
}

func decide(c api.Change, e kit.Event, now time.Time) (api.Change, []kit.Op) {
	switch e.Name {
	case "created":
		return opened(c, e, now)
	case "patchset":
		return addPatchSet(c, e, now)
	case "vote":
		return vote(c, e, now)
	case "verified":
		return takeVerified(c, e, now)
	case "judged":
		return takeAnalysis(c, e, now)
	case "gating":
		return testAgain(c, e, now)
	case "submit":
		return submit(c, e, now)
	case "landing":
		return landing(c, e, now)
	case "abandon":
		return setStatus(c, e, now, api.ChangeOpen, api.ChangeAbandoned)
	case "restore":
		return setStatus(c, e, now, api.ChangeAbandoned, api.ChangeOpen)
	case "comment":
		return comment(c, e, now)
	}
	return c, nil
}

func opened(c api.Change, e kit.Event, now time.Time) (api.Change, []kit.Op) {
	if len(c.PatchSets) != 1 || c.Project == "" || c.Branch == "" || c.ChangeID == "" {
		return c, kit.Refuse(kit.ErrInvalid, "a change is opened by git push to refs/for/BRANCH")
	}
	c.Status, c.Submit, c.Merged, c.Messages = api.ChangeOpen, "", "", nil
	ps := &c.PatchSets[0]
	ps.Number, ps.Created, ps.Rebase, ps.Votes = 1, now, false, nil
	return say(c, now, c.Owner, "Uploaded patch set 1.", ps.Push), nil
}

// addPatchSet makes the event's patch set the current one. A commit that is
// known already changes nothing, and so does one whose time is over: of a push
// older than that of another patch set, or a rebase of what is not current.
func addPatchSet(c api.Change, e kit.Event, now time.Time) (api.Change, []kit.Op) {
	var x filing
	if err := e.Into(&x); err != nil {
		return c, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	ps, old := x.PatchSet, c.Current()
	for _, known := range c.PatchSets {
		if known.Commit == ps.Commit || older(ps.Push, known.Push) {
			return c, nil
		}
	}
	if c.Status != api.ChangeOpen {
		return c, kit.Refuse(kit.ErrConflict, "change %s is %s", c.Link.ID(), c.Status)
	}
	if ps.Rebase && x.Of != old.Number {
		return c, nil
	}
	ps.Number, ps.Created = old.Number+1, now
	if ps.Rebase {
		ps.Uploader = old.Uploader
		ps.Votes = codeReviews(old.Votes)
	} else {
		c.Submit = ""
	}
	c.PatchSets = append(c.PatchSets, ps)
	c.Subject, _, _ = strings.Cut(ps.Message, "\n")
	text := fmt.Sprintf("Uploaded patch set %d.", ps.Number)
	if ps.Rebase {
		text = fmt.Sprintf("The branch had moved on: rebased as patch set %d, to be tested before it lands.", ps.Number)
	}
	return say(c, now, ps.Uploader, text, ps.Push), nil
}

// older tells whether the push a was taken in before b. Pushes are counted;
// those that source makes are not, and never late.
func older(a, b kit.Link) bool {
	x, errA := strconv.Atoi(a.ID())
	y, errB := strconv.Atoi(b.ID())
	return errA == nil && errB == nil && x < y
}

// codeReviews returns the votes that a rebase keeps.
func codeReviews(votes []api.Vote) []api.Vote {
	var kept []api.Vote
	for _, v := range votes {
		if v.Label == api.LabelCodeReview {
			kept = append(kept, v)
		}
	}
	return kept
}

// verifier is who alone sets Verified, Quality and Jobs: this service, from the
// verdicts of runs, reports and proposals.
const verifier = "services/review"

func vote(c api.Change, e kit.Event, now time.Time) (api.Change, []kit.Op) {
	var a api.VoteArgs
	if err := e.Into(&a); err != nil {
		return c, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if a.PatchSet < 1 || a.PatchSet > len(c.PatchSets) {
		return c, kit.Refuse(kit.ErrInvalid, "change %s has no patch set %d: the current one is %d", c.Link.ID(), a.PatchSet, len(c.PatchSets))
	}
	if refused := checkVote(a, e.By); refused != nil {
		return c, refused
	}
	if c.Status != api.ChangeOpen && e.By != verifier {
		return c, kit.Refuse(kit.ErrConflict, "change %s is %s", c.Link.ID(), c.Status)
	}
	ps := &c.PatchSets[a.PatchSet-1]
	v := api.Vote{Label: a.Label, Value: a.Value, By: e.By, At: now, Link: a.Link, Text: a.Text}
	if slices.ContainsFunc(ps.Votes, func(old api.Vote) bool { return same(old, v) }) {
		return c, nil // said again
	}
	ps.Votes = setVote(ps.Votes, v)
	c = say(c, now, e.By, strings.TrimSpace(fmt.Sprintf("Patch set %d: %s%+d. %s", a.PatchSet, a.Label, a.Value, a.Text)), a.Link)
	if c.Submit != "" && a.PatchSet == len(c.PatchSets) && len(missing(c)) == 0 {
		return c, land(c, now)
	}
	return c, nil
}

// testAgain takes the verdicts on a patch set back, but for those of the run that
// tests it once more.
func testAgain(c api.Change, e kit.Event, now time.Time) (api.Change, []kit.Op) {
	var a gating
	if err := e.Into(&a); err != nil || a.PatchSet < 1 || a.PatchSet > len(c.PatchSets) {
		return c, kit.Refuse(kit.ErrInvalid, "change %s has no patch set %d", c.Link.ID(), a.PatchSet)
	}
	ps := &c.PatchSets[a.PatchSet-1]
	own := a.Run.ID() + "." // what the ids of its builds, and so of their reports, begin with
	verdict := func(v api.Vote) bool {
		return v.Label == api.LabelVerified || v.Label == api.LabelQuality && !strings.HasPrefix(v.Link.ID(), own)
	}
	if !slices.ContainsFunc(ps.Votes, verdict) {
		return c, nil
	}
	ps.Votes = slices.DeleteFunc(ps.Votes, verdict)
	return say(c, now, e.By, fmt.Sprintf("Patch set %d is tested again.", a.PatchSet), a.Run), nil
}

// same tells whether a and b are one vote, at whatever time.
func same(a, b api.Vote) bool {
	b.At = a.At
	return a == b
}

func checkVote(a api.VoteArgs, by string) []kit.Op {
	limit := 0
	switch a.Label {
	case api.LabelVerified:
		limit = 1
		if by != verifier {
			return kit.Refuse(kit.ErrForbidden, "Verified is the verdict of the gating run: nobody else sets it")
		}
	case api.LabelQuality:
		limit = 1
		if by != verifier {
			return kit.Refuse(kit.ErrForbidden, "Quality is the verdict on a build's reports: nobody else sets it")
		}
	case api.LabelJobs:
		limit = 1
		if by != verifier {
			return kit.Refuse(kit.ErrForbidden, "Jobs is the verdict on the definitions of jobs: nobody else sets it")
		}
	case api.LabelCodeReview:
		limit = 2
	default:
		return kit.Refuse(kit.ErrInvalid, "there is no label %q: use %s; %s, %s and %s are verdicts", a.Label, api.LabelCodeReview, api.LabelVerified, api.LabelQuality, api.LabelJobs)
	}
	if a.Value < -limit || a.Value > limit {
		return kit.Refuse(kit.ErrInvalid, "%s goes from -%d to +%d, not %d", a.Label, limit, limit, a.Value)
	}
	return nil
}

func setVote(votes []api.Vote, v api.Vote) []api.Vote {
	for i := range votes {
		if votes[i].Label == v.Label && votes[i].By == v.By && (v.Label != api.LabelQuality || votes[i].Link == v.Link) {
			votes[i] = v
			return votes
		}
	}
	return append(votes, v)
}

func setStatus(c api.Change, e kit.Event, now time.Time, from, to api.ChangeStatus) (api.Change, []kit.Op) {
	if c.Status != from {
		return c, kit.Refuse(kit.ErrConflict, "change %s is %s, not %s", c.Link.ID(), c.Status, from)
	}
	c.Status, c.Submit = to, ""
	return say(c, now, e.By, fmt.Sprintf("The change is %s.", to), ""), nil
}

func comment(c api.Change, e kit.Event, now time.Time) (api.Change, []kit.Op) {
	var a struct {
		Text string `json:"text"`
	}
	if err := e.Into(&a); err != nil || strings.TrimSpace(a.Text) == "" {
		return c, kit.Refuse(kit.ErrInvalid, `a comment needs a text: {"text": "..."}`)
	}
	return say(c, now, e.By, a.Text, ""), nil
}

func say(c api.Change, now time.Time, by, text string, link kit.Link) api.Change {
	c.Messages = append(c.Messages, api.Message{At: now, By: by, Text: text, Link: link})
	return c
}
