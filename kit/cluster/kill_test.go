package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"landfall.dev/kit/kittest/process"
)

// TestMain runs the tests, or a node if a test has started this binary again
// as "cluster.test DIR [URL]".
func TestMain(m *testing.M) { process.Main(m, serveNode) }

// serveNode runs a node whose notes are read and written over HTTP.
func serveNode(ctx context.Context, args []string) error {
	dir, join := args[0], args[1:]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	m := newNotes()
	url := "http://" + listener.Addr().String()
	n, err := Open(ctx, Config{
		Dir: dir, Advertise: url, Join: join, JoinToken: token, Logger: slog.New(slog.DiscardHandler),
	}, m)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(JoinPath, n.JoinHandler())
	mux.HandleFunc("PUT /{key}", func(w http.ResponseWriter, r *http.Request) {
		if _, err := n.Write(r.Context(), put{r.PathValue("key"), "x"}); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /{key}", func(w http.ResponseWriter, r *http.Request) {
		if err := n.Barrier(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		} else if m.read(r.PathValue("key")) == "" {
			http.NotFound(w, r)
		}
	})
	mux.HandleFunc("GET /voters", func(w http.ResponseWriter, _ *http.Request) {
		voters := 0
		for _, m := range n.Members() {
			if m.Voter {
				voters++
			}
		}
		_, _ = fmt.Fprint(w, voters)
	})
	go func() { _ = http.Serve(listener, mux) }()
	process.Ready(url)
	return n.Run(ctx)
}

// launched is a node in a process of its own.
type launched struct {
	*process.Process
	dir string
}

func launch(t *testing.T, dir string, join ...string) *launched {
	t.Helper()
	return &launched{process.Start(t, nil, append([]string{dir}, join...)...), dir}
}

func (p *launched) call(method, path string) (int, string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, p.URL+path, nil)
	if err != nil {
		return 0, ""
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

// fleet is three processes under load.
type fleet struct {
	mu    sync.Mutex
	nodes []*launched
	acked []string
}

func (f *fleet) pick() *launched {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nodes[rand.IntN(len(f.nodes))]
}

func (f *fleet) replace(i int, p *launched) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes[i] = p
}

// write writes new keys until ctx ends.
func (f *fleet) write(ctx context.Context, writer int) {
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("%d-%d", writer, i)
		if status, _ := f.pick().call(http.MethodPut, "/"+key); status == http.StatusOK {
			f.mu.Lock()
			f.acked = append(f.acked, key)
			f.mu.Unlock()
		}
	}
}

func (f *fleet) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.acked)
}

// progress waits until more writes were acknowledged.
func (f *fleet) progress(t *testing.T, when string) {
	t.Helper()
	from := f.count()
	eventually(t, "writes "+when, func() bool { return f.count() > from+50 })
}

// leader returns the index of the node that leads.
func (f *fleet) leader(t *testing.T) int {
	t.Helper()
	leader := -1
	eventually(t, "a leader", func() bool {
		for i, p := range f.nodes {
			if status, _ := p.call(http.MethodGet, "/nothing"); status == http.StatusNotFound {
				leader = i
			}
		}
		return leader >= 0
	})
	return leader
}

func TestAcknowledgedWritesOutliveKilledProcesses(t *testing.T) {
	dir := t.TempDir()
	first := launch(t, filepath.Join(dir, "0"))
	f := &fleet{nodes: []*launched{first}}
	for _, name := range []string{"1", "2"} {
		f.nodes = append(f.nodes, launch(t, filepath.Join(dir, name), first.URL))
	}
	eventually(t, "three voters", func() bool { _, n := first.call(http.MethodGet, "/voters"); return n == "3" })

	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for writer := range 8 {
		load.Go(func() { f.write(ctx, writer) })
	}
	defer load.Wait()
	defer stop()
	f.progress(t, "at the start")
	for range 2 {
		i := f.leader(t)
		f.nodes[i].Kill()
		f.progress(t, "after the leader was killed")
		f.replace(i, launch(t, f.nodes[i].dir))
	}
	for _, p := range f.nodes { // all at once, under load
		if err := p.Signal(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	}
	for _, i := range []int{2, 0, 1} { // in another order, without addresses
		f.nodes[i].Kill()
		f.replace(i, launch(t, f.nodes[i].dir))
	}
	f.progress(t, "after all were killed")
	stop()
	load.Wait()

	leader := f.nodes[f.leader(t)]
	for _, key := range f.acked {
		eventually(t, "an answer about "+key, func() bool {
			status, _ := leader.call(http.MethodGet, "/"+key)
			if status == http.StatusNotFound {
				t.Fatalf("the acknowledged write %s is lost", key)
			}
			return status == http.StatusOK
		})
	}
	t.Logf("%d acknowledged writes are there", len(f.acked))
}
