package native

import (
	"maps"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
)

// What tells people how a build has ended.

// to are the addresses of a text, with blanks or commas between them. Those that
// Jenkins' settings name are not known here.
func (t *translation) to(c definition.Component, s string) []string {
	var all []string
	for _, a := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == ';' }) {
		a = strings.TrimPrefix(strings.TrimPrefix(a, "cc:"), "bcc:")
		switch {
		case strings.Contains(a, "$"):
			t.miss(c, Without, "whom %s stands for: name the addresses", a)
		case strings.Contains(a, "@"):
			all = append(all, a)
		default:
			t.miss(c, Without, "%q is no address: write NAME@HOST", a)
		}
	}
	return all
}

// announce adds a message, unless nobody would get it.
func (t *translation) announce(m api.Announcement) {
	if len(m.When) > 0 && (len(m.To) > 0 || m.Author || m.Via == "") {
		t.spec.Messages = append(t.spec.Messages, m)
	}
}

// email is the publisher, and the reporter, that is part of Jenkins.
func email(t *translation, a args) {
	m := api.Announcement{Via: api.ViaMail, To: t.to(a.c, a.text("recipients")), Author: a.flag("send-to-individuals", false)}
	m.When = []api.Occasion{api.WhenFailure, api.WhenFixed, api.WhenFirstUnstable}
	if a.flag("notify-every-unstable-build", true) {
		m.When[2] = api.WhenUnstable
	}
	t.announce(m)
}

// occasions are those that an argument stands for, by its name.
type occasions []struct {
	argument string
	when     api.Occasion
	set      bool // if it is not given
}

var mailed = occasions{
	{"always", api.WhenAlways, false}, {"success", api.WhenSuccess, false}, {"failure", api.WhenFailure, true},
	{"unstable", api.WhenUnstable, false}, {"aborted", api.WhenAborted, false}, {"fixed", api.WhenFixed, false},
	{"first-failure", api.WhenFirstFailure, false}, {"second-failure", api.WhenStillFailure, false}, {"still-failing", api.WhenStillFailure, false},
	{"first-unstable", api.WhenFirstUnstable, false}, {"still-unstable", api.WhenStillUnstable, false},
	{"regression", api.WhenWorse, false}, {"improvement", api.WhenBetter, false}, {"status-changed", api.WhenChanged, false},
}

var chatted = occasions{
	{"notify-success", api.WhenSuccess, false}, {"notify-failure", api.WhenFirstFailure, false}, {"notify-every-failure", api.WhenFailure, false},
	{"notify-repeated-failure", api.WhenStillFailure, false}, {"notify-unstable", api.WhenUnstable, false},
	{"notify-aborted", api.WhenAborted, false}, {"notify-back-to-normal", api.WhenFixed, false}, {"notify-regression", api.WhenWorse, false},
}

func (o occasions) of(a args) []api.Occasion {
	var when []api.Occasion
	for _, x := range o {
		if a.flag(x.argument, x.set) {
			when = append(when, x.when)
		}
	}
	return when
}

func emailExt(t *translation, a args) {
	if a.flag("disable-publisher", false) {
		return
	}
	m := api.Announcement{
		Via: api.ViaMail, To: t.to(a.c, a.text("recipients")), When: mailed.of(a),
		Subject: t.expand(a.c, a.text("subject")), Text: t.expand(a.c, a.text("body")),
	}
	for _, who := range list(a.get("send-to")) {
		switch strings.ToLower(who) {
		case "recipients", "recipientlist":
		case "developers", "requester", "culprits", "first-failing-build-suspects", "failing-test-suspects":
			m.Author = true
		default:
			t.miss(a.c, Without, "%q in send-to: mails go to recipients and the author", who)
		}
	}
	switch kind := a.text("content-type"); kind {
	case "", "default", "text":
	case "html", "both-html-text":
		m.HTML = true
	default:
		t.miss(a.c, Without, "content-type %q is not known: it is default, text, html or both-html-text", yaml11.Brief(kind))
	}
	t.announce(m)
}

func slack(t *translation, a args) {
	m := api.Announcement{When: chatted.of(a)}
	for _, room := range list(a.get("room")) {
		m.To = append(m.To, "#"+strings.TrimPrefix(room, "#"))
	}
	if a.flag("include-custom-message", false) || a.text("custom-message") != "" {
		m.Text = "$DEFAULT_CONTENT\n" + t.expand(a.c, a.text("custom-message"))
	}
	t.announce(m)
}

// strategies are those of Jenkins' robot on IRC: which results it tells.
var strategies = map[string][]api.Occasion{
	"":                      {api.WhenAlways},
	"all":                   {api.WhenAlways},
	"any-failure":           {api.WhenFailure, api.WhenUnstable},
	"failure-and-fixed":     {api.WhenFailure, api.WhenUnstable, api.WhenFixed},
	"new-failure-and-fixed": {api.WhenFirstFailure, api.WhenFirstUnstable, api.WhenFixed},
	"statechange-only":      {api.WhenChanged},
}

// irc tells in the chat what Jenkins tells on IRC.
func irc(t *translation, a args) {
	t.miss(a.c, Without, "nobody is told on IRC: it is told in the chat, in a channel of the same name")
	strategy := a.text("strategy")
	m := api.Announcement{When: strategies[strategy]}
	if m.When == nil {
		t.miss(a.c, Without, "the strategy %q is not known%s", yaml11.Brief(strategy), yaml11.Suggest(strategy, slices.Sorted(maps.Keys(strategies))))
	}
	if a.flag("notify-start", false) {
		t.miss(a.c, Without, "nobody is told that a build begins")
	}
	for _, c := range calls(a.get("channels")) {
		if name := strings.TrimLeft(text(c.Lookup("name")), "#"); name != "" {
			m.To = append(m.To, "#"+name)
		}
	}
	t.announce(m)
}
