package store

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"time"

	"github.com/google/btree"

	"landfall.dev/kit"
)

// The sizes of a page.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// List returns a page of the documents that q describes; q.Consistency is the
// caller's affair. Pages stay in order while documents change: one that moves
// in the order may be seen twice or not at all, the others once.
func (s *Store) List(q kit.Query) (kit.Page, error) {
	k, err := s.kinds.known(kit.NewLink(q.Kind, ""))
	if err != nil {
		return kit.Page{}, err
	}
	if q.Limit < 0 || q.Limit > maxLimit {
		return kit.Page{}, kit.Errorf(kit.ErrInvalid, "", "a limit of %d: it is 1 to %d", q.Limit, maxLimit)
	}
	if q.Limit == 0 {
		q.Limit = defaultLimit
	}
	passes, err := s.filters.compile(k.Definition, q.Filter)
	if err != nil {
		return kit.Page{}, err
	}
	v := s.frozen()
	o, err := v.order(q)
	if err != nil {
		return kit.Page{}, err
	}
	start, err := o.start(q)
	if err != nil {
		return kit.Page{}, err
	}
	page := kit.Page{Items: []kit.Record{}, Position: v.position().String()}
	o.walk(start, func(d *doc) bool {
		if !passes(d.rec) {
			return true
		}
		if len(page.Items) == q.Limit {
			page.Next = o.token(q, page.Items[q.Limit-1])
			return false
		}
		page.Items = append(page.Items, d.rec)
		return true
	})
	return page, nil
}

// order is a way through the documents of a kind.
type order struct {
	kind    string
	tree    *btree.BTreeG[*doc]
	stamp   func(kit.Record) time.Time // what comes before the id
	reverse bool
}

func (s *state) order(q kit.Query) (order, error) {
	name, reverse := strings.CutPrefix(q.Order, "-")
	o := order{kind: q.Kind, reverse: reverse, stamp: func(kit.Record) time.Time { return time.Time{} }}
	switch name {
	case "", "link":
		o.tree = s.live
	case "created":
		o.tree, o.stamp = s.created, func(r kit.Record) time.Time { return r.Created }
	case "updated":
		o.tree, o.stamp = s.updated, func(r kit.Record) time.Time { return r.Updated }
	default:
		return o, kit.Errorf(kit.ErrInvalid, "", "the order %q is none: use link, created, updated, or one of them with - in front", q.Order)
	}
	return o, nil
}

// walk yields the documents of the kind after start until yield returns false.
func (o order) walk(start *doc, yield func(*doc) bool) {
	visit := func(d *doc) bool {
		if d.rec.Kind != o.kind {
			return false
		}
		return d.rec.Link == start.rec.Link || yield(d)
	}
	if o.reverse {
		o.tree.DescendLessOrEqual(start, visit)
	} else {
		o.tree.AscendGreaterOrEqual(start, visit)
	}
}

// start returns the document that q's token was made of, or what comes before
// all documents of the kind.
func (o order) start(q kit.Query) (*doc, error) {
	if q.Token == "" {
		d := &doc{rec: kit.Record{Meta: kit.Meta{Kind: o.kind}}}
		if o.reverse {
			d.num = math.MaxUint64
			d.rec.Link = kit.Link(o.kind + "0") // the byte after "/"
			d.rec.Created = time.Unix(1<<40, 0)
			d.rec.Updated = d.rec.Created
		}
		return d, nil
	}
	var t pageToken
	raw, err := base64.RawURLEncoding.DecodeString(q.Token)
	if err == nil {
		err = json.Unmarshal(raw, &t)
	}
	if err != nil || t.Link.Kind() != o.kind || t.Query != querySum(q) {
		return nil, &kit.Error{
			Fault:  kit.ErrInvalid,
			Detail: fmt.Sprintf("the page token %q is not of this list", q.Token),
			Hint:   "keep kind, filter and order as they were for the first page",
		}
	}
	d := linkKey(t.Link)
	d.rec.Created, d.rec.Updated = t.Time, t.Time
	return d, nil
}

// pageToken says where in which list a page has ended.
type pageToken struct {
	Query uint32    `json:"q"`
	Link  kit.Link  `json:"l"`
	Time  time.Time `json:"t,omitzero"`
}

func (o order) token(q kit.Query, last kit.Record) string {
	raw, _ := json.Marshal(pageToken{Query: querySum(q), Link: last.Link, Time: o.stamp(last)})
	return base64.RawURLEncoding.EncodeToString(raw)
}

// querySum tells lists apart.
func querySum(q kit.Query) uint32 {
	return crc32.Checksum([]byte(q.Kind+"\x00"+q.Filter+"\x00"+q.Order), castagnoli)
}
