package upgrade

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/site/upgrade/metrics"
)

func TestMetricsTellOfUpgradesThatGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := soaking(t, nil)
		h := metrics.Handler(r.Client("services/upgrade"))
		ask := func(c kit.Caller) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			req := httptest.NewRequestWithContext(kit.WithCaller(t.Context(), c), http.MethodGet, metrics.Path, nil)
			h.ServeHTTP(w, req)
			return w
		}
		if w := ask(kit.Caller{Subject: "users/eve"}); w.Code != http.StatusForbidden {
			t.Errorf("who may not list upgrades gets %d", w.Code)
		}
		all := kit.Caller{Subject: "users/admin", Allowed: func(kit.Verb, kit.Link) bool { return true }}
		text := ask(all).Body.String()
		for _, want := range []string{
			`landfall_upgrade_state{environment="acme",state="soak",upgrade="1"} 1`,
			`landfall_upgrade_cycles{environment="acme",upgrade="1"} 4`,
			`landfall_upgrade_back_left_documents{environment="acme",upgrade="1"} 0`,
			`landfall_upgrade_bound_documents_per_second{environment="acme",upgrade="1"} 0`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s is missing in\n%s", want, text)
			}
		}
		if err := r.send("retire", nil); err != nil {
			t.Fatal(err)
		}
		r.await(api.UpgradeRetired)
		if text := ask(all).Body.String(); strings.Contains(text, "landfall_upgrade_state") {
			t.Errorf("an upgrade that has ended is told of:\n%s", text)
		}
	})
}

func TestEachStateIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := soaking(t, nil)
		var out strings.Builder
		d := &driver{client: r.Client("services/upgrade"), log: slog.New(slog.NewTextHandler(&out, nil))}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := d.say(ctx); err != nil {
			t.Fatal(err)
		}
		for _, state := range strings.Fields(crossed) {
			if n := strings.Count(out.String(), " state="+state+" "); n != 1 {
				t.Errorf("%s was logged %d times, want once:\n%s", state, n, out.String())
			}
		}
	})
}

func TestRehearsalSurvivesACrashAtEachCall(t *testing.T) {
	const calls = 11 // of a rehearsal without trouble
	for n := 1; n <= calls; n++ {
		synctest.Test(t, func(t *testing.T) {
			w, u, inside := newWorld(t), wanted(), make(chan struct{})
			u.Rehearse = true
			w.before = nth(n, hang(inside))
			r := start(t, w, nil)
			r.create(u)
			<-inside
			r.stop()
			r.run()
			if u = r.await(api.UpgradeRehearsed); len(u.Rehearsal.Problems) > 0 {
				t.Errorf("killed at call %d: problems %q", n, u.Rehearsal.Problems)
			}
			w.serving("blue")
		})
	}
}
