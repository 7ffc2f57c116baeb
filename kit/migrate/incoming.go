package migrate

import (
	"encoding/json"
	"errors"
	"io"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/frame"
)

// A batch is closed at so many documents, or so many bytes.
const (
	maxDocuments = 2000
	maxBytes     = 1 << 20
)

// batch is what is imported at once.
type batch struct {
	frames  []frame.Frame
	reached kit.Position // after the batch, the source is taken up to there
	last    bool
	err     error // why nothing follows

	// The converter's.
	out    []store.Imported
	failed []Failure
}

// incoming is an export that is read.
type incoming struct {
	body   io.ReadCloser
	cause  func(error) error // names the source in an error
	bytes  countingReader
	frames *frame.Reader
	head   exportHead
	epoch  int64
}

// newIncoming reads the head of an export. It takes the body if there is no
// error.
func newIncoming(body io.ReadCloser, cause func(error) error) (*incoming, error) {
	x := &incoming{body: body, cause: cause, bytes: countingReader{r: body}}
	x.frames = frame.NewReader(&x.bytes)
	f, err := x.next()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(f.Head, &x.head); err != nil || x.head.Of != ofExport {
		return nil, cause(kit.Errorf(kit.ErrInvalid, "", "it sends no export"))
	}
	at, err := kit.ParsePosition(x.head.Position)
	if err != nil {
		return nil, cause(err)
	}
	x.epoch = at.Epoch
	return x, nil
}

func (x *incoming) close() { _ = x.body.Close() }

// next returns the next frame. A stream that stops may be had again.
func (x *incoming) next() (frame.Frame, error) {
	f, err := x.frames.Read()
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		err = &kit.Error{Fault: kit.ErrUnavailable, Detail: "the export stopped before its end", Hint: "pull again", Err: err}
	}
	return f, x.cause(err)
}

// batch returns the next documents, or an error: what came before it in the
// same batch is left out.
func (x *incoming) batch() *batch {
	b := &batch{}
	for size := 0; len(b.frames) < maxDocuments && size < maxBytes; {
		f, err := x.next()
		if err != nil {
			b.err = err
			return b
		}
		if f.Head != nil {
			b.err = x.finish(b, f.Head)
			return b
		}
		b.frames = append(b.frames, f)
		b.reached = kit.Position{Epoch: x.epoch, Seq: f.Record.Seq}
		size += len(f.Record.Body)
		for _, op := range f.Record.Pending {
			size += len(op.Data)
		}
	}
	return b
}

// finish reads the export's end.
func (x *incoming) finish(b *batch, head json.RawMessage) error {
	var end exportEnd
	err := json.Unmarshal(head, &end)
	if err != nil || end.Of != ofEnd {
		return x.cause(kit.Errorf(kit.ErrInvalid, "", "its export has no end"))
	}
	if b.reached, err = kit.ParsePosition(end.Position); err != nil {
		return x.cause(err)
	}
	if _, err := x.frames.Read(); err != io.EOF {
		return x.cause(kit.Errorf(kit.ErrInvalid, "", "its export goes on after the end"))
	}
	b.last = true
	return nil
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
