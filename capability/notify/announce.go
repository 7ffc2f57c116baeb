package notify

import (
	"context"
	"errors"
	"fmt"
	"html"
	"os"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// announcer makes the notices that jobs ask for.
type announcer struct {
	client kit.Client
	base   string
}

// announce makes those that the job of the build r asks for. Their ids come from
// the build's, so that a repeat makes none. A build that its run tries again or
// ignores is not announced.
func (a announcer) announce(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	b, err := api.Builds.Decode(r)
	if err != nil {
		return nil, err
	}
	if counts, err := a.counts(ctx, b); err != nil || !counts {
		return nil, err
	}
	before, err := a.before(ctx, b)
	if err != nil {
		return nil, err
	}
	for i, m := range b.Spec.Messages {
		if !slices.ContainsFunc(m.When, func(w api.Occasion) bool { return holds(w, b.Outcome(), before) }) {
			continue
		}
		n := api.Notice{Meta: kit.Meta{Source: b.Link}, About: b.Link, Via: m.Via, Subject: a.text(b, m.Subject), Text: a.body(b, m, m.Text), HTML: m.HTML}
		if n.Subject == "" {
			n.Subject = a.text(b, "$DEFAULT_SUBJECT")
		}
		if n.Text == "" {
			n.Text = a.body(b, m, "$DEFAULT_CONTENT")
		}
		to, err := a.recipients(ctx, b, m)
		if err != nil {
			return nil, err
		}
		if n.To = strings.Join(to, ", "); n.To == "" {
			continue
		}
		_, err = api.Notices.Create(ctx, a.client, fmt.Sprintf("message-%s-%d", b.Link.ID(), i), n)
		if err != nil && !errors.Is(err, kit.ErrConflict) {
			return nil, err
		}
	}
	return nil, nil
}

// before returns the result of the build of the same job that ended before b,
// empty if there is none. Builds of changes are compared with such; an earlier
// attempt at b itself is none.
func (a announcer) before(ctx context.Context, b api.Build) (api.Result, error) {
	var last api.Build
	filter := fmt.Sprintf("project == %q && job == %q", b.Project, b.Job)
	for other, err := range api.Builds.All(ctx, a.client, filter, "") {
		if err != nil {
			return "", err
		}
		attempt := b.Run != "" && other.Run == b.Run && other.Node == b.Node
		same := other.Cell == "" && (other.Change == "") == (b.Change == "") && !attempt
		if same && other.Link != b.Link && other.State.Done() && other.State != api.BuildCancelled &&
			other.Created.Before(b.Created) && other.Created.After(last.Created) {
			last = other
		}
	}
	if last.Link == "" {
		return "", nil
	}
	return last.Outcome(), nil
}

// recipients are the addresses or channels that a message goes to.
func (a announcer) recipients(ctx context.Context, b api.Build, m api.Announcement) ([]string, error) {
	to := slices.Clone(m.To)
	if m.Author {
		id, ok := strings.CutPrefix(b.Author, api.Users.Name+"/")
		if !ok {
			return to, nil // nobody, or a service
		}
		u, err := api.Users.Read(ctx, a.client, id)
		switch {
		case errors.Is(err, kit.ErrNotFound):
		case err != nil:
			return nil, err
		case m.Via != api.ViaMail:
			to = append(to, b.Author)
		case u.Email != "" && !slices.Contains(to, u.Email):
			to = append(to, u.Email)
		}
	}
	if len(to) == 0 && m.Via != api.ViaMail {
		to = []string{"#" + b.Project}
	}
	return to, nil
}

// holds tells whether a message is for a build with this result, after one with
// the result before. A job's first build comes after success.
func holds(w api.Occasion, now, before api.Result) bool {
	first := before == ""
	if first {
		before = api.ResultSuccess
	}
	better, worse := now.Rank() < before.Rank(), now.Rank() > before.Rank()
	failed, unstable := now == api.ResultFailure, now == api.ResultUnstable
	switch w {
	case api.WhenAlways:
		return true
	case api.WhenSuccess:
		return now == api.ResultSuccess
	case api.WhenUnstable:
		return unstable
	case api.WhenFailure:
		return failed
	case api.WhenAborted:
		return now == api.ResultAborted
	case api.WhenFixed:
		return now == api.ResultSuccess && before != api.ResultSuccess
	case api.WhenChanged:
		return better || worse || first
	case api.WhenBetter:
		return better
	case api.WhenWorse:
		return worse
	case api.WhenFirstFailure:
		return failed && before != api.ResultFailure
	case api.WhenStillFailure:
		return failed && before == api.ResultFailure
	case api.WhenFirstUnstable:
		return unstable && before != api.ResultUnstable
	case api.WhenStillUnstable:
		return unstable && before == api.ResultUnstable
	}
	return false
}

// words are the results for people.
var words = map[api.Result]string{
	api.ResultSuccess: "Successful", api.ResultUnstable: "Unstable", api.ResultFailure: "Failed", api.ResultAborted: "Aborted",
}

// body is text for b in the form that m has.
func (a announcer) body(b api.Build, m api.Announcement, text string) string {
	if !m.HTML {
		return a.text(b, text)
	}
	return os.Expand(text, func(name string) string { return html.EscapeString(a.value(b, name)) })
}

// text replaces what Jenkins' mails may name of a build; what is not known stays
// as it is.
func (a announcer) text(b api.Build, text string) string {
	return os.Expand(text, func(name string) string { return a.value(b, name) })
}

// value is what $name stands for.
func (a announcer) value(b api.Build, name string) string {
	name, mayLack := strings.CutSuffix(name, "-")
	switch name {
	case "PROJECT_NAME", "JOB_NAME":
		return b.Job
	case "BUILD_NUMBER", "BUILD_ID":
		return b.Link.ID()
	case "BUILD_STATUS", "BUILD_RESULT":
		return words[b.Outcome()]
	case "BUILD_URL", "PROJECT_URL":
		return a.base + "/" + string(b.Link)
	case "GIT_COMMIT", "GIT_REVISION":
		return b.Commit
	case "CAUSE":
		return b.Error
	case "DEFAULT_SUBJECT", "PROJECT_DEFAULT_SUBJECT":
		return fmt.Sprintf("%s - Build %s - %s!", b.Job, b.Link.ID(), words[b.Outcome()])
	case "DEFAULT_CONTENT", "PROJECT_DEFAULT_CONTENT":
		text := fmt.Sprintf("%s of %s: %s", b.Job, b.Project, strings.ToLower(words[b.Outcome()]))
		if b.Error != "" {
			text += ": " + b.Error
		}
		return text
	}
	if value, ok := b.Params[name]; ok {
		return value
	}
	if mayLack {
		return ""
	}
	return "$" + name
}
