package rest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/rest/audit"
	"landfall.dev/kit/store"
)

// told waits for a record of the audit that want describes in the form
// "subject verb target status".
func told(t *testing.T, c *kittest.Cluster, want string) audit.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var seen []string
	for ch, err := range c.Admin().Watch(ctx, kit.WatchQuery{Kind: audit.Records.Name}) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := audit.Records.Decode(ch.Record)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%s %s %s %d", r.Subject, r.Verb, r.Target, r.Status)
		if text == want {
			return r
		}
		seen = append(seen, text)
	}
	t.Fatalf("no record %q among %q", want, seen)
	return audit.Record{}
}

func verified(t *testing.T, c kit.Client) audit.Report {
	t.Helper()
	r, err := audit.Verify(t.Context(), c)
	if err != nil {
		t.Errorf("verify: %v", err)
	}
	return r
}

func TestRefusalsAndAdministrativeCallsLeaveARecord(t *testing.T) {
	s := kittest.NotesService()
	s.Owns[0].Audit = true
	status := func(code int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	s.Serves = []kit.Route{
		{Pattern: "/shut", Handler: status(403)}, {Pattern: "POST /cluster/leave", Handler: status(200)},
		{Pattern: "GET /cluster", Handler: status(200)}, {Pattern: "GET /cluster/backup", Handler: status(200)},
	}
	c := kittest.Serve(t, s)
	admin, ada := "Authorization: Bearer "+c.Token("users/admin"), "Authorization: Bearer "+c.Token("users/ada")
	for _, test := range []struct{ name, method, path, body, token, want string }{
		{"a read without a token", "GET", "/api/notes/1", "", "", " read notes/1 401"},
		{"a watch that no role allows", "GET", "/api/notes?watch", "", ada, "users/ada list notes/ 403"},
		{"a write that no role allows", "POST", "/api/notes?id=a", "{}", ada, "users/ada create notes/a 403"},
		{"a route without a token", "GET", "/shut", "", "", " GET /shut 401"},
		{"a route that refuses", "POST", "/shut", "", ada, "users/ada POST /shut 403"},
		{"an explanation about another", "GET", "/api/roles:explain?subject=users/eve&verb=read&link=notes/1", "", ada, "users/ada GET /api/roles:explain 403"},
		{"a role", "POST", "/api/roles?id=r", `{"subjects":["users/ada"],"rules":[{"kinds":["notes"],"verbs":["read"]}]}`, admin, "users/admin create roles/r 201"},
		{"a role that there is", "POST", "/api/roles?id=r", `{}`, admin, "users/admin create roles/r 409"},
		{"a group", "POST", "/api/groups?id=g", `{"members":["users/ada"]}`, admin, "users/admin create groups/g 201"},
		{"a limit", "POST", "/api/limits?id=l", `{"subjects":["groups/g"],"watches":3}`, admin, "users/admin create limits/l 201"},
		{"a note, which is nobody's business", "POST", "/api/notes?id=m", "{}", admin, ""},
		{"a method for administrators", "POST", "/api/notes/m:star", "", admin, "users/admin star notes/m 200"},
		{"a method for administrators, too late", "POST", "/api/notes/none:seal", "", admin, "users/admin seal notes/none 404"},
		{"several at once", "POST", "/api/batch", `{"writes":[{"verb":"delete","link":"groups/g"},{"verb":"delete","link":"roles/r"}]}`, admin, "users/admin delete roles/r 200"},
		{"a route of the cluster", "POST", "/cluster/leave", "", admin, "users/admin POST /cluster/leave 200"},
		{"a backup", "GET", "/cluster/backup", "", admin, "users/admin GET /cluster/backup 200"},
		{"a backup for nobody", "GET", "/cluster/backup", "", "", " GET /cluster/backup 401"},
	} {
		headers := []string{"X-Request-Id: r-" + strings.ReplaceAll(test.name, " ", "-")}
		if test.token != "" {
			headers = append(headers, test.token)
		}
		call(t, test.method, c.URL()+test.path, test.body, headers...)
		if test.want == "" {
			continue
		}
		r := told(t, c, test.want)
		if r.Remote != "127.0.0.1" || r.Time.IsZero() || r.Expires.IsZero() {
			t.Errorf("%s: recorded %+v, want the address, the time and when it expires", test.name, r)
		}
	}
	if r := told(t, c, "users/admin create roles/r 201"); r.Request != "r-a-role" {
		t.Errorf("the record has request %q, want the one that was sent", r.Request)
	}
	told(t, c, "users/admin delete groups/g 200")
	// What is neither refused nor an administrator's is not recorded.
	call(t, "GET", c.URL()+"/cluster", "", admin)
	call(t, "GET", c.URL()+"/api/notes", "", admin)
	before := verified(t, c.Admin())
	call(t, "POST", c.URL()+"/api/notes?id=x", "{}", admin)
	if after := verified(t, c.Admin()); after != before || before.First != 1 {
		t.Errorf("the audit is %+v after calls of no interest, want %+v from 1 on", after, before)
	}
	for r, err := range audit.Records.All(t.Context(), c.Admin(), "", "") {
		if err != nil || strings.Contains(fmt.Sprint(r), "lf_") {
			t.Errorf("record %+v, %v, want no token in it", r, err)
		}
	}
}

func TestRecordTellsForWhomAServiceActs(t *testing.T) {
	s := kittest.NotesService()
	var client kit.Client
	s.Writes = []string{"tokens"}
	s.Serves = []kit.Route{{Pattern: "POST /mint", Handler: kit.Handler(func(w http.ResponseWriter, r *http.Request) error {
		_, err := rest.MintToken(r.Context(), client, "users/eve", "")
		return err
	})}}
	c := kittest.Serve(t, s)
	client = c.Client("services/notes")
	call(t, "POST", c.URL()+"/mint", "", "Authorization: Bearer "+c.Token("users/ada"))
	for r, err := range audit.Records.All(t.Context(), c.Admin(), `subject == "services/notes"`, "") {
		if err != nil || r.Behalf != "users/ada" || !strings.HasPrefix(r.Target, "tokens/") {
			t.Errorf("recorded %+v, %v, want that services/notes acts for users/ada", r, err)
		}
		return
	}
	t.Error("no record of the service's call")
}

func TestNobodyChangesTheAudit(t *testing.T) {
	c := kittest.Serve(t)
	ctx, admin := t.Context(), c.Admin()
	first := audit.Records.Link(audit.ID(1))
	for name, err := range map[string]error{
		"update":           second(admin.Update(ctx, first, []byte(`{"subject":"users/eve"}`), 0)),
		"delete":           admin.Delete(ctx, first, 0),
		"create":           second(admin.Create(ctx, "audit", "x", []byte(`{}`))),
		"cut the chain":    admin.Delete(ctx, "chains/audit", 0),
		"update by itself": second(c.Client("services/"+rest.ServiceName).Update(ctx, first, []byte(`{"subject":"users/eve"}`), 0)),
	} {
		if !errors.Is(err, kit.ErrForbidden) {
			t.Errorf("%s: %v, want forbidden", name, err)
		}
	}
}

// forger changes what is listed.
type forger struct {
	kit.Client
	forge func([]kit.Record) []kit.Record
}

func (f forger) List(ctx context.Context, q kit.Query) (kit.Page, error) {
	p, err := f.Client.List(ctx, q)
	p.Items = f.forge(p.Items)
	return p, err
}

func TestVerifyFindsWhatWasTamperedWith(t *testing.T) {
	c := kittest.Serve(t)
	for range 4 {
		c.Token("users/ada")
	}
	if r := verified(t, c.Admin()); r.First != 1 || r.Last < 6 {
		t.Fatalf("verified %+v, want six records and more", r)
	}
	replace := func(i int, old, new string) func([]kit.Record) []kit.Record {
		return func(rs []kit.Record) []kit.Record {
			changed := bytes.Replace(rs[i].Body, []byte(old), []byte(new), 1)
			if bytes.Equal(changed, rs[i].Body) {
				t.Errorf("%q is not in %s", old, rs[i].Body)
			}
			rs[i].Body = changed
			return rs
		}
	}
	for _, test := range []struct {
		name, want string
		forge      func([]kit.Record) []kit.Record
	}{
		{"a record is changed", "broken at record 3", replace(2, "users/admin", "users/eve")},
		{"a field is added", "broken at record 2", replace(1, `{`, `{"x":1,`)},
		{"the last is changed", "the end of the chain says", func(rs []kit.Record) []kit.Record { return replace(len(rs)-1, "tokens/", "tokens/x")(rs) }},
		{"a record is missing", "record 3: it is missing", func(rs []kit.Record) []kit.Record { return append(rs[:2:2], rs[3:]...) }},
		{"the last is missing", "the records end at", func(rs []kit.Record) []kit.Record { return rs[:len(rs)-1] }},
		{"all are missing", "it is missing", func([]kit.Record) []kit.Record { return nil }},
		{"one is put in", "its id is", func(rs []kit.Record) []kit.Record { rs[1].Link = "audit/000000000001b"; return rs }},
		{"two have changed places", "broken at record 2", func(rs []kit.Record) []kit.Record { rs[1], rs[2] = rs[2], rs[1]; return rs }},
	} {
		_, err := audit.Verify(t.Context(), forger{c.Admin(), test.forge})
		if !errors.Is(err, kit.ErrConflict) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want a conflict with %q", test.name, err, test.want)
		}
	}
}

func TestOldRecordsExpireAndTheRestIsStillAChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kinds := store.NewKinds()
		node := &leaderNode{store: store.New(kinds)}
		serve := func(retention time.Duration) kit.Client {
			s := rest.New(rest.Options{Store: node.store, Kinds: kinds, Node: node, AuditRetention: retention})
			return s.Client("services/" + rest.ServiceName)
		}
		c := serve(0)
		call := func() {
			t.Helper()
			if _, err := rest.Groups.Create(t.Context(), c, "", rest.Group{}); err != nil {
				t.Fatal(err)
			}
		}
		left := func(after time.Duration) audit.Report {
			t.Helper()
			time.Sleep(after)
			if _, err := node.Write(t.Context(), store.Proposal{Tick: true}); err != nil {
				t.Fatal(err)
			}
			return verified(t, c)
		}
		call()
		time.Sleep(audit.DefaultRetention / 2)
		call()
		if got := left(audit.DefaultRetention/2 + time.Hour); got.First != 2 || got.Last != 2 {
			t.Errorf("after the retention of the first there are %+v, want the second", got)
		}
		call()
		if got := left(audit.DefaultRetention + time.Hour); got.First != 0 {
			t.Errorf("after the retention of all there are %+v, want none", got)
		}
		call()
		call()
		if got := left(0); got.First != 4 || got.Last != 5 {
			t.Errorf("the chain goes on with %+v, want 4 to 5", got)
		}
	})
}

func TestManyRefusalsLeaveFewRecordsAndTheirNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kittest.Serve(t, kittest.NotesService())
		before := verified(t, c.Admin())
		ada, eve := c.Client("users/ada"), c.Client("users/eve")
		refuse := func(c kit.Client, n int) {
			for range n {
				if _, err := c.Read(t.Context(), "notes/1", kit.ReadOptions{}); !errors.Is(err, kit.ErrForbidden) {
					t.Fatalf("read: %v, want forbidden", err)
				}
			}
			synctest.Wait()
		}
		refuse(ada, 500)
		r := verified(t, c.Admin())
		if n := r.Last - before.Last; n != 20 {
			t.Errorf("500 refusals of one caller left %d records, want the first 20", n)
		}
		refuse(eve, 1)
		r = verified(t, c.Admin())
		if n := r.Last - before.Last; n != 21 || r.Suppressed != 480 {
			t.Errorf("another's refusal left %d records and %d suppressed, want 21 and 480", n, r.Suppressed)
		}
		time.Sleep(time.Hour)
		refuse(ada, 100)
		after := verified(t, c.Admin())
		if after.Last-r.Last != 20 {
			t.Errorf("an hour later 100 refusals left %d records, want 20", after.Last-r.Last)
		}
		time.Sleep(time.Minute)
		refuse(ada, 100)
		if last := verified(t, c.Admin()); last.Last-after.Last != 1 || last.Suppressed-after.Suppressed != 80 {
			t.Errorf("a minute later 100 refusals left %+v after %+v, want one record, with the 80 before", last, after)
		}
		// The record of an administrator's call tells the rest.
		if _, err := rest.Groups.Create(t.Context(), c.Admin(), "g", rest.Group{}); err != nil {
			t.Fatal(err)
		}
		if last := verified(t, c.Admin()); last.Suppressed-after.Suppressed != 80+99 {
			t.Errorf("in all %d refusals are counted, want 179 more than %d", last.Suppressed, after.Suppressed)
		}
	})
}

// forgetful is a node that cannot write the audit.
type forgetful struct{ direct }

func (n forgetful) Write(ctx context.Context, p store.Proposal) ([]kit.Record, error) {
	if len(p.Writes) > 0 && p.Writes[0].Link.Kind() == audit.Records.Name {
		return nil, errors.New("the disk of the audit is full")
	}
	return n.direct.Write(ctx, p)
}

func TestCallSucceedsWhereItsRecordCannotBeWritten(t *testing.T) {
	c := kittest.Serve(t)
	var log syncBuffer
	s := rest.New(rest.Options{Store: c.Store, Kinds: store.NewKinds(), Node: forgetful{direct{c}}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if _, err := rest.Groups.Create(t.Context(), s.Client("users/admin"), "g", rest.Group{}); err != nil {
		t.Errorf("a group was not made: %v", err)
	}
	for _, want := range []string{"audit record was not written", "groups/g", "users/admin", "the disk of the audit is full"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log is %q, want %q in it", log.String(), want)
		}
	}
}

// syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

var _ io.Writer = (*syncBuffer)(nil)

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestTwoNodesWriteOneChain(t *testing.T) {
	c := kittest.Serve(t)
	other := rest.New(rest.Options{Store: c.Store, Kinds: store.NewKinds(), Node: direct{c}})
	before := verified(t, c.Admin())
	var g sync.WaitGroup
	for _, client := range []kit.Client{c.Admin(), other.Client("users/admin")} {
		for range 4 {
			g.Go(func() {
				for range 10 {
					if _, err := rest.Groups.Create(t.Context(), client, "", rest.Group{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	g.Wait()
	if after := verified(t, c.Admin()); after.Last-before.Last != 80 {
		t.Errorf("80 calls at two nodes left %d records", after.Last-before.Last)
	}
}
