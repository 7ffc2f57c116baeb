package rest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
)

func basic(token string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("anyone:"+token))
}

func TestTokenTellsWhoCalls(t *testing.T) {
	s := kittest.NotesService()
	whoami := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "<"+kit.CallerOf(r.Context()).Subject+">")
	})
	s.Serves = []kit.Route{{Pattern: "/whoami", Handler: whoami}, {Pattern: "/anybody", Handler: whoami, Anonymous: true}}
	c := kittest.Serve(t, s)
	token := c.Token("users/ada")
	id, secret, _ := strings.Cut(strings.TrimPrefix(token, "lf_"), "_")
	for _, test := range []struct {
		name, path, header string
		status             int
		want               string
	}{
		{"bearer", "/whoami", "Authorization: Bearer " + token, 200, "<users/ada>"},
		{"basic, as git and docker do", "/whoami", basic(token), 200, "<users/ada>"},
		{"cookie", "/whoami", "Cookie: landfall=" + token, 200, "<users/ada>"},
		{"no token", "/whoami", "", 401, "a token is needed"},
		{"no token where none is needed", "/anybody", "", 200, "<>"},
		{"a token where none is needed", "/anybody", "Authorization: Bearer " + token, 200, "<users/ada>"},
		{"a wrong token where none is needed", "/anybody", "Authorization: Bearer x", 401, "the token is not valid"},
		{"an old cookie where no token is needed", "/anybody", "Cookie: landfall=lf_gone_gone", 200, "<>"},
		{"a wrong form", "/whoami", "Authorization: Bearer secret", 401, "the token is not valid: it does not look like"},
		{"a wrong secret", "/whoami", "Authorization: Bearer lf_" + id + "_" + strings.ToUpper(secret), 401, "the token is not valid: its secret is wrong"},
		{"no secret", "/whoami", "Authorization: Bearer lf_" + id + "_", 401, "the token is not valid: its secret is wrong"},
		{"an unknown id", "/whoami", "Authorization: Bearer lf_x_" + secret, 401, "the token is not valid: there is none"},
		{"a vouch of nobody", "/whoami", "Landfall-Vouch: users/admin 1 00", 401, "not signed"},
	} {
		headers := []string{test.header}
		if test.header == "" {
			headers = nil
		}
		res, body := call(t, "GET", c.URL()+test.path, "", headers...)
		if res.StatusCode != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %s, want %d with %q", test.name, res.StatusCode, body, test.status, test.want)
		}
		if test.status == 401 && !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), `Basic realm="landfall"`) {
			t.Errorf("%s: WWW-Authenticate is %q", test.name, res.Header.Get("WWW-Authenticate"))
		}
	}
}

func TestTokenEndsWhenRevokedOrExpired(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	c.Allow("users/ada", rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"list"}})
	token := c.Token("users/ada")
	id, _, _ := strings.Cut(strings.TrimPrefix(token, "lf_"), "_")
	list := func() int {
		res, _ := call(t, "GET", c.URL()+"/api/notes", "", "Authorization: Bearer "+token)
		return res.StatusCode
	}
	if got := list(); got != 200 {
		t.Errorf("with a token: %d, want 200", got)
	}
	if _, err := rest.Tokens.Modify(t.Context(), c.Admin(), id, func(k *rest.Token) error {
		k.Expires = time.Now().Add(-time.Second)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := list(); got != 401 {
		t.Errorf("with an expired token: %d, want 401", got)
	}
}

func TestSecretsAreNeitherStoredNorLogged(t *testing.T) {
	c := kittest.Serve(t)
	token := c.Token("users/ada")
	_, secret, _ := strings.Cut(strings.TrimPrefix(token, "lf_"), "_")
	p, err := c.Admin().List(t.Context(), kit.Query{Kind: "tokens"})
	if err != nil || len(p.Items) != 2 {
		t.Fatalf("%d tokens, %v, want the administrator's and ada's", len(p.Items), err)
	}
	for _, r := range p.Items {
		if strings.Contains(string(r.Body), secret) {
			t.Error("a token's secret is in its document")
		}
	}
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })
	call(t, "GET", c.URL()+"/api/notes", "", "Authorization: Bearer "+token+"x")
	if strings.Contains(log.String(), secret) {
		t.Errorf("the log has a token: %s", &log)
	}
}

func TestBootstrapMakesOneAdministrator(t *testing.T) {
	c := kittest.Serve(t) // has done it once
	token, err := rest.Bootstrap(t.Context(), c.Client("services/"+rest.ServiceName))
	if token != "" || err != nil {
		t.Errorf("the second time it gave %q, %v, want nothing", token, err)
	}
}

func TestRolesAllowWhatTheySay(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	ctx := t.Context()
	for _, id := range []string{"acme-1", "acme-2", "other-1"} {
		if _, err := kittest.Notes.Create(ctx, c.Admin(), id, kittest.Note{Text: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rest.Groups.Create(ctx, c.Admin(), "writers", rest.Group{Members: []string{"users/ada"}}); err != nil {
		t.Fatal(err)
	}
	c.Allow(rest.Everyone, rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"star"}})
	c.Allow("groups/writers", rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"create", "read"}})
	c.Allow("agents/acme", rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"read", "list", "watch"}, IDs: []string{"acme-*"}})
	ada, bob, acme := c.Client("users/ada"), c.Client("users/bob"), c.Client("agents/acme")
	for _, test := range []struct {
		name    string
		do      func() error
		allowed bool
	}{
		{"a group's member reads", func() error { _, err := ada.Read(ctx, "notes/other-1", kit.ReadOptions{}); return err }, true},
		{"a group's member creates", func() error { _, err := ada.Create(ctx, "notes", "", []byte(`{}`)); return err }, true},
		{"a group's member deletes", func() error { return ada.Delete(ctx, "notes/other-1", 0) }, false},
		{"a group's member lists", func() error { _, err := ada.List(ctx, kit.Query{Kind: "notes"}); return err }, false},
		{"everyone stars", func() error { _, err := bob.Do(ctx, "notes/other-1", "star", nil); return err }, true},
		{"everyone reads", func() error { _, err := bob.Read(ctx, "notes/other-1", kit.ReadOptions{}); return err }, false},
		{"an agent reads its own", func() error { _, err := acme.Read(ctx, "notes/acme-1", kit.ReadOptions{}); return err }, true},
		{"an agent reads another's", func() error { _, err := acme.Read(ctx, "notes/other-1", kit.ReadOptions{}); return err }, false},
		{"a batch needs all its verbs", func() error {
			_, err := bob.Batch(ctx, []kit.Write{{Verb: "star", Link: "notes/acme-1"}, {Verb: "seal", Link: "notes/acme-1"}})
			return err
		}, false},
		{"a member makes a token", func() error { _, err := rest.MintToken(ctx, ada, "users/admin", ""); return err }, false},
		{"an administrator acknowledges", func() error { _, err := c.Admin().Do(ctx, "notes/acme-1", "~ack", []byte(`{"id":"x"}`)); return err }, false},
	} {
		err := test.do()
		if test.allowed && err != nil || !test.allowed && !errors.Is(err, kit.ErrForbidden) {
			t.Errorf("%s: %v, want allowed %t", test.name, err, test.allowed)
		}
	}
	p, err := acme.List(ctx, kit.Query{Kind: "notes"})
	if err != nil || len(p.Items) != 2 {
		t.Errorf("an agent lists %d notes, %v, want its own 2", len(p.Items), err)
	}
	n := 0
	for ch, err := range acme.Watch(ctx, kit.WatchQuery{Kind: "notes"}) {
		if err != nil || !strings.HasPrefix(ch.Record.Link.ID(), "acme-") {
			t.Errorf("an agent's watch gave %s, %v", ch.Record.Link, err)
		}
		if n++; n == 2 {
			break
		}
	}
	if err := c.Admin().Delete(ctx, "groups/writers", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := ada.Read(ctx, "notes/other-1", kit.ReadOptions{}); !errors.Is(err, kit.ErrForbidden) {
		t.Errorf("read after the group is gone: %v, want forbidden", err)
	}
}

func TestServiceMayDoWhatItDeclares(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService(),
		kit.Service{Name: "writer", Writes: []string{"notes"}},
		kit.Service{Name: "reader", Reads: []string{"notes"}},
		kit.Service{Name: "stranger"},
	)
	ctx := t.Context()
	type right struct{ create, read, list, star, update, remove, ack, cursor, alien bool }
	for name, want := range map[string]right{
		"notes":    {create: true, read: true, list: true, star: true, update: true, remove: true, ack: true, cursor: true},
		"writer":   {create: true, read: true, list: true, star: true, cursor: true},
		"reader":   {read: true, list: true, cursor: true},
		"stranger": {cursor: true},
		"nobody":   {},
	} {
		client := c.Client("services/" + name)
		if _, err := c.Admin().Create(ctx, "notes", name, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		link := kittest.Notes.Link(name)
		allowed := func(err error) bool { return !errors.Is(err, kit.ErrForbidden) }
		var got right
		_, err := client.Create(ctx, "notes", "", []byte(`{}`))
		got.create = allowed(err)
		_, err = client.Read(ctx, link, kit.ReadOptions{})
		got.read = allowed(err)
		_, err = client.List(ctx, kit.Query{Kind: "notes"})
		got.list = allowed(err)
		_, err = client.Do(ctx, link, "star", nil)
		got.star = allowed(err)
		_, err = client.Update(ctx, link, []byte(`{"text":"x"}`), 0)
		got.update = allowed(err)
		_, err = client.Do(ctx, link, "~ack", []byte(`{"id":"x"}`))
		got.ack = allowed(err)
		got.remove = allowed(client.Delete(ctx, link, 0))
		_, err = client.Create(ctx, "cursors", name+".notes", []byte(`{"position":"1.1"}`))
		got.cursor = allowed(err)
		_, err = client.Create(ctx, "cursors", "else.notes", []byte(`{"position":"1.1"}`))
		got.alien = allowed(err)
		if got != want {
			t.Errorf("services/%s may %+v, want %+v", name, got, want)
		}
	}
}

func TestPageOfAnotherSiteCannotWrite(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	cookie := "Cookie: landfall=" + c.Token("users/admin")
	res, _ := call(t, "POST", c.URL()+"/api/notes", `{"text":"a"}`, cookie, "Origin: https://evil.example", "Sec-Fetch-Site: cross-site")
	if res.StatusCode != 403 {
		t.Errorf("a cross-site write gave %d, want 403", res.StatusCode)
	}
	res, _ = call(t, "POST", c.URL()+"/api/notes", `{"text":"a"}`, cookie, "Sec-Fetch-Site: same-origin")
	if res.StatusCode != 201 {
		t.Errorf("a write of the own page gave %d, want 201", res.StatusCode)
	}
}

func TestWatchEndsWhenTheRoleDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kittest.Serve(t, kittest.NotesService())
		c.Allow("users/ada", rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"watch"}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var got error
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, err := range c.Client("users/ada").Watch(ctx, kit.WatchQuery{Kind: "notes"}) {
				got = err
			}
		}()
		synctest.Wait()
		for r, err := range rest.Roles.All(ctx, c.Admin(), `link != "roles/administrators"`, "") {
			if err == nil {
				err = c.Admin().Delete(ctx, r.Link, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		<-done
		if !errors.Is(got, kit.ErrForbidden) {
			t.Errorf("the watch ended with %v, want forbidden", got)
		}
	})
}
