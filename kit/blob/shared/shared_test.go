package shared

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

// group is a cluster whose nodes are in this process, and see the same.
type group struct {
	t  *testing.T
	mu sync.Mutex
	// nodes and blobs are by the nodes' numbers.
	nodes    []Node
	blobs    []*Blobs
	dirs     []string
	named    map[kit.Digest]bool
	complete bool
}

// seat is a group as one of its nodes sees it.
type seat struct {
	*group
	id string
}

func (s seat) Nodes() ([]Node, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Node(nil), s.nodes...), s.id
}

func (s seat) CatchUp(context.Context) error { return nil }

func (s seat) Named() (map[kit.Digest]bool, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	named := map[kit.Digest]bool{}
	for d := range s.named {
		named[d] = true
	}
	return named, s.complete, nil
}

// limit is how many bytes a node of a test keeps.
const limit = 1000

// newGroup starts so many voters, the first of which leads.
func newGroup(t *testing.T, voters int) *group {
	g := &group{t: t, named: map[kit.Digest]bool{}, complete: true}
	for range voters {
		g.join(true)
	}
	return g
}

// join starts another node and returns it.
func (g *group) join(voter bool) *Blobs {
	g.t.Helper()
	id, dir := string(rune('a'+len(g.blobs))), g.t.TempDir()
	b, err := Open(Config{
		Dir: dir, Limit: limit, Cluster: seat{g, id}, Secret: "between nodes", Transport: &http.Transport{},
		Logger: kittest.Log(g.t, slog.LevelInfo),
	})
	if err != nil {
		g.t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, r := range b.Peers() {
		mux.Handle(r.Pattern, r.Handler)
	}
	server := httptest.NewServer(mux)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	g.mu.Lock()
	g.nodes = append(g.nodes, Node{ID: id, URL: server.URL, Voter: voter, Leader: len(g.nodes) == 0, Alive: true})
	g.blobs, g.dirs = append(g.blobs, b), append(g.dirs, dir)
	g.mu.Unlock()
	go func() { done <- b.Run(ctx) }()
	g.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			g.t.Errorf("running %s: %v", id, err)
		}
		server.Close()
	})
	return b
}

// dead makes the others see that the node is dead.
func (g *group) dead(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.nodes[n].Alive = false
}

func (g *group) name(d kit.Digest, is bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if delete(g.named, d); is {
		g.named[d] = true
	}
}

// file is where the node keeps the blob.
func (g *group) file(n int, d kit.Digest) string {
	return filepath.Join(g.dirs[n], "sha256", d.Hex()[:2], d.Hex())
}

func (g *group) put(n int, text string) kit.Digest {
	g.t.Helper()
	d, size, err := g.blobs[n].Put(g.t.Context(), strings.NewReader(text), "")
	if err != nil || d != kit.DigestOf([]byte(text)) || size != int64(len(text)) {
		g.t.Fatalf("put %q: %s of %d bytes, %v", text, d, size, err)
	}
	return d
}

func (g *group) read(n int, d kit.Digest) string {
	g.t.Helper()
	b, err := g.blobs[n].Open(g.t.Context(), d)
	if err != nil {
		g.t.Fatalf("open at %d: %v", n, err)
	}
	defer b.Close()
	text, err := io.ReadAll(b)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

// holders returns how many nodes hold the blob.
func (g *group) holders(d kit.Digest) (n int) {
	for _, b := range g.blobs {
		if b.Held(d) {
			n++
		}
	}
	return n
}

// until waits until ok is true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(time.Minute); !ok(); {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func TestAPutIsAcknowledgedByAMajorityWithTheLeader(t *testing.T) {
	g := newGroup(t, 3)
	d := g.put(1, "hello")
	if !g.blobs[0].Held(d) || !g.blobs[1].Held(d) {
		t.Error("the leader or the node itself does not hold what was acknowledged")
	}
	until(t, "the third voter", func() bool { return g.holders(d) == 3 })

	g.dead(2)
	d = g.put(1, "without the third")
	if g.holders(d) != 2 {
		t.Errorf("%d nodes hold it, want 2", g.holders(d))
	}
	g.dead(0)
	g.blobs[1].patience = time.Millisecond
	_, _, err := g.blobs[1].Put(t.Context(), strings.NewReader("alone"), "")
	if !errors.Is(err, kit.ErrUnavailable) || !strings.Contains(err.Error(), "1 of 3 voters hold the blob: it takes 2, and the leader") {
		t.Errorf("put without a majority: %v", err)
	}
	if ok, err := g.blobs[1].Has(t.Context(), d); ok || !errors.Is(err, kit.ErrUnavailable) {
		t.Errorf("has without a majority: %v, %v", ok, err)
	}
}

func TestANodeFetchesWhatItIsAskedFor(t *testing.T) {
	g := newGroup(t, 3)
	d := g.put(0, "hello")
	reader := g.join(false)
	if reader.Held(d) {
		t.Fatal("a reader has it at once")
	}
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if got := g.read(3, d); got != "hello" {
				t.Errorf("read %q", got)
			}
		})
	}
	wg.Wait()
	if !reader.Held(d) {
		t.Error("it does not keep what it has fetched")
	}
	missing := kit.DigestOf([]byte("nobody has it"))
	if _, err := reader.Open(t.Context(), missing); !errors.Is(err, kit.ErrNotFound) {
		t.Errorf("what nobody has: %v", err)
	}
	if ok, err := reader.Has(t.Context(), missing); ok || err != nil {
		t.Errorf("has what nobody has: %v, %v", ok, err)
	}
	g.dead(2)
	if _, err := reader.Open(t.Context(), missing); !errors.Is(err, kit.ErrUnavailable) {
		t.Errorf("what nobody has who answers: %v", err)
	}
}

func TestADamagedBlobIsTakenFromAnotherNode(t *testing.T) {
	g := newGroup(t, 3)
	d := g.put(0, "hello")
	until(t, "all voters", func() bool { return g.holders(d) == 3 })
	if err := os.WriteFile(g.file(0, d), []byte("hallo"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.join(false)
	if got := g.read(3, d); got != "hello" {
		t.Errorf("read %q", got)
	}
	for _, n := range []int{1, 2} {
		if err := os.Remove(g.file(n, d)); err != nil {
			t.Fatal(err)
		}
	}
	last := g.join(false)
	g.dead(3)
	if _, err := last.Open(t.Context(), d); !errors.Is(err, kit.ErrUnavailable) || !strings.Contains(err.Error(), "have the digest") {
		t.Errorf("what is damaged everywhere: %v", err)
	}
	var left []string
	_ = filepath.WalkDir(g.dirs[4], func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			left = append(left, path)
		}
		return err
	})
	if last.Held(d) || len(left) > 0 || last.Used() != 0 {
		t.Errorf("it keeps %q, %d bytes", left, last.Used())
	}
}

func TestANewVoterGetsWhatDocumentsName(t *testing.T) {
	g := newGroup(t, 3)
	named, unnamed := g.put(0, "named"), g.put(0, "unnamed")
	g.name(named, true)
	g.dead(2)
	last := g.join(true)
	until(t, "the new voter", func() bool { return last.Held(named) })
	if last.Held(unnamed) {
		t.Error("it has fetched what no document names")
	}
}

func TestWhatNoDocumentNamesGoesAfterADay(t *testing.T) {
	g := newGroup(t, 1)
	b := g.blobs[0]
	named, asked, unnamed, fresh := g.put(0, "named"), g.put(0, "asked for"), g.put(0, "unnamed"), g.put(0, "fresh")
	g.name(named, true)
	yesterday := time.Now().Add(-25 * time.Hour)
	age := func() {
		for _, d := range []kit.Digest{named, asked, unnamed} {
			if err := os.Chtimes(g.file(0, d), yesterday, yesterday); err != nil {
				t.Fatal(err)
			}
		}
	}
	pass := func() {
		if err := b.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	g.complete = false
	age()
	pass()
	if g.holders(unnamed) != 1 {
		t.Error("it is gone, though other documents may name it")
	}
	g.complete = true
	if ok, err := b.Has(t.Context(), asked); !ok || err != nil {
		t.Fatalf("has: %v, %v", ok, err)
	}
	pass()
	for d, want := range map[kit.Digest]bool{named: true, asked: true, unnamed: false, fresh: true} {
		if b.Held(d) != want {
			t.Errorf("%s is there: %v, want %v", d, !want, want)
		}
	}
	if want := int64(len("named" + "asked for" + "fresh")); b.Used() != want {
		t.Errorf("%d bytes used, want %d", b.Used(), want)
	}
	g.name(named, false)
	pass()
	if !b.Held(named) {
		t.Error("it is gone at once when it is named no more")
	}
}

func TestAFullNodeSaysSo(t *testing.T) {
	g := newGroup(t, 3)
	d := g.put(0, strings.Repeat("x", limit-10))
	_, _, err := g.blobs[0].Put(t.Context(), strings.NewReader("more than is left"), "")
	if !errors.Is(err, kit.ErrFull) || !strings.Contains(err.Error(), "keeps 1000 bytes of blobs at most") {
		t.Errorf("put into a full node: %v", err)
	}
	if used := g.blobs[0].Used(); used != limit-10 {
		t.Errorf("%d bytes used after that", used)
	}
	until(t, "all voters", func() bool { return g.holders(d) == 3 })
	reader := g.join(false)
	if _, _, err := reader.Put(t.Context(), strings.NewReader("more than is left"), ""); !errors.Is(err, kit.ErrFull) {
		t.Errorf("put through a node that has room: %v", err)
	}
}

func TestStrangersGetNothing(t *testing.T) {
	g := newGroup(t, 1)
	d := g.put(0, "secret")
	for _, header := range []string{"", "Bearer ", "Bearer between strangers"} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut} {
			r, err := http.NewRequestWithContext(t.Context(), method, g.nodes[0].URL+peersPath+string(d), bytes.NewReader([]byte("secret")))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", header)
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusUnauthorized || bytes.Contains(body, []byte(`"secret"`)) {
				t.Errorf("%s with %q: %d %s", method, header, res.StatusCode, body)
			}
		}
	}
}

func TestArrivalsAreToldOnce(t *testing.T) {
	g := newGroup(t, 1)
	first := g.put(0, "first")
	all, cursor := g.blobs[0].Arrived("")
	if len(all) != 1 || all[0] != first {
		t.Fatalf("arrived: %v", all)
	}
	g.put(0, "first")
	second := g.put(0, "second")
	later, next := g.blobs[0].Arrived(cursor)
	if len(later) != 1 || later[0] != second {
		t.Errorf("arrived later: %v", later)
	}
	if none, _ := g.blobs[0].Arrived(next); len(none) > 0 {
		t.Errorf("arrived after that: %v", none)
	}
	if again, _ := g.blobs[0].Arrived("another node's.7"); len(again) != 2 {
		t.Errorf("by a cursor of another: %v", again)
	}
}
