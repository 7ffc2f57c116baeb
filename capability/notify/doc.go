// Package notify tells people about what concerns them.
//
// It owns notices, one document each, so that none is sent twice (but for a
// crash between the webhook's answer and its record), and watches builds: the
// author of a change is told of a failed one, with the link, and the project's
// channel of one that a schedule ordered. A job may ask for messages of its own,
// to a chat or by mail, that depend on the build before. Others wish for a
// notice by creating one.
//
//	wanted ──post.done──▶ sent
//	   └────post.failed─▶ given-up
package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// Config says where notices go.
type Config struct {
	// Webhook is Slack's incoming webhook, or any URL that takes its JSON; with
	// none, notices are kept and not sent.
	Webhook string
	Mail    Mail
	Base    string // the hub's address in links
}

// Service declares all that notify may touch. client acts as services/notify.
func Service(client kit.Client, c Config) kit.Service {
	s := sender{webhook: c.Webhook, mail: c.Mail, base: c.Base}
	a := announcer{client: client, base: c.Base}
	return kit.Service{
		Name:    "notify",
		Owns:    []kit.Owned{kit.Own(api.Notices, next)},
		Watches: []kit.Reaction{kit.On(api.Builds, onBuild)},
		Reads:   []string{api.Users.Name},
		Does:    kit.Does{"post": s.post, "announce": a.announce},
	}
}

// onBuild wishes for a notice when b has failed. The notice's id is made from
// the build's, so an event seen twice makes one document.
func onBuild(b api.Build, _ time.Time) []kit.Op {
	var ops []kit.Op
	if b.State.Done() && b.Spec != nil && len(b.Spec.Messages) > 0 {
		ops = append(ops, kit.Call("announce", b.Link.ID(), nil))
	}
	to := b.Author
	if to == "" && b.Source.Kind() == api.Schedules.Name {
		to = "#" + b.Project
	}
	if to == "" || b.State != api.BuildFailed && b.State != api.BuildError {
		return ops
	}
	text := fmt.Sprintf("%s of %s failed: %s", b.Job, b.Project, b.Error)
	if b.Change != "" {
		text = fmt.Sprintf("%s failed on change %s, patch set %d: %s", b.Job, b.Change.ID(), b.PatchSet, b.Error)
	}
	return append(ops, kit.Create(api.Notices, "build-"+b.Link.ID(), api.Notice{
		Meta: kit.Meta{Source: b.Link}, To: to, Text: text, About: b.Link,
	}))
}

// next returns n after e, and what must now happen.
func next(n api.Notice, e kit.Event, _ time.Time) (api.Notice, []kit.Op) {
	switch e.Name {
	case "created":
		n.State, n.Error = api.NoticeWanted, ""
		return n, []kit.Op{kit.Call("post", "1", nil)}
	case "post.done":
		n.State = api.NoticeSent
	case "post.failed":
		n.State = api.NoticeGivenUp
		var failure struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(e.Data, &failure) == nil {
			n.Error = failure.Error
		}
	}
	return n, nil
}

// timeout is how long a webhook may take to answer.
const timeout = 20 * time.Second

// escape keeps what people have written from being read as Slack's mark-up.
// See "Formatting text for app surfaces" in Slack's documentation.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// sender sends notices.
type sender struct {
	webhook string
	mail    Mail
	base    string
}

// post mails the notice r, or posts it as a Slack message. A server or webhook that is down is tried
// again; one that refuses the message ends it.
func (s sender) post(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	n, err := api.Notices.Decode(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if n.Via == api.ViaMail {
		return nil, s.mail.send(ctx, n, s.base+"/"+string(n.About))
	}
	if s.webhook == "" {
		return nil, kit.Errorf(kit.ErrConflict, "", "no webhook is configured: start the hub with --slack-webhook URL")
	}
	text := fmt.Sprintf("%s: %s", n.To, escape.Replace(n.Text))
	if n.About != "" {
		text += fmt.Sprintf("\n<%s/%s>", s.base, n.About)
	}
	err = slack.PostWebhookContext(ctx, s.webhook, &slack.WebhookMessage{Text: text})
	var status slack.StatusCodeError
	if errors.As(err, &status) && status.Code >= 400 && status.Code < 500 && status.Code != http.StatusTooManyRequests {
		return nil, kit.Errorf(kit.ErrInvalid, "", "the webhook answered %d: check --slack-webhook", status.Code)
	}
	// The error of a request begins with the webhook's URL, which is a secret.
	var request *url.Error
	if errors.As(err, &request) {
		err = fmt.Errorf("the webhook could not be reached: %w", request.Err)
	}
	return nil, err
}
