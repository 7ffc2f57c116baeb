package page_test

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/page"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
)

func TestPeopleSignInWithTheirToken(t *testing.T) {
	b := ledger(t)
	v := b.anybody()
	if p := v.open("/kit/kinds/accounts?limit=2"); p.path != "/kit/login?next=%2Fkit%2Fkinds%2Faccounts%3Flimit%3D2" {
		t.Fatalf("a page without a token leads to %s, want the sign-in page", p.path)
	}
	v.post("/kit/login", "token", "lf_wrong_wrong").says(http.StatusOK, "This token is not valid")
	p := v.post("/kit/login", "token", " "+b.token("users/admin")+"\n", "next", "/kit/kinds/accounts?limit=2")
	if p.path != "/kit/kinds/accounts?limit=2" {
		t.Fatalf("signing in leads to %s, want the page that was asked for", p.path)
	}
	p.says(http.StatusOK, "admin", "Sign out", "Next page")
	for _, next := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "javascript:alert(1)"} {
		if p := v.post("/kit/login", "token", b.token("users/admin"), "next", next); p.path != "/kit/" {
			t.Errorf("next %q leads to %s, want the kinds", next, p.path)
		}
	}
	v.open("/kit/", "Sec-Fetch-Site", "cross-site").says(http.StatusOK, "Kinds")
	b.anybody().open("/kit/stats", "Sec-Fetch-Site", "cross-site").says(http.StatusOK, "One moment", `content="0; url=/kit/stats"`)
	if p = v.post("/kit/logout"); p.path != "/kit/login" {
		t.Errorf("signing out leads to %s, want the sign-in page", p.path)
	}
	v.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	got := v.post("/kit/login", "token", "lf_a_b").header.Get("Set-Cookie")
	for _, want := range []string{"landfall=lf_a_b", "HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(got, want) {
			t.Errorf("got the cookie %q, want %s", got, want)
		}
	}
}

func TestPlatformThatSignsInItsPeopleIsLeftToIt(t *testing.T) {
	b := ledger(t, kit.Service{Name: "own", Serves: []kit.Route{
		{Pattern: "GET /login", Anonymous: true, Handler: http.NotFoundHandler()},
		{Pattern: "POST /login", Anonymous: true, Handler: http.NotFoundHandler()},
		{Pattern: "GET /{$}", Handler: http.NotFoundHandler()},
	}})
	for _, path := range []string{"/kit/stats", "/kit/login?next=/kit/stats"} {
		if p := b.anybody().open(path); p.path != "/login?next=%2Fkit%2Fstats" {
			t.Errorf("%s leads to %s, want the platform's own sign-in page", path, p.path)
		}
	}
	v := b.anybody()
	v.post("/kit/login", "token", b.token("users/admin"))
	v.open("/kit/").says(http.StatusNotFound)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL()+"/kit/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.AddCookie(&http.Cookie{Name: "landfall", Value: b.token("users/admin")})
	v.do(request).says(http.StatusOK, `action="/logout"`, `<a href="/">Platform</a>`)
}

func TestEveryPageForbidsForeignScripts(t *testing.T) {
	b := ledger(t)
	v := b.as("users/admin")
	for _, path := range []string{"/kit/", "/kit/kinds/accounts", "/kit/kinds/accounts/ada", "/kit/new/accounts", "/kit/stats", "/kit/try", "/kit/nothing", "/kit/static/live.js"} {
		p := v.open(path)
		policy := p.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'; script-src 'self'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s has the policy %q", path, policy)
		}
		p.hides(" style=", " onclick=", "http://", "https://")
	}
	v.open("/kit/nothing").says(http.StatusNotFound, "there is no page /kit/nothing")
}

func TestTableAnswersQueries(t *testing.T) {
	v := ledger(t).as("users/admin")
	v.open("/kit/").says(http.StatusOK, "accounts 3 ", `href="/kit/new/accounts"`, "roles", "tokens")
	table := func(query string) shown { return v.open("/kit/kinds/accounts?" + query) }
	p := table("order=-balance")
	p.says(http.StatusOK, "Id owner balance frozen note tags Version Updated", "3 documents", "ada Ada 10", "bob Bob 20 – a b")
	if strings.Index(p.text, "Bob 20") > strings.Index(p.text, "Ada 10") {
		t.Errorf("the order is wrong: %s", p.text)
	}
	p = table("filter=" + url.QueryEscape(`balance < 15`))
	p.says(http.StatusOK, "Ada", "Count them")
	p.hides("Bob")
	table("filter="+url.QueryEscape(`balance < 15`)+"&count=true").says(http.StatusOK, "1 document ")
	table("select=owner").says(http.StatusOK, "Id owner Version Updated")
	table("filter=blance+%3C+15").says(http.StatusBadRequest, "balance", `value="blance &lt; 15"`)
	table("order=colour").says(http.StatusBadRequest, "accounts has no order")
	table("asOf=yesterday").says(http.StatusBadRequest, "is no position")
	table("limit=2").says(http.StatusOK, "Next page")
	v.open("/kit/kinds/nothing").says(http.StatusNotFound, `there is no kind "nothing"`)
}

func TestExampleOfCallsIsOneLineForEach(t *testing.T) {
	b := ledger(t)
	v := b.as("users/admin")
	example := func(operation string) string {
		t.Helper()
		p := v.open("/kit/try?op=" + operation)
		m := regexp.MustCompile(`(?s)<textarea[^>]*>\s*(.*?)</textarea>`).FindStringSubmatch(p.source)
		if m == nil {
			t.Fatalf("%s has no example: %s", operation, p.text)
		}
		return html.UnescapeString(m[1])
	}
	if line := example("calls"); !json.Valid([]byte(line)) || !strings.Contains(line, `"path"`) || strings.Contains(line, "\n") {
		t.Errorf("the example of calls is %q, want a call in one line", line)
	}
	if body := example("accounts.create"); !strings.Contains(body, "\n") {
		t.Errorf("the example of an account is %q, want it laid out", body)
	}
}

func TestStatisticsTellWhatWasAsked(t *testing.T) {
	b := ledger(t)
	v := b.as("users/admin")
	for range 3 {
		b.read("ada")
	}
	v.post("/kit/new/accounts", "version", "0", "base", "{}").says(http.StatusBadRequest, "an account needs an owner")
	p := v.open("/kit/stats")
	p.says(http.StatusOK, "accounts 3 documents", "open watch")
	for verb, want := range map[string]string{"create": `create 4 1 `, "read": `read [3-9] 0 .* (µs|ms) `} {
		if !regexp.MustCompile(want).MatchString(p.text) {
			t.Errorf("%s: got %s, want %s in it", verb, p.text, want)
		}
	}
	p.says(http.StatusOK, "<rect x=", "within")
	reader := b.as("users/reader", rest.Rule{Kinds: []string{"groups"}, Verbs: []kit.Verb{kit.VerbList}})
	p = reader.open("/kit/stats")
	p.says(http.StatusOK, "Not asked for yet: groups")
	p.hides("accounts", "tokens")
}

func TestEarlierStateIsShown(t *testing.T) {
	b := ledger(t)
	v := b.as("users/admin")
	link := regexp.MustCompile(`/kit/kinds/accounts\?asOf=[0-9.]+`).FindString(v.open("/kit/kinds/accounts").source)
	b.patch("ada", `{"balance": 11}`)
	v.open("/kit/kinds/accounts").says(http.StatusOK, "Ada 11")
	p := v.open(link)
	p.says(http.StatusOK, "Ada 10")
	p.hides("data-live")
	p = v.open(strings.Replace(link, "?", "/ada?", 1))
	p.says(http.StatusOK, "As it was at position", "balance 10", "Version 1")
	p.hides("data-live", "Save", "Delete", "deposit")
	v.open("/kit/kinds/accounts/ada?asOf=1.1").says(http.StatusGone)
}

func TestFormSavesWhatWasChanged(t *testing.T) {
	b := ledger(t)
	v := b.as("users/admin")
	b.patch("bob", `{"later": {"a": 1, "big": 12345678901234567890, "none": null}}`)
	p := v.open("/kit/kinds/accounts/bob")
	p.says(http.StatusOK, "owner text", "balance number", "frozen boolean", "later JSON", "deposit", "The last 3 versions are kept")
	fields := func(more ...string) []string {
		return append([]string{"version", p.hidden("version"), "base", p.hidden("base"), "f.note", "a\r\nb"}, more...)
	}
	v.post("/kit/kinds/accounts/bob", fields("f.balance", "much")...).says(http.StatusBadRequest, "balance is no JSON value", `value="much"`)
	v.post("/kit/kinds/accounts/bob", fields("f.balance", "[1]")...).says(http.StatusBadRequest, "balance is a number, not [1]")
	v.post("/kit/kinds/accounts/bob", fields("f.owner", "", "f.balance", "7")...).says(http.StatusBadRequest, "an account needs an owner", `value="7"`)
	v.post("/kit/kinds/accounts/bob", fields("f.balance", "21", "f.tags", `["x"]`)...).says(http.StatusOK, "21")
	r, err := b.admin.Read(t.Context(), "accounts/bob", kit.ReadOptions{})
	if want := `{"owner":"Bob","balance":21,"note":"a\nb","later":{"a":1,"big":12345678901234567890},"tags":["x"]}`; err != nil || string(r.Body) != want || r.Version != 3 {
		t.Errorf("got version %d, %s, %v; want version 3, %s", r.Version, r.Body, err, want)
	}
	v.post("/kit/kinds/accounts/bob?as=json", fields("json", `{"owner": `)...).says(http.StatusBadRequest, `the value of "owner" is no JSON`)
	v.post("/kit/do/accounts/bob", "method", "deposit", "args", `{"amount": 0}`).says(http.StatusBadRequest, "a deposit has an amount above 0", `{&#34;amount&#34;: 0}`)
	v.post("/kit/delete/accounts/bob", "version", "1").says(http.StatusPreconditionFailed, "412")
	v.post("/kit/delete/accounts/bob", "version", "3").says(http.StatusOK, "2 documents")
	v.open("/kit/kinds/accounts/bob").says(http.StatusNotFound)
}

func TestCallersSeeAndDoWhatTheirRolesAllow(t *testing.T) {
	b := ledger(t)
	audited := func() int64 {
		t.Helper()
		p, err := b.admin.List(t.Context(), kit.Query{Kind: "audit", Count: true})
		if err != nil {
			t.Fatal(err)
		}
		return *p.Count
	}
	nobody := b.as("users/nobody")
	before := audited()
	nobody.open("/kit/").says(http.StatusOK, "There is no kind that you may list")
	if after := audited(); after != before {
		t.Errorf("looking at the kinds left %d records of refused calls", after-before)
	}
	nobody.open("/kit/kinds/accounts").says(http.StatusForbidden, "users/nobody may not list this")
	nobody.open("/kit/kinds/accounts/ada").says(http.StatusForbidden, "may not read")
	nobody.open("/kit/new/accounts").says(http.StatusForbidden)
	nobody.open("/kit/delete/accounts/ada").says(http.StatusForbidden)
	nobody.post("/kit/delete/accounts/ada", "version", "1").says(http.StatusForbidden)

	reader := b.as("users/reader", rest.Rule{Kinds: []string{"accounts"}, Verbs: []kit.Verb{kit.VerbRead, kit.VerbList}})
	p := reader.open("/kit/kinds/accounts/ada")
	p.says(http.StatusOK, "Ada", "first")
	p.hides("Save", "Delete", "deposit", "data-live")
	p = reader.open("/kit/")
	p.says(http.StatusOK, "accounts 3 ")
	p.hides("roles", "tokens", "/kit/new/")
	reader.post("/kit/kinds/accounts/ada", "version", "1", "base", `{"owner":"Ada"}`, "f.owner", "Me").says(http.StatusForbidden, "users/reader may not update this")
	reader.post("/kit/do/accounts/ada", "method", "deposit").says(http.StatusForbidden, "users/reader may not deposit this")
	reader.post("/kit/new/accounts", "version", "0", "base", "{}", "f.owner", "Me").says(http.StatusForbidden, "may not create")

	own := b.as("users/ada", rest.Rule{Kinds: []string{"accounts"}, IDs: []string{"ada"}, Verbs: []kit.Verb{"*"}})
	own.open("/kit/").says(http.StatusOK, "accounts 1 ")
	p = own.open("/kit/kinds/accounts")
	p.says(http.StatusOK, "Ada", "New document", "data-live")
	p.hides("Bob")
	own.open("/kit/kinds/accounts/ada").says(http.StatusOK, "Save", "Delete", "deposit", "data-live")
	own.open("/kit/kinds/accounts/bob").says(http.StatusForbidden)

	filtered := b.as("users/clerk", rest.Rule{Kinds: []string{"accounts"}, Filter: `owner == "Ada"`, Verbs: []kit.Verb{"*"}})
	filtered.open("/kit/").says(http.StatusOK, "accounts 1 ", `href="/kit/new/accounts"`)
	filtered.open("/kit/kinds/accounts/ada").says(http.StatusOK, "Save", "deposit", "data-live")
	filtered.open("/kit/kinds/accounts/bob").says(http.StatusForbidden)
	filtered.post("/kit/new/accounts", "version", "0", "base", "{}", "id", "x", "f.owner", "Bob").says(http.StatusForbidden, `value="Bob"`)
	filtered.post("/kit/new/accounts", "version", "0", "base", "{}", "id", "x", "f.owner", "Ada").says(http.StatusOK, "Version 1")
}

func TestTableThatIsTooOldBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := kit.Own(accounts, nextAccount, "deposit")
		c := kittest.Serve(t, kit.Service{Name: "bank", Owns: []kit.Owned{own}})
		c.Server.Add(page.Service(page.Platform{
			Kinds: store.NewKinds(own), As: c.Client, HTTP: c.Server.HTTP, Services: func() []kit.Service { return nil },
		}))
		for i := range 30 {
			if _, err := accounts.Create(t.Context(), c.Admin(), fmt.Sprint(i+1), Account{Owner: "Ada"}); err != nil {
				t.Fatal(err)
			}
		}
		open := func(path string) string {
			t.Helper()
			res, err := c.Server.HTTP("users/admin").Get("http://kit.example" + path)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("got %s, %v: %s", res.Status, err, b)
			}
			return html.UnescapeString(string(b))
		}
		link := regexp.MustCompile(`/kit/kinds/accounts\?[^"]*page=[^"]+`)
		next := link.FindString(open("/kit/kinds/accounts?limit=25&order=link"))
		if rest := open(next); !strings.Contains(rest, `"/kit/kinds/accounts/30"`) {
			t.Fatalf("the next page %q has no account 30: %s", next, rest)
		}
		for range 5 { // the history moves on with writes
			if _, err := c.Admin().Update(t.Context(), "accounts/30", []byte(`{"note":"changed"}`), 0); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if _, err := accounts.Create(t.Context(), c.Admin(), "", Account{Owner: "Bob"}); err != nil {
				t.Fatal(err)
			}
		}
		again := open(next)
		for _, want := range []string{"begins again, as it is now", `"/kit/kinds/accounts/1"`, "limit=25", "data-live"} {
			if !strings.Contains(again, want) {
				t.Errorf("the next page, too late, lacks %s: %s", want, again)
			}
		}
		if strings.Contains(link.FindString(again), "again=") {
			t.Error("the page after it says that it begins again, too")
		}
	})
}
