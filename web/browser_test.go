package web_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"landfall.dev/api"
)

// chromium starts a browser and returns its context.
func chromium(t *testing.T) context.Context {
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
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// await waits until the JavaScript expression is true, which is looked at
// before each frame that the browser draws.
func await(t *testing.T, ctx context.Context, what, expression string) {
	t.Helper()
	look := fmt.Sprintf("new Promise(done => requestAnimationFrame(() => done(%s)))", expression)
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](look, chromedp.EvalAwaitPromise))
		if err != nil {
			shown, _ := chromedp.Run(context.WithoutCancel(ctx), chromedp.Evaluate[string]("document.body.innerText"))
			t.Fatalf("wait for %s: %v; the page is\n%s", what, err, shown)
		}
		if ok {
			return
		}
	}
}

func TestPagesGrowInABrowser(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	put(h, api.Builds, "b1", api.Build{Project: "ledger", Job: "ledger-check", State: api.BuildRunning, Attempt: 1, Started: began})
	h.logs.add("compiling\n", false)
	ctx := chromium(t)
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}

	token := chromedp.CSS("input[name=token]")
	do(chromedp.Navigate(h.URL()+"/builds/b1"), chromedp.WaitVisible(token), chromedp.SendKeys(token, h.Token("users/admin")), chromedp.Submit(token),
		chromedp.WaitVisible(chromedp.CSS("#log-1")))
	await(t, ctx, "the log at the beginning", `document.querySelector("#L1")?.innerText.includes("compiling") ?? false`)

	h.logs.add("testing <b>x</b>\n\x1b[32mok", false)
	await(t, ctx, "what came later", `document.querySelector("#L2")?.innerText.includes("testing <b>x</b>") ?? false`)
	await(t, ctx, "a line that has not ended", `document.querySelector("#L3")?.innerText.trim() === "ok"`)
	h.logs.add(" all\x1b[0m\n", false)
	await(t, ctx, "the end of that line", `document.querySelector("#L3")?.innerText.trim() === "ok all"`)

	if _, err := h.Admin().Update(t.Context(), "builds/b1", []byte(`{"state":"passed"}`), 0); err != nil {
		t.Fatal(err)
	}
	h.logs.add("bye\n", true)
	await(t, ctx, "the state of the ended build", `document.querySelector(".head .state").innerText === "passed"`)
	await(t, ctx, "the ended log in colour", `document.querySelector("#L3 .term-fg32")?.innerText === "ok all" && document.querySelector("#L4")?.innerText.includes("bye")`)

	do(chromedp.Navigate(h.URL() + "/upgrades/production~2"))
	rows := func(n int) string {
		return fmt.Sprintf(`document.querySelectorAll("#cycles tbody tr").length === %d && document.querySelectorAll(".chart rect").length === %[1]d`, n)
	}
	await(t, ctx, "the cycles so far", rows(3))
	if _, err := api.Upgrades.Modify(t.Context(), h.Admin(), "production~2", func(u *api.Upgrade) error {
		u.Cycles = ledgerUpgrade(4).Cycles
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	await(t, ctx, "another cycle", rows(4))
}

func TestWhatIsTypedStaysInABrowser(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	ctx := chromium(t)
	token, comment := chromedp.CSS("input[name=token]"), chromedp.CSS("#comment textarea")
	if err := chromedp.Do(ctx, chromedp.Navigate(h.URL()+"/changes/2"), chromedp.WaitVisible(token),
		chromedp.SendKeys(token, h.Token("users/admin")), chromedp.Submit(token),
		chromedp.WaitVisible(comment), chromedp.SendKeys(comment, "half a thought")); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Changes.Modify(t.Context(), h.Admin(), "2", func(c *api.Change) error {
		second := c.Current()
		second.Number = 2
		c.PatchSets = append(c.PatchSets, second)
		c.Messages = append(c.Messages, api.Message{By: "users/ada", Text: "Uploaded patch set 2."})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	await(t, ctx, "the message", `document.querySelector(".messages").innerText.includes("Uploaded patch set 2.")`)
	await(t, ctx, "the same patch set, with a word that there is another", `document.querySelector("main").innerText.includes("Patch set 1 is not the last one")`)
	await(t, ctx, "what was typed", `document.querySelector("#comment textarea").value === "half a thought" && document.activeElement.name === "text"`)
}
