package migrate

import (
	"bufio"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate/keys"
	"landfall.dev/kit/migrate/lines"
	"landfall.dev/kit/migrate/packed"
	"landfall.dev/kit/migrate/transform"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/frame"
)

// The forms of an export.
const (
	typeFrames = "application/vnd.landfall.frames"
	typeLines  = "application/x-ndjson"
)

// The formats that an export is written in. A reader asks for the highest that
// it knows, and takes that and all lower ones.
const (
	formatUnsaid  = 0 // like formatOpen, by binaries that did not write it
	formatOpen    = 1 // documents in frames of type 2: who does not ask gets that
	formatEncoded = 2 // documents in frames of type 4, as stores keep them
	exportFormat  = formatEncoded
)

// exportHead is the first frame of an export.
type exportHead struct {
	Of       string           `json:"of"`       // "export"
	Format   int              `json:"format"`   // see exportFormat
	Position string           `json:"position"` // where the export ends
	Fenced   bool             `json:"fenced"`
	Schemas  map[string]int   `json:"schemas"`
	Counts   map[string]int64 `json:"counts"`
	// Blobs tells that the source has blobs.
	Blobs bool `json:"blobs,omitempty"`
	// Keep is on the way back, by kind, what documents have lost.
	Keep map[string]transform.Keep `json:"keep,omitempty"`
	// Age is the time by the clock that idempotency keys age by, if these are
	// asked for.
	Age time.Time `json:"age,omitzero"`
}

// exportFailure is a frame in the place of a document that could not be
// transformed downwards.
type exportFailure struct {
	Of      string  `json:"of"` // "failure"
	Failure Failure `json:"failure"`
}

// exportEnd is the last frame of an export.
type exportEnd struct {
	Of        string `json:"of"`       // "end"
	Position  string `json:"position"` // the one reached: the next export is after it
	Documents int64  `json:"documents"`
}

const (
	ofExport  = "export"
	ofFailure = "failure"
	ofEnd     = "end"
)

// exportRequest is what an export is asked for.
type exportRequest struct {
	after kit.Position
	began kit.Position // see store.Snapshot.Frames
	limit int64        // 0: none
	form  int          // see exportFormat
	final bool
	links []kit.Link // if any, only these
	keys  keys.From
	to    *downwards // nil but on the way back
}

func (s *service) parseExport(q url.Values) (exportRequest, error) {
	var e exportRequest
	var err error
	if e.after, err = parsePosition(q, "after"); err != nil {
		return e, err
	}
	if e.began, err = parsePosition(q, "began"); err != nil {
		return e, err
	}
	if q.Has("limit") {
		e.limit, err = strconv.ParseInt(q.Get("limit"), 10, 64)
		if err != nil || e.limit < 1 {
			return e, kit.Errorf(kit.ErrInvalid, "", "limit=%q: it is a number from 1 on", q.Get("limit"))
		}
	}
	e.form = formatOpen
	if q.Has("format") {
		n, err := strconv.Atoi(q.Get("format"))
		if err != nil || n < formatOpen {
			return e, kit.Errorf(kit.ErrInvalid, "", "format=%q: it is a number from %d on", q.Get("format"), formatOpen)
		}
		e.form = min(n, exportFormat)
	}
	e.final = q.Get("final") == "1"
	if e.keys, err = keys.Parse(q); err != nil {
		return e, err
	}
	for _, l := range q["link"] {
		if err := kit.Link(l).Check(); err != nil {
			return e, err
		}
		e.links = append(e.links, kit.Link(l))
	}
	if q.Has("schemas") {
		e.to, err = s.downwards(q.Get("schemas"))
	}
	return e, err
}

func (s *service) serveExport(w http.ResponseWriter, r *http.Request) error {
	e, err := s.parseExport(r.URL.Query())
	if err != nil {
		return err
	}
	if err := s.lead(r.Context()); err != nil {
		return err
	}
	_, fenced := s.store.Fenced()
	if e.final && !fenced {
		return &kit.Error{
			Fault:  kit.ErrConflict,
			Detail: "a final export needs a fence: this cluster still takes writes",
			Hint:   "POST /migrate/fence first",
		}
	}
	snapshot := s.store.Snapshot()
	pieces, err := snapshot.Pieces(e.after, e.began)
	if err != nil {
		return err
	}
	if e.links != nil {
		pieces = s.only(e.links)
	}
	head := exportHead{Of: ofExport, Format: e.form, Position: snapshot.Position().String(), Fenced: fenced}
	head.Schemas, head.Counts = s.exported()
	if e.keys.Asked {
		head.Age = snapshot.Age()
	}
	head.Blobs = s.blobs != nil && s.blobs.Used() > 0
	if e.to != nil {
		e.to.narrow(&head)
	}
	return e.serve(w, r, head, pieces, snapshot)
}

// serve answers r with the frames.
func (e exportRequest) serve(w http.ResponseWriter, r *http.Request, head exportHead, pieces iter.Seq[frame.Piece], of *store.Snapshot) error {
	body, end, err := packed.Writer(w, r)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(body, 256<<10)
	var to sink = frameSink{frame.NewWriter(out), e.form}
	w.Header().Set("Content-Type", typeFrames)
	if strings.Contains(r.Header.Get("Accept"), typeLines) {
		to = lineSink{lines.Writer{W: out}}
		w.Header().Set("Content-Type", typeLines)
	}
	w.Header().Set("Cache-Control", "no-store")
	// From here on an error can only be told by leaving out the end.
	if err := e.write(to, head, pieces, of); err == nil && out.Flush() == nil {
		_ = end()
	}
	return nil
}

// only yields the documents at the links.
func (s *service) only(links []kit.Link) iter.Seq[frame.Piece] {
	return func(yield func(frame.Piece) bool) {
		for _, l := range links {
			f, ok := s.store.Find(l)
			if !ok || f.Record.Deleted {
				continue
			}
			if p, err := frame.NewPiece(f); err == nil && !yield(p) {
				return
			}
		}
	}
}

// write writes the documents of the kinds that head tells of, and the keys of
// writes to them.
func (e exportRequest) write(to sink, head exportHead, pieces iter.Seq[frame.Piece], of *store.Snapshot) error {
	if err := to.head(head); err != nil {
		return err
	}
	end := exportEnd{Of: ofEnd, Position: head.Position}
	at, err := kit.ParsePosition(head.Position)
	if err != nil {
		return err
	}
	var last int64
	for p := range pieces {
		if head.Schemas[string(p.Kind())] == 0 {
			continue
		}
		if e.limit > 0 && end.Documents >= e.limit && int64(p.Seq) > last {
			end.Position = kit.Position{Epoch: at.Epoch, Seq: last}.String()
			break
		}
		if err := e.document(to, p); err != nil {
			return err
		}
		last = int64(p.Seq)
		end.Documents++
	}
	for o := range e.keys.Of(of, head.Schemas) {
		if err := to.key(o); err != nil {
			return err
		}
	}
	return to.end(end)
}

// document writes one document.
func (e exportRequest) document(to sink, p frame.Piece) error {
	if e.to == nil {
		return to.document(p)
	}
	f := p.Frame()
	own := f.Record
	if err := e.to.transform(&f); err != nil {
		var bad *transform.FieldError
		if !errors.As(err, &bad) {
			return err
		}
		return to.failure(exportFailure{ofFailure, failure(own.Link, bad.Field, bad.Err.Error()).of(own)})
	}
	p, err := frame.NewPiece(f)
	if err != nil {
		return err
	}
	return to.document(p)
}

// sink is where an export goes.
type sink interface {
	head(exportHead) error
	document(frame.Piece) error
	failure(exportFailure) error
	key(frame.Once) error
	end(exportEnd) error
}

type frameSink struct {
	w    *frame.Writer
	form int
}

func (s frameSink) head(h exportHead) error       { return s.json(h) }
func (s frameSink) failure(f exportFailure) error { return s.json(f) }

func (s frameSink) document(p frame.Piece) error {
	if s.form < formatEncoded {
		return s.w.Write(p.Frame())
	}
	return s.w.WriteRaw(p.Type, p.Raw)
}

func (s frameSink) key(o frame.Once) error { return s.w.WriteRaw(frame.TypeOnce, o.Append(nil)) }

func (s frameSink) end(e exportEnd) error {
	if err := s.json(e); err != nil {
		return err
	}
	return s.w.Close()
}

func (s frameSink) json(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.w.Write(frame.Frame{Head: raw})
}

// lineSink writes for people and scripts: the head and the keys are left out.
type lineSink struct{ lines.Writer }

func (s lineSink) head(exportHead) error         { return nil }
func (s lineSink) failure(f exportFailure) error { return s.Line(f) }
func (s lineSink) key(frame.Once) error          { return nil }
func (s lineSink) end(e exportEnd) error         { return s.Line(e) }
func (s lineSink) document(p frame.Piece) error  { return s.Document(p) }
