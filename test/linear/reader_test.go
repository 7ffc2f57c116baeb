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

// recall lists the registers as they are, and again as they were at positions
// of before, at any member, until ctx ends.
func (c *cluster) recall(ctx context.Context, r *record) {
	type moment struct {
		at   kit.Position
		docs map[kit.Link]document
	}
	var past []moment
	random := rand.New(rand.NewPCG(uint64(len(c.members)), 11))
	list := func(ctx context.Context, client kit.Client, q kit.Query) (moment, error) {
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
	repeat(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attempt)
		defer cancel()
		if len(past) == 0 || random.IntN(3) == 0 {
			if now, err := list(ctx, c.client(0, false), kit.Query{Kind: "registers", Consistency: kit.Linearizable}); err == nil {
				past = append(past, now)
			}
			return
		}
		then, i := past[random.IntN(len(past))], random.IntN(len(c.members))
		again, err := list(ctx, c.client(i, true), kit.Query{Kind: "registers", AsOf: then.at, Consistency: kit.Eventual})
		if err != nil {
			if f := kit.FaultOf(err); f != kit.ErrGone && f != kit.ErrUnavailable && f != kit.ErrTimeout && !errors.Is(err, context.DeadlineExceeded) {
				r.blame("%s would not tell the registers as of %s: %v", c.members[i].name, then.at, err)
			}
			return
		}
		r.recalled(len(then.docs) > 0)
		if fmt.Sprint(again.docs) != fmt.Sprint(then.docs) {
			r.blame("%s has the registers as of %s as %v at %s; they were %v", c.members[i].name, then.at, again.docs, r.now(), then.docs)
		}
	})
}

func (r *record) recalled(something bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if something {
		r.recalls++
	}
}
