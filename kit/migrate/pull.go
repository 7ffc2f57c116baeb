package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// PullRequest asks a cluster to pull.
type PullRequest struct {
	// Source is the URL of a node of the source, Token its cluster's token.
	Source string `json:"source"`
	Token  string `json:"token"`
	// Final makes sure that the source is fenced.
	Final bool `json:"final,omitempty"`
}

// Pulled is what a cycle came to.
type Pulled struct {
	// Documents and Deletions are those that this cluster did not have yet.
	Documents int64 `json:"documents"`
	Deletions int64 `json:"deletions"`
	// Bytes were read from the source, in Seconds for the whole cycle.
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	// Position is how far the source was taken.
	Position string `json:"position"`
	// Left is how many documents changed at the source meanwhile.
	Left int64 `json:"left"`
	// Quarantined is how many documents cannot be transformed, Failed the first
	// hundred of them.
	Quarantined int       `json:"quarantined"`
	Failed      []Failure `json:"failed,omitempty"`
}

const (
	// maxQuarantine ends a cycle: so many failures are one of the
	// transformations, not of the documents.
	maxQuarantine = 1000
	// maxFailed bounds Pulled.Failed.
	maxFailed = 100
	// retryAtOnce is how many documents of the quarantine are asked for at once.
	retryAtOnce = 100
)

func (s *service) servePull(w http.ResponseWriter, r *http.Request) error {
	var req PullRequest
	if err := decode(r, &req); err != nil {
		return err
	}
	u, err := url.Parse(req.Source)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return kit.Errorf(kit.ErrInvalid, "", "source %q: it is a URL like http://127.0.0.1:7700", req.Source)
	}
	select {
	case s.pulling <- struct{}{}: // one pull at a time: the others wait
		defer func() { <-s.pulling }()
	case <-r.Context().Done():
		return context.Cause(r.Context())
	}
	if err := s.lead(r.Context()); err != nil {
		return err
	}
	if _, on := s.store.Fenced(); !on {
		return &kit.Error{
			Fault:  kit.ErrConflict,
			Detail: "this cluster takes writes; a pull would make it a copy of its source",
			Hint:   "POST /migrate/fence first",
		}
	}
	c := &cycle{service: s, source: &Client{URLs: []string{req.Source}, Token: req.Token}, final: req.Final, start: time.Now()}
	result, err := c.run(r.Context())
	if err != nil {
		return err
	}
	return answer(w, result)
}

// cycle is one pull. While it copies, convert belongs to the goroutine that
// transforms, and all else to the one that imports.
type cycle struct {
	*service
	source *Client
	final  bool
	start  time.Time

	after      kit.Position // what is here of the source
	kept       progress     // without the quarantine
	quarantine map[kit.Link]Failure
	unsaved    bool // kept or quarantine differ from what the cursor has
	convert    *converter
	result     Pulled
}

func (c *cycle) run(ctx context.Context) (Pulled, error) {
	if err := c.load(); err != nil {
		return Pulled{}, err
	}
	waiting := slices.Sorted(maps.Keys(c.quarantine))
	err := c.copy(ctx)
	if errors.Is(err, kit.ErrGone) && c.after != (kit.Position{}) {
		c.after, waiting = kit.Position{}, nil
		err = c.copy(ctx)
	}
	if err != nil {
		return Pulled{}, err
	}
	if err := c.retry(ctx, waiting); err != nil {
		return Pulled{}, err
	}
	if err := c.sweep(ctx); err != nil {
		return Pulled{}, err
	}
	c.result.Position = c.after.String()
	if c.result.Left, err = c.source.Left(ctx, c.result.Position); err != nil {
		return Pulled{}, c.atSource(err)
	}
	for _, l := range slices.Sorted(maps.Keys(c.quarantine)) {
		if c.result.Quarantined++; c.result.Quarantined <= maxFailed {
			c.result.Failed = append(c.result.Failed, c.quarantine[l])
		}
	}
	c.result.Seconds = time.Since(c.start).Seconds()
	return c.result, nil
}

// load takes up where the last pull ended.
func (c *cycle) load() error {
	kept, at, err := c.progress()
	if err != nil {
		return err
	}
	if at != "" {
		if c.after, err = kit.ParsePosition(at); err != nil {
			return err
		}
	}
	c.quarantine = map[kit.Link]Failure{}
	for _, f := range kept.Quarantine {
		c.quarantine[f.Link] = f
	}
	kept.Quarantine = nil
	c.kept = kept
	return nil
}

// copy takes over what changed at the source after the cursor. It reads and
// transforms the next batches while one is imported.
func (c *cycle) copy(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	x, err := c.open(ctx, c.query())
	if err != nil {
		return err
	}
	defer x.close()
	if err := c.begin(x.head); err != nil {
		return err
	}
	read, transformed := make(chan *batch, 1), make(chan *batch, 1)
	g.Go(func() error {
		defer close(read)
		for {
			b := x.batch()
			if !send(ctx, read, b) || b.last || b.err != nil {
				return nil
			}
		}
	})
	g.Go(func() error {
		defer close(transformed)
		for b := range read {
			c.convert.batch(b)
			if !send(ctx, transformed, b) {
				return nil
			}
		}
		return nil
	})
	g.Go(func() error {
		for b := range transformed {
			if err := c.take(ctx, b); err != nil {
				return err
			}
		}
		return context.Cause(ctx)
	})
	err = g.Wait()
	c.result.Bytes += x.bytes.n
	return err
}

// take imports a batch. What came before an error is imported, too: so each
// pull gets further than the one before.
func (c *cycle) take(ctx context.Context, b *batch) error {
	if b.err != nil {
		return b.err
	}
	return c.commit(ctx, b.out, b.failed, b.reached)
}

// send sends b and returns true, unless ctx ends first.
func send(ctx context.Context, to chan<- *batch, b *batch) bool {
	select {
	case to <- b:
		return true
	case <-ctx.Done():
		return false
	}
}

// query asks for all that changed after the cursor.
func (c *cycle) query() url.Values {
	q := url.Values{}
	if c.after != (kit.Position{}) {
		q.Set("after", c.after.String())
		if c.kept.Filling {
			q.Set("began", c.kept.Began)
		}
	}
	if c.final {
		q.Set("final", "1")
	}
	return q
}

// begin checks, before anything is copied, that all can be, and prepares the
// transformations.
func (c *cycle) begin(h exportHead) error {
	at, err := kit.ParsePosition(h.Position)
	if err != nil {
		return c.atSource(err)
	}
	if c.after == (kit.Position{}) {
		c.kept = progress{Generation: c.kept.Generation + 1, Filling: true, Began: h.Position}
		c.quarantine = map[kit.Link]Failure{}
		c.unsaved = true
	}
	stream := fmt.Sprintf("%d.%d", at.Epoch, c.kept.Generation)
	c.convert = &converter{kinds: c.kinds, stream: stream, schemas: h.Schemas, byKind: map[kindSchema]Transformer{}}
	return c.convert.check(h.Counts)
}

// commit imports documents, in the same entry as the cursor. What the store
// refuses goes into quarantine.
func (c *cycle) commit(ctx context.Context, docs []store.Imported, failed []Failure, reached kit.Position) error {
	if err := c.isolate(failed...); err != nil {
		return err
	}
	for _, d := range docs {
		c.release(d.Record.Link)
	}
	for {
		if len(docs) == 0 && reached == c.after && !c.unsaved {
			return nil
		}
		cursor, err := c.cursor(reached)
		if err != nil {
			return err
		}
		refused, err := c.write(ctx, docs, cursor)
		if err != nil {
			return err
		}
		if refused < 0 {
			c.after, c.unsaved = reached, false
			return nil
		}
		if refused > 0 {
			if _, err := c.write(ctx, docs[:refused], nil); err != nil {
				return err
			}
		}
		docs = docs[refused+1:]
	}
}

// write imports the documents, or returns the place of the first one that does
// not fit its kind and is in quarantine now. Refused is -1 otherwise.
func (c *cycle) write(ctx context.Context, docs []store.Imported, cursor *store.Cursor) (refused int, err error) {
	records, err := c.node.Write(ctx, store.Proposal{Import: docs, Cursor: cursor, PassFence: true})
	for _, r := range records {
		if r.Deleted {
			c.result.Deletions++
		} else {
			c.result.Documents++
		}
	}
	var e *kit.Error
	if err == nil || !errors.As(err, &e) || e.Link == "" || e.Fault != kit.ErrInvalid && e.Fault != kit.ErrTooLarge {
		return -1, err
	}
	i := slices.IndexFunc(docs, func(d store.Imported) bool { return d.Record.Link == e.Link })
	if i < 0 {
		return -1, err
	}
	return i, c.isolate(failure(e.Link, "", e.Detail))
}

// isolate puts documents into quarantine.
func (c *cycle) isolate(failed ...Failure) error {
	for _, f := range failed {
		if c.quarantine[f.Link] != f {
			c.quarantine[f.Link] = f
			c.unsaved = true
		}
	}
	if len(c.quarantine) <= maxQuarantine {
		return nil
	}
	first := c.quarantine[slices.Min(slices.Collect(maps.Keys(c.quarantine)))]
	return &kit.Error{
		Fault: kit.ErrInvalid, Link: first.Link,
		Detail: fmt.Sprintf("more than %d documents cannot be transformed; of this one, %s", maxQuarantine, first.reason()),
		Hint:   "correct the transformations of its kind",
	}
}

// release takes a document out of quarantine.
func (c *cycle) release(l kit.Link) {
	if _, ok := c.quarantine[l]; ok {
		delete(c.quarantine, l)
		c.unsaved = true
	}
}

// cursor returns what is kept for the next pull.
func (c *cycle) cursor(at kit.Position) (*store.Cursor, error) {
	p := c.kept
	for _, l := range slices.Sorted(maps.Keys(c.quarantine)) {
		p.Quarantine = append(p.Quarantine, c.quarantine[l])
	}
	return p.cursor(at)
}

// retry takes documents once more that could not be transformed before: this
// binary may know better.
func (c *cycle) retry(ctx context.Context, links []kit.Link) error {
	links = slices.DeleteFunc(links, func(l kit.Link) bool { _, waits := c.quarantine[l]; return !waits })
	for chunk := range slices.Chunk(links, retryAtOnce) {
		q := url.Values{}
		for _, l := range chunk {
			q.Add("link", string(l))
		}
		if err := c.takeAgain(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

func (c *cycle) takeAgain(ctx context.Context, q url.Values) error {
	x, err := c.open(ctx, q)
	if err != nil {
		return err
	}
	defer x.close()
	for {
		b := x.batch()
		c.convert.batch(b)
		b.reached = c.after
		if err := c.take(ctx, b); err != nil {
			return err
		}
		if b.last {
			c.result.Bytes += x.bytes.n
			return nil
		}
	}
}

// sweep deletes, once everything was taken from the beginning, what did not
// come with it: documents that the source does not have.
func (c *cycle) sweep(ctx context.Context) error {
	if !c.kept.Filling {
		return nil
	}
	frames, err := c.store.Snapshot().Frames(kit.Position{}, kit.Position{})
	if err != nil {
		return err
	}
	exported, _ := c.exported()
	var gone []store.Imported
	for f := range frames {
		r := f.Record
		_, waits := c.quarantine[r.Link]
		if r.Deleted || waits || exported[r.Kind] == 0 || f.Origin.Stream == c.convert.stream {
			continue
		}
		r.Version, r.Deleted, r.Body, r.Pending = r.Version+1, true, nil, nil
		gone = append(gone, store.Imported{Record: r, Origin: c.convert.origin(c.after.Seq)})
	}
	for chunk := range slices.Chunk(gone, maxDocuments) {
		if err := c.commit(ctx, chunk, nil, c.after); err != nil {
			return err
		}
	}
	c.kept.Filling, c.kept.Began, c.unsaved = false, "", true
	return c.commit(ctx, nil, nil, c.after)
}

// open asks the source for an export.
func (c *cycle) open(ctx context.Context, q url.Values) (*incoming, error) {
	res, err := c.source.open(ctx, http.MethodGet, strings.TrimSuffix(exportPath+"?"+q.Encode(), "?"), nil)
	if err != nil {
		return nil, c.atSource(err)
	}
	x, err := newIncoming(res.Body, c.atSource)
	if err != nil {
		res.Body.Close()
	}
	return x, err
}

// atSource says that err came about at or on the way from the source, not
// here: a wrong token there is not one of this request.
func (c *cycle) atSource(err error) error {
	fault := kit.FaultOf(err)
	switch fault {
	case kit.ErrUnauthenticated, kit.ErrForbidden:
		return kit.Errorf(kit.ErrInvalid, "", "the source %s refuses the token of the request", c.source.URLs[0])
	case kit.ErrInternal:
		fault = kit.ErrUnavailable
	}
	detail := "the source " + c.source.URLs[0]
	var e *kit.Error
	if errors.As(err, &e) && e.Detail != "" {
		detail += ": " + e.Detail
	}
	return &kit.Error{Fault: fault, Detail: detail, Err: err}
}
