package lines

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate/pace"
	"landfall.dev/site/upgrade"
)

const (
	// A batch has so many lines, or so many bytes, at most; a line alone may have
	// more of them.
	batchLines = 1000
	batchBytes = 1 << 20
	// maxLine is the longest line, in bytes.
	maxLine = 16 << 20
	// maxFailed ends a cycle: so many refusals are a mistake of the program, not
	// of the documents.
	maxFailed = 100
)

// line is what this package reads of one.
type line struct {
	Link     kit.Link     `json:"link"`
	Position string       `json:"position"`
	Deleted  bool         `json:"deleted"`
	Blobs    []kit.Digest `json:"blobs"`
	End      *string      `json:"end"` // the last line's
	text     []byte
}

// pump copies from a service to another.
type pump struct {
	from, to service
	base     string
	schema   int                 // of the lines
	at       string              // to's cursor
	stays    bool                // the cursor, because a line was refused
	there    map[kit.Digest]bool // blobs that to is known to have
	copied   upgrade.Copied
	pace     *pace.Pace
}

// errAway is why an import is refused that does not go on where the cursor is.
const errAway = "another copy has gone on there meanwhile; the next cycle begins where it has come to"

// newPump returns what copies what has changed since the cursor of to. With
// back the lines are in the schema of to, else in that of from.
func newPump(ctx context.Context, from, to service, base string, back, final bool) (*pump, error) {
	source, err := from.status(ctx)
	if err != nil {
		return nil, err
	}
	if final && !source.Fenced {
		return nil, kit.Errorf(kit.ErrConflict, "", "the last cycle needs a fence: the source still takes writes")
	}
	destination, err := to.status(ctx)
	if err != nil {
		return nil, err
	}
	if !destination.Fenced {
		return nil, kit.Errorf(kit.ErrConflict, "", "the destination takes writes: they would be mixed with the copy")
	}
	p := &pump{from: from, to: to, base: base, schema: source.Schema, there: map[kit.Digest]bool{}, pace: pace.New(0)}
	if back {
		p.schema = destination.Schema
	}
	if c := destination.Cursor; c != nil && c.Base == base {
		p.at = c.Position
		return p, nil
	}
	return p, p.begin(ctx)
}

// begin starts the copy anew.
func (p *pump) begin(ctx context.Context) error {
	p.at = p.base
	return p.to.begin(ctx, p.base)
}

// cycle copies all that has changed.
func (p *pump) cycle(ctx context.Context) (upgrade.Copied, error) {
	start := time.Now()
	end, err := p.stream(ctx)
	if errors.Is(err, kit.ErrGone) && p.at != p.base { // it does not remember all deletions since
		if err = p.begin(ctx); err == nil {
			end, err = p.stream(ctx)
		}
	}
	if err != nil {
		return upgrade.Copied{}, err
	}
	p.copied.Left, err = p.from.left(ctx, end)
	p.copied.Took = time.Since(start)
	return p.copied, err
}

// stream copies one export and returns the position of its end.
func (p *pump) stream(ctx context.Context) (end string, err error) {
	x, err := p.from.export(ctx, url.Values{"after": {p.at}, "schema": {strconv.Itoa(p.schema)}})
	if err != nil {
		return "", err
	}
	defer x.close()
	for {
		batch, err := x.batch(ctx, p.pace.Most(batchLines))
		if err == nil {
			err = p.pace.Wait(ctx, len(batch))
		}
		if err != nil {
			return "", err
		}
		reached := x.end
		if reached == "" {
			reached = batch[len(batch)-1].Position
		}
		if err := p.post(ctx, batch, reached); err != nil {
			return "", err
		}
		if x.end != "" || len(p.copied.Failed) >= maxFailed {
			p.copied.Bytes += x.bytes
			return reached, nil
		}
	}
}

// post has the destination take the lines, after their blobs, but those that it
// refuses, and then remember that the source was taken up to there.
func (p *pump) post(ctx context.Context, batch []line, reached string) error {
	batch, err := p.bring(ctx, batch)
	if err != nil || len(p.copied.Failed) >= maxFailed {
		return err
	}
	for len(batch) > 0 || !p.stays && reached != p.at {
		var body bytes.Buffer
		for _, l := range batch {
			body.Write(l.text)
			body.WriteByte('\n')
		}
		if !p.stays {
			if err := json.NewEncoder(&body).Encode(map[string]string{"end": reached}); err != nil {
				return err
			}
		}
		q := url.Values{"after": {p.at}, "schema": {strconv.Itoa(p.schema)}}
		_, err := call[status](ctx, p.to, http.MethodPost, "import", q, body.Bytes())
		var bad *refusal
		switch {
		case err == nil:
			p.count(batch)
			if !p.stays {
				p.at = reached
			}
			return nil
		case errors.Is(err, kit.ErrConflict):
			return &kit.Error{Fault: kit.ErrUnavailable, Detail: errAway, Err: err}
		case !errors.As(err, &bad):
			return err
		}
		i := slices.IndexFunc(batch, func(l line) bool { return l.Link == bad.Link })
		if i < 0 {
			return kit.Errorf(kit.ErrInvalid, bad.Link, "it was refused, but not sent: %s", bad.Detail)
		}
		batch = slices.Delete(batch, i, i+1)
		p.refuse(bad.Error())
		if len(p.copied.Failed) >= maxFailed {
			return nil
		}
	}
	return nil
}

// refuse names a line that is left out. The cursor stays before it.
func (p *pump) refuse(why string) {
	p.copied.Failed = append(p.copied.Failed, why)
	p.stays = true
}

func (p *pump) count(taken []line) {
	p.copied.Documents += int64(len(taken))
	for _, l := range taken {
		if l.Deleted {
			p.copied.Deletions++
		}
	}
}

// export is a stream of lines that is being read.
type export struct {
	host  string
	body  io.Closer
	lines *bufio.Scanner
	end   string // once its last line was read
	bytes int64
}

func (s service) export(ctx context.Context, q url.Values) (*export, error) {
	res, err := s.open(ctx, http.MethodGet, "export", q, nil)
	if err != nil {
		return nil, err
	}
	x := &export{host: res.Request.URL.Host, body: res.Body, lines: bufio.NewScanner(res.Body)}
	x.lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	return x, nil
}

func (x *export) close() { _ = x.body.Close() }

// batch returns the next lines, most of them at most, and maybe none with the
// last one.
func (x *export) batch(ctx context.Context, most int) ([]line, error) {
	var batch []line
	for size := 0; len(batch) < most && size < batchBytes; {
		if !x.lines.Scan() {
			return nil, x.stopped(ctx)
		}
		l := line{text: slices.Clone(x.lines.Bytes())}
		x.bytes += int64(len(l.text)) + 1
		err := json.Unmarshal(l.text, &l)
		switch {
		case err == nil && l.End != nil && *l.End != "":
			x.end = *l.End
			return batch, nil
		case err != nil || l.Link.Check() != nil || l.Position == "":
			const shown = 200
			return nil, kit.Errorf(kit.ErrInvalid, "", "%s exports a line without a link, like notes/7, and a position: %q", x.host, l.text[:min(shown, len(l.text))])
		}
		batch = append(batch, l)
		size += len(l.text)
	}
	return batch, nil
}

// stopped says why there is no further line.
func (x *export) stopped(ctx context.Context) error {
	err := x.lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		return kit.Errorf(kit.ErrTooLarge, "", "%s exports a line of more than %d bytes", x.host, maxLine)
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return unanswered(ctx, x.host, err)
}
