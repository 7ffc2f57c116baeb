package memory

import (
	"strings"

	"landfall.dev/kit/store/digest"
	"landfall.dev/kit/store/frame"
)

// copies are the sums of documents that were imported and not changed since, by
// the stream that they came in.
type copies struct {
	streams map[string]*copied
	last    *copied // the one that was asked for last
}

// copied are the sums of one stream's documents.
type copied struct {
	stream  string
	n       int // documents
	buckets [digest.Buckets]struct {
		own    digest.Tally // by what they are here
		origin digest.Tally // by what they were at their origin
	}
}

// of returns the sums of the stream, which it makes if there are none.
func (c *copies) of(stream string) *copied {
	if c.last != nil && c.last.stream == stream {
		return c.last
	}
	s := c.streams[stream]
	if s == nil {
		s = &copied{stream: strings.Clone(stream)} // the record's memory is not kept for it
		c.streams[s.stream] = s
	}
	c.last = s
	return s
}

// change keeps the sums of the stream.
func (c *copies) change(o frame.Origin, bucket int, own [16]byte, n int) {
	s := c.of(o.Stream)
	s.buckets[bucket].own.Change(own, n)
	s.buckets[bucket].origin.Change(o.Hash, n)
	if s.n += n; s.n == 0 {
		delete(c.streams, s.stream)
		c.last = nil
	}
}

// count keeps the sums: n is 1 for a document that is there now, and -1 for
// one that was. Own is what it counts by, or zero if that is not known.
func (e *Engine) count(sh *shelf, p *frame.Document, own [16]byte, n int) {
	if p.Deleted() || sh.kind != nil && sh.kind.Local {
		return
	}
	b := digest.BucketOf(p.Link)
	if own == ([16]byte{}) {
		own = digest.Of(p.Link, p.Version, p.Body)
	}
	if o := p.Origin(); o.Hash != [16]byte{} {
		e.copies.change(o, b, own, n)
	} else {
		e.rest[b].Change(own, n)
	}
}

// CameIn tells whether all documents, but for local ones, came in the stream and
// were not changed since.
func (e *Engine) CameIn(stream string) bool {
	for i := range e.rest {
		if e.rest[i].Count() != 0 {
			return false
		}
	}
	for name := range e.copies.streams {
		if name != stream {
			return false
		}
	}
	return true
}

// Sums returns the digest of the documents on that side.
func (e *Engine) Sums(side digest.Side) digest.Sums {
	sums := make(digest.Sums, digest.Buckets)
	for i := range sums {
		var t digest.Tally
		if side == digest.Own {
			t = e.rest[i]
		}
		for _, s := range e.copies.streams {
			if b := &s.buckets[i]; side == digest.Own {
				t = t.Plus(b.own)
			} else {
				t = t.Plus(b.origin)
			}
		}
		sums[i] = t.Bucket()
	}
	return sums
}

// SumsOf returns the digest in which documents that came in the stream, and
// were not changed since, count by what they were at their origin, and all
// others by what they are.
func (e *Engine) SumsOf(stream string) digest.Sums {
	sums := make(digest.Sums, digest.Buckets)
	for i := range sums {
		t := e.rest[i]
		for name, s := range e.copies.streams {
			if b := &s.buckets[i]; name == stream {
				t = t.Plus(b.origin)
			} else {
				t = t.Plus(b.own)
			}
		}
		sums[i] = t.Bucket()
	}
	return sums
}
