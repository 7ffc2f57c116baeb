package migrate

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate/blobs"
	"landfall.dev/kit/migrate/keys"
	"landfall.dev/kit/migrate/pace"
	"landfall.dev/kit/migrate/transform"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/frame"
)

// cycle is one pull. While it copies, convert belongs to the goroutine that
// transforms, and all else to the one that imports.
type cycle struct {
	*service
	request PullRequest
	way     way
	source  *Client
	pace    *pace.Pace
	start   time.Time

	after   kit.Position // what is here of the source
	kept    progress     // without the quarantine
	unsaved bool         // kept differs from what the cursor has
	keys    []frame.Once // to be taken over with the cursor
	age     time.Time    // at the source, by the clock of the keys
	waiting *quarantine
	convert conversion
	blobs   *blobs.Copy // nil if this cluster keeps none
	again   bool        // what comes is taken over whatever is here: see store.Imported
	result  Pulled
}

// conversion makes documents of the source into documents of this cluster.
type conversion interface {
	// check returns an error unless documents of these kinds can be taken over.
	check(counts map[string]int64) error
	// batch converts the documents of b, unless it has an error already.
	batch(b *batch)
	// origin returns where a document at seq of the source comes from.
	origin(seq int64) frame.Origin
}

// pull takes over what changed at the source since the pull before.
func (c *cycle) pull(ctx context.Context) error {
	waiting := c.waiting.list()
	err := c.takeBlobs(ctx)
	if err == nil {
		err = c.copy(ctx)
	}
	if errors.Is(err, kit.ErrGone) && c.after != (kit.Position{}) && !c.way.back {
		c.after = kit.Position{}
		err = c.copy(ctx)
	}
	if err == nil {
		err = c.retry(ctx, waiting)
	}
	if err == nil {
		err = c.sweep(ctx)
	}
	if err == nil {
		err = c.finish(ctx)
	}
	return err
}

// finish keeps the quarantine and completes the result.
func (c *cycle) finish(ctx context.Context) error {
	if err := c.save(ctx, c.waiting); err != nil {
		return err
	}
	c.result.Position = c.after.String()
	if c.after != (kit.Position{}) {
		status, err := c.source.status(ctx, c.result.Position)
		if err != nil {
			return c.atSource(err)
		}
		c.result.Left = status.Left
		if err := c.remember(ctx, status.Since); err != nil {
			return err
		}
	}
	waiting := c.waiting.blocking()
	c.result.Quarantined, c.result.Waived = len(waiting), len(c.waiting.entries)-len(waiting)
	if c.request.Final && len(waiting) > 0 {
		return errQuarantined(waiting)
	}
	c.result.Failed = waiting[:min(len(waiting), maxFailed)]
	c.result.Seconds = time.Since(c.start).Seconds()
	return nil
}

// remember keeps from where on the source has told all deletions, as it says
// after the first cycle: since then none was missed. One that does not say has
// told those after the cycle.
func (c *cycle) remember(ctx context.Context, since string) error {
	if c.way.back || c.kept.Since != "" || c.kept.Filling {
		return nil
	}
	c.kept.Since, c.unsaved = cmp.Or(since, c.result.Position), true
	return c.commit(ctx, nil, nil, c.after)
}

// load takes up where the last pull ended.
func (c *cycle) load() error {
	kept, at, err := c.progress(c.way)
	if err != nil {
		return err
	}
	if c.waiting, err = c.quarantine(c.way, kept); err != nil {
		return err
	}
	kept.Quarantine = nil
	fence := c.store.Fence()
	switch {
	case c.way.back && (kept.Base != c.request.Base || kept.Fence != fence.Epoch):
		// Another upgrade has put up the fence, or the same once more.
		kept = progress{Generation: kept.Generation + 1, Base: c.request.Base, Fence: fence.Epoch, Known: c.store.Position().Seq}
		at, c.unsaved = c.request.Base, true
		c.waiting.clear()
	case !c.way.back && at != "" && kept.Lifted != fence.Lifted:
		at = "" // this cluster was in charge: it may have what the source does not
		c.waiting.clear()
	}
	if at != "" {
		c.after, err = kit.ParsePosition(at)
	}
	c.kept = kept
	return err
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
	if err := c.differ(ctx, x.epoch); err != nil {
		return err
	}
	if err := c.begin(x.head); err != nil {
		return err
	}
	if err := c.convert.check(x.head.Counts); err != nil {
		return err
	}
	read, transformed := make(chan *batch, 1), make(chan *batch, 1)
	g.Go(func() error {
		defer close(read)
		for {
			b := x.batch(ctx)
			ends := b.last || b.err != nil
			if !send(ctx, read, b) || ends {
				return nil
			}
		}
	})
	g.Go(func() error {
		defer close(transformed)
		for b := range read {
			c.transform(ctx, b)
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
	c.result.Bytes += x.body.Came()
	return err
}

// takeBlobs takes what has come to the source's blobs since the pull before.
func (c *cycle) takeBlobs(ctx context.Context) (err error) {
	if c.blobs != nil {
		c.arrived, err = c.blobs.Arrived(ctx, c.arrived)
	}
	return err
}

// transform converts the documents of b, takes the blobs that they name, and
// says of those that fail which they are.
func (c *cycle) transform(ctx context.Context, b *batch) {
	told := len(b.failed)
	c.convert.batch(b)
	if c.blobs != nil && b.err == nil {
		var lacking []blobs.Lacking
		b.out, lacking, b.err = c.blobs.Complete(ctx, b.out)
		for _, l := range lacking {
			b.failed = append(b.failed, failure(l.Link, l.Field, l.Reason))
		}
	}
	if b.err == nil && told < len(b.failed) {
		b.err = b.tell(b.failed[told:])
	}
	b.frames = nil
}

// tell adds to the failures which documents they are of.
func (b *batch) tell(failed []Failure) error {
	links := map[kit.Link]bool{}
	for _, f := range failed {
		links[f.Link] = true
	}
	records, err := b.records(links)
	for i := range failed {
		failed[i] = failed[i].of(records[failed[i].Link])
	}
	return err
}

// take imports a batch. What came before an error is imported, too: so each
// pull gets further than the one before.
func (c *cycle) take(ctx context.Context, b *batch) error {
	if b.err != nil {
		return b.err
	}
	if b.reached == (kit.Position{}) { // it has keys only
		b.reached = c.after
	}
	if c.keys = b.keys; len(c.keys) > 0 {
		c.kept.Keys = c.keys[len(c.keys)-1].At
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
	if c.after == (kit.Position{}) {
		keys.Ask(q, time.Time{})
	} else {
		keys.Ask(q, c.kept.Keys)
		q.Set("after", c.after.String())
		if c.kept.Filling {
			q.Set("began", c.kept.Began)
		}
	}
	if c.request.Final {
		q.Set("final", "1")
	}
	return q
}

// differ makes this cluster's epoch another one than the source's, should both
// have begun at the same time: nobody could tell their positions apart.
func (c *cycle) differ(ctx context.Context, epoch int64) error {
	if c.way.back || c.store.Position().Epoch != epoch {
		return nil
	}
	_, err := c.node.Write(ctx, store.Proposal{NewEpoch: true})
	return err
}

// begin prepares for what comes with the head.
func (c *cycle) begin(h exportHead) error {
	at, err := kit.ParsePosition(h.Position)
	if err != nil {
		return c.atSource(err)
	}
	c.age = h.Age
	if h.Blobs && c.blobs == nil {
		return &kit.Error{Fault: kit.ErrInvalid, Detail: "the source has blobs, and this cluster keeps none", Hint: "set platform.Config.Blobs in its program"}
	}
	if c.way.back {
		c.convert, err = c.returning(h)
		return err
	}
	if c.after == (kit.Position{}) {
		c.kept = progress{Generation: c.kept.Generation + 1, Filling: true, Began: h.Position, Lifted: c.store.Fence().Lifted}
		c.unsaved = true
	}
	stream := c.kept.stream(c.way, at.Epoch)
	c.convert = newConverter(c.kinds, stream, h.Schemas)
	return nil
}

// commit imports documents, in the same entry as the cursor. What the store
// refuses goes into quarantine, which is kept before the cursor moves on.
func (c *cycle) commit(ctx context.Context, docs []store.Imported, failed []Failure, reached kit.Position) error {
	if err := c.isolate(ctx, failed...); err != nil {
		return err
	}
	if c.again {
		for i := range docs {
			docs[i].Again = true
		}
	}
	for {
		if len(docs)+len(c.keys) == 0 && reached == c.after && !c.unsaved {
			return nil
		}
		cursor, err := c.kept.cursor(c.way, reached)
		if err != nil {
			return err
		}
		refused, err := c.write(ctx, docs, cursor)
		if err != nil {
			return err
		}
		if refused < 0 {
			c.after, c.unsaved, c.keys = reached, false, nil
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
	p := store.Proposal{Import: docs, Cursor: cursor, PassFence: true}
	if cursor != nil {
		p.Keys, p.KeysAt = c.keys, c.age
	}
	records, err := c.node.Write(ctx, p)
	for _, r := range records {
		if r.Deleted {
			c.result.Deletions++
		} else {
			c.result.Documents++
		}
	}
	if err == nil {
		for _, d := range docs {
			c.waiting.drop(d.Record.Link)
		}
		return -1, nil
	}
	var e *kit.Error
	if !errors.As(err, &e) || e.Link == "" || e.Fault != kit.ErrInvalid && e.Fault != kit.ErrTooLarge {
		return -1, err
	}
	i := slices.IndexFunc(docs, func(d store.Imported) bool { return d.Record.Link == e.Link })
	if i < 0 {
		return -1, err
	}
	return i, c.isolate(ctx, refusal(docs[i], e.Detail))
}

// isolate puts documents into quarantine.
func (c *cycle) isolate(ctx context.Context, failed ...Failure) error {
	added := false
	for _, f := range failed {
		if here, ok := c.store.Find(f.Link); ok {
			f.Here = here.Record.Seq
		}
		before := c.waiting.entries[f.Link]
		if err := c.waiting.add(f); err != nil {
			return err
		}
		added = added || !f.again(before)
	}
	if !added {
		return nil
	}
	return c.save(ctx, c.waiting)
}

// sweep deletes, once everything was taken from the beginning, what did not
// come with it: documents that the source does not have.
func (c *cycle) sweep(ctx context.Context) error {
	if !c.kept.Filling {
		return nil
	}
	gone, err := c.strangers(c.convert.origin(1).Stream)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(gone, maxDocuments) {
		if err := c.commit(ctx, chunk, nil, c.after); err != nil {
			return err
		}
	}
	c.kept.Filling, c.kept.Began, c.unsaved = false, "", true
	return c.commit(ctx, nil, nil, c.after)
}

// strangers returns the deletions of the documents that did not come in the
// stream.
func (c *cycle) strangers(stream string) (gone []store.Imported, err error) {
	if c.store.CameIn(stream) { // as after most first copies
		return nil, nil
	}
	pieces, err := c.store.Snapshot().Pieces(kit.Position{}, kit.Position{})
	if err != nil {
		return nil, err
	}
	exported, _ := c.exported()
	for p := range pieces {
		if p.Deleted() || p.Origin().Stream == stream {
			continue
		}
		if r := p.Frame().Record; !c.waiting.has(r.Link) && exported[r.Kind] > 0 {
			gone = append(gone, c.deletion(r))
		}
	}
	return gone, nil
}

// deletion returns the tombstone of a document that the source does not have.
func (c *cycle) deletion(r kit.Record) store.Imported {
	r.Version, r.Deleted, r.Body, r.Pending = r.Version+1, true, nil, nil
	return store.Imported{Record: r, Origin: c.convert.origin(c.after.Seq)}
}

// fetch asks the source for a blob, or what blobs it has.
func (c *cycle) fetch(ctx context.Context, path string) (io.ReadCloser, error) {
	res, err := c.source.open(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return nil, c.atSource(err)
	}
	return res.Body, nil
}

// open asks the source for an export.
func (c *cycle) open(ctx context.Context, q url.Values) (*incoming, error) {
	if c.way.back {
		schemas, _ := c.exported()
		q.Set("schemas", transform.FormatSchemas(schemas))
	}
	q.Set("format", strconv.Itoa(exportFormat))
	header := http.Header{}
	if c.request.Compress {
		header.Set("Accept-Encoding", "zstd")
	}
	res, err := c.source.open(ctx, http.MethodGet, exportPath+"?"+q.Encode(), nil, header)
	if err != nil {
		return nil, c.atSource(err)
	}
	x, err := newIncoming(res, c.pace, c.atSource)
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
