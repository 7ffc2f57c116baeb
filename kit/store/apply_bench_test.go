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
