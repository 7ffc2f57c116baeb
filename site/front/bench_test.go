//go:build unix

package front

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkRequests measures one request of a keep-alive client, with a door
// before the backend and without. The client and the backend are part of it, so
// what the door takes of the processor is the difference of the two.
func BenchmarkRequests(b *testing.B) {
	body := []byte(`{"link":"` + strings.Repeat("x", 192) + `"}`)
	backend := newSide(b, "blue", func(w http.ResponseWriter, r *http.Request) bool {
		io.Copy(io.Discard, r.Body)
		w.Write(body)
		return true
	})
	h := opened(b, Options{}, backend.route(1))
	get := "GET /docs/1 HTTP/1.1\r\nHost: bench\r\n\r\n"
	post := "POST /docs HTTP/1.1\r\nHost: bench\r\nContent-Length: 204\r\n\r\n" + strings.Repeat("x", 204)
	cases := []struct{ name, addr, request string }{
		{"direct/GET", backend.addr(), get},
		{"door/GET", strings.TrimPrefix(h.url, "http://"), get},
		{"door/POST", strings.TrimPrefix(h.url, "http://"), post},
	}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(32)
			began := processorTime(b)
			b.RunParallel(func(pb *testing.PB) { repeat(b, pb, c.addr, c.request) })
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
			b.ReportMetric((processorTime(b)-began).Seconds()*1e6/float64(b.N), "cpu-µs/req")
		})
	}
}

// processorTime is what this process has taken so far.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// repeat sends request over one connection for as long as pb says.
func repeat(b *testing.B, pb *testing.PB, addr, request string) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Error(err)
		return
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for pb.Next() {
		io.WriteString(c, request)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 200 {
			b.Errorf("got %v, %v", resp, err)
			return
		}
		io.Copy(io.Discard, resp.Body)
	}
}
