package migrate

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate/transform"
	"landfall.dev/kit/store"
)

const (
	// retryAtOnce is how many documents are asked for by their links at once.
	retryAtOnce = 100
	// listAtOnce is how many buckets are listed at once.
	listAtOnce = 64
	// maxBuckets is in how many buckets a copy may differ to be worth mending:
	// with more it is taken anew.
	maxBuckets = 512
)

// retryAll takes nothing but the quarantine once more.
func (c *cycle) retryAll(ctx context.Context) error {
	if err := c.retry(ctx, c.waiting.list()); err != nil {
		return err
	}
	return c.finish(ctx)
}

// retry takes documents once more that could not be transformed before: this
// binary may know better. One that the source does not have any more leaves the
// quarantine.
func (c *cycle) retry(ctx context.Context, waiting []Failure) error {
	var links []kit.Link
	for _, f := range waiting {
		if c.waiting.has(f.Link) {
			links = append(links, f.Link)
		}
	}
	for chunk := range slices.Chunk(links, retryAtOnce) {
		came, err := c.takeAgain(ctx, chunk)
		if err != nil {
			return err
		}
		for _, l := range chunk {
			if !came[l] {
				c.waiting.drop(l)
			}
		}
	}
	return nil
}

// takeAgain takes the documents at the links over, as they are at the source
// now, and tells which of them there are.
func (c *cycle) takeAgain(ctx context.Context, links []kit.Link) (came map[kit.Link]bool, err error) {
	q := url.Values{}
	for _, l := range links {
		q.Add("link", string(l))
	}
	x, err := c.open(ctx, q)
	if err != nil {
		return nil, err
	}
	defer x.close()
	if x.epoch != c.after.Epoch {
		return nil, c.atSource(&kit.Error{Fault: kit.ErrGone, Detail: "a backup was restored there", Hint: "pull first"})
	}
	if err := c.begin(x.head); err != nil {
		return nil, err
	}
	came = map[kit.Link]bool{}
	for {
		b := x.batch(ctx)
		for n := range b.frames {
			f, err := b.frame(n)
			if err != nil {
				return nil, err
			}
			came[f.Record.Link] = true
		}
		for _, f := range b.failed {
			came[f.Link] = true
		}
		c.transform(ctx, b)
		b.reached = c.after
		if err := c.take(ctx, b); err != nil {
			return nil, err
		}
		if b.last {
			c.result.Bytes += x.body.Came()
			return came, nil
		}
	}
}

// repair finds the documents that differ from the source's and takes them
// again. While the source is written, those that were changed just now differ
// too, which does no harm.
func (c *cycle) repair(ctx context.Context) error {
	if c.after == (kit.Position{}) {
		return &kit.Error{Fault: kit.ErrConflict, Detail: "nothing was pulled yet", Hint: "POST /migrate/pull first"}
	}
	here, q, err := c.sides()
	if err != nil {
		return err
	}
	mine, err := here.sums()
	if err != nil {
		return err
	}
	theirs, err := call[Sums](ctx, c.source, http.MethodGet, sumsPath+"?"+q.Encode(), nil)
	if err != nil {
		return c.atSource(err)
	}
	different := theirs.Buckets.Differ(mine.Buckets)
	if len(different) > maxBuckets && !c.way.back {
		c.after = kit.Position{}
		return c.pull(ctx)
	}
	c.again = true
	for buckets := range slices.Chunk(different, listAtOnce) {
		if err := c.mend(ctx, here, q, buckets); err != nil {
			return err
		}
	}
	return c.finish(ctx)
}

// sides returns how the sums are made here, and what to ask the source for
// those that they have to equal.
func (c *cycle) sides() (*summing, url.Values, error) {
	if !c.way.back {
		here, err := c.summing(sumsRequest{side: sideOrigin})
		return here, url.Values{"side": {sideOwn}}, err
	}
	schemas, _ := c.exported()
	here, err := c.summing(sumsRequest{side: sideReturned})
	return here, url.Values{"side": {sideCopied}, "schemas": {transform.FormatSchemas(schemas)}}, err
}

// mend takes the documents of the buckets again that differ, and deletes those
// that the source does not have.
func (c *cycle) mend(ctx context.Context, here *summing, q url.Values, buckets []int) error {
	q = url.Values{"side": q["side"], "schemas": q["schemas"]}
	if q["schemas"] == nil {
		q.Del("schemas")
	}
	in := map[int]bool{}
	for _, b := range buckets {
		in[b] = true
		q.Add("bucket", strconv.Itoa(b))
	}
	theirs, err := call[listing](ctx, c.source, http.MethodGet, sumsPath+"?"+q.Encode(), nil)
	if err != nil {
		return c.atSource(err)
	}
	mine, err := here.list(in)
	if err != nil {
		return err
	}
	var differ []kit.Link
	for l, hash := range theirs.Documents {
		if mine.Documents[l] != hash {
			differ = append(differ, l)
		}
	}
	slices.Sort(differ)
	for chunk := range slices.Chunk(differ, retryAtOnce) {
		if _, err := c.takeAgain(ctx, chunk); err != nil {
			return err
		}
	}
	var gone []store.Imported
	for l := range mine.Documents {
		if _, ok := theirs.Documents[l]; ok {
			continue
		}
		if f, ok := c.store.Find(l); ok && !f.Record.Deleted {
			gone = append(gone, c.deletion(f.Record))
		}
	}
	return c.commit(ctx, gone, nil, c.after)
}
