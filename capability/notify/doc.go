// Package notify tells people about what concerns them.
//
// It owns notices, one document each, so that none is sent twice (but for a
// crash between the webhook's answer and its record), and watches runs and builds:
// the author of a run is told that it has failed, once, with the link to what
// did, and the one of a build that is of no run likewise; the project's channel
// hears of one that a schedule ordered. What is tried again or ignored does not
// count. A job may ask for messages of its own, to a chat or by mail, that depend
// on the build before. Others wish for a notice by creating one.
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
		Watches: []kit.Reaction{kit.On(api.Builds, onBuild), kit.On(api.Runs, onRun)},
		Reads:   []string{api.Users.Name},
		Does:    kit.Does{"post": s.post, "announce": a.announce, "tell": a.tell},
		Actions: 64, // most of them wait for a verdict, see counts: the others must get through
	}
}

// onBuild wishes for the messages of b's job, and for a notice when b has failed
// and is no part of something else, which is told of then. The notice's id is made
// from the build's, so an event seen twice makes one document.
func onBuild(b api.Build, _ time.Time) []kit.Op {
	var ops []kit.Op
	if b.State.Done() && b.Spec != nil && len(b.Spec.Messages) > 0 {
		ops = append(ops, kit.Call("announce", b.Link.ID(), nil))
	}
	to := b.Author
	if to == "" && b.Source.Kind() == api.Schedules.Name {
		to = "#" + b.Project
	}
	switch {
	case to == "" || b.State != api.BuildFailed && b.State != api.BuildError || b.Run != "" || b.Cell != "":
		return ops
	case b.Upstream != "":
		return append(ops, kit.Call("tell", b.Link.ID(), nil))
	}
	return append(ops, kit.Create(api.Notices, noticeID(b), noticeOf(b, to)))
}

func noticeID(b api.Build) string { return "build-" + b.Link.ID() }

// noticeOf tells that b has failed.
func noticeOf(b api.Build, to string) api.Notice {
	return api.Notice{Meta: kit.Meta{Source: b.Link}, To: to, Text: failure(b.Job, b.Project, b.Change, b.PatchSet, b.Error), About: b.Link}
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
		var f struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(e.Data, &f) == nil {
			n.Error = f.Error
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
