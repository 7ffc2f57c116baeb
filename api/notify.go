package api

import "landfall.dev/kit"

// Notices are messages to people, one document each, so that none is sent
// twice. The id comes from the cause.
var Notices = kit.Define[Notice]("notices")

// Notice is a message to a person or a channel.
type Notice struct {
	kit.Meta
	To string `json:"to"` // a subject, "#channel", or the addresses of a mail
	// Via is empty for the chat.
	Via     Via         `json:"via,omitempty"`
	Subject string      `json:"subject,omitempty"` // of a mail
	Text    string      `json:"text"`
	HTML    bool        `json:"html,omitempty"` // what Text is, in a mail
	About   kit.Link    `json:"about"`          // the document that it links to
	State   NoticeState `json:"state"`
	Error   string      `json:"error,omitempty"`
}

// Via is a way that notices go.
type Via string

// ViaMail is mail; empty is the chat.
const ViaMail Via = "mail"

// Announcement is a message that a job asks for when a build has ended. In its
// texts, parameters and the names that Jenkins' mails know are replaced.
type Announcement struct {
	Via    Via      `json:"via,omitempty"`
	To     []string `json:"to,omitempty"`     // addresses, or "#channels"
	Author bool     `json:"author,omitempty"` // to the build's author, too
	// When are conditions of which one must hold.
	When    []Occasion `json:"when"`
	Subject string     `json:"subject,omitempty"`
	Text    string     `json:"text,omitempty"`
	// HTML says that Text is that, for a mail.
	HTML bool `json:"html,omitempty"`
}

// Occasion is a condition of an Announcement: about the result of a build and that
// of the one before.
type Occasion string

// What an Announcement can depend on.
const (
	WhenAlways        Occasion = "always"
	WhenSuccess       Occasion = "success"
	WhenUnstable      Occasion = "unstable"
	WhenFailure       Occasion = "failure"
	WhenAborted       Occasion = "aborted"
	WhenFixed         Occasion = "fixed"   // success after something else
	WhenChanged       Occasion = "changed" // another result than before
	WhenBetter        Occasion = "better"
	WhenWorse         Occasion = "worse"
	WhenFirstFailure  Occasion = "first-failure"
	WhenStillFailure  Occasion = "still-failure"
	WhenFirstUnstable Occasion = "first-unstable"
	WhenStillUnstable Occasion = "still-unstable"
)

// NoticeState is where a Notice is.
type NoticeState string

// The states of a Notice.
const (
	NoticeWanted  NoticeState = "wanted"
	NoticeSent    NoticeState = "sent"
	NoticeGivenUp NoticeState = "given-up" // the webhook refuses it, or there is none; Error says why
)
