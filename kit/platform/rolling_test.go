package platform_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/platform"
	"landfall.dev/kit/rest"
)

// note is a document without a life of its own.
type note struct {
	kit.Meta
	Text string `json:"text"`
}

var notes = kit.Define[note]("notes")

// member is a node in this process.
type member struct {
	node   *platform.Node
	config platform.Config
	url    string
	stop   func() // and wait
	done   chan struct{}
	err    error // of Run, once done is closed
}

// enter starts a node with the kind of notes, and more services.
func enter(t *testing.T, c platform.Config, more ...kit.Service) *member {
	t.Helper()
	c.Logger = slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		c.Logger = kittest.Log(t, slog.LevelInfo).With("data", filepath.Base(c.Data))
	}
	node, err := platform.New(c)
	if err != nil {
		t.Fatalf("node in %s: %v", c.Data, err)
	}
	node.Add(kit.Service{Name: "notes", Owns: []kit.Owned{kit.Own(notes, nil)}})
	for _, s := range more {
		node.Add(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, c.Listen, _ = strings.Cut(node.URL(), "://") // the same at every start
	m := &member{node: node, config: c, url: node.URL(), done: make(chan struct{})}
	go func() {
		defer close(m.done)
		m.err = node.Run(ctx)
	}()
	m.stop = func() {
		cancel()
		<-m.done
	}
	t.Cleanup(m.stop)
	return m
}

// patience bounds every wait; it is reached only by a test that fails.
const patience = time.Minute

// adminToken waits for the token that the first node makes.
func adminToken(t *testing.T, m *member) string {
	t.Helper()
	var token string
	until(t, "the administrator's token", patience, func(context.Context) error {
		b, err := os.ReadFile(filepath.Join(m.config.Data, "admin.token"))
		token = strings.TrimSpace(string(b))
		return err
	})
	return token
}

func clusterToken(t *testing.T, m *member) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(m.config.Data, "cluster.token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// post sends an administrative request.
func post(ctx context.Context, url, token, body string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, text)
	}
	return err
}

// load writes and reads notes until it is stopped.
type load struct {
	client *rest.Client

	mu     sync.Mutex
	acked  []string
	failed []error
}

// unknown tells whether the write that failed with err may have been applied.
func unknown(err error) bool {
	return kit.FaultOf(err) == kit.ErrTimeout || kit.FaultOf(err) == kit.ErrInternal
}

func (l *load) write(ctx context.Context, writer int) {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		id := fmt.Sprintf("%d-%d", writer, i)
		_, err := notes.Create(context.WithoutCancel(ctx), l.client, id, note{Text: id})
		for attempt := 0; attempt < 200 && unknown(err); attempt++ { // the id tells what has become of it
			<-again.C
			_, err = notes.Create(context.WithoutCancel(ctx), l.client, id, note{Text: id})
			if errors.Is(err, kit.ErrConflict) {
				err = nil
			}
		}
		l.note(id, err)
	}
}

func (l *load) read(ctx context.Context) {
	for ctx.Err() == nil {
		_, err := l.client.List(context.WithoutCancel(ctx), kit.Query{Kind: notes.Name, Limit: 1})
		l.note("", err)
	}
}

func (l *load) note(id string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.failed = append(l.failed, fmt.Errorf("%s: %w", id, err))
	case id != "":
		l.acked = append(l.acked, id)
	}
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// progress waits until more is written.
func (l *load) progress(t *testing.T, when string) {
	t.Helper()
	from := l.count()
	until(t, "writes "+when, patience, func(context.Context) error {
		if now := l.count(); now < from+20 {
			return fmt.Errorf("%d writes", now-from)
		}
		return nil
	})
}

// complete waits until there are as many voters alive, and no others.
func complete(t *testing.T, urls []string, token string, voters int) {
	t.Helper()
	until(t, fmt.Sprint(voters, " voters"), patience, func(ctx context.Context) error {
		for _, url := range urls {
			m, err := membersAt(ctx, url, token)
			if err != nil {
				return err
			}
			alive := 0
			for _, n := range m.Members {
				if n.Voter && n.Alive {
					alive++
				}
			}
			if alive != voters || len(m.Members) != voters || m.Leader == "" {
				return fmt.Errorf("%s knows %+v", url, m.Members)
			}
		}
		return nil
	})
}

func TestEveryNodeInTurnIsRestartedRemovedAndAddedUnderLoad(t *testing.T) {
	dir := t.TempDir()
	config := func(name string) platform.Config {
		return platform.Config{
			Data: filepath.Join(dir, name), Listen: "127.0.0.1:0", Schema: "notes-1",
			SnapshotEvery: 100, SnapshotIn: 300 * time.Millisecond, // joining nodes are filled by snapshots
		}
	}
	nodes := []*member{enter(t, config("0"))}
	token := adminToken(t, nodes[0])
	secret := clusterToken(t, nodes[0])
	urls := []string{nodes[0].url}
	for _, name := range []string{"1", "2"} {
		c := config(name)
		c.Join, c.Token = urls[:1], secret
		nodes = append(nodes, enter(t, c))
		urls = append(urls, nodes[len(nodes)-1].url)
	}
	complete(t, urls, token, 3)

	client, err := rest.NewClient(strings.Join(urls, ","), token, rest.ClientOptions{Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	l := &load{client: client}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for writer := range 8 {
		running.Go(func() { l.write(ctx, writer) })
	}
	running.Go(func() { l.read(ctx) })
	defer running.Wait()
	defer stop()
	l.progress(t, "at the start")
	for i := range nodes {
		nodes[i].stop()
		l.progress(t, fmt.Sprint("while node ", i, " is down"))
		nodes[i] = enter(t, nodes[i].config)
		complete(t, urls, token, 3)

		until(t, "a node to leave", patience, func(ctx context.Context) error {
			return post(ctx, nodes[i].url+platform.LeavePath, token, "")
		})
		<-nodes[i].done
		if nodes[i].err != nil {
			t.Errorf("node %d left with %v", i, nodes[i].err)
		}
		l.progress(t, fmt.Sprint("after node ", i, " has left"))
		c := nodes[i].config
		c.Data += "-new"
		c.Join, c.Token = []string{urls[(i+1)%3], urls[(i+2)%3]}, secret
		nodes[i] = enter(t, c)
		complete(t, urls, token, 3)
	}
	l.progress(t, "at the end")
	stop()
	running.Wait()

	for _, err := range l.failed {
		t.Errorf("a request failed: %v", err)
	}
	for _, url := range urls {
		there, err := rest.NewClient(url, token, rest.ClientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{}
		for n, err := range notes.All(t.Context(), there, "", "") {
			if err != nil {
				t.Fatal(err)
			}
			have[n.Text] = true
		}
		for _, id := range l.acked {
			if !have[id] {
				t.Errorf("%s does not have the acknowledged note %s", url, id)
			}
		}
	}
	t.Logf("%d acknowledged writes", len(l.acked))
}

// membersAt asks the node at url who the members are.
func membersAt(ctx context.Context, url, token string) (platform.Membership, error) {
	var m platform.Membership
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+platform.MembersPath, nil)
	if err != nil {
		return m, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return m, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return m, errors.New(res.Status)
	}
	return m, json.NewDecoder(res.Body).Decode(&m)
}

// until calls try, which has 3 s each time, until it succeeds.
func until(t *testing.T, what string, limit time.Duration, try func(ctx context.Context) error) {
	t.Helper()
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	end := time.After(limit)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		err := try(ctx)
		cancel()
		if err == nil {
			return
		}
		select {
		case <-ticks.C:
		case <-end:
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
	}
}
