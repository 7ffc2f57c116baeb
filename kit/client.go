package kit

import (
	"context"
	"encoding/json"
	"iter"
)

// Client is the one way to documents, the same for people's programs over
// HTTP and for services inside the process, which pass the same checks. Its
// methods may be called concurrently; every error is or wraps an *Error.
//
// A write that fails with ErrInternal or ErrTimeout may have been applied; with
// any other fault nothing was changed.
type Client interface {
	// Create makes the document kind/id out of body, a JSON object, whose
	// envelope fields other than source and expires are ignored. With an empty
	// id the server allocates one. It is ErrConflict if the document exists.
	Create(ctx context.Context, kind, id string, body []byte) (Record, error)

	// Read returns the document at link, or ErrNotFound.
	Read(ctx context.Context, link Link, o ReadOptions) (Record, error)

	// List returns a page of the documents that q describes.
	List(ctx context.Context, q Query) (Page, error)

	// Update applies a JSON merge patch (RFC 7396) to the document at link.
	// With ifMatch other than 0 it is ErrStale unless that is the version.
	Update(ctx context.Context, link Link, patch []byte, ifMatch int64) (Record, error)

	// Delete removes the document at link, leaving a tombstone in the feed. With
	// ifMatch other than 0 it is ErrStale unless that is the version.
	Delete(ctx context.Context, link Link, ifMatch int64) error

	// Do sends the event method with args, JSON or nil, to the document at link,
	// as in POST /api/changes/42:submit, and returns the document after it.
	Do(ctx context.Context, link Link, method string, args []byte) (Record, error)

	// Batch applies all of writes in one log entry or none. Its records are in
	// the order of the writes.
	Batch(ctx context.Context, writes []Write) ([]Record, error)

	// Watch yields every document of the query's kind that changes after
	// q.From, once, in its latest version, deletions included, in log order, and
	// goes on until ctx ends. It reconnects by itself; ErrGone ends it: list
	// again. If q.From is zero, it yields the existing documents first.
	Watch(ctx context.Context, q WatchQuery) iter.Seq2[Change, error]
}

// Consistency is how current a read must be.
type Consistency string

// The consistencies of a read.
const (
	Leader       Consistency = ""             // as the leader has applied it (the default)
	Eventual     Consistency = "eventual"     // as any node has it, maybe old
	Linearizable Consistency = "linearizable" // the leader first makes sure that it still leads
)

// ReadOptions modify a Read.
type ReadOptions struct {
	Consistency Consistency
}

// Query describes a list.
type Query struct {
	Kind string
	// Filter is a CEL expression over the document's fields under their JSON
	// names: status == "open" && project == "ledger". Empty means all.
	Filter string
	// Order is "link" (the default), "created", "updated", or one of these with
	// a minus in front for the reverse.
	Order string
	// Limit is the page's size, 1 to 1000; 0 means 100.
	Limit int
	// Token is the Next of the page before.
	Token       string
	Consistency Consistency
}

// Page is a part of a list.
type Page struct {
	Items []Record `json:"items"`
	// Next is the token of the next page, empty on the last.
	Next string `json:"next,omitempty"`
	// Position is where the list was read: a watch from there misses nothing.
	Position string `json:"position"`
}

// WatchQuery describes a watch.
type WatchQuery struct {
	Kind   string
	Filter string   // as in Query; deletions always pass
	From   Position // zero: the existing documents first
	// Pending leaves out those of the existing documents that have no pending
	// operations.
	Pending bool
}

// Change is one event of a watch.
type Change struct {
	Position Position
	Record   Record // with Deleted set for a deletion
}

// Verb is what a caller wants to do; roles allow verbs. A custom method's
// verb is its own name.
type Verb string

// The verbs of a Write and of roles.
const (
	VerbCreate Verb = "create"
	VerbRead   Verb = "read"
	VerbList   Verb = "list"
	VerbWatch  Verb = "watch"
	VerbUpdate Verb = "update"
	VerbDelete Verb = "delete"
)

// Write is one change of a batch.
type Write struct {
	// Verb is create, update, delete, or the name of a custom method.
	Verb Verb `json:"verb"`
	// Link is the document; for a create that allocates the id, "kind/".
	Link Link `json:"link"`
	// Body is the document, the merge patch, or the method's arguments.
	Body json.RawMessage `json:"body,omitempty"`
	// IfMatch, if not 0, is the version that the document must have.
	IfMatch int64 `json:"ifMatch,omitempty"`
}
