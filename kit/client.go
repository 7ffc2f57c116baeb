package kit

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// Client is the one way to documents, the same for people's programs over
// HTTP and for services inside the process, which pass the same checks. Its
// methods may be called concurrently; every error is or wraps an *Error.
//
// A write that fails with ErrInternal or ErrTimeout may have been applied; with
// any other fault nothing was changed. With Once it can be tried again safely.
type Client interface {
	// Create makes the document kind/id out of body, a JSON object, whose
	// envelope fields other than source and expires are ignored. With an empty
	// id the server allocates one. It is ErrConflict if the document exists.
	Create(ctx context.Context, kind, id string, body []byte, o ...WriteOption) (Record, error)

	// Read returns the document at link, or ErrNotFound.
	Read(ctx context.Context, link Link, o ReadOptions) (Record, error)

	// List returns a page of the documents that q describes.
	List(ctx context.Context, q Query) (Page, error)

	// Update applies a JSON merge patch (RFC 7396) to the document at link.
	// With ifMatch other than 0 it is ErrStale unless that is the version.
	Update(ctx context.Context, link Link, patch []byte, ifMatch int64, o ...WriteOption) (Record, error)

	// Delete removes the document at link, leaving a tombstone in the feed. With
	// ifMatch other than 0 it is ErrStale unless that is the version.
	Delete(ctx context.Context, link Link, ifMatch int64, o ...WriteOption) error

	// Do sends the event method with args, JSON or nil, to the document at link,
	// as in POST /api/changes/42:submit, and returns the document after it.
	Do(ctx context.Context, link Link, method string, args []byte, o ...WriteOption) (Record, error)

	// Batch applies all of writes in one log entry or none. Its records are in
	// the order of the writes.
	Batch(ctx context.Context, writes []Write, o ...WriteOption) ([]Record, error)

	// Watch yields every document of the query's kind that changes after
	// q.From, once, in its latest version, deletions included, in log order, and
	// goes on until ctx ends. It reconnects by itself, also to the cluster that
	// takes over in an upgrade, or that is gone back to: then it may yield a
	// version once more. ErrGone ends it: list again. If q.From is zero, it yields
	// the existing documents first.
	Watch(ctx context.Context, q WatchQuery) iter.Seq2[Change, error]
}

// Consistency is how current a read must be.
type Consistency string

// The consistencies of a read.
const (
	KindDefault  Consistency = ""             // that of the kind, which is Leader unless declared
	Leader       Consistency = "leader"       // as the leader has applied it
	Eventual     Consistency = "eventual"     // as any node has it, maybe old
	Linearizable Consistency = "linearizable" // the leader first makes sure that it still leads
)

// ReadOptions modify a Read.
type ReadOptions struct {
	Consistency Consistency
	// AsOf, if not zero, reads the document as it was at that position. It is
	// ErrGone where the history kept does not go back so far.
	AsOf Position
}

// Durability is when a write is acknowledged.
type Durability string

// The durabilities of a write.
const (
	Quorum Durability = ""      // a majority of the voters has it on disk (the default)
	All    Durability = "all"   // and every member that is alive has applied it
	Async  Durability = "async" // the leader has taken it: it may still be lost
)

// WriteOptions modify a write.
type WriteOptions struct {
	Durability Durability
	// Key makes the write happen once: see Once.
	Key string
}

// WriteOption sets one of WriteOptions.
type WriteOption func(*WriteOptions)

// Acknowledged chooses when the write is acknowledged. With Async the records
// returned have their links only, and none where an id is allocated.
func Acknowledged(d Durability) WriteOption { return func(o *WriteOptions) { o.Durability = d } }

// Once makes a write with the same key, by the same caller, within OnceAge of
// the first happen once: a repeat changes nothing and returns the documents as
// they are now. It is ErrConflict if another write had the key. A key has 1 to
// 100 bytes of letters, digits and . _ ~ -. Keys hold over upgrades of the
// platform, and going back.
func Once(key string) WriteOption { return func(o *WriteOptions) { o.Key = key } }

// OnceAge is how long the keys of Once are kept.
const OnceAge = 15 * time.Minute

// Written returns the WriteOptions that o make.
func Written(o []WriteOption) WriteOptions {
	var w WriteOptions
	for _, set := range o {
		set(&w)
	}
	return w
}

// Query describes a list.
type Query struct {
	Kind string
	// Filter is a CEL expression over the document's fields under their JSON
	// names: status == "open" && project == "ledger". Empty means all.
	Filter string
	// Order is "link" (the default), "created", "updated", or a field that an
	// index of the kind begins with; a minus in front is the reverse.
	Order string
	// Select are the own fields that the items shall have; empty means all. The
	// envelope is always there.
	Select []string
	// Limit is the page's size, 1 to 1000; 0 means 100.
	Limit int
	// Token is the Next of the page before. All pages of a list show the
	// documents as they were when the first was read; it is ErrGone where the
	// history kept does not go back so far any more. Kind.All goes on then.
	Token       string
	Consistency Consistency
	// AsOf, if not zero, lists the documents as they were at that position. It
	// is ErrGone where the history kept does not go back so far.
	AsOf Position
	// Count asks for Page.Count.
	Count bool
	// Group are fields: instead of documents the page has one Group for each
	// combination of their values, sorted by these. Compute are what a group
	// tells: "count", or "sum", "min", "max" or "avg" with a field: "sum(amount)".
	// Compute without Group makes one group of all.
	Group, Compute []string
	// Explain asks for Page.Plan instead of documents.
	Explain bool
}

// Page is a part of a list.
type Page struct {
	Items []Record `json:"items"`
	// Next is the token of the next page, empty on the last.
	Next string `json:"next,omitempty"`
	// Position is where the list was read: a watch from there misses nothing.
	Position string `json:"position"`
	// Count is the number of documents that the filter passes, on all pages.
	Count *int64 `json:"count,omitempty"`
	// Groups are there if the query asks for them.
	Groups []Group `json:"groups,omitempty"`
	// Plan is there if the query asks to explain it.
	Plan *Plan `json:"plan,omitempty"`
}

// Group is what a query computes of the documents that agree in its fields.
type Group struct {
	// Key are the values of the query's Group fields, in JSON.
	Key []json.RawMessage `json:"key,omitempty"`
	// Values are the results of its Compute, in JSON; null for the minimum,
	// maximum or average of nothing.
	Values []json.RawMessage `json:"values,omitempty"`
}

// Plan is how a query is answered.
type Plan struct {
	// Index is the declared index that is read, empty if it is the order itself.
	Index string `json:"index,omitempty"`
	// Range says in words which part of it.
	Range string `json:"range,omitempty"`
	// Scanned is how many documents are looked at, at most Kind's count.
	Scanned int64 `json:"scanned"`
	// Filter is what is tested on each of them, empty if the index says it all.
	Filter string `json:"filter,omitempty"`
	// Sorted tells that the documents are sorted in memory.
	Sorted bool `json:"sorted,omitempty"`
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
