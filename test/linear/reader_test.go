package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"landfall.dev/kit"
)

// follow watches all registers until ctx ends, at whichever member answers,
// and sees that no document goes back.
func (c *cluster) follow(ctx context.Context, r *record) {
	for change, err := range c.client(1, false).Watch(ctx, kit.WatchQuery{Kind: "registers"}) {
		if err != nil {
			if ctx.Err() == nil {
				r.blame("the watch of registers ended at %s: %v", r.now(), err)
			}
			return
		}
		got := change.Record
		now := document{!got.Deleted, got.Version, valueOf(got)}
		r.mu.Lock()
		old := r.watched[got.Link]
		r.watched[got.Link] = now
		r.mu.Unlock()
		if now.version < old.version || now.version == old.version && now != old {
			r.blame("the watch told %s as %+v at %s, after %+v", got.Link, now, r.now(), old)
		}
	}
}

// told returns an error unless the watch has told what the registers are.
func (c *cluster) told(ctx context.Context, r *record) error {
	registers, err := c.all(ctx, 0, "registers")
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for link, doc := range registers {
		if want := (document{true, doc.Version, valueOf(doc)}); r.watched[link] != want {
			return fmt.Errorf("%s is %+v, the watch has told %+v", link, want, r.watched[link])
		}
	}
	for link, seen := range r.watched {
		if _, there := registers[link]; seen.exists && !there {
			return fmt.Errorf("%s is gone, the watch has told %+v", link, seen)
		}
	}
	return nil
}

// moment is what the registers were at a position.
type moment struct {
	at   kit.Position
	docs map[kit.Link]document
}

func listed(ctx context.Context, client kit.Client, q kit.Query) (moment, error) {
	p, err := client.List(ctx, q)
	if err != nil {
		return moment{}, err
	}
	at, err := kit.ParsePosition(p.Position)
	m := moment{at, map[kit.Link]document{}}
	for _, d := range p.Items {
		m.docs[d.Link] = document{true, d.Version, valueOf(d)}
	}
	return m, err
}

// present lists the registers as they are.
func (c *cluster) present(ctx context.Context) (moment, error) {
	return listed(ctx, c.client(0, false), kit.Query{Kind: "registers", Consistency: kit.Linearizable})
}

// again lists them at member i as they were then. It returns an error if they
// differ.
func (c *cluster) again(ctx context.Context, i int, then moment) error {
	now, err := listed(ctx, c.client(i, true), kit.Query{Kind: "registers", AsOf: then.at, Consistency: kit.Eventual})
	if err == nil && fmt.Sprint(now.docs) != fmt.Sprint(then.docs) {
		return fmt.Errorf("%w: %s has them as of %s as %v; they were %v", errOtherPast, c.members[i].name, then.at, now.docs, then.docs)
	}
	return err
}

var errOtherPast = errors.New("the past has changed")

// recall lists the registers as they are, and again as they were at positions
// of before, at any member, until ctx ends.
func (c *cluster) recall(ctx context.Context, r *record) {
	var past []moment
	random := rand.New(rand.NewPCG(uint64(len(c.members)), 11))
	repeat(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attempt)
		defer cancel()
		if len(past) == 0 || random.IntN(3) == 0 {
			if now, err := c.present(ctx); err == nil {
				past = append(past, now)
			}
			return
		}
		err := c.again(ctx, random.IntN(len(c.members)), past[random.IntN(len(past))])
		switch f := kit.FaultOf(err); {
		case err == nil, f == kit.ErrGone, f == kit.ErrUnavailable, f == kit.ErrTimeout, errors.Is(err, context.DeadlineExceeded):
		default:
			r.blame("at %s: %v", r.now(), err)
		}
	})
}

// agree returns an error unless every member tells what was before a change
// now.
func (c *cluster) agree(ctx context.Context) error {
	then, err := c.present(ctx)
	if err != nil {
		return err
	}
	if _, err := c.client(0, false).Create(ctx, "registers", "", []byte(`{"value":0}`)); err != nil {
		return err
	}
	for i := range c.members {
		if err := c.again(ctx, i, then); err != nil {
			return err
		}
	}
	return nil
}
