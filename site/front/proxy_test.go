package front

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// raw returns a route to a backend that answers each connection's first
// request with text and closes.
func raw(t *testing.T, text string) Route {
	addr := rawBackend(t, func(c net.Conn, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(c, text)
	})
	return Route{Epoch: 1, Side: "blue", Backends: []string{addr}}
}

func TestResponsesArePassedAsTheyAre(t *testing.T) {
	cases := []struct {
		name, method, response string
		status                 int
		body                   string
	}{
		{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"},
		{"chunks and trailers", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nSum: 1\r\n\r\n", 200, "hello"},
		{"until the end", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", 200, "hello"},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\n\r\nhello", 200, "hello"},
		{"informational first", "POST", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 201, "ok"},
		{"no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
		{"not modified", "GET", "HTTP/1.1 304 Not Modified\r\nEtag: \"1\"\r\n\r\n", 304, ""},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 200, ""},
		{"an error of the backend", "POST", "HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno", 503, "no"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := opened(t, Options{}, raw(t, c.response))
			for range 2 { // the second finds no broken connection in the pool
				a := h.must(t, c.status, c.method, "/", "")
				if a.body != c.body {
					t.Errorf("body %q, want %q", a.body, c.body)
				}
				if c.method == "HEAD" && a.header.Get("Content-Length") != "1000" {
					t.Errorf("HEAD lost the length: %v", a.header)
				}
			}
		})
	}
}

func TestWhatCannotBeSentAgainIsAmbiguous(t *testing.T) {
	cases := []struct {
		name, method, response, detail string
		tries                          int
	}{
		{"POST without an answer", "POST", "", "may have been applied", 1},
		{"DELETE without an answer", "DELETE", "", "may have been applied", 1},
		{"GET without an answer", "GET", "", "asked for no change", maxTries},
		{"GET with half a head", "GET", "HTTP/1.1 200 OK\r\nConte", "asked for no change", 1},
		{"POST with nonsense", "POST", "SSH-2.0-OpenSSH\r\n\r\n", "may have been applied", 1},
		{"POST with an endless head", "POST", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", maxResponseHead), "may have been applied", 1},
		{"a switch that nobody asked for", "POST", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "may have been applied", 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tries := make(chan struct{}, 10)
			addr := rawBackend(t, func(nc net.Conn, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				tries <- struct{}{}
				io.WriteString(nc, c.response)
			})
			h := opened(t, Options{}, Route{Epoch: 1, Side: "blue", Backends: []string{addr}})
			a := h.must(t, 502, c.method, "/", "")
			if d := problemDetail(t, a); !strings.Contains(d, c.detail) {
				t.Errorf("detail %q, want %q in it", d, c.detail)
			}
			if len(tries) != c.tries {
				t.Errorf("the backend was asked %d times, want %d", len(tries), c.tries)
			}
		})
	}
}

func TestABackendThatBreaksOffBreaksTheClientOff(t *testing.T) {
	cases := map[string]string{
		"length": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	}
	for name, response := range cases {
		t.Run(name, func(t *testing.T) {
			h := opened(t, Options{}, raw(t, response))
			if a, err := h.do("POST", "/", "x"); err == nil {
				t.Errorf("got %+v without an error: the response looks complete", a)
			}
			if f := h.State().Failed; f != 1 {
				t.Errorf("%d failed, want 1", f)
			}
		})
	}
}

func TestDeadBackendsAreSkipped(t *testing.T) {
	blue := newSide(t, "blue", nil)
	r := blue.route(1)
	r.Backends = []string{deadBackend(t), blue.addr(), deadBackend(t)}
	h := opened(t, Options{}, r)
	for i := range 30 {
		h.must(t, 200, "POST", "/", "x", "Id", fmt.Sprint(i))
	}
	if n := blue.count(); n != 30 {
		t.Errorf("blue got %d requests, want 30", n)
	}
}

func TestABackendThatIsDownIsProbedOnce(t *testing.T) {
	b := newBackend("a:1", 1, New(Options{}).options.Logger)
	now := time.Now()
	b.probe.Store(now.Add(probeAfter).UnixNano())
	if b.mayTry(now) {
		t.Error("it is tried at once")
	}
	now = now.Add(probeAfter)
	if !b.mayTry(now) {
		t.Error("nobody probes it after a second")
	}
	if b.mayTry(now) {
		t.Error("two probe it")
	}
}

func TestABackendThatComesBackIsUsedAgain(t *testing.T) {
	l := listen(t)
	addr := l.Addr().String()
	l.Close()
	h := opened(t, Options{}, Route{Epoch: 1, Side: "blue", Backends: []string{addr}})
	a := h.must(t, 503, "POST", "/", "x")
	if d := problemDetail(t, a); !strings.Contains(d, "not applied") {
		t.Errorf("detail is %q", d)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.NotFoundHandler()}}
	srv.Start()
	defer srv.Close()
	h.must(t, 404, "POST", "/", "x")
}

func TestConnectionsAreUsedAgainButNotClosedOnes(t *testing.T) {
	from := map[string]bool{}
	blue := newSide(t, "blue", func(w http.ResponseWriter, r *http.Request) bool {
		from[r.RemoteAddr] = true
		return false
	})
	h := opened(t, Options{}, blue.route(1))
	for range 10 {
		h.must(t, 200, "POST", "/", "x")
	}
	if n := len(from); n != 1 {
		t.Errorf("10 requests took %d connections, want 1", n)
	}
	blue.CloseClientConnections()
	h.must(t, 200, "POST", "/", "x")
	if n := len(from); n != 2 {
		t.Errorf("%d connections, want 2: the closed one was replaced", n)
	}
}

func TestHeadersArePassedAndAdded(t *testing.T) {
	var got http.Header
	var host string
	blue := newSide(t, "blue", func(w http.ResponseWriter, r *http.Request) bool {
		got, host = r.Header.Clone(), r.Host
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("X-End", "1")
		w.Header()["Content-Type"] = nil
		return true
	})
	sent := []string{
		"Connection", "X-Secret", "X-Secret", "1", "Te", "trailers", "Proxy-Authorization", "x",
		"Traceparent", "00-1-2-01", "X-Forwarded-For", "10.1.2.3", "X-Forwarded-Proto", "https",
		"Forwarded", "for=10.1.2.3", "User-Agent", "",
	}
	cases := []struct {
		name       string
		trust      bool
		for_, prot string
	}{
		{"from anybody", false, "127.0.0.1", "http"},
		{"from a load balancer", true, "10.1.2.3, 127.0.0.1", "https"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := opened(t, Options{TrustForwarded: c.trust}, blue.route(1))
			a := h.must(t, 200, "GET", "/", "", sent...)
			want := map[string]string{
				"Connection": "", "X-Secret": "", "Te": "", "Proxy-Authorization": "", "User-Agent": "",
				"Traceparent": "00-1-2-01", "X-Forwarded-For": c.for_, "X-Forwarded-Proto": c.prot,
				"X-Forwarded-Host": strings.TrimPrefix(h.url, "http://"),
			}
			for name, value := range want {
				if v := got.Get(name); v != value {
					t.Errorf("the backend got %s: %q, want %q", name, v, value)
				}
			}
			if "http://"+host != h.url {
				t.Errorf("the backend got Host %q, want the client's", host)
			}
			for name, value := range map[string]string{"Keep-Alive": "", "X-Hop": "", "X-End": "1", "Landfall-Side": "blue", "Content-Type": ""} {
				if v := a.header.Get(name); v != value {
					t.Errorf("the client got %s: %q, want %q", name, v, value)
				}
			}
		})
	}
}

func TestConnectIsRefused(t *testing.T) {
	h := opened(t, Options{}, newSide(t, "blue", nil).route(1))
	c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 405 {
		t.Errorf("got %v, %v; want 405", resp, err)
	}
}

func TestLargeBodiesPassBothWays(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	blue := newSide(t, "blue", func(w http.ResponseWriter, r *http.Request) bool {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("backend: %v", err)
		}
		w.Header().Set("Sum", fmt.Sprintf("%x %d", sha256.Sum256(b), r.ContentLength))
		w.Write(b)
		return true
	})
	h := opened(t, Options{}, blue.route(1))
	for _, size := range []int64{100, smallBody + 1, keptBody, keptBody + 1, 3 << 20} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d bytes, length known: %v", size, known), func(t *testing.T) {
				body := content[:size]
				r, _ := http.NewRequest("POST", h.url, bytes.NewReader(body))
				length := size
				if !known {
					r.ContentLength = -1
					if size > keptBody {
						length = -1
					}
				}
				a, err := h.send(r)
				if err != nil || a.body != string(body) {
					t.Fatalf("got %d bytes, %v", len(a.body), err)
				}
				if want := fmt.Sprintf("%x %d", sha256.Sum256(body), length); a.header.Get("Sum") != want {
					t.Errorf("the backend got %s, want %s", a.header.Get("Sum"), want)
				}
			})
		}
	}
}

func TestAnUploadThatIsRefusedEarlyIsAnswered(t *testing.T) {
	h := opened(t, Options{}, func() Route {
		addr := rawBackend(t, func(c net.Conn, r *http.Request) {
			io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
			io.Copy(io.Discard, c)
		})
		return Route{Epoch: 1, Side: "blue", Backends: []string{addr}}
	}())
	c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\nhello")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 413 || !resp.Close {
		t.Fatalf("got %v, %v; want 413 and close", resp, err)
	}
}

func TestAnUploadThatBreaksOffDoesNotBlockADrain(t *testing.T) {
	began := make(chan struct{})
	broken := make(chan error, 1)
	blue := newSide(t, "blue", func(w http.ResponseWriter, r *http.Request) bool {
		close(began)
		_, err := io.Copy(io.Discard, r.Body)
		broken <- err
		return true
	})
	h := opened(t, Options{}, blue.route(1))
	c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\nhello")
	<-began
	c.Close()
	if err := <-broken; err == nil {
		t.Error("the backend saw a complete upload")
	}
	if err := h.Hold(t.Context()); err != nil {
		t.Errorf("hold: %v", err)
	}
}

func TestASlowBodyDoesNotBlockADrain(t *testing.T) {
	blue, green := newSide(t, "blue", nil), newSide(t, "green", nil)
	h := opened(t, Options{}, blue.route(1))
	c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n")
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("got %q, %v; want to be told to continue", line, err)
	}
	r.ReadString('\n')
	if err := h.Hold(t.Context()); err != nil {
		t.Fatalf("hold: %v", err)
	}
	io.WriteString(c, strings.Repeat("x", 100000))
	eventually(t, "it waits", func() bool { return h.State().Held == 1 })
	h.open(t, green.route(2))
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(resp.Body); string(b) != "green POST / 100000" {
		t.Errorf("got %q", b)
	}
}

// echo is a backend of a protocol that one upgrades to.
func echo(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Upgrade") != "echo" || r.Header.Get("Connection") != "Upgrade" {
		return false
	}
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	defer c.Close()
	io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nwelcome\n")
	io.Copy(c, rw)
	io.WriteString(c, "bye\n")
	return true
}

func upgrade(t *testing.T, h *house) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\nearly\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Landfall-Side") == "" {
		t.Fatalf("upgrade: %+v, %v", resp, err)
	}
	for _, want := range []string{"welcome\n", "early\n"} {
		if line, err := r.ReadString('\n'); line != want {
			t.Fatalf("got %q, %v; want %q", line, err, want)
		}
	}
	return c.(*net.TCPConn), r
}

func TestUpgradesAreTunnelledAndCutAtTheSwitch(t *testing.T) {
	blue, green := newSide(t, "blue", echo), newSide(t, "green", echo)
	h := opened(t, Options{}, blue.route(1))

	c, r := upgrade(t, h)
	c.CloseWrite()
	if line, err := r.ReadString('\n'); line != "bye\n" {
		t.Errorf("after half a close: %q, %v; want bye", line, err)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("then %v, want EOF", err)
	}

	_, r = upgrade(t, h)
	eventually(t, "one stream is left", func() bool { return h.State().Streams == 1 })
	if err := h.Hold(t.Context()); err != nil {
		t.Fatalf("hold: %v", err)
	}
	h.open(t, green.route(2))
	io.Copy(io.Discard, r) // returns when the tunnel is cut
	eventually(t, "no stream is left", func() bool { return h.State().Streams == 0 })
	upgrade(t, h)
}

func TestAnUpgradeThatIsRefusedIsAnOrdinaryAnswer(t *testing.T) {
	h := opened(t, Options{}, newSide(t, "blue", nil).route(1))
	h.must(t, 200, "GET", "/", "", "Connection", "Upgrade", "Upgrade", "echo")
}

func TestConnectionsToOneBackendAreBounded(t *testing.T) {
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	blue := newSide(t, "blue", func(http.ResponseWriter, *http.Request) bool {
		entered <- struct{}{}
		<-leave
		return false
	})
	h := opened(t, Options{UpstreamConns: 2}, blue.route(1))
	done := make(chan error, 5)
	for range 5 {
		go func() {
			_, err := h.do("GET", "/", "")
			done <- err
		}()
	}
	eventually(t, "all are inside", func() bool { return h.State().InFlight == 5 })
	<-entered
	<-entered
	if n := len(entered); n != 0 {
		t.Errorf("%d more than 2 are at the backend", n)
	}
	close(leave)
	for range 5 {
		if err := <-done; err != nil {
			t.Errorf("get: %v", err)
		}
	}
}

func TestARequestIsBrokenOffWithItsClient(t *testing.T) {
	entered, gone := make(chan struct{}), make(chan struct{})
	blue := newSide(t, "blue", func(w http.ResponseWriter, r *http.Request) bool {
		close(entered)
		<-r.Context().Done()
		close(gone)
		return true
	})
	h := opened(t, Options{}, blue.route(1))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	r, _ := http.NewRequestWithContext(ctx, "GET", h.url, nil)
	if _, err := h.send(r); err == nil {
		t.Error("it was answered")
	}
	<-gone
	eventually(t, "it left", func() bool { return h.State().InFlight == 0 })
}
