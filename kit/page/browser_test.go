package page_test

import (
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest/chromium"
)

// tab is a browser with scripts, in which users/admin has signed in.
type tab struct {
	*chromium.Browser
	url string
}

func (b *bank) tab(t *testing.T) tab {
	t.Helper()
	c := tab{chromium.Start(t), b.URL()}
	c.open("/kit/login")
	c.Fill("input[name=token]", b.token("users/admin"))
	c.Click("main button")
	c.Await("the kinds", `location.pathname === "/kit/"`)
	return c
}

func (c tab) open(path string) { c.Open(c.url + path) }

// follow opens a page and waits until it follows a watch.
func (c tab) follow(path string) {
	c.open(path)
	c.Await("the watch of "+path, `document.documentElement.dataset.following === "yes"`)
}

// has is an expression that is true once the page's content has the text.
func has(text string) string {
	return fmt.Sprintf(`document.querySelector("main")?.innerText.includes(%q) ?? false`, text)
}

func TestTableFollowsItsDocuments(t *testing.T) {
	b := ledger(t)
	c := b.tab(t)
	c.Click(`a[href="/kit/kinds/accounts"]`)
	c.Await("the table", has("Bob"))
	c.follow("/kit/kinds/accounts?order=-balance")
	row := func(id, value string) string {
		return fmt.Sprintf(`document.querySelector('tr[data-key="accounts/%s"].changed')?.innerText.includes(%q) ?? false`, id, value)
	}
	b.patch("ada", `{"balance": 99}`)
	c.Await("the changed row, marked", row("ada", "99"))
	c.Await("its new place", `document.querySelector("tbody tr").dataset.key === "accounts/ada"`)
	c.Await("a word about it", `document.querySelector("#news").innerText.includes("accounts/ada")`)
	c.Await("the mark on nothing else", `document.querySelectorAll("tr.changed").length === 1`)
	b.put("zoe", Account{Owner: "Zoe"})
	c.Await("the new row, marked", row("zoe", "Zoe"))
	if err := b.admin.Delete(t.Context(), "accounts/bob", 0); err != nil {
		t.Fatal(err)
	}
	c.Await("the row to be gone", `!document.querySelector("main").innerText.includes("Bob")`)

	c.follow("/kit/kinds/accounts?filter=" + "balance+%3E+50")
	b.put("max", Account{Owner: "Max", Balance: 51})
	c.Await("what passes the filter", row("max", "51"))
	c.Await("the filter to hold", `!document.querySelector("main").innerText.includes("Zoe")`)
}

func TestWatchIsResumed(t *testing.T) {
	b := ledger(t)
	c := b.tab(t)
	target, err := url.Parse(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	between := httptest.NewServer(&httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	t.Cleanup(func() {
		between.CloseClientConnections()
		between.Close()
	})
	c.url = between.URL
	c.follow("/kit/kinds/accounts")
	between.CloseClientConnections()
	b.patch("ada", `{"balance": 77}`)
	c.Await("what has changed while it was cut", `document.querySelector("tr.changed")?.innerText.includes("77") ?? false`)
}

func TestDocumentIsMadeChangedAndDeleted(t *testing.T) {
	b := ledger(t)
	c := b.tab(t)
	c.open("/kit/kinds/accounts")
	c.Click(`a[href="/kit/new/accounts"]`)
	c.Fill("input[name=id]", "kim")
	c.Fill(`[name="f.balance"]`, "5")
	c.Click("main button.primary")
	c.Await("what is wrong", has("an account needs an owner"))
	c.Fill(`[name="f.owner"]`, "Kim")
	c.Click("main button.primary")
	c.Await("the new document", `location.pathname === "/kit/kinds/accounts/kim"`)

	c.Fill(`[name="f.balance"]`, "6")
	c.Click("main button.primary")
	c.Await("the second version", `document.querySelector('[data-key=version] dd')?.innerText === "2"`)
	c.Fill("textarea[name=args]", `{"amount": 4}`)
	c.Click("button[value=deposit]")
	c.Await("the deposit", `document.querySelector('[name="f.balance"]')?.value === "10"`)
	if got := b.read("kim"); got.Owner != "Kim" || got.Balance != 10 || got.Version != 3 {
		t.Errorf("got %+v, want Kim with 10 in version 3", got)
	}

	c.Click("a.danger")
	c.Click("button.danger")
	c.Await("the table", `location.pathname === "/kit/kinds/accounts" && !document.body.innerText.includes("Kim")`)
	if _, err := accounts.Read(t.Context(), b.admin, "kim"); kit.FaultOf(err) != kit.ErrNotFound {
		t.Errorf("reading what was deleted gives %v", err)
	}
}

func TestLostRaceShowsWhatHasChanged(t *testing.T) {
	b := ledger(t)
	c := b.tab(t)
	c.follow("/kit/kinds/accounts/ada")
	b.patch("ada", `{"note": "seen"}`)
	c.Await("the change, marked", `document.querySelector('.field[data-key=note].changed input')?.value === "seen"`)

	c.Fill(`[name="f.balance"]`, "1000")
	c.Fill(`[name="f.note"]`, "mine")
	b.patch("ada", `{"note": "theirs", "tags": ["second"]}`)
	c.Await("a word about it", `/Changed meanwhile: note, tags/.test(document.querySelector("#news").innerText)`)
	c.Await("what was typed", `document.querySelector('[name="f.balance"]').value === "1000"`)
	c.Click("main button.primary")
	c.Await("both changes", has("has changed meanwhile"))
	c.Await("the field that both have changed", `/note.*both changed\s*seen\s*theirs\s*mine/i.test(document.querySelector("tr.both").innerText)`)
	c.Await("what only one has", `document.querySelectorAll("tbody tr").length === 3`)
	if got := b.read("ada"); got.Balance != 10 {
		t.Errorf("the lost race was written: %+v", got)
	}
	c.Click("main button.primary")
	c.Await("the document again", `location.pathname === "/kit/kinds/accounts/ada" && document.querySelector('[name="f.balance"]') !== null`)
	if got := b.read("ada"); got.Balance != 1000 || got.Note != "mine" || len(got.Tags) != 1 || got.Tags[0] != "second" {
		t.Errorf("got %+v, want mine on top of theirs", got)
	}

	c.follow("/kit/kinds/accounts/ada")
	if err := b.admin.Delete(t.Context(), "accounts/ada", 0); err != nil {
		t.Fatal(err)
	}
	c.Await("a word about its end", `document.querySelector("#news").innerText.includes("has been deleted")`)
}

func TestHostileTextStaysText(t *testing.T) {
	b := ledger(t)
	b.patch("eve", `{"</script><script>window.hacked=1</script>": "x\" onfocus=\"window.hacked=1", "tags": ["<img src=x onerror=window.hacked=1>"]}`)
	c := b.tab(t)
	safe := func(where string) {
		t.Helper()
		c.Await(where+" without foreign elements", `!document.querySelector("main script, main img, [onerror], [onfocus]") && window.hacked === undefined`)
	}
	for _, path := range []string{"/kit/kinds/accounts?order=owner", "/kit/kinds/accounts/eve", "/kit/kinds/accounts/eve?as=json", "/kit/delete/accounts/eve"} {
		c.open(path)
		safe(path)
	}
	c.follow("/kit/kinds/accounts/eve")
	b.patch("eve", `{"balance": 31}`)
	c.Await("the change", `document.querySelector(".changed input")?.value === "31"`)
	safe("the page that has changed")
	c.Await("the text as it is", fmt.Sprintf(`document.querySelector('[name="f.owner"]').value === %q`, hostile))
	c.Fill(`[name="f.note"]`, hostile+"!")
	b.patch("eve", `{"owner": "<script>window.hacked=1</script>"}`)
	c.Await("a word about it", `!document.querySelector("#news").hidden && document.querySelector("#news").innerText.includes("owner")`)
	c.Click("main button.primary")
	c.Await("the lost race", has("has changed meanwhile"))
	safe("the lost race")
	c.open("/kit/try?op=accounts.read")
	c.Fill("input[data-name=id]", "eve")
	c.Click("main button.primary")
	c.Await("the answer", `document.querySelector("#result").innerText.includes("<script>window.hacked=1</script>")`)
	safe("the answer")
	c.open("/kit/kinds/accounts?filter=%3Cscript%3Ewindow.hacked%3D1%3C/script%3E&order=%22%3E%3Cscript%3E")
	c.Await("the filter's fault", has("400"))
	safe("the filter's fault")
}

func TestAPIIsTried(t *testing.T) {
	b := ledger(t)
	c := b.tab(t)
	c.open("/kit/try")
	c.Await("the operations", `document.querySelector('a[href="/kit/try?op=accounts.update"]') !== null`)
	answer := func(status, text string) {
		t.Helper()
		c.Await(status+" "+text, fmt.Sprintf(`document.querySelector("#status").innerText.startsWith(%q) && document.querySelector("#result").innerText.includes(%q)`, status, text))
	}
	c.open("/kit/try?op=accounts.create")
	c.Await("an example", `"owner" in JSON.parse(document.querySelector("#body").value)`)
	c.Fill("input[data-name=id]", "tim")
	c.Fill("#body", `{"owner": "Tim", "big": 12345678901234567890}`)
	c.Click("main button.primary")
	answer("201", `"big": 12345678901234567890`)
	c.Await("the headers", `document.querySelector("#headers").textContent.includes('etag: "1"')`)
	c.Click("main button.primary")
	answer("409", `"title": "conflict"`)

	c.open("/kit/try?op=accounts.update")
	c.Fill("input[data-name=id]", "tim")
	c.Fill("input[data-name=If-Match]", `"7"`)
	c.Fill("#body", `{"balance": 3}`)
	c.Click("main button.primary")
	answer("412", `"status": 412`)

	c.open("/kit/try?op=accounts.list")
	c.Fill("input[data-name=filter]", `owner == "Tim"`)
	c.Click("main button.primary")
	answer("200", `"link": "accounts/tim"`)
	c.Do(chromedp.SetValue(chromedp.CSS("select[data-name=Accept]"), "text/event-stream"))
	c.Click("main button.primary")
	answer("200", "event: live")
	b.patch("tim", `{"balance": 8}`)
	answer("200", `"balance":8`)
	c.Click("#stop")
	c.Await("the end of the watch", `document.querySelector("#stop").hidden`)
}
