package layout

import (
	"net/http"
	"net/url"
	"strings"

	"landfall.dev/kit"
)

// cookie carries the token of a browser; the API takes it too.
const cookie = "landfall"

// cookieAge is how long a browser keeps the token, in seconds: a week.
const cookieAge = 7 * 24 * 3600

// maxSignIn is the size limit of the form to sign in.
const maxSignIn = 64 << 10

// signInPage is the content of the sign-in page.
type signInPage struct {
	Next  string
	Wrong bool // the browser's token is not valid
}

// elsewhere tells whether another service signs people in.
func (p *Pages) elsewhere() bool { return p.site.Elsewhere != nil && p.site.Elsewhere() }

// signsIn returns below which path login and logout are.
func (p *Pages) signsIn() string {
	if p.elsewhere() {
		return "/"
	}
	return p.site.Home
}

// askToSignIn sends nobody to the sign-in page. A browser that follows a link
// from another site leaves the cookie behind, which is for this site's own
// links only: it is told to ask once more from here.
func (p *Pages) askToSignIn(w http.ResponseWriter, r *http.Request) {
	next := r.URL.RequestURI()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		next = p.site.Home
	}
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Method == http.MethodGet {
		p.render(w, r, Page{Title: "One moment", Body: "again", Content: next})
		return
	}
	http.Redirect(w, r, p.signsIn()+"login?next="+url.QueryEscape(next), http.StatusSeeOther)
}

// login shows the sign-in page. A token that is no longer valid is dropped.
func (p *Pages) login(w http.ResponseWriter, r *http.Request) {
	next := p.localPath(r.FormValue("next"))
	switch {
	case kit.CallerOf(r.Context()).Subject != "":
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	case p.elsewhere():
		http.Redirect(w, r, "/login?next="+url.QueryEscape(next), http.StatusSeeOther)
		return
	}
	_, err := r.Cookie(cookie)
	wrong := err == nil
	if wrong {
		p.keepToken(w, r, "")
	}
	p.render(w, r, Page{Title: "Sign in", Body: "login", Content: signInPage{Next: next, Wrong: wrong}})
}

// signIn keeps the token in the browser. Whether it is valid shows at the
// sign-in page, to which it leads: that one passes on only whoever is known.
func (p *Pages) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxSignIn)
	if !p.elsewhere() {
		p.keepToken(w, r, strings.TrimSpace(r.PostFormValue("token")))
	}
	http.Redirect(w, r, p.site.Home+"login?next="+url.QueryEscape(p.localPath(r.PostFormValue("next"))), http.StatusSeeOther)
}

// signOut makes the browser forget the token.
func (p *Pages) signOut(w http.ResponseWriter, r *http.Request) {
	p.keepToken(w, r, "")
	http.Redirect(w, r, p.site.Home+"login", http.StatusSeeOther)
}

// keepToken sets the cookie; an empty token removes it.
func (p *Pages) keepToken(w http.ResponseWriter, r *http.Request, token string) {
	c := &http.Cookie{
		Name: cookie, Value: token, Path: "/", MaxAge: cookieAge, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: p.site.Secure || r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	}
	if token == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// localPath returns next if it is a path of this platform, otherwise that of
// the first page.
func (p *Pages) localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.Contains(next, `\`) {
		return p.site.Home
	}
	return next
}
