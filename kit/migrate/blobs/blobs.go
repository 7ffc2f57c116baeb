// Package blobs takes the blobs that documents name from one cluster to the
// other, ahead of the documents.
//
// Each pull first takes what has come to the source since the pull before,
// whether a document names it by now or not: who has put a blob may be about to
// name it, on the other side. Then, before a batch of documents is imported, it
// looks whether what they name is here, and takes what is not. A document that
// names a blob that cannot be had is for the quarantine.
//
// What is here already is not taken again, so any pull can be repeated, and goes
// on where the last one was interrupted. The digest of all that comes is checked.
package blobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"landfall.dev/kit"
	"landfall.dev/kit/blob"
	"landfall.dev/kit/blob/shared"
	"landfall.dev/kit/migrate/pace"
	"landfall.dev/kit/store"
)

// Path is where a source serves its blobs: the arrivals, and below it, each by
// its digest.
const Path = "/migrate/blobs"

// atOnce is how many blobs are taken at the same time.
const atOnce = 4

// arrivals are a source's answer about what has come.
type arrivals struct {
	Digests []kit.Digest `json:"digests"`
	Next    string       `json:"next"` // the cursor to go on with; no digests: that was all
}

// Serve answers r for a source that has the blobs b, nil for none.
func Serve(w http.ResponseWriter, r *http.Request, b *shared.Blobs) error {
	if b == nil {
		return kit.Errorf(kit.ErrNotFound, "", "this cluster keeps no blobs")
	}
	if r.PathValue("digest") != "" {
		blob.Handler(b).ServeHTTP(w, r)
		return nil
	}
	var a arrivals
	a.Digests, a.Next = b.Arrived(r.URL.Query().Get("after"))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(a) // who asks may have gone
	return nil
}

// Source asks the source for what it serves at the path. Its errors have the
// faults of its answers, ErrUnavailable or ErrTimeout if there is none.
type Source func(ctx context.Context, path string) (io.ReadCloser, error)

// Copy takes blobs from a source. Its methods must not be called concurrently.
type Copy struct {
	to    *shared.Blobs
	from  Source
	pace  *pace.Pace
	kinds map[string]kit.Owned // those that name digests
	bytes atomic.Int64
}

// New returns what takes blobs to a cluster with the kinds from the source, at
// the pace.
func New(to *shared.Blobs, from Source, kinds *store.Kinds, at *pace.Pace) *Copy {
	c := &Copy{to: to, from: from, pace: at, kinds: map[string]kit.Owned{}}
	for _, name := range kinds.Names() {
		if k, ok := kinds.Find(name); ok && k.NamesDigests() {
			c.kinds[name] = k
		}
	}
	return c
}

// Bytes returns how many bytes of blobs were taken.
func (c *Copy) Bytes() int64 { return c.bytes.Load() }

// Arrived takes what has come to the source since the cursor, empty for the
// beginning, and returns the cursor to go on with. What cannot be had is passed
// over: the documents that name it will tell.
func (c *Copy) Arrived(ctx context.Context, cursor string) (next string, err error) {
	for {
		a, err := c.arrivals(ctx, cursor)
		if errors.Is(err, kit.ErrNotFound) { // it keeps no blobs, or is too old to say
			return "", nil
		}
		if err != nil {
			return cursor, err
		}
		if len(a.Digests) == 0 {
			return a.Next, nil
		}
		wanted := map[kit.Digest]string{}
		for _, d := range a.Digests {
			wanted[d] = ""
		}
		if err := c.take(ctx, wanted); err != nil {
			return cursor, err
		}
		cursor = a.Next
	}
}

func (c *Copy) arrivals(ctx context.Context, cursor string) (a arrivals, err error) {
	body, err := c.from(ctx, Path+"?"+url.Values{"after": {cursor}}.Encode())
	if err != nil {
		return a, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&a); err != nil {
		return a, &kit.Error{Fault: kit.ErrUnavailable, Detail: "the list of blobs stopped before its end", Hint: "pull again", Err: err}
	}
	return a, nil
}

// Lacking is why a document cannot be taken over.
type Lacking struct {
	Link   kit.Link
	Field  string // the one that names the blob
	Reason string
}

// Complete takes the blobs that the documents name and that are not here. It
// returns the documents that then have theirs, in the place of docs, and why
// the others have not.
func (c *Copy) Complete(ctx context.Context, docs []store.Imported) (complete []store.Imported, lacking []Lacking, err error) {
	if len(c.kinds) == 0 {
		return docs, nil, nil
	}
	wanted := map[kit.Digest]string{}
	for i := range docs {
		for _, n := range c.named(&docs[i]) {
			wanted[n.Digest] = ""
		}
	}
	if len(wanted) == 0 {
		return docs, nil, nil
	}
	if err := c.take(ctx, wanted); err != nil {
		return nil, nil, err
	}
	complete = docs[:0]
	for i := range docs {
		l := Lacking{Link: docs[i].Record.Link}
		for _, n := range c.named(&docs[i]) {
			if why := wanted[n.Digest]; why != "" && l.Reason == "" {
				l.Field, l.Reason = n.Field, fmt.Sprintf("the blob %s cannot be had: %s", n.Digest, why)
			}
		}
		if l.Reason == "" {
			complete = append(complete, docs[i])
		} else {
			lacking = append(lacking, l)
		}
	}
	return complete, lacking, nil
}

// named returns what the document names.
func (c *Copy) named(doc *store.Imported) []kit.NamedDigest {
	k, ok := c.kinds[doc.Record.Kind]
	if !ok || doc.Record.Deleted {
		return nil
	}
	return k.Digests(doc.Record.Body)
}

// take takes what is wanted and not here, and notes with each why it cannot be
// had. An error says that a later pull may get further.
func (c *Copy) take(ctx context.Context, wanted map[kit.Digest]string) error {
	var mu sync.Mutex
	refused := map[kit.Digest]string{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for d := range wanted {
		if c.to.Held(d) {
			continue
		}
		g.Go(func() error {
			err := c.one(ctx, d)
			switch kit.FaultOf(err) {
			case 0:
				return nil
			case kit.ErrNotFound, kit.ErrGone, kit.ErrInvalid:
				mu.Lock()
				defer mu.Unlock()
				refused[d] = reason(err)
				return nil
			}
			return err
		})
	}
	err := g.Wait()
	for d, why := range refused {
		wanted[d] = why
	}
	return err
}

// one takes the blob.
func (c *Copy) one(ctx context.Context, d kit.Digest) error {
	body, err := c.from(ctx, Path+"/"+string(d))
	if err != nil {
		return err
	}
	defer body.Close()
	in := &source{Reader: body}
	_, n, err := c.to.Put(ctx, c.pace.Reader(ctx, in), d)
	c.bytes.Add(n)
	if in.broken != nil && kit.FaultOf(err) == kit.ErrInternal {
		return &kit.Error{Fault: kit.ErrUnavailable, Detail: fmt.Sprintf("the blob %s stopped before its end", d), Hint: "pull again", Err: in.broken}
	}
	return err
}

// reason is what is wrong, for who reads the quarantine.
func reason(err error) string {
	var e *kit.Error
	if errors.As(err, &e) && e.Detail != "" {
		return e.Detail
	}
	return err.Error()
}

// source notes whether what comes broke off.
type source struct {
	io.Reader
	broken error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && err != io.EOF {
		s.broken = err
	}
	return n, err
}
