// Package feed tells many watches of a kind what changes, at a cost that hardly
// grows with their number: a change is read from the store, tested once for each
// filter and encoded once, and only those whom it is for are woken.
package feed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"sync"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// Hub are the Hub of the kinds that are watched now.
type Hub struct {
	store *store.Store

	mu     sync.Mutex
	byKind map[string]*feed
}

// NewHub returns a Hub of the store.
func NewHub(s *store.Store) *Hub { return &Hub{store: s, byKind: map[string]*feed{}} }

// feed tells the watches of a kind what changes, so that a change is read from
// the store, tested and encoded once, whatever the number of watches. It keeps
// the latest changes only; who is behind reads from the store. Its goroutine
// runs as long as there are watches.
type feed struct {
	hub  *Hub
	kind string
	stop chan struct{}

	mu     sync.Mutex
	at     kit.Position // up to where the kind's changes were looked at
	ended  bool         // at is not in the store's log any more
	latest []*Told
	bytes  int // of the latest
	// audiences are the watches by their filter; those that are for one document
	// are also under its link, the others in the rest.
	audiences map[string]*Audience
	byLink    map[kit.Link]*Audience
	rest      []*Audience
}

// Audience is the watches that have the same filter. It is guarded by its
// feed.
type Audience struct {
	feed    *feed
	filter  string
	only    kit.Link // the one that the filter is for, if it is for one
	matches func(kit.Record) bool
	watches int
	latest  []*Told       // of the feed's latest, those that it is told
	floor   kit.Position  // after which latest has all
	wake    chan struct{} // closed when there is more
}

// Told is a change that somebody is told.
type Told struct {
	Change kit.Change
	Frame  []byte // the server-sent event
	told   []*Audience
}

// page is how many changes are taken from the store at once.
const page = 256

// What a feed keeps for those who are a little behind.
const (
	maxLatest      = 1024
	maxLatestBytes = 4 << 20
)

// onlyLink is the filter of who waits for one document, as kit.Kind.Await does.
var onlyLink = regexp.MustCompile(`^\s*link\s*==\s*("[^"\\]*")\s*$`)

// Join adds a watch with the filter, which matches is the test of.
func (f *Hub) Join(kind, filter string, matches func(kit.Record) bool) *Audience {
	f.mu.Lock()
	defer f.mu.Unlock()
	fd := f.byKind[kind]
	if fd == nil {
		fd = &feed{
			hub: f, kind: kind, stop: make(chan struct{}), at: f.store.Position(),
			audiences: map[string]*Audience{}, byLink: map[kit.Link]*Audience{},
		}
		f.byKind[kind] = fd
		go fd.run()
	}
	fd.mu.Lock()
	defer fd.mu.Unlock()
	a := fd.audiences[filter]
	if a == nil {
		a = &Audience{feed: fd, filter: filter, matches: matches, floor: fd.at, wake: make(chan struct{})}
		fd.audiences[filter] = a
		if m := onlyLink.FindStringSubmatch(filter); m != nil {
			link, _ := strconv.Unquote(m[1])
			a.only = kit.Link(link)
		}
		if a.only != "" && fd.byLink[a.only] == nil {
			fd.byLink[a.only] = a
		} else {
			fd.rest = append(fd.rest, a)
		}
	}
	a.watches++
	return a
}

// Leave takes back one Join.
func (f *Hub) Leave(a *Audience) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fd := a.feed
	fd.mu.Lock()
	defer fd.mu.Unlock()
	if a.watches--; a.watches > 0 {
		return
	}
	delete(fd.audiences, a.filter)
	if fd.byLink[a.only] == a {
		delete(fd.byLink, a.only)
	}
	fd.rest = slices.DeleteFunc(fd.rest, func(other *Audience) bool { return other == a })
	if len(fd.audiences) == 0 && !fd.ended {
		f.end(fd)
	}
}

// end takes the feed out. The caller holds both locks.
func (f *Hub) end(fd *feed) {
	fd.ended = true
	delete(f.byKind, fd.kind)
	close(fd.stop)
}

// run follows the store until nobody watches any more.
func (fd *feed) run() {
	for {
		changed := fd.hub.store.Changed()
		if !fd.read() {
			return
		}
		select {
		case <-changed:
		case <-fd.stop:
			return
		}
	}
}

// read tells all that has changed; false means that the store's log does not
// go on from where the feed is.
func (fd *feed) read() bool {
	now := fd.hub.store.Position()
	for more := true; more; {
		var changes []kit.Change
		var err error
		if changes, more, err = fd.hub.store.Since(fd.kind, fd.at, page); err != nil {
			fd.fail()
			return false
		}
		fd.publish(changes)
	}
	fd.mu.Lock()
	defer fd.mu.Unlock()
	fd.at = Later(fd.at, now)
	return true
}

// fail ends all watches.
func (fd *feed) fail() {
	fd.hub.mu.Lock()
	defer fd.hub.mu.Unlock()
	fd.mu.Lock()
	defer fd.mu.Unlock()
	if fd.ended {
		return
	}
	fd.hub.end(fd)
	for _, a := range fd.audiences {
		close(a.wake)
	}
}

// publish tells the changes to those whom they are for.
func (fd *feed) publish(changes []kit.Change) {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	woken := map[*Audience]bool{}
	for _, c := range changes {
		fd.at = c.Position
		o := &Told{Change: c}
		if a := fd.byLink[c.Record.Link]; a != nil {
			o.told = append(o.told, a)
		}
		for _, a := range fd.rest {
			if c.Record.Deleted || a.matches(c.Record) {
				o.told = append(o.told, a)
			}
		}
		if len(o.told) == 0 {
			continue
		}
		var err error
		if o.Frame, err = Frame(c); err != nil {
			continue // it is no JSON: the store has nothing like that
		}
		for _, a := range o.told {
			a.latest = append(a.latest, o)
			woken[a] = true
		}
		fd.latest = append(fd.latest, o)
		fd.bytes += len(o.Frame)
	}
	for len(fd.latest) > maxLatest || fd.bytes > maxLatestBytes {
		fd.forget()
	}
	for a := range woken {
		if !fd.ended {
			close(a.wake)
			a.wake = make(chan struct{})
		}
	}
}

// forget lets go of the oldest of the latest. The caller holds mu.
func (fd *feed) forget() {
	o := fd.latest[0]
	fd.latest[0] = nil
	fd.latest = fd.latest[1:]
	fd.bytes -= len(o.Frame)
	for _, a := range o.told {
		if len(a.latest) > 0 && a.latest[0] == o {
			a.latest[0] = nil
			a.latest = a.latest[1:]
		}
		a.floor = o.Change.Position
	}
}

// After returns what the Audience is told after the position, up to which
// position that is, and what is closed when there is more. It is not ok if
// that has to be read from the store.
func (a *Audience) After(at kit.Position) (told []*Told, upTo kit.Position, wake <-chan struct{}, ok bool) {
	fd := a.feed
	fd.mu.Lock()
	defer fd.mu.Unlock()
	if Before(at, a.floor) {
		return nil, at, nil, false
	}
	i := sort.Search(len(a.latest), func(i int) bool { return Before(at, a.latest[i].Change.Position) })
	return slices.Clone(a.latest[i:]), Later(at, fd.at), a.wake, true
}

// Over tells whether the feed has ended, so that the watches do, too.
func (a *Audience) Over() bool {
	a.feed.mu.Lock()
	defer a.feed.mu.Unlock()
	return a.feed.ended
}

// Frame returns the server-sent event of a change.
func Frame(c kit.Change) ([]byte, error) {
	name := "put"
	if c.Record.Deleted {
		name = "delete"
	}
	data, err := c.Record.MarshalJSON()
	if err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(make([]byte, 0, len(data)+60))
	fmt.Fprintf(b, "id: %s\nevent: %s\ndata: ", c.Position, name)
	if err := json.Compact(b, data); err != nil {
		return nil, err
	}
	b.WriteString("\n\n")
	return b.Bytes(), nil
}

// Before tells whether a node at p lacks something of what one at q has. A
// later epoch takes the place of all earlier ones.
func Before(p, q kit.Position) bool {
	return p.Epoch < q.Epoch || p.Epoch == q.Epoch && p.Seq < q.Seq
}

// Later returns the later of two positions of one epoch, and b if they are of
// different ones.
func Later(a, b kit.Position) kit.Position {
	if a.Epoch == b.Epoch && a.Seq > b.Seq {
		return a
	}
	return b
}
