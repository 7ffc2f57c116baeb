package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"landfall.dev/kit"
)

// Letter is a changed document that a receiver has not taken at once. It is
// retried, and dead once that was given up; deleting it drops it. The document
// itself is read again for each attempt.
type Letter struct {
	kit.Meta
	Subscription kit.Link `json:"subscription"`
	// Of is the document, as it was changed last.
	Of        kit.Link  `json:"of"`
	OfVersion int64     `json:"ofVersion"`
	OfCreated time.Time `json:"ofCreated"`
	OfChanged time.Time `json:"ofChanged"`
	OfDeleted bool      `json:"ofDeleted"`

	State LetterState `json:"state"`
	// Attempts that failed; the last gave Error. Next is when it is tried again.
	Attempts int       `json:"attempts"`
	Error    string    `json:"error"`
	Next     time.Time `json:"next"`
	// Retries counts the calls of the method retry.
	Retries int `json:"retries"`
}

// LetterState is whether a letter is tried again.
type LetterState string

// The states of a letter.
const (
	Retrying LetterState = "retrying"
	Dead     LetterState = "dead"
)

// Letters are those of all subscriptions. They are kept for 30 days after the
// last attempt.
var Letters = kit.Define[Letter]("deadletters")

const letterAge = 30 * 24 * time.Hour

// methodRetry makes a letter be tried again at once.
const methodRetry = "retry"

// nextLetter is the life of a letter.
func nextLetter(l Letter, e kit.Event, now time.Time) (Letter, []kit.Op) {
	switch e.Name {
	case "created", "updated":
		if e.By != "services/"+Name {
			return l, kit.Refuse(kit.ErrConflict, "letters are written by the service; you can retry one, or delete it")
		}
	case methodRetry:
		l.State, l.Attempts, l.Next = Retrying, 0, now
		l.Retries++
	}
	return l, nil
}

// letterID returns the id of the letter for a document.
func letterID(subscription, document kit.Link) string {
	sum := sha256.Sum256([]byte(string(subscription) + " " + string(document)))
	return hex.EncodeToString(sum[:16])
}

// of makes l about the change r.
func (l Letter) of(r kit.Record) Letter {
	l.Of, l.OfVersion, l.OfCreated, l.OfChanged, l.OfDeleted = r.Link, r.Version, r.Created, r.Updated, r.Deleted
	return l
}

// tombstone returns the deletion that l is about.
func (l Letter) tombstone() kit.Record {
	return kit.Record{Deleted: true, Meta: kit.Meta{
		Link: l.Of, Kind: l.Of.Kind(), Version: l.OfVersion, Created: l.OfCreated, Updated: l.OfChanged,
	}}
}
