package page_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"landfall.dev/kit"
)

// chromium is a browser with scripts, in which users/admin has signed in.
type chromium struct {
	t   *testing.T
	ctx context.Context
	url string
}

func (b *bank) chromium(t *testing.T) chromium {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("no-first-run", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(closeTab)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium, which this test needs: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	c := chromium{t, ctx, b.URL()}
	c.open("/kit/login")
	c.fill("input[name=token]", b.token("users/admin"))
	c.click("main button")
	c.await("the kinds", `location.pathname === "/kit/"`)
	return c
}

func (c chromium) do(steps ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	if err := chromedp.Do(c.ctx, steps...); err != nil {
		c.t.Fatal(err)
	}
}

func (c chromium) open(path string) {
	c.t.Helper()
	c.do(chromedp.Navigate(c.url + path))
}

// follow opens a page and waits until it follows a watch.
func (c chromium) follow(path string) {
	c.t.Helper()
	c.open(path)
	c.await("the watch of "+path, `document.documentElement.dataset.following === "yes"`)
}

func (c chromium) click(selector string) {
	c.t.Helper()
	c.do(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)))
}

// fill types text in the place of what a field has.
func (c chromium) fill(selector, text string) {
	c.t.Helper()
	c.await(selector, fmt.Sprintf(`(document.querySelector(%q)?.select(), document.querySelector(%[1]q) !== null)`, selector))
	c.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// await waits until the JavaScript expression is true, which is looked at
// before each frame that the browser draws.
func (c chromium) await(what, expression string) {
	c.t.Helper()
	look := fmt.Sprintf("new Promise(done => requestAnimationFrame(() => done(%s)))", expression)
	for {
		ok, err := chromedp.Run(c.ctx, chromedp.Evaluate[bool](look, chromedp.EvalAwaitPromise))
		if err != nil && !strings.Contains(err.Error(), "navigated") && !strings.Contains(err.Error(), "context was destroyed") {
			shown, _ := chromedp.Run(context.WithoutCancel(c.ctx), chromedp.Evaluate[string]("location.href + document.body.innerText"))
			c.t.Fatalf("wait for %s: %v; the page is\n%s", what, err, shown)
		}
		if ok {
			return
		}
	}
}

// has is an expression that is true once the page's content has the text.
func has(text string) string {
	return fmt.Sprintf(`document.querySelector("main")?.innerText.includes(%q) ?? false`, text)
}

func TestTableFollowsItsDocuments(t *testing.T) {
	b := ledger(t)
	c := b.chromium(t)
	c.click(`a[href="/kit/kinds/accounts"]`)
	c.await("the table", has("Bob"))
	c.follow("/kit/kinds/accounts?order=-balance")
	row := func(id, value string) string {
		return fmt.Sprintf(`document.querySelector('tr[data-key="accounts/%s"].changed')?.innerText.includes(%q) ?? false`, id, value)
	}
	b.patch("ada", `{"balance": 99}`)
	c.await("the changed row, marked", row("ada", "99"))
	c.await("its new place", `document.querySelector("tbody tr").dataset.key === "accounts/ada"`)
	c.await("a word about it", `document.querySelector("#news").innerText.includes("accounts/ada")`)
	c.await("the mark on nothing else", `document.querySelectorAll("tr.changed").length === 1`)
	b.put("zoe", Account{Owner: "Zoe"})
	c.await("the new row, marked", row("zoe", "Zoe"))
	if err := b.admin.Delete(t.Context(), "accounts/bob", 0); err != nil {
		t.Fatal(err)
	}
	c.await("the row to be gone", `!document.querySelector("main").innerText.includes("Bob")`)

	c.follow("/kit/kinds/accounts?filter=" + "balance+%3E+50")
	b.put("max", Account{Owner: "Max", Balance: 51})
	c.await("what passes the filter", row("max", "51"))
	c.await("the filter to hold", `!document.querySelector("main").innerText.includes("Zoe")`)
}

func TestWatchIsResumed(t *testing.T) {
	b := ledger(t)
	c := b.chromium(t)
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
	c.await("what has changed while it was cut", `document.querySelector("tr.changed")?.innerText.includes("77") ?? false`)
}

func TestDocumentIsMadeChangedAndDeleted(t *testing.T) {
	b := ledger(t)
	c := b.chromium(t)
	c.open("/kit/kinds/accounts")
	c.click(`a[href="/kit/new/accounts"]`)
	c.fill("input[name=id]", "kim")
	c.fill(`[name="f.balance"]`, "5")
	c.click("main button.primary")
	c.await("what is wrong", has("an account needs an owner"))
	c.fill(`[name="f.owner"]`, "Kim")
	c.click("main button.primary")
	c.await("the new document", `location.pathname === "/kit/kinds/accounts/kim"`)

	c.fill(`[name="f.balance"]`, "6")
	c.click("main button.primary")
	c.await("the second version", `document.querySelector('[data-key=version] dd')?.innerText === "2"`)
	c.fill("textarea[name=args]", `{"amount": 4}`)
	c.click("button[value=deposit]")
	c.await("the deposit", `document.querySelector('[name="f.balance"]')?.value === "10"`)
	if got := b.read("kim"); got.Owner != "Kim" || got.Balance != 10 || got.Version != 3 {
		t.Errorf("got %+v, want Kim with 10 in version 3", got)
	}

	c.click("a.danger")
	c.click("button.danger")
	c.await("the table", `location.pathname === "/kit/kinds/accounts" && !document.body.innerText.includes("Kim")`)
	if _, err := accounts.Read(t.Context(), b.admin, "kim"); kit.FaultOf(err) != kit.ErrNotFound {
		t.Errorf("reading what was deleted gives %v", err)
	}
}

func TestLostRaceShowsWhatHasChanged(t *testing.T) {
	b := ledger(t)
	c := b.chromium(t)
	c.follow("/kit/kinds/accounts/ada")
	b.patch("ada", `{"note": "seen"}`)
	c.await("the change, marked", `document.querySelector('.field[data-key=note].changed input')?.value === "seen"`)

	c.fill(`[name="f.balance"]`, "1000")
	c.fill(`[name="f.note"]`, "mine")
	b.patch("ada", `{"note": "theirs", "tags": ["second"]}`)
	c.await("a word about it", `/Changed meanwhile: note, tags/.test(document.querySelector("#news").innerText)`)
	c.await("what was typed", `document.querySelector('[name="f.balance"]').value === "1000"`)
	c.click("main button.primary")
	c.await("both changes", has("has changed meanwhile"))
	c.await("the field that both have changed", `/note.*both changed\s*seen\s*theirs\s*mine/i.test(document.querySelector("tr.both").innerText)`)
	c.await("what only one has", `document.querySelectorAll("tbody tr").length === 3`)
	if got := b.read("ada"); got.Balance != 10 {
		t.Errorf("the lost race was written: %+v", got)
	}
	c.click("main button.primary")
	c.await("the document again", `location.pathname === "/kit/kinds/accounts/ada" && document.querySelector('[name="f.balance"]') !== null`)
	if got := b.read("ada"); got.Balance != 1000 || got.Note != "mine" || len(got.Tags) != 1 || got.Tags[0] != "second" {
		t.Errorf("got %+v, want mine on top of theirs", got)
	}

	c.follow("/kit/kinds/accounts/ada")
	if err := b.admin.Delete(t.Context(), "accounts/ada", 0); err != nil {
		t.Fatal(err)
	}
	c.await("a word about its end", `document.querySelector("#news").innerText.includes("has been deleted")`)
}

func TestHostileTextStaysText(t *testing.T) {
	b := ledger(t)
	b.patch("eve", `{"</script><script>window.hacked=1</script>": "x\" onfocus=\"window.hacked=1", "tags": ["<img src=x onerror=window.hacked=1>"]}`)
	c := b.chromium(t)
	safe := func(where string) {
		t.Helper()
		c.await(where+" without foreign elements", `!document.querySelector("main script, main img, [onerror], [onfocus]") && window.hacked === undefined`)
	}
	for _, path := range []string{"/kit/kinds/accounts?order=owner", "/kit/kinds/accounts/eve", "/kit/kinds/accounts/eve?as=json", "/kit/delete/accounts/eve"} {
		c.open(path)
		safe(path)
	}
	c.follow("/kit/kinds/accounts/eve")
	b.patch("eve", `{"balance": 31}`)
	c.await("the change", `document.querySelector(".changed input")?.value === "31"`)
	safe("the page that has changed")
	c.await("the text as it is", fmt.Sprintf(`document.querySelector('[name="f.owner"]').value === %q`, hostile))
	c.fill(`[name="f.note"]`, hostile+"!")
	b.patch("eve", `{"owner": "<script>window.hacked=1</script>"}`)
	c.await("a word about it", `!document.querySelector("#news").hidden && document.querySelector("#news").innerText.includes("owner")`)
	c.click("main button.primary")
	c.await("the lost race", has("has changed meanwhile"))
	safe("the lost race")
	c.open("/kit/try?op=accounts.read")
	c.fill("input[data-name=id]", "eve")
	c.click("main button.primary")
	c.await("the answer", `document.querySelector("#result").innerText.includes("<script>window.hacked=1</script>")`)
	safe("the answer")
	c.open("/kit/kinds/accounts?filter=%3Cscript%3Ewindow.hacked%3D1%3C/script%3E&order=%22%3E%3Cscript%3E")
	c.await("the filter's fault", has("400"))
	safe("the filter's fault")
}

func TestAPIIsTried(t *testing.T) {
	b := ledger(t)
	c := b.chromium(t)
	c.open("/kit/try")
	c.await("the operations", `document.querySelector('a[href="/kit/try?op=accounts.update"]') !== null`)
	answer := func(status, text string) {
		t.Helper()
		c.await(status+" "+text, fmt.Sprintf(`document.querySelector("#status").innerText.startsWith(%q) && document.querySelector("#result").innerText.includes(%q)`, status, text))
	}
	c.open("/kit/try?op=accounts.create")
	c.await("an example", `"owner" in JSON.parse(document.querySelector("#body").value)`)
	c.fill("input[data-name=id]", "tim")
	c.fill("#body", `{"owner": "Tim", "big": 12345678901234567890}`)
	c.click("main button.primary")
	answer("201", `"big": 12345678901234567890`)
	c.await("the headers", `document.querySelector("#headers").textContent.includes('etag: "1"')`)
	c.click("main button.primary")
	answer("409", `"title": "conflict"`)

	c.open("/kit/try?op=accounts.update")
	c.fill("input[data-name=id]", "tim")
	c.fill("input[data-name=If-Match]", `"7"`)
	c.fill("#body", `{"balance": 3}`)
	c.click("main button.primary")
	answer("412", `"status": 412`)

	c.open("/kit/try?op=accounts.list")
	c.fill("input[data-name=filter]", `owner == "Tim"`)
	c.click("main button.primary")
	answer("200", `"link": "accounts/tim"`)
	c.do(chromedp.SetValue(chromedp.CSS("select[data-name=Accept]"), "text/event-stream"))
	c.click("main button.primary")
	answer("200", "event: live")
	b.patch("tim", `{"balance": 8}`)
	answer("200", `"balance":8`)
	c.click("#stop")
	c.await("the end of the watch", `document.querySelector("#stop").hidden`)
}
