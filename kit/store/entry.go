package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// wireHead is the first frame of an entry and of a snapshot. Of an entry the
// maps have only what it changes; a cursor without a position is forgotten.
type wireHead struct {
	Of        string            `json:"of"`      // "entry" or "snapshot"
	Entries   int64             `json:"entries"` // applied, this one included
	Epoch     int64             `json:"epoch"`
	Seq       int64             `json:"seq"`
	Time      time.Time         `json:"time"`
	Lag       time.Duration     `json:"lag,omitempty"` // see head; formerly there was none
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
		Of: ofEntry, Entries: h.entries + 1, Epoch: h.epoch, Seq: h.seq, Time: h.time, Lag: h.lag, Fence: h.fence,
		Counters: p.counters, Cursors: p.cursors, Collected: p.collected,
	})
	if err != nil {
		return nil, err
	}
	w := frame.NewBuffer(p.size + len(raw) + 16*(len(p.changes)+4))
	if err := w.Write(frame.Frame{Head: raw}); err != nil {
		return nil, err
	}
	for _, c := range p.changes {
		if err := w.WriteRaw(c.Type, c.Raw); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return w.Bytes(), err
}

// Apply carries out an entry, on every node in log order. It is ErrConflict,
// the same on every node and with nothing changed, if the entry was decided on
// another state; and ErrInvalid if it is damaged or of a newer format.
func (s *Store) Apply(entry []byte) error {
	r := frame.NewBytesReader(entry)
	h, err := readHead(r, ofEntry)
	if err != nil {
		return applying(err)
	}
	var pieces []*frame.Piece
	if own := s.decided; own != nil && bytes.Equal(own.entry, entry) {
		pieces = own.changes
	} else if pieces, err = readPieces(r, len(entry)); err != nil {
		return applying(err)
	}
	s.decided = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.Entries != s.head.entries+1 {
		return kit.Errorf(kit.ErrConflict, "", "entry %d cannot follow entry %d: it was decided on another state", h.Entries, s.head.entries)
	}
	if err := inOrder(pieces, s.head.seq, h.Seq); err != nil {
		return applying(err)
	}
	s.head = s.head.after(h)
	s.engine.Apply(s.head.log(), pieces, h.Collected)
	s.tell()
	return nil
}

// decided is an entry as its plan has it.
type decided struct {
	entry   []byte
	changes []*frame.Piece // what the entry has after the head
}

// pieceBytes is about how many bytes of an entry a small document takes.
const pieceBytes = 256

// readPieces returns what an entry of the size has after the head.
func readPieces(r *frame.Reader, size int) ([]*frame.Piece, error) {
	pieces := make([]*frame.Piece, 0, size/pieceBytes)
	var block []frame.Piece
	err := r.Pieces(func(p frame.Piece) error {
		if p.Type == frame.TypePast {
			return r.Damaged("an entry has no earlier versions")
		}
		if len(block) == 0 {
			block = make([]frame.Piece, min(64, 1+size/pieceBytes))
		}
		block[0] = p
		pieces, block = append(pieces, &block[0]), block[1:]
		return nil
	})
	return pieces, err
}

func applying(err error) error { return &kit.Error{Op: "apply", Fault: kit.FaultOf(err), Err: err} }

// inOrder returns an ErrInvalid error unless the documents follow each other
// and the seq after in the log, up to the seq to.
func inOrder(pieces []*frame.Piece, after, to int64) error {
	for _, p := range pieces {
		if p.Type == frame.TypeOnce {
			continue
		}
		if int64(p.Seq) <= after || int64(p.Seq) > to {
			return kit.Errorf(kit.ErrInvalid, kit.Link(frame.Text(p.Link)), "the entry is damaged: position %d cannot be between %d and %d", p.Seq, after, to)
		}
		after = int64(p.Seq)
	}
	return nil
}

// readHead reads the first frame, which is that of an entry or of a snapshot.
func readHead(r *frame.Reader, of string) (h wireHead, err error) {
	if err := r.Head(of, &h); err != nil {
		return wireHead{}, err
	}
	if h.Seq < 0 || h.Seq > frame.MaxSeq {
		return wireHead{}, r.Damaged(fmt.Sprintf("its head has the position %d", h.Seq))
	}
	if h.Lag < 0 {
		return wireHead{}, r.Damaged(fmt.Sprintf("its head has the lag %d", h.Lag))
	}
	return h, nil
}
