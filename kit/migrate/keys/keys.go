// Package keys has the idempotency keys of a cluster go along with its
// documents, so that a request which was executed before a switch and is
// repeated after it is not executed again.
//
// They are in the export that the documents are in, behind these, for who asks
// for them:
//
//	GET /migrate/export?keys=TIME&...
//
// The time is when the last key that is there was used, by the clock that keys
// age by at the source (store.Snapshot.Age), and empty at first. Those of that
// time come once more, for others may have been used at it since; one that is
// known changes nothing. The export's head has in age what that clock shows,
// which is what the ages of the keys are reckoned from.
//
// A key stays behind if none of the documents that it was used for goes along,
// local ones for instance: so its request is executed at the other side, where
// nothing is known of them.
package keys

import (
	"iter"
	"net/url"
	"slices"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/frame"
)

const parameter = "keys"

// From is from when on keys are asked for.
type From struct {
	Time  time.Time
	Asked bool
}

// Ask has q ask for the keys that were used at the time or later.
func Ask(q url.Values, from time.Time) {
	text := ""
	if !from.IsZero() {
		text = from.UTC().Format(time.RFC3339Nano)
	}
	q.Set(parameter, text)
}

// Parse returns what q asks for.
func Parse(q url.Values) (f From, err error) {
	f.Asked = q.Has(parameter)
	if text := q.Get(parameter); text != "" {
		if f.Time, err = time.Parse(time.RFC3339Nano, text); err != nil {
			err = kit.Errorf(kit.ErrInvalid, "", "keys=%q: it is empty or a time like 2026-03-01T12:00:00Z", text)
		}
	}
	return f, err
}

// Of yields the keys of the snapshot that are asked for and were used for
// documents of the kinds.
func (f From) Of(s *store.Snapshot, kinds map[string]int) iter.Seq[frame.Once] {
	return func(yield func(frame.Once) bool) {
		if !f.Asked {
			return
		}
		for o := range s.Keys(f.Time) {
			goes := slices.ContainsFunc(o.Links, func(l string) bool { return kinds[kit.Link(l).Kind()] > 0 })
			if goes && !yield(o) {
				return
			}
		}
	}
}
