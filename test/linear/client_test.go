package linear

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"landfall.dev/kit"
)

// record is what the clients of one history have seen. Its methods may be
// called concurrently.
type record struct {
	began time.Time

	mu      sync.Mutex
	history []porcupine.Operation
	entries map[kit.Link]kit.Fault // what became of their creation
	refused map[kit.Link][]string  // the writes that have not happened, and why
	watched map[kit.Link]document  // what a watch has told last
	wrong   []string               // what was seen that must not be
}

func (r *record) now() time.Duration { return time.Since(r.began) }

func (r *record) add(o porcupine.Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, o)
}

func (r *record) refuse(in input, called, returned time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused[in.link] = append(r.refused[in.link], fmt.Sprintf("%.3f to %.3f s: %+v: %v", called.Seconds(), returned.Seconds(), in, err))
}

func (r *record) blame(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

// The keys that the clients share. Few make many conflicts.
const sharedRegisters, sharedLists = 4, 2

// pace is between two calls of a client, attempt is how long one may take.
const (
	pace    = 8 * time.Millisecond
	attempt = 1500 * time.Millisecond
)

// work calls the cluster until ctx ends: what one client does.
func (c *cluster) work(ctx context.Context, r *record, number int, plan schedule) {
	s := session{cluster: c, record: r, number: number, keys: plan.steady, client: c.client(number, false), seen: map[kit.Link]int64{}}
	s.random = rand.New(rand.NewPCG(plan.seed, uint64(number)))
	repeat(ctx, func() { s.call(ctx, s.choose()) })
}

// repeat calls f at the clients' pace until ctx ends.
func repeat(ctx context.Context, f func()) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for ctx.Err() == nil {
		f()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// session is one client on its way.
type session struct {
	*cluster
	record *record
	number int
	client kit.Client
	random *rand.Rand
	// keys lets it repeat writes under one key. These are kept for
	// kit.OnceAge of the log's time, over which a new leader whose clock is an
	// hour ahead jumps.
	keys bool
	seen map[kit.Link]int64 // the versions last seen, for If-Match
	last int64              // the last value written
}

// choose returns what to do next. Every value is written once only.
func (s *session) choose() input {
	s.last++
	in := input{value: int64(s.number)*1_000_000 + s.last}
	dice := s.random.IntN(100)
	if dice < 25 {
		in.link = kit.NewLink("lists", strconv.Itoa(s.random.IntN(sharedLists)))
		in.verb = [...]kit.Verb{"append", "append", "append", kit.VerbRead, kit.VerbCreate}[s.random.IntN(5)]
		in.once = s.keys && in.verb == "append" && s.random.IntN(2) == 0
		return in
	}
	in.link = kit.NewLink("registers", strconv.Itoa(s.random.IntN(sharedRegisters)))
	switch {
	case dice < 60:
		in.verb = kit.VerbRead
	case dice < 80:
		in.verb, in.ifMatch = kit.VerbUpdate, s.seen[in.link]
	case dice < 86:
		in.verb = kit.VerbUpdate
	case dice < 94:
		in.verb = kit.VerbCreate
	default:
		in.verb = kit.VerbDelete
	}
	return in
}

// call does in and records it. What had no effect, and was not told anything
// of the document either, is left out.
func (s *session) call(ctx context.Context, in input) {
	patience := attempt
	if in.once {
		patience *= 2 // there is time to repeat it
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	called := s.record.now()
	out := s.do(ctx, in)
	returned := s.record.now()
	if out.err != nil && in.verb != kit.VerbRead && !out.unknown() {
		s.record.refuse(in, called, returned, out.err)
	}
	out.err = nil
	if out.fault == 0 && in.verb != kit.VerbDelete {
		s.seen[in.link] = out.version
	}
	told := out.fault == kit.ErrNotFound || out.fault == kit.ErrConflict || out.fault == kit.ErrStale
	if out.fault == 0 || told || out.unknown() && in.verb != kit.VerbRead {
		s.record.add(operation(s.number, in, called, out, returned))
	} else if out.fault != kit.ErrUnavailable && out.fault != kit.ErrTooMany && !out.unknown() {
		s.record.blame("client %d was answered %s to %v", s.number, out.fault, in)
	}
}

func (s *session) do(ctx context.Context, in input) output {
	var r kit.Record
	var err error
	body := fmt.Appendf(nil, `{"value":%d}`, in.value)
	switch in.verb {
	case kit.VerbCreate:
		if in.link.Kind() == "lists" {
			body = []byte(`{"values":[]}`)
		}
		r, err = s.client.Create(ctx, in.link.Kind(), in.link.ID(), body)
	case kit.VerbRead:
		r, err = s.client.Read(ctx, in.link, kit.ReadOptions{Consistency: kit.Linearizable})
	case kit.VerbUpdate:
		r, err = s.client.Update(ctx, in.link, body, in.ifMatch)
	case kit.VerbDelete:
		err = s.client.Delete(ctx, in.link, 0)
	default:
		var o []kit.WriteOption
		if in.once {
			o = append(o, kit.Once(fmt.Sprintf("append-%d", in.value)))
		}
		r, err = s.client.Do(ctx, in.link, string(in.verb), strconv.AppendInt(nil, in.value, 10), o...)
	}
	return output{err: err, fault: kit.FaultOf(err), version: r.Version, value: valueOf(r)}
}

// valueOf returns what a document holds as the model has it.
func valueOf(r kit.Record) string {
	var d struct {
		Value  json.Number   `json:"value"`
		Values []json.Number `json:"values"`
	}
	if r.Body == nil || json.Unmarshal(r.Body, &d) != nil {
		return ""
	}
	var b bytes.Buffer
	for _, v := range d.Values {
		b.WriteString(" " + v.String())
	}
	return strings.TrimSpace(b.String()) + d.Value.String()
}

// enter creates one new document after the other until ctx ends.
func (c *cluster) enter(ctx context.Context, r *record, number int) {
	client := c.client(number, false)
	n := 0
	repeat(ctx, func() {
		n++
		link := kit.NewLink("entries", fmt.Sprintf("%d-%d", number, n))
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attempt)
		defer cancel()
		_, err := client.Create(ctx, "entries", link.ID(), fmt.Appendf(nil, `{"text":%q}`, strings.Repeat("x", n%300)))
		r.mu.Lock()
		defer r.mu.Unlock()
		r.entries[link] = kit.FaultOf(err)
	})
}

// look reads at one member until ctx ends what it has, however old, and sees
// that it never gets older.
func (c *cluster) look(ctx context.Context, r *record, at int) {
	client := c.client(at, true)
	newest := map[kit.Link]document{}
	random := rand.New(rand.NewPCG(uint64(at), 7))
	repeat(ctx, func() {
		link := kit.NewLink("registers", strconv.Itoa(random.IntN(sharedRegisters)))
		if random.IntN(3) == 0 {
			link = kit.NewLink("lists", strconv.Itoa(random.IntN(sharedLists)))
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attempt)
		defer cancel()
		doc, err := client.Read(ctx, link, kit.ReadOptions{Consistency: kit.Eventual})
		old := newest[link]
		now := document{err == nil, doc.Version, valueOf(doc)}
		switch {
		case err != nil && kit.FaultOf(err) != kit.ErrNotFound:
			return
		case err != nil:
			now.version = old.version // of the deletion nothing is told
		case now.version < old.version, old.exists && now.version == old.version && now != old, !old.exists && old.version > 0 && now.version == old.version,
			!strings.HasPrefix(now.value, old.value) && link.Kind() == "lists":
			r.blame("at %s the session read %s as %+v at %s, after it had read %+v", c.members[at].name, link, now, r.now(), old)
		}
		newest[link] = now
	})
}

// pair changes two documents in one batch until ctx ends.
func (c *cluster) pair(ctx context.Context, r *record, number int) {
	client := c.client(number, false)
	value := 0
	verb := kit.VerbCreate
	repeat(ctx, func() {
		value++
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attempt)
		defer cancel()
		body := fmt.Appendf(nil, `{"value":%d}`, value)
		_, err := client.Batch(ctx, []kit.Write{{Verb: verb, Link: "pairs/left", Body: body}, {Verb: verb, Link: "pairs/right", Body: body}})
		if err == nil || kit.FaultOf(err) == kit.ErrConflict {
			verb = kit.VerbUpdate
		}
	})
}

// compare lists the two documents at any member until ctx ends: they are
// always equal.
func (c *cluster) compare(ctx context.Context, r *record) {
	at := 0
	repeat(ctx, func() {
		at = (at + 1) % len(c.members)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attempt)
		defer cancel()
		p, err := c.client(at, true).List(ctx, kit.Query{Kind: "pairs", Consistency: kit.Eventual})
		if err != nil || len(p.Items) == 0 {
			return
		}
		if len(p.Items) != 2 || valueOf(p.Items[0]) != valueOf(p.Items[1]) {
			r.blame("at %s a batch was seen in part: %+v", c.members[at].name, p.Items)
		}
	})
}
