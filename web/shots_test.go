package web_test

import (
	"os"
	"testing"
	"time"
	"context"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"landfall.dev/api"
)

func TestShots(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	u := ledgerUpgrade(5)
	u.State, u.Pause, u.Predicted = api.UpgradeSoak, 0.062, 0.09
	u.Cycles[4].Final = true
	u.Verified = &api.Verification{Documents: 1240000, Buckets: 4096}
	put(h, api.Upgrades, "done", u)
	h.logs.add("\x1b[1m$ go test ./...\x1b[0m\nok  \tledger\t\x1b[32mPASS\x1b[0m 0.4s\n\x1b[31mFAIL\x1b[0m ledger/api <b>x</b>\n"+longLog(30), false)
	put(h, api.Builds, "live", api.Build{Project: "ledger", Job: "ledger-check", Commit: commit2, State: api.BuildRunning, Started: began, Attempt: 1})
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.WindowSize(1360, 900))
	a, c1 := chromedp.NewExecAllocator(t.Context(), opts...)
	defer c1()
	ctx, c2 := chromedp.NewContext(a)
	defer c2()
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	shot := func(name string) {
		time.Sleep(500 * time.Millisecond)
		b, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile("/tmp/shots/"+name+".png", b, 0o644)
	}
	url := h.URL()
	do(chromedp.Navigate(url+"/"), chromedp.WaitVisible("input[name=token]"))
	shot("login")
	do(chromedp.SendKeys("input[name=token]", h.Token("users/admin")), chromedp.Submit("input[name=token]"), chromedp.WaitVisible("nav"))
	pages := map[string]string{"overview": "/", "change": "/changes/1", "change2": "/changes/2?view=split", "run": "/runs/ledger-main-b2", "build": "/builds/ledger-main-b2.image.1", "live": "/builds/live",
		"upgrade": "/upgrades/production~2", "done": "/upgrades/done", "deployment": "/deployments/ledger-main-b2.production.1", "environment": "/environments/production", "project": "/projects/ledger", "release": "/releases/ledger-2.0.0", "channel": "/channels/ledger-stable", "404": "/builds/nope", "changes": "/changes?status="}
	for name, path := range pages {
		do(chromedp.Navigate(url+path), chromedp.WaitVisible("main"))
		shot(name)
	}
	if _, err := chromedp.Run(ctx, func(ctx context.Context, tg *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tg, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
		return chromedp.Void{}, err
	}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"change", "run", "done", "overview"} {
		do(chromedp.Navigate(url+pages[name]), chromedp.WaitVisible("main"))
		shot("dark-" + name)
	}
}
