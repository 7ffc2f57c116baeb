package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
)

// drafts makes two notes, one sealed, and lets users/ada do everything to those
// that are not, and read what has a star.
func drafts(t *testing.T) *kittest.Cluster {
	t.Helper()
	c := kittest.Serve(t, kittest.NotesService())
	for id, n := range map[string]kittest.Note{"open": {Text: "a"}, "sealed": {Text: "b", Sealed: true}, "starred": {Text: "c", Sealed: true, Stars: 1}} {
		if _, err := kittest.Notes.Create(t.Context(), c.Admin(), id, n); err != nil {
			t.Fatal(err)
		}
	}
	c.Allow("users/ada",
		rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"*"}, Filter: "!sealed"},
		rest.Rule{Kinds: []string{"*"}, Verbs: []kit.Verb{"read"}, IDs: []string{"star*"}, Filter: "version >= 1"},
	)
	return c
}

func TestRuleWithAFilterIsForTheDocumentsThatPass(t *testing.T) {
	c := drafts(t)
	ada, ctx := c.Client("users/ada"), t.Context()
	do := func(w ...kit.Write) error { _, err := ada.Batch(ctx, w); return err }
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	for _, test := range []struct {
		name string
		err  error
		want error
	}{
		{"read what passes", second(ada.Read(ctx, "notes/open", kit.ReadOptions{})), nil},
		{"read what does not", second(ada.Read(ctx, "notes/sealed", kit.ReadOptions{})), kit.ErrForbidden},
		{"read what another rule passes", second(ada.Read(ctx, "notes/starred", kit.ReadOptions{})), nil},
		{"read what there is not", second(ada.Read(ctx, "notes/none", kit.ReadOptions{})), kit.ErrNotFound},
		{"read another kind", second(ada.Read(ctx, "roles/none", kit.ReadOptions{})), kit.ErrForbidden},
		{"create what passes", second(ada.Create(ctx, "notes", "new", []byte(`{"text":"n"}`))), nil},
		{"create what does not", second(ada.Create(ctx, "notes", "new2", []byte(`{"sealed":true}`))), kit.ErrForbidden},
		{"update what passes", second(ada.Update(ctx, "notes/open", []byte(`{"text":"A"}`), 0)), nil},
		{"update what does not", second(ada.Update(ctx, "notes/sealed", []byte(`{"sealed":false}`), 0)), kit.ErrForbidden},
		{"update to what does not", second(ada.Update(ctx, "notes/open", []byte(`{"sealed":true}`), 0)), kit.ErrForbidden},
		{"update with a wrong version", second(ada.Update(ctx, "notes/open", []byte(`{"text":"B"}`), 77)), kit.ErrStale},
		{"update with broken JSON", second(ada.Update(ctx, "notes/open", []byte(`{"text"`), 0)), kit.ErrInvalid},
		{"a method of what passes", second(ada.Do(ctx, "notes/open", "star", nil)), nil},
		{"a method of what does not", second(ada.Do(ctx, "notes/sealed", "star", nil)), kit.ErrForbidden},
		{"delete what does not", ada.Delete(ctx, "notes/sealed", 0), kit.ErrForbidden},
		{"a batch of what passes", do(kit.Write{Verb: "star", Link: "notes/open"}, kit.Write{Verb: "create", Link: "notes/", Body: raw(`{}`)}), nil},
		{"a batch that has one that does not", do(kit.Write{Verb: "star", Link: "notes/open"}, kit.Write{Verb: "star", Link: "notes/sealed"}), kit.ErrForbidden},
		{"a batch that has one twice", do(kit.Write{Verb: "seal", Link: "notes/open"}, kit.Write{Verb: "update", Link: "notes/open", Body: raw(`{}`)}), kit.ErrInvalid},
		{"delete what passes", ada.Delete(ctx, "notes/new", 0), nil},
	} {
		if !errors.Is(test.err, test.want) || test.want == nil && test.err != nil {
			t.Errorf("%s: %v, want %v", test.name, test.err, test.want)
		}
	}
}

func second(_ kit.Record, err error) error { return err }

func TestListsAndWatchesShowWhatTheFilterPasses(t *testing.T) {
	c := drafts(t)
	ada, ctx := c.Client("users/ada"), t.Context()
	p, err := ada.List(ctx, kit.Query{Kind: "notes"})
	if err != nil || len(p.Items) != 1 || p.Items[0].Link != "notes/open" {
		t.Errorf("listed %+v, %v, want notes/open", p.Items, err)
	}
	var seen []string
	for ch, err := range ada.Watch(ctx, kit.WatchQuery{Kind: "notes"}) {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, string(ch.Record.Link))
		if len(seen) == 1 { // what there was; now comes what changes
			for _, id := range []string{"sealed", "starred"} {
				if err := c.Admin().Delete(ctx, kit.NewLink("notes", id), 0); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := c.Admin().Create(ctx, "notes", "hidden", []byte(`{"sealed":true}`)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Admin().Create(ctx, "notes", "last", []byte(`{}`)); err != nil {
				t.Fatal(err)
			}
		}
		if seen[len(seen)-1] == "notes/last" {
			break
		}
	}
	// Deletions are told: whether there is an id is no secret.
	want := []string{"notes/open", "notes/sealed", "notes/starred", "notes/last"}
	if !slices.Equal(seen, want) {
		t.Errorf("watched %v, want %v", seen, want)
	}
}

func TestRoleWithAWrongFilterIsRefused(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	for _, test := range []struct {
		name, want string
		rule       rest.Rule
	}{
		{"a field that there is not", `no field "color" in notes`, rest.Rule{Kinds: []string{"notes"}, Filter: `color == "red"`}},
		{"no truth", "true or false", rest.Rule{Kinds: []string{"notes"}, Filter: `"yes"`}},
		{"a kind that there is not", `"nots" is none`, rest.Rule{Kinds: []string{"nots"}, Filter: `version > 1`}},
		{"a field that not all kinds have", `no field "text"`, rest.Rule{Kinds: []string{"*"}, Filter: `text == ""`}},
	} {
		test.rule.Verbs = []kit.Verb{"read"}
		_, err := rest.Roles.Create(t.Context(), c.Admin(), "", rest.Role{Subjects: []string{"users/ada"}, Rules: []rest.Rule{test.rule}})
		if !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "rule 1") {
			t.Errorf("%s: %v, want invalid, rule 1, with %q", test.name, err, test.want)
		}
	}
}

func TestWriteIsPinnedToWhatWasLookedAt(t *testing.T) {
	for _, test := range []struct {
		name    string
		ifMatch int64
		want    error
	}{
		{"any version", 0, kit.ErrForbidden},
		{"the version before", 1, kit.ErrForbidden},
		{"the version that it will have", 2, kit.ErrStale}, // it has not yet
	} {
		c := drafts(t)
		s := rest.New(rest.Options{Store: c.Store, Kinds: store.NewKinds(), Node: &racer{direct: direct{c}}})
		s.Add(kittest.NotesService())
		// While ada's update is on its way, the note is sealed.
		_, err := s.Client("users/ada").Update(t.Context(), "notes/open", []byte(`{"text":"late"}`), test.ifMatch)
		if !errors.Is(err, test.want) {
			t.Errorf("an update of %s of a note that was sealed meanwhile: %v, want %v", test.name, err, test.want)
		}
		if n, err := kittest.Notes.Read(t.Context(), c.Admin(), "open"); err != nil || n.Text != "a" {
			t.Errorf("after an update of %s the sealed note is %+v, %v, want it as it was", test.name, n, err)
		}
	}
}

func TestWriteByAFilterHappensOnceForItsKey(t *testing.T) {
	c := drafts(t)
	ada, ctx := c.Client("users/ada"), t.Context()
	update := func(by kit.Client, key, text string) (kit.Record, error) {
		return by.Update(ctx, "notes/open", []byte(`{"text":"`+text+`"}`), 1, kit.Once(key))
	}
	for range 2 {
		if r, err := update(ada, "k1", "b"); err != nil || r.Version != 2 || !strings.Contains(string(r.Body), `"b"`) {
			t.Fatalf("an update by its key: %+v, %v, want version 2", r, err)
		}
	}
	if _, err := update(ada, "k1", "c"); !errors.Is(err, kit.ErrConflict) {
		t.Errorf("another update with the key: %v, want a conflict", err)
	}
	c.Allow("users/eve", rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"*"}, Filter: "!sealed"})
	if _, err := update(c.Client("users/eve"), "k1", "b"); !errors.Is(err, kit.ErrStale) {
		t.Errorf("the same update by another caller: %v, want that the key is not theirs", err)
	}
	for range 2 {
		if r, err := ada.Create(ctx, "notes", "once", []byte(`{"text":"n"}`), kit.Once("k2")); err != nil || r.Link != "notes/once" {
			t.Errorf("a create by its key: %+v, %v", r, err)
		}
	}
	for range 2 {
		if err := ada.Delete(ctx, "notes/once", 0, kit.Once("k3")); err != nil {
			t.Errorf("a delete by its key: %v", err)
		}
	}
	// What is hidden from ada meanwhile is not told, only that it was done.
	if _, err := c.Admin().Do(ctx, "notes/open", "seal", nil); err != nil {
		t.Fatal(err)
	}
	if r, err := update(ada, "k1", "b"); err != nil || r.Link != "notes/open" || strings.Contains(string(r.Body), "text") || r.Version != 0 {
		t.Errorf("the update of a note that is sealed by now: %+v, %v, want its link", r, err)
	}
	for r, err := range rest.Roles.All(ctx, c.Admin(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(r.Subjects, "users/ada") {
			if err := c.Admin().Delete(ctx, r.Link, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := update(ada, "k1", "b"); !errors.Is(err, kit.ErrForbidden) {
		t.Errorf("the update by who has no role any more: %v, want forbidden", err)
	}
}

// direct is the node of a cluster in memory.
type direct struct{ *kittest.Cluster }

func (direct) Leader() (string, bool)        { return "", true }
func (direct) Barrier(context.Context) error { return nil }
func (direct) CatchUp(context.Context) error { return nil }

// racer seals notes/open before the first write.
type racer struct {
	direct
	once sync.Once
}

func (r *racer) Write(ctx context.Context, p store.Proposal) ([]kit.Record, error) {
	r.once.Do(func() {
		if _, err := r.Admin().Do(ctx, "notes/open", "seal", nil); err != nil {
			panic(err)
		}
	})
	return r.direct.Write(ctx, p)
}

func TestExplainTellsTheRules(t *testing.T) {
	c := drafts(t)
	admin, ada := c.Token("users/admin"), c.Token("users/ada")
	explain := func(token, query string) (int, rest.Explanation, string) {
		t.Helper()
		res, body := call(t, "GET", c.URL()+"/api/roles:explain?"+query, "", "Authorization: Bearer "+token)
		var e rest.Explanation
		if res.StatusCode == http.StatusOK {
			if err := json.Unmarshal([]byte(body), &e); err != nil {
				t.Fatal(err)
			}
		}
		return res.StatusCode, e, body
	}
	for _, test := range []struct {
		name, token, query string
		status             int
		allowed            bool
		want               string
	}{
		{"what a filter passes", admin, "subject=users/ada&verb=update&link=notes/open", 200, true, "by rule 1 of roles/"},
		{"what a filter does not pass", admin, "subject=users/ada&verb=read&link=notes/sealed", 200, false, "does not pass its filter: !sealed"},
		{"what other ids may", admin, "subject=users/ada&verb=read&link=notes/sealed", 200, false, "its ids are star*"},
		{"what another rule allows", admin, "subject=users/ada&verb=read&link=notes/starred", 200, true, "by rule 2 of roles/"},
		{"another verb", admin, "subject=users/ada&verb=delete&link=tokens/x", 200, false, "its kinds are notes"},
		{"a kind", admin, "subject=users/ada&verb=list&link=notes/", 200, true, "for the documents that pass its filter"},
		{"nobody", admin, "subject=users/eve&verb=read&link=notes/open", 200, false, "no role names it or one of its groups (groups/everyone)"},
		{"an administrator", admin, "subject=users/admin&verb=read&link=notes/open", 200, true, "rule 1 of roles/administrators"},
		{"the audit", admin, "subject=users/admin&verb=update&link=audit/1", 200, false, "no role allows"},
		{"a service", admin, "subject=services/notes&verb=seal&link=notes/open", 200, true, "is in it"},
		{"oneself", ada, "verb=star&link=notes/open", 200, true, "users/ada may star notes/open"},
		{"another, by who may not", ada, "subject=users/eve&verb=read&link=notes/open", 403, false, "may not read"},
		{"no verb", admin, "subject=users/ada&link=notes/open", 400, false, "needs a subject"},
	} {
		status, e, body := explain(test.token, test.query)
		if status != test.status || e.Allowed != test.allowed || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d, allowed %t, %s\nwant %d, %t, with %q", test.name, status, e.Allowed, body, test.status, test.allowed, test.want)
		}
	}
}
