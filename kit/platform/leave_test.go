package platform_test

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/platform"
)

// The last voter is needed: it must not end because it was asked to leave.
func TestANodeThatIsNotLetGoGoesOn(t *testing.T) {
	c := configIn(filepath.Join(t.TempDir(), "0"))
	said := &lines{}
	c.Logger = slog.New(slog.NewTextHandler(said, nil))
	node, err := platform.New(c)
	if err != nil {
		t.Fatal(err)
	}
	node.Add(kit.Service{Name: "notes", Owns: []kit.Owned{kit.Own(notes, nil)}})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	m := &member{config: c, url: node.URL()}
	client := clientOf(t, m.url, adminToken(t, m), nil)
	create(t, client, "before")
	platform.AskToLeave(node)
	until(t, "a word about the refusal", patience, func(context.Context) error {
		return said.want("did not leave the cluster")
	})
	create(t, client, "after")
	stop()
	if err := <-done; err != nil {
		t.Errorf("the node ended with %v", err)
	}
}

// lines is what was logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// want returns an error until text was logged.
func (l *lines) want(text string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !bytes.Contains(l.text.Bytes(), []byte(text)) {
		return kit.Errorf(kit.ErrNotFound, "", "nothing says %q", text)
	}
	return nil
}
