package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate/pace"
	"landfall.dev/kit/migrate/packed"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/frame"
)

// A batch is closed at so many documents, or so many bytes. The first has few
// and each one twice as many as that before: so of a small cycle parts are
// read, transformed and imported at the same time, and of a large one little is
// spent on batches.
const (
	firstDocuments = 1250
	maxDocuments   = 10_000
	maxBytes       = 4 << 20
)

// batch is what is imported at once.
type batch struct {
	frames  []frame.Raw
	keys    []frame.Once
	cause   func(error) error // names the source in an error of a frame
	reached kit.Position      // after the batch, the source is taken up to there
	last    bool
	err     error // why nothing follows

	// The converter's.
	out    []store.Imported
	failed []Failure
}

// incoming is an export that is read.
type incoming struct {
	body   *packed.Reader
	cause  func(error) error // names the source in an error
	frames *frame.Reader
	pace   *pace.Pace
	most   int // documents in the next batch
	head   exportHead
	epoch  int64
}

// newIncoming reads the head of the export that res is, whose documents it takes
// at the pace. It takes the body if there is no error.
func newIncoming(res *http.Response, at *pace.Pace, cause func(error) error) (*incoming, error) {
	body, err := packed.NewReader(res)
	if err != nil {
		return nil, cause(err)
	}
	x := &incoming{body: body, cause: cause, frames: frame.NewReader(body), pace: at, most: firstDocuments}
	if err := x.start(); err != nil {
		x.close()
		return nil, err
	}
	return x, nil
}

// start reads the head.
func (x *incoming) start() error {
	f, err := x.next()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(f.Head(), &x.head); err != nil || x.head.Of != ofExport {
		return x.cause(kit.Errorf(kit.ErrInvalid, "", "it sends no export"))
	}
	if x.head.Format > exportFormat {
		return x.cause(&kit.Error{
			Fault:  kit.ErrInvalid,
			Detail: fmt.Sprintf("it sends an export of format %d, this binary reads up to %d", x.head.Format, exportFormat),
			Hint:   "pull by a binary that is as new as the source, or newer",
		})
	}
	at, err := kit.ParsePosition(x.head.Position)
	if err != nil {
		return x.cause(err)
	}
	x.epoch = at.Epoch
	return nil
}

func (x *incoming) close() { _ = x.body.Close() }

// next returns the next frame. A stream that stops may be had again.
func (x *incoming) next() (frame.Raw, error) {
	f, err := x.frames.ReadRaw()
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		err = &kit.Error{Fault: kit.ErrUnavailable, Detail: "the export stopped before its end", Hint: "pull again", Err: err}
	}
	return f, x.cause(err)
}

// batch returns the next documents, or an error once there are none before it.
func (x *incoming) batch(ctx context.Context) *batch {
	b := &batch{frames: make([]frame.Raw, 0, x.most), cause: x.cause}
	defer b.reach(x.epoch)
	most := x.pace.Most(x.most)
	x.most = min(2*x.most, maxDocuments)
	for size, n := 0, 0; n < most && size < maxBytes; n++ {
		f, err := x.next() // which fails again after it has failed
		if err != nil && n > 0 {
			return b
		}
		if err != nil {
			b.err = err
			return b
		}
		if head := f.Head(); head != nil {
			done, err := x.said(b, head)
			if b.err = err; done || err != nil {
				return b
			}
			continue
		}
		size += len(f.Bytes)
		if f.Type != frame.TypeOnce {
			b.frames = append(b.frames, f)
			continue
		}
		o, err := f.Once()
		if err != nil {
			b.err = x.cause(err)
			return b
		}
		b.keys = append(b.keys, o)
	}
	b.err = x.pace.Wait(ctx, len(b.frames))
	return b
}

// reach sets how far the source is taken up to the last frame.
func (b *batch) reach(epoch int64) {
	if b.last || b.err != nil || len(b.frames) == 0 {
		return
	}
	f, err := b.frame(len(b.frames) - 1)
	if b.err = err; f.Record.Seq > b.reached.Seq { // what failed may be behind
		b.reached = kit.Position{Epoch: epoch, Seq: f.Record.Seq}
	}
}

// frame returns the frame with the number.
func (b *batch) frame(n int) (frame.Frame, error) {
	f, err := b.frames[n].Frame()
	if err != nil {
		err = b.cause(err)
	}
	return f, err
}

// records returns the documents at the links as they came.
func (b *batch) records(links map[kit.Link]bool) (map[kit.Link]kit.Record, error) {
	found := map[kit.Link]kit.Record{}
	for n := range b.frames {
		f, err := b.frame(n)
		if err != nil {
			return nil, err
		}
		if links[f.Record.Link] {
			found[f.Record.Link] = f.Record
		}
	}
	return found, nil
}

// said takes in what the source says between the documents: which one it could
// not transform, or that the export ends, which is done.
func (x *incoming) said(b *batch, head json.RawMessage) (done bool, err error) {
	var says exportFailure
	if err := json.Unmarshal(head, &says); err != nil || says.Of != ofFailure {
		return true, x.finish(b, head)
	}
	if err := says.Failure.Link.Check(); err != nil {
		return false, x.cause(err)
	}
	b.failed = append(b.failed, says.Failure)
	b.reached = kit.Position{Epoch: x.epoch, Seq: says.Failure.Seq}
	return false, nil
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
