package rest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
)

// status is that of a read of notes/a with the token, without a socket.
func status(h http.Handler, token string) int {
	r := httptest.NewRequest("GET", "/api/notes/a", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func tokenID(token string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(token, "lf_"), "_")
	return id
}

// noted returns a cluster with notes/a, which the group readers may read.
func noted(t *testing.T) *kittest.Cluster {
	t.Helper()
	c := kittest.Serve(t, kittest.NotesService())
	if _, err := c.Admin().Create(t.Context(), "notes", "a", []byte(`{"text":"a"}`)); err != nil {
		t.Fatal(err)
	}
	return c
}

// While others ask all the time, so that everything is remembered, what is
// changed holds for the next request.
func TestRightsAreRightAtOnceWhenTheyChange(t *testing.T) {
	c := noted(t)
	ctx, admin := t.Context(), c.Admin()
	token, other := c.Token("users/ada"), c.Token("users/bob")
	var current atomic.Value // token, for the others
	current.Store(token)
	stop, cancel := context.WithCancel(ctx)
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	for range 2 {
		others.Go(func() {
			for stop.Err() == nil {
				status(c.Server, current.Load().(string))
				status(c.Server, other)
			}
		})
	}
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	reading := rest.Role{Subjects: []string{"groups/readers"}, Rules: []rest.Rule{{Kinds: []string{"notes"}, Verbs: []kit.Verb{"read"}}}}
	expire := func(at time.Time) error {
		_, err := rest.Tokens.Modify(ctx, admin, tokenID(token), func(k *rest.Token) error {
			k.Expires = at
			return nil
		})
		return err
	}
	for round := range 5 {
		for _, step := range []struct {
			name string
			do   func() (any, error)
			want int
		}{
			{"a role of a group", func() (any, error) { return rest.Roles.Create(ctx, admin, "reading", reading) }, 403},
			{"its member", func() (any, error) {
				return rest.Groups.Create(ctx, admin, "readers", rest.Group{Members: []string{"users/ada"}})
			}, 200},
			{"the role for creating only", func() (any, error) {
				return admin.Update(ctx, "roles/reading", []byte(`{"rules":[{"kinds":["notes"],"verbs":["create"]}]}`), 0)
			}, 403},
			{"the role for reading", func() (any, error) {
				return admin.Update(ctx, "roles/reading", []byte(`{"rules":[{"kinds":["notes"],"verbs":["read"]}]}`), 0)
			}, 200},
			{"another member only", func() (any, error) {
				return admin.Update(ctx, "groups/readers", []byte(`{"members":["users/bob"]}`), 0)
			}, 403},
			{"the member back", func() (any, error) {
				return admin.Update(ctx, "groups/readers", []byte(`{"members":["users/ada"]}`), 0)
			}, 200},
			{"an end of the token that is to come", func() (any, error) { return nil, expire(time.Now().Add(time.Hour)) }, 200},
			{"a token of another subject", func() (any, error) {
				return admin.Update(ctx, rest.Tokens.Link(tokenID(token)), []byte(`{"subject":"users/eve"}`), 0)
			}, 403},
			{"the subject back", func() (any, error) {
				return admin.Update(ctx, rest.Tokens.Link(tokenID(token)), []byte(`{"subject":"users/ada"}`), 0)
			}, 200},
			{"no group", func() (any, error) { return nil, admin.Delete(ctx, "groups/readers", 0) }, 403},
			{"no role", func() (any, error) { return nil, admin.Delete(ctx, "roles/reading", 0) }, 403},
			{"the end of the token", func() (any, error) {
				if round%2 == 0 {
					return nil, expire(time.Now().Add(-time.Second))
				}
				return nil, admin.Delete(ctx, rest.Tokens.Link(tokenID(token)), 0)
			}, 401},
		} {
			do(step.do())
			if got := status(c.Server, token); got != step.want {
				t.Fatalf("round %d: after %s a read gave %d, want %d", round, step.name, got, step.want)
			}
		}
		token = c.Token("users/ada")
		current.Store(token)
	}
}

func TestTokenEndsAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := noted(t)
		c.Allow("users/ada", rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"read"}})
		token := c.Token("users/ada")
		end := time.Now().Add(time.Minute)
		if _, err := rest.Tokens.Modify(t.Context(), c.Admin(), tokenID(token), func(k *rest.Token) error {
			k.Expires = end
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(end) - time.Millisecond)
		if got := status(c.Server, token); got != 200 {
			t.Errorf("just before its end: %d, want 200", got)
		}
		time.Sleep(2 * time.Millisecond) // less than it takes until the document is gone
		if got := status(c.Server, token); got != 401 {
			t.Errorf("just after its end: %d, want 401", got)
		}
	})
}

// A limit holds for who was let in before it.
func TestLimitHoldsAtOnce(t *testing.T) {
	c := noted(t)
	c.Allow("users/ada", rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"read"}})
	token := c.Token("users/ada")
	if got := status(c.Server, token); got != 200 {
		t.Fatalf("without a limit: %d, want 200", got)
	}
	if _, err := rest.Limits.Create(t.Context(), c.Admin(), "slow", rest.Limit{Subjects: []string{"users/ada"}, Requests: 0.001, Burst: 1}); err != nil {
		t.Fatal(err)
	}
	if first, second := status(c.Server, token), status(c.Server, token); first != 200 && second != 429 || second != 429 {
		t.Errorf("with a limit of one: %d and %d, want the second to be 429", first, second)
	}
}

// What a node remembers of tokens goes with the documents when it takes over
// another state.
func TestTokensOfAnEarlierStateAreForgotten(t *testing.T) {
	c := noted(t)
	kinds := store.NewKinds()
	own := store.New(kinds)
	s := rest.New(rest.Options{Store: own, Kinds: kinds, Node: direct{c}})
	s.Add(kittest.NotesService())
	take := func() {
		t.Helper()
		var b strings.Builder
		_, err := c.Store.Snapshot().WriteTo(&b)
		if err == nil {
			err = own.Restore(strings.NewReader(b.String()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	token := c.Token("users/admin")
	take()
	if got := status(s, token); got != 200 {
		t.Fatalf("with a token: %d, want 200", got)
	}
	if err := c.Admin().Delete(t.Context(), rest.Tokens.Link(tokenID(token)), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(t.Context(), store.Proposal{NewEpoch: true}); err != nil {
		t.Fatal(err)
	}
	take()
	if got := status(s, token); got != 401 {
		t.Errorf("with a token that the new state has not: %d, want 401", got)
	}
}
