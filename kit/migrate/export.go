package migrate

import (
	"bufio"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// The forms of an export.
const (
	typeFrames = "application/vnd.landfall.frames"
	typeLines  = "application/x-ndjson"
)

// exportHead is the first frame of an export.
type exportHead struct {
	Of       string           `json:"of"`       // "export"
	Position string           `json:"position"` // where the export ends
	Fenced   bool             `json:"fenced"`
	Schemas  map[string]int   `json:"schemas"`
	Counts   map[string]int64 `json:"counts"`
}

// exportEnd is the last frame of an export.
type exportEnd struct {
	Of        string `json:"of"`       // "end"
	Position  string `json:"position"` // the one reached: the next export is after it
	Documents int64  `json:"documents"`
}

const (
	ofExport = "export"
	ofEnd    = "end"
)

// exportRequest is what an export is asked for.
type exportRequest struct {
	after kit.Position
	began kit.Position // see store.Snapshot.Frames
	limit int64        // 0: none
	final bool
	links []kit.Link // if any, only these
}

func parseExport(q url.Values) (exportRequest, error) {
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
	e.final = q.Get("final") == "1"
	for _, l := range q["link"] {
		if err := kit.Link(l).Check(); err != nil {
			return e, err
		}
		e.links = append(e.links, kit.Link(l))
	}
	return e, nil
}

func (s *service) serveExport(w http.ResponseWriter, r *http.Request) error {
	e, err := parseExport(r.URL.Query())
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
	frames, err := snapshot.Frames(e.after, e.began)
	if err != nil {
		return err
	}
	if e.links != nil {
		frames = s.only(e.links)
	}
	head := exportHead{Of: ofExport, Position: snapshot.Position().String(), Fenced: fenced}
	head.Schemas, head.Counts = s.exported()
	out := bufio.NewWriterSize(w, 256<<10)
	var to sink = frameSink{frame.NewWriter(out)}
	w.Header().Set("Content-Type", typeFrames)
	if strings.Contains(r.Header.Get("Accept"), typeLines) {
		to = lineSink{out}
		w.Header().Set("Content-Type", typeLines)
	}
	w.Header().Set("Cache-Control", "no-store")
	// From here on an error can only be told by leaving out the end.
	if err := e.write(to, head, frames); err == nil {
		_ = out.Flush()
	}
	return nil
}

// only yields the documents at the links.
func (s *service) only(links []kit.Link) iter.Seq[frame.Frame] {
	return func(yield func(frame.Frame) bool) {
		for _, l := range links {
			r, err := s.store.Read(l)
			if err == nil && !yield(frame.Frame{Record: r}) {
				return
			}
		}
	}
}

// write writes the frames of the kinds that head tells of.
func (e exportRequest) write(to sink, head exportHead, frames iter.Seq[frame.Frame]) error {
	if err := to.head(head); err != nil {
		return err
	}
	end := exportEnd{Of: ofEnd, Position: head.Position}
	at, err := kit.ParsePosition(head.Position)
	if err != nil {
		return err
	}
	var last int64
	for f := range frames {
		if head.Schemas[f.Record.Kind] == 0 {
			continue
		}
		if e.limit > 0 && end.Documents >= e.limit && f.Record.Seq > last {
			end.Position = kit.Position{Epoch: at.Epoch, Seq: last}.String()
			break
		}
		if err := to.document(f); err != nil {
			return err
		}
		last = f.Record.Seq
		end.Documents++
	}
	return to.end(end)
}

// sink is where an export goes.
type sink interface {
	head(exportHead) error
	document(frame.Frame) error
	end(exportEnd) error
}

type frameSink struct{ w *frame.Writer }

func (s frameSink) head(h exportHead) error      { return s.json(h) }
func (s frameSink) document(f frame.Frame) error { return s.w.Write(f) }

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

// lineSink writes for people and scripts: the head is left out.
type lineSink struct{ w io.Writer }

// tombstoneLine is the line of a deleted document.
type tombstoneLine struct {
	Link    kit.Link `json:"link"`
	Version int64    `json:"version"`
	Deleted bool     `json:"deleted"`
}

func (s lineSink) head(exportHead) error { return nil }
func (s lineSink) end(e exportEnd) error { return s.line(e) }

func (s lineSink) document(f frame.Frame) error {
	if f.Record.Deleted {
		return s.line(tombstoneLine{f.Record.Link, f.Record.Version, true})
	}
	return s.line(f.Record)
}

func (s lineSink) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = s.w.Write(append(b, '\n'))
	return err
}
