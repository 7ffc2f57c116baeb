package web_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestPeopleSignInWithTheirToken(t *testing.T) {
	h := start(t)
	b := h.browser()

	p := b.open("/changes?status=merged")
	if p.path != "/login?next=%2Fchanges%3Fstatus%3Dmerged" {
		t.Fatalf("a page without a token leads to %s, wanted the sign-in page", p.path)
	}
	p.shows(t, "Token")
	p.hides(t, "not valid", "Sign out")

	p = b.post("/login", "token", "lf_wrong_wrong", "next", "/changes")
	p.shows(t, "This token is not valid")
	if p = b.open("/login"); strings.Contains(p.text, "not valid") {
		t.Errorf("the wrong token was kept: %q", p.text)
	}

	p = b.post("/login", "token", " "+h.Token("users/admin")+"\n", "next", "/changes?status=merged")
	if p.path != "/changes?status=merged" || p.status != http.StatusOK {
		t.Fatalf("signing in leads to %s with %d, wanted the page that was asked for", p.path, p.status)
	}
	p.shows(t, "admin", "Sign out")
	if p = b.open("/login?next=/runs"); p.path != "/runs" {
		t.Errorf("the sign-in page leads to %s whoever has signed in, wanted /runs", p.path)
	}

	if p = b.post("/logout"); !strings.HasPrefix(p.path, "/login") {
		t.Errorf("signing out leads to %s, wanted the sign-in page", p.path)
	}
	if p = b.open("/"); !strings.HasPrefix(p.path, "/login") {
		t.Errorf("after signing out / leads to %s, wanted the sign-in page", p.path)
	}
}

func TestTokensAreKeptFromScriptsAndOtherSites(t *testing.T) {
	h := start(t)
	b := h.browser()
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	got := b.post("/login", "token", "lf_a_b").header.Get("Set-Cookie")
	for _, want := range []string{"landfall=lf_a_b", "HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(got, want) {
			t.Errorf("got the cookie %q, wanted %s", got, want)
		}
	}
	if p := b.open("/changes?token=" + h.Token("users/admin")); p.status != http.StatusSeeOther {
		t.Errorf("a token in a link: got %d, wanted it ignored", p.status)
	}
}

func TestLinksOfOtherSitesAreAskedForOnceMore(t *testing.T) {
	h := start(t)
	ledgerHub(h)
	p := h.browser().open("/changes/2?view=split", "Sec-Fetch-Site", "cross-site")
	if p.status != http.StatusOK || !strings.Contains(p.source, `http-equiv="refresh" content="0; url=/changes/2?view=split"`) {
		t.Errorf("got %d %s, wanted a page that asks for the change from this site", p.status, p.source)
	}
}

func TestSigningInLeadsToThisSiteOnly(t *testing.T) {
	h := start(t)
	for _, next := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "/\t/evil.example", "javascript:alert(1)", "evil"} {
		if p := h.as("users/admin").post("/login", "token", h.Token("users/admin"), "next", next); p.path != "/" {
			t.Errorf("next %q leads to %s, wanted the overview", next, p.path)
		}
	}
}
