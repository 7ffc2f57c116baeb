package api

import "landfall.dev/kit"

// Notices are messages to people, one document each, so that none is sent
// twice. The id comes from the cause.
var Notices = kit.Define[Notice]("notices")

// Notice is a message to a person or a channel.
type Notice struct {
	kit.Meta
	To    string   `json:"to"` // a subject, or "#channel"
	Text  string   `json:"text"`
	About kit.Link `json:"about"` // the document that it links to
	State string   `json:"state"` // wanted, sent, given-up
	Error string   `json:"error,omitempty"`
}
