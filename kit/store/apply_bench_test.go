package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// updates makes entries as a leader's, each of which updates some documents.
type updates struct {
	head    wireHead
	created []int64 // by number of the document: 0 if it is to be made
	version []int64
	random  *rand.Rand
}

// entry returns the next one, with n documents that pick chooses.
func (u *updates) entry(b *testing.B, n int, pick func() int) []byte {
	var buf bytes.Buffer
	w := frame.NewWriter(&buf)
	var payloads [][]byte
	u.head.Entries++
	for range n {
		u.head.Seq++
		i := pick()
		u.version[i]++
		if u.created[i] == 0 {
			u.created[i] = u.head.Time.UnixMicro()
		}
		r := kit.Record{
			Meta: kit.Meta{
				Link: plain.Link(fmt.Sprint(i + 1)), Schema: 1, Version: u.version[i],
				Created: time.UnixMicro(u.created[i]), Updated: u.head.Time,
			},
			Seq: u.head.Seq, Body: fmt.Appendf(nil, `{"note":"%0248x"}`, u.random.Uint64()),
		}
		raw, err := frame.AppendDocument(nil, r, frame.Origin{})
		if err != nil {
			b.Fatal(err)
		}
		payloads = append(payloads, raw)
	}
	head, err := json.Marshal(u.head)
	if err == nil {
		err = w.Write(frame.Frame{Head: head})
	}
	for _, raw := range payloads {
		if err == nil {
			err = w.WriteRaw(frame.TypeDocument, raw)
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
	return buf.Bytes()
}

// BenchmarkApplyUpdates reports what an update takes on a node that has as many
// earlier versions as it keeps, so that each makes one and forgets one: of
// 10,000 documents with values of 256 bytes, 2,500 a second, 16 in each entry.
func BenchmarkApplyUpdates(b *testing.B) {
	const documents, inEntry, rate, entries = 10_000, 16, 2500, 1000
	s := New(benchmarkKinds())
	u := &updates{
		head:    wireHead{Of: ofEntry, Epoch: 1, Time: start},
		created: make([]int64, documents), version: make([]int64, documents),
		random: rand.New(rand.NewPCG(1, 1)),
	}
	next := 0
	apply := func(pick func() int) {
		b.StopTimer()
		log := make([][]byte, entries)
		for i := range log {
			u.head.Time = u.head.Time.Add(time.Second / rate * inEntry)
			log[i] = u.entry(b, inEntry, pick)
		}
		b.StartTimer()
		for _, entry := range log {
			if err := s.Apply(entry); err != nil {
				b.Fatal(err)
			}
		}
	}
	apply(func() int { next++; return (next - 1) % documents })
	random := func() int { return u.random.IntN(documents) }
	for range 30 {
		apply(random)
	}
	b.ResetTimer()
	updates := 0
	for b.Loop() {
		apply(random)
		updates += entries * inEntry
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(updates), "ns/update")
	usage := s.engine.Usage()
	b.ReportMetric(float64(usage.Versions), "versions")
	b.ReportMetric(float64(usage.Held)/(1<<20), "MiB")
}

// BenchmarkImport reports what each step of taking over another cluster's
// documents takes of a document: a million of 200 bytes, 10,000 at once, whose
// ids are in the order of their changes, or in none; and then changes of every
// sixteenth of them.
func BenchmarkImport(b *testing.B) {
	b.Run("in order", func(b *testing.B) { benchmarkImport(b, func(i int) string { return fmt.Sprint(i + 1) }) })
	b.Run("in none", func(b *testing.B) {
		benchmarkImport(b, func(i int) string { return fmt.Sprintf("%08x%08x", uint32(i)*2654435761, i) })
	})
}

func benchmarkImport(b *testing.B, id func(i int) string) {
	const documents, atOnce, step = 1_000_000, 10_000, 16
	var all, changes took
	for b.Loop() {
		kinds := benchmarkKinds()
		s := New(kinds)
		for from := 0; from < documents; from += atOnce {
			all.add(b, s, kinds, imports(atOnce, func(i int) (string, int, int64) { return id(from + i), from + i, 1 }))
		}
		for from := 0; from+atOnce <= documents/step; from += atOnce {
			changes.add(b, s, kinds, imports(atOnce, func(i int) (string, int, int64) {
				return id((from + i) * step), documents + from + i, 2
			}))
		}
	}
	all.report(b, "")
	changes.report(b, "change-")
}

// imports returns n documents; one tells the id, the place in the log and the
// version of each.
func imports(n int, one func(i int) (id string, at int, version int64)) []Imported {
	all := make([]Imported, n)
	for i := range all {
		id, n, version := one(i)
		at := start.Add(time.Duration(n/1000) * time.Millisecond)
		all[i] = Imported{
			Record: kit.Record{
				Meta: kit.Meta{Link: plain.Link(id), Kind: plain.Name, Schema: 1, Version: version, Created: at, Updated: at},
				Seq:  int64(n + 1), Body: fmt.Appendf(nil, `{"note":"%0186x"}`, n),
			},
			Origin: frame.Origin{Stream: "1732320000000000.1", Seq: int64(n + 1), Hash: [16]byte{1}},
			Valid:  true,
		}
	}
	return all
}

// took is what the steps have taken of so many imports.
type took struct {
	prepare, decide, apply time.Duration
	imports                int
}

func (t *took) add(b *testing.B, s *Store, kinds *Kinds, imports []Imported) {
	began := time.Now()
	kinds.Prepare(imports)
	prepared := time.Now()
	entry, results := s.Decide([]Proposal{{Import: imports}}, start)
	decided := time.Now()
	if results[0].Err != nil {
		b.Fatal(results[0].Err)
	}
	if err := s.Apply(entry); err != nil {
		b.Fatal(err)
	}
	t.prepare, t.decide, t.apply = t.prepare+prepared.Sub(began), t.decide+decided.Sub(prepared), t.apply+time.Since(decided)
	t.imports += len(imports)
}

func (t *took) report(b *testing.B, of string) {
	for step, took := range map[string]time.Duration{"prepare": t.prepare, "decide": t.decide, "apply": t.apply} {
		b.ReportMetric(float64(took.Nanoseconds())/float64(t.imports), of+step+"-ns")
	}
}
