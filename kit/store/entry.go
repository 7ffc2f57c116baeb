package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"time"

	"landfall.dev/kit"
)

// wireHead is the first frame of an entry and of a snapshot. Of an entry the
// maps have only what it changes; a cursor without a position is forgotten.
type wireHead struct {
	Of        string            `json:"of"`      // "entry" or "snapshot"
	Entries   int64             `json:"entries"` // applied, this one included
	Epoch     int64             `json:"epoch"`
	Seq       int64             `json:"seq"`
	Time      time.Time         `json:"time"`
	Fence     Fence             `json:"fence"`
	Counters  map[string]int64  `json:"counters,omitempty"`
	Floors    map[string]int64  `json:"floors,omitempty"`
	Cursors   map[string]Cursor `json:"cursors,omitempty"`
	Collected []kit.Link        `json:"collected,omitempty"` // tombstones that go
}

const (
	ofEntry    = "entry"
	ofSnapshot = "snapshot"
)

// encode returns the entry that carries out the plan.
func (p *plan) encode() ([]byte, error) {
	h := p.head
	raw, err := json.Marshal(wireHead{
		Of: ofEntry, Entries: h.entries + 1, Epoch: h.epoch, Seq: h.seq, Time: h.time, Fence: h.fence,
		Counters: p.counters, Cursors: p.cursors, Collected: p.collected,
	})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := NewFrameWriter(&b)
	if err := w.Write(Frame{Head: raw}); err != nil {
		return nil, err
	}
	for _, payload := range p.changes {
		if err := w.writeFrame(payload); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return b.Bytes(), err
}

// Apply carries out an entry, on every node in log order. It is ErrConflict,
// the same on every node and with nothing changed, if the entry was decided on
// another state; and ErrInvalid if it is damaged or of a newer format.
func (s *Store) Apply(entry []byte) error {
	r := NewFrameReader(bytes.NewReader(entry))
	h, err := readHead(r, ofEntry)
	if err != nil {
		return applying(err)
	}
	var docs []*doc
	err = readDocuments(r, func(d *doc) { docs = append(docs, d) })
	if err != nil {
		return applying(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.Entries != s.state.entries+1 {
		return kit.Errorf(kit.ErrConflict, "", "entry %d cannot follow entry %d: it was decided on another state", h.Entries, s.state.entries)
	}
	for _, d := range docs {
		s.count(s.state.put(d), d)
	}
	s.state.collect(h.Collected)
	s.state.advance(h)
	s.tell()
	return nil
}

func applying(err error) error { return &kit.Error{Op: "apply", Fault: kit.FaultOf(err), Err: err} }

// collect forgets tombstones.
func (s *state) collect(links []kit.Link) {
	if len(links) == 0 {
		return
	}
	s.floors = cloneMap(s.floors)
	for _, l := range links {
		if d, ok := s.dead.Get(linkKey(l)); ok {
			s.drop(d, nil)
			s.floors[d.rec.Kind] = max(s.floors[d.rec.Kind], d.rec.Seq)
		}
	}
}

// advance makes the head what it is after an entry.
func (s *state) advance(h wireHead) {
	s.entries, s.epoch, s.seq, s.time, s.fence = h.Entries, h.Epoch, h.Seq, h.Time, h.Fence
	if len(h.Counters) > 0 {
		s.counters = cloneMap(s.counters)
		maps.Copy(s.counters, h.Counters)
	}
	if len(h.Cursors) == 0 {
		return
	}
	s.cursors = cloneMap(s.cursors)
	for name, c := range h.Cursors {
		if c.Position == "" {
			delete(s.cursors, name)
		} else {
			s.cursors[name] = c
		}
	}
}

// cloneMap returns a copy of m that is not nil.
func cloneMap[V any](m map[string]V) map[string]V {
	c := make(map[string]V, len(m)+1)
	maps.Copy(c, m)
	return c
}

// readHead reads the first frame, which is that of an entry or of a snapshot.
func readHead(r *FrameReader, of string) (wireHead, error) {
	f, err := r.Read()
	if errors.Is(err, io.EOF) || err == nil && f.Head == nil {
		return wireHead{}, r.damaged("the stream has no head")
	}
	if err != nil {
		return wireHead{}, err
	}
	var kind struct {
		Of string `json:"of"`
	}
	if err := json.Unmarshal(f.Head, &kind); err != nil {
		return wireHead{}, r.damaged("its head: " + err.Error())
	}
	if kind.Of != of {
		return wireHead{}, r.damaged("it begins no " + of + " but one of: " + kind.Of)
	}
	var h wireHead
	d := json.NewDecoder(bytes.NewReader(f.Head))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return wireHead{}, r.newer("the head of the " + of + " is not understood, " + err.Error())
	}
	return h, nil
}

// readDocuments yields the documents up to the stream's end.
func readDocuments(r *FrameReader, yield func(*doc)) error {
	for {
		f, err := r.Read()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case f.Head != nil:
			return r.damaged("a second head")
		}
		f.Record.Body = bytes.Clone(f.Record.Body)
		yield(newDoc(f.Record, f.Origin))
	}
}
