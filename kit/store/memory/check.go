package memory

import (
	"bytes"
	"fmt"

	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/memory/arena"
)

// Usage is what an engine holds beside the documents.
type Usage struct {
	Held     int64 // bytes of all chunks
	Live     int64 // bytes of all that is not forgotten
	History  int64 // bytes of the versions within HistoryAge
	Versions int   // that these are
	Keys     int   // idempotency keys
}

// Usage returns what the engine holds.
func (e *Engine) Usage() Usage {
	return Usage{Held: e.arena.Held(), Live: e.arena.Live(), History: e.recency.bytes, Versions: e.recent.n, Keys: e.onces.n}
}

// Check returns what is wrong with the engine, nil if all that finds documents
// agrees and all that is counted is there. It looks at every document.
func (e *Engine) Check() error {
	c := &checker{Engine: e}
	c.documents()
	return c.wrong
}

// checker keeps the first thing that is wrong.
type checker struct {
	*Engine
	wrong error
}

func (c *checker) errorf(format string, args ...any) {
	if c.wrong == nil {
		c.wrong = fmt.Errorf(format, args...)
	}
}

// documents compares all that finds documents with each other.
func (c *checker) documents() {
	var live int64
	recent := 0
	for name, sh := range c.shelves {
		documents := 0
		sh.each(func(r place) {
			p := c.at(r)
			documents++
			live += arena.Size(p.Size)
			if string(kindName(p.Link)) != name || c.lookup(frame.Text(p.Link)) != r {
				c.errorf("%s of %s is not found by its link", p.Link, name)
			}
			recent += c.versions(p)
			sh.trees(&p, func(o Order, tr *tree) {
				by := c.sorter(sh, o)
				if tr.find(&by, newProbe(by.keyOf(nil, &p))) != r {
					c.errorf("%s is not found in the order %d", p.Link, o)
				}
			})
		})
		for _, x := range []struct {
			o Order
			t *tree
		}{
			{OrderLink, &sh.live}, {OrderLink, &sh.dead}, {OrderCreated, &sh.created}, {OrderUpdated, &sh.updated},
			{orderSeq, &sh.feed}, {orderPast, &sh.past}, {orderDue, &sh.due},
		} {
			c.tree(sh, x.o, x.t)
		}
		for i := range sh.indexes {
			c.tree(sh, Order(i), &sh.indexes[i])
		}
		if sh.feed.n != documents || sh.created.n != sh.live.n || sh.updated.n != sh.live.n {
			c.errorf("%s: %d documents, %d in the feed, %d live, %d created, %d updated", name, documents, sh.feed.n, sh.live.n, sh.created.n, sh.updated.n)
		}
		sh.past.each(0, sh.past.n, func(_ uint64, r place) bool {
			live += arena.Size(c.at(r).Size)
			return true
		})
	}
	if recent != c.recent.n {
		c.errorf("the documents have %d recent versions, there are %d", recent, c.recent.n)
	}
	live += c.recently()
	if err := c.arena.Check(live); err != nil {
		c.errorf("%w", err)
	}
}

// versions checks the recent versions of the document that p is the last of,
// and returns their number.
func (c *checker) versions(p frame.Document) (n int) {
	for r := c.earlier(p.Seq); r != 0; r = c.earlier(p.Seq) {
		was := c.at(r)
		if frame.Text(was.Link) != frame.Text(p.Link) || was.Seq >= p.Seq {
			c.errorf("before version %d of %s comes version %d of %s", p.Version, p.Link, was.Version, was.Link)
			break
		}
		p = was
		n++
	}
	return n
}

// recently checks the history within its age and the idempotency keys, and
// returns the bytes of both.
func (c *checker) recently() (live int64) {
	var recent int64
	c.recent.each(0, c.recent.n, func(end uint64, r place) bool {
		p := c.at(r)
		recent += arena.Size(p.Size)
		if int64(end) <= c.horizon {
			c.errorf("version %d of %s ends at %d, the history begins at %d", p.Version, p.Link, end, c.horizon)
		}
		return true
	})
	if recent != c.recency.bytes {
		c.errorf("the history has %d bytes, %d are counted", recent, c.recency.bytes)
	}
	live = recent
	if c.onces.n != c.oncesByTime.n {
		c.errorf("%d keys, %d by time", c.onces.n, c.oncesByTime.n)
	}
	c.tree(nil, orderOnceTime, &c.oncesByTime)
	c.tree(nil, orderOnce, &c.onces)
	c.onces.each(0, c.onces.n, func(_ uint64, r place) bool {
		live += arena.Size(onceAt(*c.mem, r).Size)
		return true
	})
	return live
}

// tree checks that the tree is in order and counts right.
func (c *checker) tree(sh *shelf, o Order, tr *tree) {
	by := c.sorter(sh, o)
	var last []byte
	n := 0
	tr.each(0, tr.n, func(prefix uint64, r place) bool {
		key := by.key(nil, r)
		if n > 0 && bytes.Compare(last, key) >= 0 || prefixOf(key) != prefix {
			c.errorf("order %d: the key %x with the prefix %x comes after %x", o, key, prefix, last)
		}
		last = key
		n++
		return true
	})
	c.node(&by, tr.root)
	if n != tr.n || n > 0 && tr.root.len() != n {
		c.errorf("order %d: %d records, counted %d and %d", o, n, tr.n, tr.root.len())
	}
}

// node checks that inner nodes know the first of each of theirs.
func (c *checker) node(by *sorter, n treeNode) {
	if n.inner == nil {
		return
	}
	for i, kid := range n.inner.kids[:n.inner.n] {
		key, first := kid.first()
		if key != n.inner.keys[i] || first != n.inner.places[i] || kid.len() != n.inner.size[i] || kid.len() == 0 {
			c.errorf("node %d has the first key %x of %d, kept are %x and %d", i, key, kid.len(), n.inner.keys[i], n.inner.size[i])
		}
		if !by.whole() && n.inner.knows && n.inner.more[i] != moreOf(by.key(nil, first)) {
			c.errorf("node %d has more of another key than of its first", i)
		}
		c.node(by, kid)
	}
}
