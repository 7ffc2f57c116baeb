package web_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"landfall.dev/api"
	"landfall.dev/kit/kittest/chromium"
)

func TestPagesGrowInABrowser(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	put(h, api.Builds, "b1", api.Build{Project: "ledger", Job: "ledger-check", State: api.BuildRunning, Attempt: 1, Started: began})
	h.logs.add("compiling\n", false)
	b := chromium.Start(t)

	token := chromedp.CSS("input[name=token]")
	b.Do(chromedp.Navigate(h.URL()+"/builds/b1"), chromedp.WaitVisible(token), chromedp.SendKeys(token, h.Token("users/admin")), chromedp.Submit(token),
		chromedp.WaitVisible(chromedp.CSS("#log-1")))
	b.Await("the log at the beginning", `document.querySelector("#L1")?.innerText.includes("compiling") ?? false`)

	h.logs.add("testing <b>x</b>\n\x1b[32mok", false)
	b.Await("what came later", `document.querySelector("#L2")?.innerText.includes("testing <b>x</b>") ?? false`)
	b.Await("a line that has not ended", `document.querySelector("#L3")?.innerText.trim() === "ok"`)
	h.logs.add(" all\x1b[0m\n--- a section\nin it\n", false)
	b.Await("the end of that line", `document.querySelector("#L3")?.innerText.trim() === "ok all"`)
	b.Await("a section", `document.querySelector("details[open] > summary#L4 + #L5")?.innerText.includes("in it") ?? false`)

	if _, err := h.Admin().Update(t.Context(), "builds/b1", []byte(`{"state":"passed"}`), 0); err != nil {
		t.Fatal(err)
	}
	h.logs.add("bye\n", true)
	b.Await("the state of the ended build", `document.querySelector(".head .state").innerText === "passed"`)
	b.Await("the ended log in colour", `document.querySelector("#L3 .term-fg32")?.innerText === "ok all" && document.querySelector("#L6")?.innerText.includes("bye")`)

	b.Do(chromedp.Navigate(h.URL() + "/upgrades/production~2"))
	rows := func(n int) string {
		return fmt.Sprintf(`document.querySelectorAll("#cycles tbody tr").length === %d && document.querySelectorAll(".chart rect").length === %[1]d`, n)
	}
	b.Await("the cycles so far", rows(3))
	if _, err := api.Upgrades.Modify(t.Context(), h.Admin(), "production~2", func(u *api.Upgrade) error {
		u.Cycles = ledgerUpgrade(4).Cycles
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	b.Await("another cycle", rows(4))
}

func TestALinkToALineLeadsToItsPartOfTheLog(t *testing.T) {
	h := start(t)
	put(h, api.Builds, "b1", api.Build{Project: "ledger", Job: "ledger-check", State: api.BuildPassed, Attempt: 1, Started: began})
	h.logs.add(longLog(5000), true)
	b := chromium.Start(t)
	token := chromedp.CSS("input[name=token]")
	b.Do(chromedp.Navigate(h.URL()+"/builds/b1"), chromedp.WaitVisible(token), chromedp.SendKeys(token, h.Token("users/admin")), chromedp.Submit(token),
		chromedp.WaitVisible(chromedp.CSS("#log-1")), chromedp.Navigate(h.URL()+"/builds/b1#L1234"))
	b.Await("the line in its part", `document.querySelector("#L1234:target")?.innerText.includes("line 1234") ?? false`)
	b.Await("no more than a part", `document.querySelectorAll(".log > div").length === 2000`)
	h.logs.add("--- folded\n"+longLog(100)+"--- here\nwrong\n", true)
	b.Do(chromedp.Navigate(h.URL() + "/builds/b1"))
	b.Await("folded sections", `document.querySelectorAll(".log details:not([open])").length === 2`)
	b.Await("a line that is wanted", `(location.hash = "#L5050") !== ""`)
	b.Await("the section of the line, unfolded", `document.querySelector("details[open] #L5050:target")?.checkVisibility() ?? false`)
	b.Await("the others folded", `document.querySelectorAll(".log details:not([open])").length === 1`)
}

func TestWhatIsTypedStaysInABrowser(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	b := chromium.Start(t)
	token, comment := chromedp.CSS("input[name=token]"), chromedp.CSS("#comment textarea")
	b.Do(chromedp.Navigate(h.URL()+"/changes/2"), chromedp.WaitVisible(token),
		chromedp.SendKeys(token, h.Token("users/admin")), chromedp.Submit(token),
		chromedp.WaitVisible(comment), chromedp.SendKeys(comment, "half a thought"))
	if _, err := api.Changes.Modify(t.Context(), h.Admin(), "2", func(c *api.Change) error {
		second := c.Current()
		second.Number = 2
		c.PatchSets = append(c.PatchSets, second)
		c.Messages = append(c.Messages, api.Message{By: "users/ada", Text: "Uploaded patch set 2."})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	b.Await("the message", `document.querySelector(".messages").innerText.includes("Uploaded patch set 2.")`)
	b.Await("the same patch set, with a word that there is another", `document.querySelector("main").innerText.includes("Patch set 1 is not the last one")`)
	b.Await("what was typed", `document.querySelector("#comment textarea").value === "half a thought" && document.activeElement.name === "text"`)
}
