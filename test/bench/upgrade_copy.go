package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/test/bench/items"
	"landfall.dev/test/bench/postgres"
	"landfall.dev/test/bench/server"
)

// What is demanded of copies.
const (
	wantCopyCPU    = 3  // µs of a document
	wantEmptyCycle = 5  // ms
	wantSmallDelta = 50 // ms
	changesInDelta = 60_000
	changesInSmall = 10_000
	changesInTiny  = 1000
	emptyCycles    = 21
)

// pair are two platforms, of which green is filled from blue.
type pair struct {
	m         *measurement
	program   string
	documents int
	blue      *platform
	writer    kit.Client // of blue
	green     *platform  // nil until there is one
	turn      int        // of changes
}

// startPair starts blue and fills it.
func startPair(ctx context.Context, m *measurement, program, name string, documents int) (*pair, error) {
	blue, err := m.startPlatform(ctx, program, name, 1, false)
	if err != nil {
		return nil, err
	}
	p := &pair{m: m, program: program, documents: documents, blue: blue}
	if p.writer, err = blue.administrator(ctx); err == nil {
		err = items.Fill(ctx, p.writer, documents)
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *pair) stop() {
	p.clear()
	p.blue.remove()
}

func (p *pair) clear() {
	if p.green != nil {
		p.green.remove()
	}
	p.green = nil
}

// copy fills a new green.
func (p *pair) copy(ctx context.Context, profile string, env ...string) (postgres.Spent, error) {
	p.clear()
	var err error
	if p.green, err = p.m.startPlatform(ctx, p.program, filepath.Base(p.blue.dir)+"-green", 2, true, env...); err != nil {
		return postgres.Spent{}, err
	}
	profiled := make(chan error, 1)
	go func() { profiled <- p.profile(ctx, profile) }()
	s, err := p.cycle(ctx, p.documents)
	return s, errors.Join(err, <-profiled)
}

// ofKit bounds the documents that kit itself keeps, such as roles and tokens.
const ofKit = 100

// cycle pulls what has changed, which is so many documents, or some of kit's
// own more.
func (p *pair) cycle(ctx context.Context, want int) (postgres.Spent, error) {
	both := []*server.Server{p.blue.Server, p.green.Server}
	before, began := server.CPUOf(both), time.Now()
	r, err := p.green.pull(ctx, p.blue)
	s := postgres.Spent{Took: time.Since(began), CPU: server.CPUOf(both) - before}
	if n := int(r.Documents); err == nil && (n < want || n > want+ofKit) {
		err = fmt.Errorf("%d documents were copied, and %d were to be", r.Documents, want)
	}
	return s, err
}

// change changes so many documents of blue.
func (p *pair) change(ctx context.Context, changes int) error {
	p.turn++
	return items.Alter(ctx, p.writer, p.documents, changes, p.turn)
}

// delta changes documents and pulls them.
func (p *pair) delta(ctx context.Context, changes int) (postgres.Spent, error) {
	if err := p.change(ctx, changes); err != nil {
		return postgres.Spent{}, err
	}
	return p.cycle(ctx, changes)
}

// profile keeps CPU profiles of the first seconds of a copy, of both sides.
func (p *pair) profile(ctx context.Context, name string) error {
	if p.m.profiles == "" || name == "" {
		return nil
	}
	n := nodes{urls: []string{p.blue.url, p.green.url}}
	return n.profile(ctx, p.m.profiles, name, 2*time.Second)
}

// compareCopies measures copies of one node to another.
func compareCopies(ctx context.Context, m *measurement, program string) error {
	p, err := startPair(ctx, m, program, "blue", m.upgraded())
	if err != nil {
		return err
	}
	defer p.stop()
	m.setup = append(m.setup, copySetup)
	if m.wants("copy", "copy-cpu", "copy-func", "delta") {
		if err := compareWithPostgres(ctx, m, p); err != nil {
			return err
		}
	}
	if m.wants("empty-cycle", "small-delta", "proportion-empty", "proportion") {
		return measureCycles(ctx, m, p)
	}
	return nil
}

const copySetup = `Copies are made from one node to another, blue to green, each a process of its
own with its data on the same disk; both sync the log before they acknowledge,
as they do by default. Blue has documents of 200 bytes in five fields; green's
schema renames one of the fields and adds another. A copy is one POST
/migrate/pull. PostgreSQL's cluster is as initdb makes it, and reached over a
Unix socket. Its blue and green are two databases with a table (id bigint
PRIMARY KEY, doc jsonb), and a copy is COPY (SELECT ...) TO STDOUT in one, piped
into COPY FROM STDIN in the other, where the table is empty and has its primary
key. For deltas its blue has an indexed number of the last change, and its green
takes them by COPY into a temporary table and INSERT ... ON CONFLICT DO UPDATE.
A transformation in Go is a kit.Edit that does the same to the fields; beside it
is measured a kit.Func that decodes the document into a
map[string]json.RawMessage, changes that and encodes it. CPU time is of all that
has part in a copy: both nodes; all of PostgreSQL's processes and both psql.`

// compareWithPostgres lets both copy in turns.
func compareWithPostgres(ctx context.Context, m *measurement, p *pair) error {
	pg, err := postgres.Start(ctx)
	if err != nil {
		return err
	}
	defer pg.Close()
	m.peers = append(m.peers, "PostgreSQL "+pg.Version+" (Debian's postgresql)")
	if err := pg.Fill(ctx, p.documents); err != nil {
		return err
	}
	var ours, inGo, decoded, peer []postgres.Spent
	for range m.rounds {
		for _, turn := range []struct {
			wanted  bool
			results *[]postgres.Spent
			copy    func() (postgres.Spent, error)
		}{
			{m.wants("copy-func"), &inGo, func() (postgres.Spent, error) { return p.copy(ctx, "copy-func", "TRANSFORM=edit") }},
			{m.wants("copy-func"), &decoded, func() (postgres.Spent, error) { return p.copy(ctx, "copy-decoded", "TRANSFORM=func") }},
			{true, &ours, func() (postgres.Spent, error) { return p.copy(ctx, "copy") }},
			{true, &peer, func() (postgres.Spent, error) { return pg.Copy(ctx) }},
		} {
			if !turn.wanted {
				continue
			}
			s, err := turn.copy()
			if err != nil {
				return err
			}
			*turn.results = append(*turn.results, s)
		}
	}
	n := p.documents
	if m.wants("copy", "copy-cpu") {
		m.bar("copy", "documents a second, "+count(n)+" with declared transformations, against COPY", rateOf(ours, n), rateOf(peer, n), atLeast(5))
		m.bar("copy-cpu", "µs of CPU of a document, over both sides", eachOf(ours, n), wantCopyCPU, atMost(1))
	}
	if m.wants("copy-func") {
		m.bar("copy-func", "documents a second, transformed by Go code, against COPY", rateOf(inGo, n), rateOf(peer, n), atLeast(1))
		m.tell("copy, transformed by Go code: %s; that decodes documents: %s", costs(inGo, n), costs(decoded, n))
	}
	m.tell("copy: ours %s; PostgreSQL %s", costs(ours, n), costs(peer, n))
	if m.wants("delta") {
		return compareDeltas(ctx, m, p, pg)
	}
	return nil
}

// compareDeltas lets both take over changes in turns. Both have a full copy.
func compareDeltas(ctx context.Context, m *measurement, p *pair, pg *postgres.Server) error {
	changes := min(changesInDelta, p.documents/2)
	var ours, peer []postgres.Spent
	for turn := range m.rounds {
		s, err := p.delta(ctx, changes)
		if err != nil {
			return err
		}
		ours = append(ours, s)
		if err := pg.Change(ctx, p.documents, changes, turn+1); err != nil {
			return err
		}
		if s, err = pg.Delta(ctx, p.documents, turn+1); err != nil {
			return err
		}
		peer = append(peer, s)
	}
	if n, err := pg.Count(ctx); err != nil || n != p.documents {
		return fmt.Errorf("PostgreSQL's green has %d documents instead of %d: %w", n, p.documents, err)
	}
	m.bar("delta", "documents a second, "+count(changes)+" changes, against an upsert from a temporary table", rateOf(ours, changes), rateOf(peer, changes), atLeast(5))
	m.tell("delta: ours %s; PostgreSQL %s", costs(ours, changes), costs(peer, changes))
	return nil
}

// measureCycles measures cycles that have little or nothing to copy, and
// whether they depend on how much there is.
func measureCycles(ctx context.Context, m *measurement, many *pair) error {
	few, err := startPair(ctx, m, many.program, "small", max(many.documents/10, 1))
	if err != nil {
		return err
	}
	defer few.stop()
	for _, p := range []*pair{few, many} {
		if p.green == nil {
			if _, err := p.copy(ctx, ""); err != nil {
				return err
			}
		}
		if _, err := p.cycle(ctx, 0); err != nil { // what is left to do after a first cycle
			return err
		}
	}
	tiny, small := min(changesInTiny, few.documents/2), min(changesInSmall, many.documents/2)
	var empty, some [2][]float64
	for range emptyCycles {
		for i, p := range []*pair{many, few} {
			if empty[i], err = timed(empty[i], func() (postgres.Spent, error) { return p.cycle(ctx, 0) }); err != nil {
				return err
			}
		}
	}
	for range 3 * m.rounds {
		for i, p := range []*pair{many, few} {
			if some[i], err = timed(some[i], func() (postgres.Spent, error) { return p.delta(ctx, tiny) }); err != nil {
				return err
			}
		}
	}
	var deltas []float64
	for range m.rounds {
		if deltas, err = timed(deltas, func() (postgres.Spent, error) { return many.delta(ctx, small) }); err != nil {
			return err
		}
	}
	m.bar("empty-cycle", "ms, a cycle without changes, "+count(many.documents)+" documents", middle(empty[0]), wantEmptyCycle, atMost(1))
	m.bar("small-delta", "ms, a cycle of "+count(small)+" changes", middle(deltas), wantSmallDelta, atMost(1))
	m.bar("proportion-empty", "ms, a cycle without changes, against that with "+count(few.documents)+" documents", middle(empty[0]), middle(empty[1]), atMost(1.5))
	m.bar("proportion", "ms, a cycle of "+count(tiny)+" changes, against that with "+count(few.documents)+" documents", middle(some[0]), middle(some[1]), atMost(1.5))
	return nil
}

// timed adds the milliseconds that f took to those before.
func timed(before []float64, f func() (postgres.Spent, error)) ([]float64, error) {
	s, err := f()
	return append(before, s.Took.Seconds()*1000), err
}

// rate is how many of count documents were copied in a second.
func rate(s postgres.Spent, count int) float64 { return float64(count) / s.Took.Seconds() }

// rateOf is the median rate of copies of count documents.
func rateOf(all []postgres.Spent, count int) float64 {
	var rates []float64
	for _, s := range all {
		rates = append(rates, rate(s, count))
	}
	return middle(rates)
}

// eachOf is the median CPU time of a document in them, in microseconds.
func eachOf(all []postgres.Spent, count int) float64 {
	var each []float64
	for _, s := range all {
		each = append(each, s.CPU.Seconds()*1e6/float64(count))
	}
	return middle(each)
}

// costs tells the rates of all, and what a document took.
func costs(all []postgres.Spent, count int) string {
	var rates []string
	for _, s := range all {
		rates = append(rates, figure(rate(s, count)))
	}
	return fmt.Sprintf("%s documents a second by round, %s µs of CPU for each", strings.Join(rates, ", "), digits(eachOf(all, count), 3))
}
