package store

import (
	"encoding/json"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// Proposal is what a node asks the leader to do, all or nothing. One of
// Writes, Import (with or without Keys and a Cursor), Cursor, Fence, Tick and NewEpoch
// is set.
type Proposal struct {
	// Writes are changes to documents, in their order.
	Writes []kit.Write `json:"writes,omitempty"`
	// Pins, if there are any, are for each of the Writes the version that its
	// document must have, or 0, on top of its IfMatch: what the caller may do was
	// found out for that version. They are not a part of what Key stands for; but with
	// them a repetition is ErrStale, for its answer is not for everybody: see
	// Store.Repeated.
	Pins []int64 `json:"pins,omitempty"`
	// By is the caller of the writes: "users/ada", "services/review".
	By string `json:"by,omitempty"`
	// Key, if not empty, makes the writes happen once for it and By: see
	// kit.Once.
	Key string `json:"key,omitempty"`
	// Durability is when the cluster acknowledges the proposal. It means nothing
	// to a Store.
	Durability kit.Durability `json:"durability,omitempty"`
	// Internal lets the writes use methods beyond Owned.Methods: the events of
	// sagas between services, NAME.done, and the method "~ack".
	Internal bool `json:"internal,omitempty"`

	// Import are documents of another cluster, taken over as they are.
	Import []Imported `json:"import,omitempty"`
	// Keys are idempotency keys of the other cluster, at KeysAt by the clock that
	// they age by there.
	Keys   []frame.Once `json:"keys,omitempty"`
	KeysAt time.Time    `json:"keysAt,omitzero"`
	// Cursor is kept together with the Import and the Keys, or alone.
	Cursor *Cursor `json:"cursor,omitempty"`
	// PassFence lets the Import through a fence: it is the stream back from the
	// side that has taken over.
	PassFence bool `json:"passFence,omitempty"`

	// Fence puts up or takes down the fence.
	Fence *Fence `json:"fence,omitempty"`
	// Tick deletes what has expired and collects old tombstones, a bounded
	// number of each.
	Tick bool `json:"tick,omitempty"`
	// NewEpoch makes all earlier positions invalid: a backup was restored.
	NewEpoch bool `json:"newEpoch,omitempty"`
}

// Size is about how many bytes p takes.
func (p Proposal) Size() int {
	total := 100 * len(p.Keys)
	for _, w := range p.Writes {
		total += len(w.Link) + len(w.Body)
	}
	for n := range p.Import {
		total += size(&p.Import[n].Record)
	}
	return total
}

// size is about how many bytes r takes.
func size(r *kit.Record) int {
	n := 200 + len(r.Link) + len(r.Body)
	for _, op := range r.Pending {
		n += 100 + len(op.ID) + len(op.Link) + len(op.Data)
	}
	return n
}

// MethodAck is the internal method that takes an operation out of a
// document's Pending. Its arguments are an Ack.
const MethodAck kit.Verb = "~ack"

// Ack are the arguments of MethodAck. With an Event other than "" the
// document goes through that event, with Data, in the same change. An
// operation that is not pending any more changes nothing.
type Ack struct {
	ID    string          `json:"id"`
	Event string          `json:"event,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
}

// Result is what became of a proposal.
type Result struct {
	// Records are the documents after the proposal: one for each write, or those
	// of an import that were applied.
	Records []kit.Record
	// Err is why the proposal was refused. It then has changed nothing.
	Err error
}

// Imported is a document of another cluster, or its tombstone. The version,
// the times, the source and the pending operations of the record are kept;
// only a tombstone's Updated is stamped anew.
type Imported struct {
	Record kit.Record
	Origin frame.Origin
	// Again takes it over whatever the position of the one that is there: that
	// has turned out not to be what the stream has.
	Again bool
	// Valid tells that the link is known to be one, and the body to be JSON.
	Valid bool

	ready *ready // nil unless it was prepared
}

// Cursor is how far a named stream has been taken. One without a position is
// forgotten.
type Cursor struct {
	Name     string `json:"name"`
	Position string `json:"position,omitempty"`
	// Data is whatever else the stream has to find again.
	Data json.RawMessage `json:"data,omitempty"`
	// Source says what the stream has brought, if watches of where it comes from
	// can go on here.
	Source *Source `json:"source,omitempty"`
}

// Fence says whether clients may write, or read. An epoch lower than that of the fence
// before is refused with ErrConflict: its orchestrator is not in charge.
type Fence struct {
	Epoch int64 `json:"epoch"`
	On    bool  `json:"on"`
	// Closed, with On, says that clients may not read either: what they would
	// read is old, for another side has taken over.
	Closed bool `json:"closed,omitempty"`
	// Lifted counts how often the fence went down. A Store sets it.
	Lifted int64 `json:"lifted,omitempty"`
}

type importedJSON struct {
	Record  kit.Record   `json:"record"`
	Seq     int64        `json:"seq,omitempty"`
	Deleted bool         `json:"deleted,omitempty"`
	Origin  frame.Origin `json:"origin"`
	Again   bool         `json:"again,omitempty"`
}

// MarshalJSON keeps what a Record's own JSON does not have: that it is a
// tombstone.
func (i Imported) MarshalJSON() ([]byte, error) {
	return json.Marshal(importedJSON{i.Record, i.Record.Seq, i.Record.Deleted, i.Origin, i.Again})
}

// UnmarshalJSON reads what MarshalJSON has written.
func (i *Imported) UnmarshalJSON(b []byte) error {
	var j importedJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	i.Record, i.Origin, i.Again = j.Record, j.Origin, j.Again
	i.Record.Seq, i.Record.Deleted = j.Seq, j.Deleted
	if j.Deleted {
		i.Record.Body = nil
	}
	return nil
}
