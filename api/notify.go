package api

import "landfall.dev/kit"

// Notices are messages to people, one document each, so that none is sent
// twice. The id comes from the cause.
var Notices = kit.Define[Notice]("notices")

// Notice is a message to a person or a channel.
type Notice struct {
	kit.Meta
	To    string      `json:"to"` // a subject, or "#channel"
	Text  string      `json:"text"`
	About kit.Link    `json:"about"` // the document that it links to
	State NoticeState `json:"state"`
	Error string      `json:"error,omitempty"`
}

// NoticeState is where a Notice is.
type NoticeState string

// The states of a Notice.
const (
	NoticeWanted  NoticeState = "wanted"
	NoticeSent    NoticeState = "sent"
	NoticeGivenUp NoticeState = "given-up" // the webhook refuses it, or there is none; Error says why
)
