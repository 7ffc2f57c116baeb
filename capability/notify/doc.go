// Package notify tells people about what concerns them.
//
// It owns notices, one document each, so that none is sent twice, and watches
// builds: the author of a change is told of a failed one, with the link.
// Others wish for a notice by creating one.
//
//	wanted ──send.done──▶ sent
//	   └────send.failed─▶ given-up
package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/slack-go/slack"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// Service declares all that notify may touch. Notices go to the Slack
// incoming webhook (any URL that takes its JSON); with none they are kept and
// not sent. base is the hub's address in links.
func Service(webhook, base string) kit.Service {
	s := sender{webhook: webhook, base: base}
	return kit.Service{
		Name:    "notify",
		Owns:    []kit.Owned{kit.Own(api.Notices, next)},
		Watches: []kit.Reaction{kit.On(api.Builds, onBuild)},
		Does:    kit.Does{"send": s.send},
	}
}

// onBuild wishes for a notice when b has failed. The notice's id is made from
// the build's, so an event seen twice makes one document.
func onBuild(b api.Build, _ time.Time) []kit.Op {
	if b.Author == "" || b.State != api.BuildFailed && b.State != api.BuildError {
		return nil
	}
	text := fmt.Sprintf("%s of %s failed: %s", b.Job, b.Project, b.Error)
	if b.Change != "" {
		text = fmt.Sprintf("%s failed on change %s, patch set %d: %s", b.Job, b.Change.ID(), b.PatchSet, b.Error)
	}
	return []kit.Op{kit.Create(api.Notices, "build-"+b.Link.ID(), api.Notice{
		Meta: kit.Meta{Source: b.Link}, To: b.Author, Text: text, About: b.Link,
	})}
}

// next returns n after e, and what must now happen.
func next(n api.Notice, e kit.Event, _ time.Time) (api.Notice, []kit.Op) {
	switch e.Name {
	case "created":
		n.State = "wanted"
		return n, []kit.Op{kit.Call("send", "1", nil)}
	case "send.done":
		n.State = "sent"
	case "send.failed":
		n.State = "given-up"
		var failure struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(e.Data, &failure) == nil {
			n.Error = failure.Error
		}
	}
	return n, nil
}

// sender sends notices to a webhook.
type sender struct{ webhook, base string }

// send posts the notice r as a Slack message. A webhook that is down is tried
// again; one that refuses the message ends it.
func (s sender) send(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	n, err := api.Notices.Decode(r)
	if err != nil {
		return nil, err
	}
	if s.webhook == "" {
		return nil, kit.Errorf(kit.ErrConflict, n.Link, "no webhook is configured: start the hub with --slack-webhook URL")
	}
	text := fmt.Sprintf("%s: %s", n.To, n.Text)
	if n.About != "" {
		text += fmt.Sprintf("\n<%s/%s>", s.base, n.About)
	}
	err = slack.PostWebhookContext(ctx, s.webhook, &slack.WebhookMessage{Text: text})
	if status, ok := err.(slack.StatusCodeError); ok && status.Code >= 400 && status.Code < 500 && status.Code != 429 {
		return nil, kit.Errorf(kit.ErrInvalid, n.Link, "the webhook answered %d: check --slack-webhook", status.Code)
	}
	return nil, err
}
