// Package items are the documents that the benchmarks of upgrades move, in the
// first schema of the program upgradenode.
package items

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"landfall.dev/kit"
)

const (
	// Bytes is how long a document is.
	Bytes   = 200
	valueAt = 16 // bytes of the field that changes
	atOnce  = 1000
	writers = 4
)

// Document is the one with the number, from 0 on.
func Document(number int) []byte {
	front := fmt.Sprintf(`{"name":"item %07d","owner":"owner %03d","amount":%d,"note":"`, number, number%1000, 1000+number%9000)
	back := fmt.Sprintf(`","value":"%0*x"}`, valueAt, number)
	return []byte(front + strings.Repeat("n", Bytes-len(front)-len(back)) + back)
}

// Change is a merge patch that documents of all schemas take. No two of
// different turns are the same.
func Change(turn, number int) []byte {
	return fmt.Appendf(nil, `{"value":"%08x%08x"}`, uint32(turn), uint32(number))
}

// Link is that of the document with the number.
func Link(number int) kit.Link { return kit.NewLink("items", strconv.Itoa(number+1)) }

// Spread is the ith of so many numbers of documents, all different and evenly
// spread. In each turn they are others.
func Spread(documents, changes, turn, i int) int {
	return (i*(documents/changes) + turn) % documents
}

// Fill makes so many documents.
func Fill(ctx context.Context, c kit.Client, count int) error {
	return write(ctx, c, count, func(n int) kit.Write {
		return kit.Write{Verb: kit.VerbCreate, Link: Link(n), Body: Document(n)}
	})
}

// Alter changes so many of the documents.
func Alter(ctx context.Context, c kit.Client, documents, changes, turn int) error {
	return write(ctx, c, changes, func(i int) kit.Write {
		n := Spread(documents, changes, turn, i)
		return kit.Write{Verb: kit.VerbUpdate, Link: Link(n), Body: Change(turn, n)}
	})
}

// write sends so many writes, in batches by several writers at once.
func write(ctx context.Context, c kit.Client, count int, one func(int) kit.Write) error {
	g, ctx := errgroup.WithContext(ctx)
	for w := range writers {
		g.Go(func() error {
			for from := w * atOnce; from < count; from += writers * atOnce {
				var batch []kit.Write
				for n := from; n < min(from+atOnce, count); n++ {
					batch = append(batch, one(n))
				}
				if _, err := c.Batch(ctx, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// Rows writes documents as PostgreSQL's COPY takes them: the number, the
// document, and the number of its last change.
func Rows(w io.Writer, count int) error {
	for n := range count {
		if _, err := fmt.Fprintf(w, "%d\t%s\t%d\n", n, Document(n), n); err != nil {
			return err
		}
	}
	return nil
}
