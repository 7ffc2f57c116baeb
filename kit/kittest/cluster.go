// Package kittest runs services for tests: a cluster of one node in memory,
// with the same server, clients and tasks as a real one, and the contract that
// every kit.Client keeps.
package kittest

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
	"landfall.dev/kit/task"
)

// Cluster is a node in memory. It ends with its test, in a bubble of
// testing/synctest too, as long as URL is not used there.
type Cluster struct {
	Server *rest.Server
	Store  *store.Store

	t     testing.TB
	log   *slog.Logger
	write sync.Mutex // held over Decide and Apply

	once sync.Once // of URL
	url  string
}

// Start serves the services' kinds and routes and runs their tasks. The
// caller users/admin may do everything, others what Allow lets them.
func Start(t testing.TB, services ...kit.Service) *Cluster {
	t.Helper()
	c := Serve(t, services...)
	for _, s := range services {
		c.Run(s)
	}
	return c
}

// Serve is Start without the tasks.
func Serve(t testing.TB, services ...kit.Service) *Cluster {
	t.Helper()
	kinds := store.NewKinds()
	c := &Cluster{
		Store: store.New(kinds),
		t:     t,
		log:   Log(t, slog.LevelWarn),
	}
	c.Server = rest.New(rest.Options{Store: c.Store, Kinds: kinds, Node: node{c}, Logger: c.log})
	for _, s := range services {
		c.Server.Add(s)
	}
	c.background(c.tick)
	if _, err := rest.Bootstrap(t.Context(), c.Client("services/"+rest.ServiceName)); err != nil {
		t.Fatalf("bootstrap: %v", err)
	}
	return c
}

// Run runs the tasks of s until the test ends or stop is called, which returns
// when all of them have stopped.
func (c *Cluster) Run(s kit.Service) (stop func()) {
	r := task.New(c.Client("services/"+s.Name), s, c.log)
	return c.background(func(ctx context.Context) {
		if err := r.Run(ctx, nil); err != nil {
			c.t.Errorf("running %s: %v", s.Name, err)
		}
	})
}

// background runs f until stop is called or the test ends.
func (c *Cluster) background(f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	c.t.Cleanup(stop)
	return stop
}

// tick lets documents expire, as the leader of a cluster does.
func (c *Cluster) tick(ctx context.Context) {
	clock := time.NewTicker(200 * time.Millisecond)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
			if _, err := c.Write(ctx, store.Proposal{Tick: true}); err != nil {
				c.t.Errorf("tick: %v", err)
			}
		}
	}
}

// Write decides on p and applies the result, past all checks of the Server.
func (c *Cluster) Write(_ context.Context, p store.Proposal) ([]kit.Record, error) {
	c.write.Lock()
	defer c.write.Unlock()
	entry, results := c.Store.Decide([]store.Proposal{p}, time.Now())
	if entry != nil {
		if err := c.Store.Apply(entry); err != nil {
			return nil, err
		}
	}
	return results[0].Records, results[0].Err
}

// Client returns a client in the process that acts as subject: "users/ada",
// "services/review".
func (c *Cluster) Client(subject string) kit.Client { return c.Server.Client(subject) }

// Admin returns the client of users/admin.
func (c *Cluster) Admin() kit.Client { return c.Client("users/admin") }

// Allow makes a role with the rules for subject.
func (c *Cluster) Allow(subject string, rules ...rest.Rule) {
	c.t.Helper()
	if _, err := rest.Roles.Create(c.t.Context(), c.Admin(), "", rest.Role{Subjects: []string{subject}, Rules: rules}); err != nil {
		c.t.Fatalf("allow %s: %v", subject, err)
	}
}

// Token returns a new token of subject.
func (c *Cluster) Token(subject string) string {
	c.t.Helper()
	token, err := rest.MintToken(c.t.Context(), c.Admin(), subject, "for a test")
	if err != nil {
		c.t.Fatalf("token of %s: %v", subject, err)
	}
	return token
}

// URL returns the address of an HTTP server on loopback, which the first call
// starts.
func (c *Cluster) URL() string {
	c.once.Do(func() {
		s := httptest.NewServer(c.Server)
		c.t.Cleanup(func() {
			s.CloseClientConnections() // watches
			s.Close()
		})
		c.url = s.URL
	})
	return c.url
}

// node makes a Cluster a rest.Node: it always leads.
type node struct{ *Cluster }

func (node) Leader() (url string, self bool) { return "", true }

func (node) Barrier(context.Context) error { return nil }

func (node) CatchUp(context.Context) error { return nil }
