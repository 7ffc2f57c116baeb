package cluster

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/wire"
)

func TestAJoinTokenIsShownOnlyToTheClusterThatItIsFor(t *testing.T) {
	n := leaderOf(t, start(t, t.TempDir(), nil))
	var asked atomic.Int64
	stranger := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that are broken off
	stranger.StartTLS()
	defer stranger.Close()
	for _, authority := range []string{"", n.Authority().Digest()} {
		_, err := open(t, t.TempDir(), newNotes(), func(c *Config) {
			c.Join, c.Authority = []string{stranger.URL}, authority
		})
		isFault(t, err, kit.ErrForbidden, stranger.URL, "the token was not sent", "certificate")
	}
	if asked.Load() > 0 {
		t.Error("a stranger was sent the join token")
	}

	own, err := n.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	member := httptest.NewUnstartedServer(n.JoinHandler())
	member.TLS = &tls.Config{Certificates: []tls.Certificate{*own}}
	member.StartTLS()
	defer member.Close()
	joined, err := open(t, t.TempDir(), newNotes(), func(c *Config) {
		c.Join, c.Authority = []string{member.URL}, n.Authority().Digest()
	})
	if err != nil {
		t.Fatal(err)
	}
	<-joined.Ready()
}

func TestAJoinTokenIsNotSentWhereOthersCanReadIt(t *testing.T) {
	for _, url := range []string{"http://192.0.2.1:7700", "http://member.example:7700", "ftp://127.0.0.1:7700"} {
		for _, authority := range []string{"", strings.Repeat("0", 64)} {
			_, err := open(t, t.TempDir(), newNotes(), func(c *Config) {
				c.Join, c.Authority = []string{url}, authority
			})
			_, host, _ := strings.Cut(url, "://")
			isFault(t, err, kit.ErrInvalid, url, "was not sent", "write https://"+host)
		}
	}
}

func TestTheFirstNodeTellsItsAuthorityBeforeItStarts(t *testing.T) {
	dir := t.TempDir()
	a, err := Found(dir, "notes/1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := Found(dir, "notes/1")
	if err != nil || again.Digest() != a.Digest() {
		t.Errorf("asked twice, the authority is %s (%v), was %s", again.Digest(), err, a.Digest())
	}
	n := leaderOf(t, start(t, dir, nil))
	joined := start(t, t.TempDir(), nil, n)
	if n.Authority().Digest() != a.Digest() || joined.Authority().Digest() != a.Digest() {
		t.Error("the nodes have other authorities than the first had told")
	}
}

func TestANodeThatWasRemovedWhileItWasDeadCannotComeBack(t *testing.T) {
	nodes := three(t, nil)
	gone := nodes[2]
	gone.stop()
	eventually(t, "its death to be known", func() bool { return !nodes[0].roster.Sight(gone.ID()).Alive })
	if err := nodes[0].Remove(gone.ID()); err != nil {
		t.Fatal(err)
	}
	leader, id := nodes[0], gone.ID()
	leader.stop() // what the next leader knows is in the log
	nodes[1].stop()
	nodes[0], nodes[1] = start(t, nodes[0].config.Dir, nil), start(t, nodes[1].config.Dir, nil)
	writeTo(t, nodes[:2], "a", "x")

	old := gone.pass // its certificate
	// TLS 1.3 lets the client finish first: the refusal comes with what it reads.
	c, err := wire.Dial(old, nodes[1].ID(), mustLocate(t, nodes[0], nodes[1].ID()))
	if err == nil {
		_, err = wire.Ask(t.Context(), c, askApplied, 0)
	}
	if err == nil {
		t.Error("a node that was removed got an answer")
	}
	back, err := open(t, gone.config.Dir, newNotes(), nil)
	if err == nil {
		<-back.done
		err = back.err
	}
	isFault(t, err, kit.ErrGone, "was removed from its cluster")
	for _, m := range nodes[0].Members() {
		if m.ID == id {
			t.Error("a node that was removed is a member again")
		}
	}
}

func mustLocate(t *testing.T, n *running, id string) string {
	t.Helper()
	addr, err := n.roster.Locate(id)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func TestACopyOfADirectoryIsNotStarted(t *testing.T) {
	nodes := three(t, nil)
	eventually(t, "its address to be written down", func() bool {
		b, err := os.ReadFile(filepath.Join(nodes[2].config.Dir, "peers.json"))
		return err == nil && strings.Contains(string(b), mustLocate(t, nodes[0], nodes[2].ID()))
	})
	// The node goes on meanwhile: what its mark vouches for must be in the copy
	// of the log.
	mark, err := os.ReadFile(filepath.Join(nodes[2].config.Dir, "mark"))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(nodes[2].config.Dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied, "mark"), mark, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, copied, newNotes(), nil)
	isFault(t, err, kit.ErrConflict, nodes[2].ID(), copied, "is running already", "give the new one an empty --data")
	writeTo(t, nodes, "a", "x")

	// Where the first cannot be found by its address, the gossip tells.
	edit(t, copied, "peers.json", func([]byte) []byte {
		return []byte(`[{"id":"` + nodes[0].ID() + `","gossip":"` + nodes[0].roster.Sight(nodes[0].ID()).Gossip + `"}]`)
	})
	twin, err := open(t, copied, newNotes(), nil)
	if err == nil {
		select {
		case <-twin.done:
			err = twin.err
		case <-nodes[2].done:
			err = nodes[2].err
		}
	}
	isFault(t, err, kit.ErrConflict, nodes[2].ID(), "is running already")
}

func TestADirectoryOfAnotherClusterDoesNotJoin(t *testing.T) {
	a := leaderOf(t, start(t, t.TempDir(), nil))
	if _, err := a.Write(t.Context(), put{"a", "1"}); err != nil {
		t.Fatal(err)
	}
	b := leaderOf(t, start(t, t.TempDir(), nil))
	dir := a.config.Dir
	a.stop()
	_, err := open(t, dir, newNotes(), nil, b)
	isFault(t, err, kit.ErrConflict, dir+" belongs to another cluster than "+b.server.URL, "empty --data")

	again := start(t, dir, func(c *Config) { c.Join = []string{a.server.URL} }) // itself, or nobody
	leaderOf(t, again)
	if again.read("a") != "1" {
		t.Error("the node has lost its documents")
	}
}

func TestANodeThatReachesNobodySaysWhomItAsks(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, Config{
		Dir: t.TempDir(), Advertise: "http://127.0.0.1:1", Join: []string{"http://127.0.0.1:9"}, JoinToken: token, Logger: quiet(t),
	}, newNotes())
	isFault(t, err, kit.ErrUnavailable, "http://127.0.0.1:9")
	_, err = open(t, t.TempDir(), newNotes(), func(c *Config) { c.Join = []string{"127.0.0.1:9"} })
	isFault(t, err, kit.ErrInvalid, "127.0.0.1:9", "write it like http://")
}
