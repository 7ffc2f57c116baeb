package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/key"
	"landfall.dev/kit/store/memory"
)

const benchmarkBody = `{"text":"a small document","state":"open","count":12345,"owner":"users/ada","labels":{"site":"north","tier":"gold"}}`

// BenchmarkApply reports the rate of applying entries of a thousand documents
// each, half of them new.
func BenchmarkApply(b *testing.B) {
	log, docs := benchmarkLog(b)
	for b.Loop() {
		s := New(benchmarkKinds())
		for _, entry := range log {
			if err := s.Apply(entry); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(docs)*float64(b.N)/b.Elapsed().Seconds(), "docs/s")
}

// BenchmarkDecide reports the rate of deciding the same.
func BenchmarkDecide(b *testing.B) {
	docs := 0
	for b.Loop() {
		_, docs = benchmarkLog(b)
	}
	b.ReportMetric(float64(docs)*float64(b.N)/b.Elapsed().Seconds(), "docs/s")
}

func benchmarkLog(b *testing.B) (log [][]byte, docs int) {
	n := &node{Store: New(benchmarkKinds()), t: b, now: start}
	for round := range 40 {
		var ps []Proposal
		for i := range 1000 {
			verb, id := kit.VerbCreate, 1000*round+i
			if round%2 == 1 {
				verb, id = kit.VerbUpdate, rand.IntN(1000*round)
			}
			if verb == kit.VerbUpdate && n.find(plain.Link(fmt.Sprint(id))) == nil {
				id %= 1000
			}
			body := fmt.Sprintf(`{"round":%d,%s`, round, benchmarkBody[1:])
			ps = append(ps, Proposal{Writes: []kit.Write{{Verb: verb, Link: plain.Link(fmt.Sprint(id)), Body: json.RawMessage(body)}}})
		}
		for i, r := range n.propose(ps...) {
			if r.Err != nil {
				b.Fatalf("proposal %d: %v", i, r.Err)
			}
		}
		docs += len(ps)
	}
	return n.log, docs
}

// BenchmarkFilteredList tests 10,000 documents.
func BenchmarkFilteredList(b *testing.B) {
	n := newNode(b)
	var ps []Proposal
	for i := range 10_000 {
		ps = append(ps, Proposal{Writes: []kit.Write{{Verb: kit.VerbCreate, Link: "orders/", Body: json.RawMessage(fmt.Sprintf(`{"amount":%d}`, i))}}})
	}
	for chunk := range slices.Chunk(ps, 1000) {
		n.propose(chunk...)
	}
	for b.Loop() {
		p, err := n.List(kit.Query{Kind: "orders", Filter: `state == "open" && amount > 9990`})
		if err != nil || len(p.Items) != 9 {
			b.Fatalf("list: %d documents, error %v", len(p.Items), err)
		}
	}
}

// Account is a kind with an index.
type Account struct {
	kit.Meta
	Owner   string `json:"owner"`
	Balance int    `json:"balance"`
	Note    string `json:"note"`
}

var (
	accounts = kit.Define[Account]("accounts", kit.Index("owner"))
	plain    = kit.Define[Account]("plain")
)

func benchmarkKinds() *Kinds { return NewKinds(kit.Own(accounts, nil), kit.Own(plain, nil)) }

// benchmarkSize is the number of documents that the benchmarks below are of:
// 1,000,000, or what KIT_DOCUMENTS says.
func benchmarkSize(b *testing.B) int {
	n, err := strconv.Atoi(os.Getenv("KIT_DOCUMENTS"))
	if err != nil {
		n = 1_000_000
	}
	b.Logf("%d documents", n)
	return n
}

// benchmarkDocument has 200 bytes with its link.
func benchmarkDocument(kind string, i, of int) []byte {
	link := fmt.Sprintf("%s/%016x", kind, uint64(i)*0x9e3779b97f4a7c15)
	body := fmt.Sprintf(`{"owner":"users/%09d","balance":%d,"note":"`, i%(of/100), i)
	body += "........................................................................................................................................................................."[:200-len(link)-len(body)-2] + `"}`
	at := start.Add(time.Duration(i) * time.Millisecond)
	r := kit.Record{Meta: kit.Meta{Link: kit.Link(link), Schema: 1, Version: 1, Created: at, Updated: at}, Seq: int64(i) + 1, Body: json.RawMessage(body)}
	raw, err := frame.AppendDocument(nil, r, frame.Origin{})
	if err != nil {
		panic(err)
	}
	return raw
}

// benchmarkStore returns a store with n documents of the kind.
func benchmarkStore(kind string, n int) *Store {
	s := New(benchmarkKinds())
	for i := range n {
		raw := benchmarkDocument(kind, i, n)
		document, _ := frame.Unpack(raw)
		pieces := []*frame.Piece{{Type: frame.TypeDocument, Raw: raw, Document: document}}
		s.engine.Apply(memory.Head{Epoch: 1, Seq: int64(i) + 1, Time: start}, pieces, nil)
	}
	s.head = head{}.after(wireHead{Entries: 1, Epoch: 1, Seq: int64(n), Time: start})
	s.tell()
	return s
}

// heap returns the bytes of all that is reachable, and how long it took the
// garbage collector to find that.
func heap() (int64, time.Duration) {
	runtime.GC()
	begin := time.Now()
	runtime.GC()
	took := time.Since(begin)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), took
}

// BenchmarkMemory reports the memory of a document beyond its link and body,
// and how long a garbage collection takes with all of them.
func BenchmarkMemory(b *testing.B) {
	for _, kind := range []string{"plain", "accounts"} {
		b.Run(kind, func(b *testing.B) {
			n := benchmarkSize(b)
			for b.Loop() {
				before, _ := heap()
				s := benchmarkStore(kind, n)
				after, took := heap()
				b.ReportMetric(float64(after-before)/float64(n)-200, "bytes/doc")
				b.ReportMetric(float64(took.Milliseconds()), "ms/GC")
				var snapshot bytes.Buffer
				_, _ = s.Snapshot().WriteTo(&snapshot)
				_ = s.Restore(&snapshot)
				snapshot = bytes.Buffer{}
				after, _ = heap()
				b.ReportMetric(float64(after-before)/float64(n)-200, "restored-bytes/doc")
				runtime.KeepAlive(s)
			}
		})
	}
}

// BenchmarkRestore reports the rate of taking up and of writing a snapshot.
func BenchmarkRestore(b *testing.B) {
	for _, kind := range []string{"plain", "accounts"} {
		b.Run(kind, func(b *testing.B) {
			n := benchmarkSize(b)
			s := benchmarkStore(kind, n)
			var snapshot bytes.Buffer
			begin := time.Now()
			if _, err := s.Snapshot().WriteTo(&snapshot); err != nil {
				b.Fatal(err)
			}
			written := time.Since(begin)
			for b.Loop() {
				if err := s.Restore(bytes.NewReader(snapshot.Bytes())); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "docs/s")
			b.ReportMetric(float64(n)/written.Seconds(), "written/s")
		})
	}
}

// BenchmarkRead reads documents at random on all cores.
func BenchmarkRead(b *testing.B) {
	n := benchmarkSize(b)
	s := benchmarkStore("plain", n)
	links := make([]kit.Link, 0, n)
	s.frozen().Scan("plain", []memory.Span{{Order: memory.OrderLink}}, always, func(r kit.Record) bool {
		links = append(links, r.Link)
		return true
	})
	rand.Shuffle(n, func(i, j int) { links[i], links[j] = links[j], links[i] })
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(n); pb.Next(); i++ {
			if r, err := s.Read(links[i%n]); err != nil || len(r.Body) == 0 {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
}

// BenchmarkIndexScan finds the 100 documents of an owner.
func BenchmarkIndexScan(b *testing.B) {
	n := benchmarkSize(b)
	s := benchmarkStore("accounts", n)
	for b.Loop() {
		from := key.AppendValue(nil, fmt.Sprintf("users/%09d", rand.IntN(n/100)))
		found := 0
		s.frozen().Scan("accounts", []memory.Span{{Order: 0, From: from, To: key.PrefixEnd(from)}}, always, func(kit.Record) bool {
			found++
			return true
		})
		if found != 100 {
			b.Fatalf("found %d documents", found)
		}
	}
}

// BenchmarkSnapshot takes snapshots between writes, and reports how long the
// longest write waited.
func BenchmarkSnapshot(b *testing.B) {
	n := benchmarkSize(b)
	s := benchmarkStore("plain", n)
	var longest time.Duration
	for i := 0; b.Loop(); i++ {
		done := make(chan struct{})
		snapshot := s.Snapshot()
		go func() {
			_, _ = snapshot.WriteTo(io.Discard)
			close(done)
		}()
		for writing := true; writing; {
			begin := time.Now()
			entry, _ := s.Decide([]Proposal{{Writes: []kit.Write{{Verb: kit.VerbCreate, Link: "plain/", Body: json.RawMessage(`{"note":"x"}`)}}}}, begin)
			if err := s.Apply(entry); err != nil {
				b.Fatal(err)
			}
			longest = max(longest, time.Since(begin))
			select {
			case <-done:
				writing = false
			default:
			}
		}
	}
	b.ReportMetric(float64(longest.Microseconds())/1000, "longest-ms")
}
