package store

import (
	"fmt"
	"slices"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

const maxKey = 100 // bytes of an idempotency key

// checkKey returns an ErrInvalid error unless key is one.
func checkKey(key string) error {
	if len(key) <= maxKey && kit.CheckID(key) == nil {
		return nil
	}
	return kit.Errorf(kit.ErrInvalid, "", "%q is no idempotency key: use 1 to %d letters, digits, and . _ ~ -", key, maxKey)
}

// writeOnce carries out the writes of pr, unless its key says that this was
// done: then it returns the documents as they are now.
func (p *plan) writeOnce(pr Proposal) ([]kit.Record, error) {
	o := frame.NewOnce(pr.By, pr.Key, pr.Writes)
	before, done, err := p.repeated(pr, o)
	switch {
	case err != nil:
		return nil, err
	case done && pr.Pins != nil:
		return nil, errMeanwhile(pr.Writes[0].Link)
	case done:
		return before, nil
	}
	records, err := p.writes(pr)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		o.Links = append(o.Links, string(r.Link))
	}
	o.At = p.head.age()
	p.keep(o)
	return records, nil
}

// keep makes o what is known of its key.
func (p *plan) keep(o frame.Once) {
	raw := o.Append(nil)
	kept, _ := frame.ParseOnce(raw)
	old, had := p.onces[o.ID]
	p.onces[o.ID] = o
	p.changes = append(p.changes, &frame.Piece{Type: frame.TypeOnce, Raw: raw, Once: &kept})
	p.size += len(raw)
	p.undo = append(p.undo, func() {
		restore(p.onces, o.ID, old, had)
		p.changes = p.changes[:len(p.changes)-1]
		p.settled = min(p.settled, len(p.changes))
		p.size -= len(raw)
	})
}

// adopt takes over idempotency keys of another cluster, which are as old here as
// they were there at the time by the clock they age by. What is here of the same
// key is older, or the same.
func (p *plan) adopt(keys []frame.Once, there time.Time) {
	now := p.head.age()
	for _, o := range keys {
		o.At = now.Add(min(0, o.At.Sub(there)))
		known, ok := p.once(o.ID)
		same := ok && known.Request == o.Request && slices.Equal(known.Links, o.Links)
		if !o.Expired(now) && (!same || o.At.Sub(known.At) > ageStep) {
			p.keep(o)
		}
	}
}

// Repeated tells whether the writes of pr were done before, by its key, and
// returns the documents as they are now. The error is ErrConflict if the key
// stands for other writes, and ErrFenced if the fence is up.
func (s *Store) Repeated(pr Proposal, now time.Time) (records []kit.Record, done bool, err error) {
	p := newPlan(s, now)
	if err := p.fenced(pr); err != nil {
		return nil, false, err
	}
	return p.repeated(pr, frame.NewOnce(pr.By, pr.Key, pr.Writes))
}

// repeated is Repeated for pr, whose key and writes are o.
func (p *plan) repeated(pr Proposal, o frame.Once) (records []kit.Record, done bool, err error) {
	known, ok := p.once(o.ID)
	if !ok {
		return nil, false, nil
	}
	if known.Request != o.Request {
		return nil, false, &kit.Error{
			Fault: kit.ErrConflict, Detail: fmt.Sprintf("the idempotency key %q was used for another write", pr.Key),
			Hint: "use a new key for each write, and the same only to repeat it",
		}
	}
	return p.present(known.Links), true, nil
}

// once returns what is known of the key with the id, if it is to be heeded.
func (p *plan) once(id [16]byte) (frame.Once, bool) {
	if o, ok := p.onces[id]; ok {
		return o, true
	}
	p.store.mu.RLock()
	defer p.store.mu.RUnlock()
	o, ok := p.store.engine.Once(id)
	return o, ok && !o.Expired(p.head.age())
}

// present returns the documents as the batch has left them, tombstones for
// those that are gone.
func (p *plan) present(links []string) []kit.Record {
	records := make([]kit.Record, len(links))
	for i, l := range links {
		link := kit.Link(l)
		records[i] = kit.Record{Meta: kit.Meta{Link: link, Kind: link.Kind()}, Deleted: true}
		if d := p.find(link); d != nil {
			records[i] = d.Record
		}
	}
	return records
}
