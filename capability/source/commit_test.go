package source

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/capability/source/git"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

// unsure is a client whose batches end without an answer, applied or not.
type unsure struct {
	kit.Client
	applies bool
}

func (u unsure) Batch(ctx context.Context, w []kit.Write, o ...kit.WriteOption) ([]kit.Record, error) {
	if u.applies {
		if _, err := u.Client.Batch(ctx, w, o...); err != nil {
			return nil, err
		}
	}
	return nil, kit.ErrTimeout
}

func TestAPushIsKeptExactlyIfItsDocumentsAre(t *testing.T) {
	commit := func(digit string) string { return strings.Repeat(digit, 40) }
	topic := func(before, after string) git.Command {
		return git.Command{Ref: "refs/heads/topic", Old: before, New: after}
	}
	review := api.Push{Project: "ledger", Ref: "refs/for/main", Branch: "main", Commits: []api.Commit{{SHA: commit("1")}, {SHA: commit("2")}}}
	for _, test := range []struct {
		name   string
		pushes []api.Push
		moves  []git.Command
		client func(kit.Client) kit.Client
		err    string // is in the error; empty: kept
		kept   int    // documents
	}{
		{"all is well", []api.Push{review}, []git.Command{topic(git.Zero, commit("3"))}, nil, "", 2},
		{"one of two has moved", []api.Push{review}, []git.Command{topic(commit("4"), commit("3"))}, nil, "fetch and push again", 0},
		{"no answer, but written", []api.Push{review}, []git.Command{topic(git.Zero, commit("3"))}, func(c kit.Client) kit.Client { return unsure{c, true} }, "", 2},
		{"no answer, and a push not written", []api.Push{review}, nil, func(c kit.Client) kit.Client { return unsure{c, false} }, "could not be kept, try again", 0},
		{"no answer, and a branch not moved", nil, []git.Command{topic(git.Zero, commit("3"))}, func(c kit.Client) kit.Client { return unsure{c, false} }, "could not be kept, try again", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := kittest.Serve(t, kit.Service{Name: "source", Owns: []kit.Owned{kit.Own[api.Push](api.Pushes, nil), kit.Own[api.Ref](api.Refs, nil)}})
			client := c.Client("services/source")
			if test.client != nil {
				client = test.client(client)
			}
			j := &judgement{source: source{client: client, log: slog.New(slog.DiscardHandler)}, project: "ledger", by: "users/ada", pushes: test.pushes, moves: test.moves}
			err := j.commit(t.Context())
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("commit: %v, want %q", err, test.err)
			}
			kept := 0
			for _, kind := range []string{"pushes", "refs"} {
				page, err := c.Admin().List(t.Context(), kit.Query{Kind: kind})
				if err != nil {
					t.Fatal(err)
				}
				kept += len(page.Items)
			}
			if kept != test.kept {
				t.Errorf("%d documents were kept, want %d", kept, test.kept)
			}
		})
	}
}

func TestABranchIsDeletedOnce(t *testing.T) {
	c := kittest.Serve(t, kit.Service{Name: "source", Owns: []kit.Owned{kit.Own[api.Ref](api.Refs, nil)}})
	at := strings.Repeat("1", 40)
	if _, err := api.Refs.Create(t.Context(), c.Admin(), "ledger~heads~topic", api.Ref{Project: "ledger", Name: "refs/heads/topic", Commit: at}); err != nil {
		t.Fatal(err)
	}
	j := &judgement{source: source{client: unsure{c.Client("services/source"), true}, log: slog.New(slog.DiscardHandler)}, project: "ledger"}
	j.moves = []git.Command{{Ref: "refs/heads/topic", Old: at, New: git.Zero}}
	if err := j.commit(t.Context()); err != nil {
		t.Fatalf("commit: %v", err)
	}
	r, err := api.Refs.Read(t.Context(), c.Admin(), "ledger~heads~topic")
	if err != nil || r.Commit != "" || r.Before != at {
		t.Errorf("the ref is %+v, %v, want it without a commit until the repository has followed", r, err)
	}
	if err := j.commit(t.Context()); err == nil || errors.Is(err, kit.ErrTimeout) {
		t.Errorf("deleting it again: %v, want that it has moved", err)
	}
}

func TestPatchSetsHaveRefsAsInGerrit(t *testing.T) {
	for change, want := range map[string]string{"7": "refs/changes/07/7/2", "42": "refs/changes/42/42/2", "1234": "refs/changes/34/1234/2"} {
		if got := changeRef(change, 2); got != want {
			t.Errorf("patch set 2 of change %s has %s, want %s", change, got, want)
		}
	}
}
