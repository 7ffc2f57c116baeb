// Package chromium drives a browser for tests of pages.
package chromium

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// limit is how long a browser may run.
const limit = 2 * time.Minute

// Browser is a Chromium of its own, with one tab. Whatever does not work out
// fails its test.
type Browser struct {
	t   testing.TB
	ctx context.Context // of the tab, which chromedp finds in it
}

// Start starts a browser, which ends with the test.
func Start(t testing.TB) *Browser {
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
	ctx, cancel := context.WithTimeout(ctx, limit)
	t.Cleanup(cancel)
	return &Browser{t, ctx}
}

// Do takes the steps.
func (b *Browser) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// Open goes to the page at url.
func (b *Browser) Open(url string) {
	b.t.Helper()
	b.Do(chromedp.Navigate(url))
}

// Click clicks on an element once it is there.
func (b *Browser) Click(selector string) {
	b.t.Helper()
	b.Do(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)))
}

// Fill types text in the place of what a field has.
func (b *Browser) Fill(selector, text string) {
	b.t.Helper()
	b.Await(selector, fmt.Sprintf(`(document.querySelector(%q)?.select(), document.querySelector(%[1]q) !== null)`, selector))
	b.Do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Await waits for what a JavaScript expression tells: that it is true, which is
// looked at before each frame that the browser draws.
func (b *Browser) Await(what, expression string) {
	b.t.Helper()
	look := fmt.Sprintf("new Promise(done => requestAnimationFrame(() => done(%s)))", expression)
	for {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](look, chromedp.EvalAwaitPromise))
		if err != nil && !strings.Contains(err.Error(), "navigated") && !strings.Contains(err.Error(), "context was destroyed") {
			shown, _ := chromedp.Run(context.WithoutCancel(b.ctx), chromedp.Evaluate[string]("location.href + document.body.innerText"))
			b.t.Fatalf("wait for %s: %v; the page is\n%s", what, err, shown)
		}
		if ok {
			return
		}
	}
}
