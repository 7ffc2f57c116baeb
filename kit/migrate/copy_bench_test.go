package migrate_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
	"landfall.dev/kit/store/frame"
)

var copied = flag.Int("copied", 1_000_000, "how many documents BenchmarkFullCopy copies")

// item is a document of about 200 bytes.
type item struct {
	kit.Meta
	Name  string `json:"name,omitempty"`
	Title string `json:"title,omitempty"`
	Text  string `json:"text"`
	N     int    `json:"n"`
	Unit  string `json:"unit,omitempty"`
}

var (
	items1 = kit.Define[item]("items")
	items2 = kit.Define[item]("items", kit.Schema(2, []kit.Transform{kit.Rename("name", "title"), kit.Default("unit", "kg")}))
	// coded does the same as items2, in Go.
	coded = kit.Define[item]("items", kit.Schema(2, []kit.Transform{kit.Func(func(in json.RawMessage) (json.RawMessage, error) {
		var i item
		if err := json.Unmarshal(in, &i); err != nil {
			return nil, err
		}
		i.Name, i.Title, i.Unit = "", i.Name, "kg"
		return json.Marshal(i)
	}, nil)}))
)

func itemService(items kit.Kind[item]) kit.Service {
	return kit.Service{Name: "items", Owns: []kit.Owned{kit.Own(items, nil)}}
}

// fill returns the URL of a source of n items, which were changed last after
// the position from.
func fill(b *testing.B, from, n int) string {
	b.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/export") {
			_, _ = w.Write([]byte("{}"))
			return
		}
		out := frame.NewWriter(w)
		head := func(v string) { _ = out.Write(frame.Frame{Head: json.RawMessage(v)}) }
		head(fmt.Sprintf(`{"of":"export","position":"1.%d","schemas":{"items":1},"counts":{"items":%d}}`, from+n, n))
		version := int64(1 + from)
		now := time.Now().UTC().Truncate(time.Microsecond)
		for i := 1; i <= n; i++ {
			link := kit.NewLink("items", fmt.Sprintf("%08x%08x", uint32(i)*2654435761, i))
			r := kit.Record{Meta: kit.Meta{Link: link, Kind: "items", Schema: 1, Version: version, Created: now.Add(time.Duration(i) * time.Microsecond), Updated: now.Add(time.Duration(i) * time.Microsecond)}, Seq: int64(from + i)}
			r.Body = fmt.Appendf(nil, `{"name":"the name of item %d","text":%q,"n":%d}`, i, strings.Repeat("some text ", 13), i)
			if out.Write(frame.Frame{Record: r}) != nil {
				return
			}
		}
		head(fmt.Sprintf(`{"of":"end","position":"1.%d","documents":%d}`, from+n, n))
		_ = out.Close()
	}))
	b.Cleanup(h.Close)
	return h.URL
}

// BenchmarkFullCopy fills a node from another one, both on the disk, through
// transformations. It reports the rate, and the processor time that both take
// together.
func BenchmarkFullCopy(b *testing.B) {
	b.Run("declared", func(b *testing.B) { benchmarkFullCopy(b, items2) })
	b.Run("coded", func(b *testing.B) { benchmarkFullCopy(b, coded) })
}

func benchmarkFullCopy(b *testing.B, to kit.Kind[item]) {
	blue := started(b, true, itemService(items1)).client
	if _, err := blue.Pull(b.Context(), migrate.PullRequest{Source: fill(b, 0, *copied), Token: token}); err != nil {
		b.Fatal(err)
	}
	var cpu time.Duration
	for b.Loop() {
		b.StopTimer()
		green := started(b, true, itemService(to)).client
		runtime.GC()
		before := cpuTime()
		b.StartTimer()
		p, err := green.Pull(b.Context(), migrate.PullRequest{Source: blue.URLs[0], Token: token})
		if err != nil || p.Documents != int64(*copied) {
			b.Fatalf("the pull took %+v, %v", p, err)
		}
		b.StopTimer()
		cpu += cpuTime() - before
		b.StartTimer()
	}
	documents := float64(b.N) * float64(*copied)
	b.ReportMetric(documents/b.Elapsed().Seconds(), "documents/s")
	b.ReportMetric(float64(cpu.Microseconds())/documents, "cpu-µs/document")
}

// BenchmarkCycle takes over what has changed, of BenchmarkFullCopy's documents.
func BenchmarkCycle(b *testing.B) {
	blue, green := started(b, true, itemService(items1)).client, started(b, true, itemService(items2)).client
	at := 0
	change := func(n int) {
		b.Helper()
		if _, err := blue.Pull(b.Context(), migrate.PullRequest{Source: fill(b, at, n), Token: token}); err != nil {
			b.Fatal(err)
		}
		at += n
	}
	pull := func(want int) {
		b.Helper()
		p, err := green.Pull(b.Context(), migrate.PullRequest{Source: blue.URLs[0], Token: token})
		if err != nil || p.Documents != int64(want) {
			b.Fatalf("the pull took %+v, %v, want %d documents", p, err, want)
		}
	}
	change(*copied)
	pull(*copied)
	for _, n := range []int{0, 10_000, 60_000} {
		b.Run(fmt.Sprintf("%d changes", n), func(b *testing.B) {
			for b.Loop() {
				if n > 0 {
					b.StopTimer()
					change(n)
					b.StartTimer()
				}
				pull(n)
			}
		})
	}
}

// cpuTime returns how much processor time this process has taken.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
