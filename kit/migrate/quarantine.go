package migrate

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate/door"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/digest"
)

// Failure is a document that could not be transformed.
type Failure struct {
	Link kit.Link `json:"link"`
	// Seq, Version and Hash are the document's at the source.
	Seq     int64  `json:"seq,omitempty"`
	Version int64  `json:"version,omitempty"`
	Hash    string `json:"hash,omitempty"`
	Field   string `json:"field,omitempty"` // empty if it is not about one field
	Error   string `json:"error"`
	// Original is the document's own fields at the source, of Size bytes. It is
	// empty where that is too much to keep.
	Original string `json:"original,omitempty"`
	Size     int    `json:"size,omitempty"`
	// Here is the place in the log of what this cluster has at the link, 0 if
	// there is nothing.
	Here int64 `json:"here,omitempty"`
	// Back tells that it is on the way back.
	Back bool `json:"back,omitempty"`
	// WaivedBy is who has given it up, WaivedAt when; empty if nobody has.
	WaivedBy string    `json:"waivedBy,omitempty"`
	WaivedAt time.Time `json:"waivedAt,omitzero"`
}

// The limits of a quarantine.
const (
	// maxQuarantine ends a cycle: so many failures are one of the
	// transformations, not of the documents.
	maxQuarantine = 1000
	maxFailure    = 300      // bytes of the text of a Failure
	maxOriginal   = 16 << 10 // bytes of one original that is kept
	maxOriginals  = 1 << 20  // bytes of all that are
)

// reason returns what is wrong, with the field.
func (f Failure) reason() string {
	if f.Field == "" {
		return f.Error
	}
	return fmt.Sprintf("field %q: %s", f.Field, f.Error)
}

// again tells whether f says no more than the failure before.
func (f Failure) again(before Failure) bool {
	return f.Seq == before.Seq && f.Version == before.Version && f.Field == before.Field && f.Error == before.Error
}

// failure returns why the document at link is not taken over.
func failure(link kit.Link, field string, reason string) Failure {
	if len(reason) > maxFailure {
		reason = strings.ToValidUTF8(reason[:maxFailure], "") + "..."
	}
	return Failure{Link: link, Field: field, Error: reason}
}

// of adds which document it is, r at the source.
func (f Failure) of(r kit.Record) Failure {
	h := digest.Hash(r)
	f.Seq, f.Version, f.Hash, f.Size = r.Seq, r.Version, hex.EncodeToString(h[:]), len(r.Body)
	if len(r.Body) <= maxOriginal {
		f.Original = string(r.Body)
	}
	return f
}

// hash returns Hash, zero if there is none.
func (f Failure) hash() (h [16]byte) {
	if b, err := hex.DecodeString(f.Hash); err == nil {
		copy(h[:], b)
	}
	return h
}

// quarantine is the documents of one way that could not be transformed.
type quarantine struct {
	way     way
	entries map[kit.Link]Failure
	size    int  // bytes of the originals
	unsaved bool // it differs from what is kept
}

// quarantine returns what is kept of the way; p is the progress there.
func (s *service) quarantine(w way, p progress) (*quarantine, error) {
	all := p.Quarantine
	if c, ok := s.store.Cursor(w.quarantine); ok {
		if err := json.Unmarshal(c.Data, &all); err != nil {
			return nil, &kit.Error{Fault: kit.ErrInternal, Op: "migrate", Err: fmt.Errorf("the quarantine: %w", err)}
		}
	}
	q := &quarantine{way: w, entries: map[kit.Link]Failure{}, unsaved: p.Quarantine != nil}
	for _, f := range all {
		q.entries[f.Link] = f
		q.size += len(f.Original)
	}
	return q, nil
}

// cursor returns q as it is kept.
func (q *quarantine) cursor() (*store.Cursor, error) {
	if len(q.entries) == 0 {
		return &store.Cursor{Name: q.way.quarantine}, nil
	}
	data, err := json.Marshal(q.list())
	if err != nil {
		return nil, &kit.Error{Op: "encode", Err: err}
	}
	return &store.Cursor{Name: q.way.quarantine, Position: "kept", Data: data}, nil
}

// list returns all, by their links.
func (q *quarantine) list() []Failure {
	all := make([]Failure, 0, len(q.entries))
	for _, l := range slices.Sorted(maps.Keys(q.entries)) {
		all = append(all, q.entries[l])
	}
	return all
}

// blocking returns those that are not waived.
func (q *quarantine) blocking() []Failure {
	return slices.DeleteFunc(q.list(), func(f Failure) bool { return f.WaivedBy != "" })
}

func (q *quarantine) has(l kit.Link) bool {
	_, ok := q.entries[l]
	return ok
}

// add isolates the document of f. One that is waived stays so.
func (q *quarantine) add(f Failure) error {
	before, ok := q.entries[f.Link]
	if ok && f.again(before) {
		return nil
	}
	q.drop(f.Link)
	f.WaivedBy, f.WaivedAt, f.Back = before.WaivedBy, before.WaivedAt, q.way.back
	if q.size += len(f.Original); q.size > maxOriginals {
		q.size -= len(f.Original)
		f.Original = ""
	}
	q.entries[f.Link], q.unsaved = f, true
	if len(q.entries) <= maxQuarantine {
		return nil
	}
	first := q.list()[0]
	return &kit.Error{
		Fault: kit.ErrInvalid, Link: first.Link,
		Detail: fmt.Sprintf("more than %d documents cannot be transformed; of this one, %s", maxQuarantine, first.reason()),
		Hint:   "correct the transformations of its kind",
	}
}

// drop takes the document out, if it is in.
func (q *quarantine) drop(l kit.Link) {
	if f, ok := q.entries[l]; ok {
		q.size -= len(f.Original)
		delete(q.entries, l)
		q.unsaved = true
	}
}

// clear empties it.
func (q *quarantine) clear() {
	for l := range q.entries {
		q.drop(l)
	}
}

// refusal is the failure of a document that does not fit its kind here.
func refusal(i store.Imported, why string) Failure {
	f := failure(i.Record.Link, "", why).of(i.Record)
	f.Seq, f.Hash = i.Origin.Seq, hex.EncodeToString(i.Origin.Hash[:])
	return f
}

// errQuarantined stops what needs all documents.
func errQuarantined(waiting []Failure) error {
	first := waiting[0]
	return &kit.Error{
		Fault: kit.ErrConflict, Link: first.Link,
		Detail: fmt.Sprintf("%d documents are in quarantine; of this one, %s", len(waiting), first.reason()),
		Hint:   "correct them at the source, or the transformations; or give them up by POST /migrate/waive",
	}
}

// save keeps the quarantine.
func (s *service) save(ctx context.Context, q *quarantine) error {
	if !q.unsaved {
		return nil
	}
	cursor, err := q.cursor()
	if err != nil {
		return err
	}
	_, err = s.node.Write(ctx, store.Proposal{Cursor: cursor, PassFence: true})
	if err == nil {
		q.unsaved = false
	}
	return err
}

// quarantines returns those of both ways.
func (s *service) quarantines() (both []*quarantine, err error) {
	for _, w := range []way{forth, wayBack} {
		p, _, err := s.progress(w)
		if err != nil {
			return nil, err
		}
		q, err := s.quarantine(w, p)
		if err != nil {
			return nil, err
		}
		both = append(both, q)
	}
	return both, nil
}

func (s *service) serveQuarantine(w http.ResponseWriter, r *http.Request) error {
	if err := s.lead(r.Context()); err != nil {
		return err
	}
	both, err := s.quarantines()
	if err != nil {
		return err
	}
	return door.Answer(w, slices.Concat(both[0].list(), both[1].list()))
}

// waiver is the body of a request that gives documents up.
type waiver struct {
	By    string     `json:"by"`
	Links []kit.Link `json:"links"`
}

// serveWaive gives documents up that are in quarantine.
func (s *service) serveWaive(w http.ResponseWriter, r *http.Request) error {
	var req waiver
	if err := door.Decode(r, &req); err != nil {
		return err
	}
	if req.By == "" || len(req.By) > maxFailure || len(req.Links) == 0 {
		return kit.Errorf(kit.ErrInvalid, "", `a waiver has the form {"by": "users/ada", "links": ["orders/7"]}`)
	}
	release, err := s.alone(r.Context())
	if err != nil {
		return err
	}
	defer release()
	both, err := s.quarantines()
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	for _, l := range req.Links {
		found := false
		for _, q := range both {
			if f, ok := q.entries[l]; ok {
				f.WaivedBy, f.WaivedAt = req.By, now
				q.entries[l], q.unsaved, found = f, true, true
			}
		}
		if !found {
			return &kit.Error{Fault: kit.ErrNotFound, Link: l, Detail: "it is not in quarantine", Hint: "GET /migrate/quarantine lists what is"}
		}
	}
	for _, q := range both {
		if err := s.save(r.Context(), q); err != nil {
			return err
		}
	}
	return door.Answer(w, slices.Concat(both[0].list(), both[1].list()))
}
