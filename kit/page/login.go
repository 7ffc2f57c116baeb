package page

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

// signInPage is the content of the sign-in page.
type signInPage struct {
	Next  string
	Wrong bool // the browser's token is not valid
}

// signsIn returns what the path of the sign-in page has in front of /login.
func (s site) signsIn() string {
	if s.serves("POST /login") {
		return ""
	}
	return "/kit"
}

// askToSignIn sends nobody to the sign-in page. A browser that follows a link
// from another site leaves the cookie behind, which is for this site's own
// links only: it is told to ask once more from here.
func (s site) askToSignIn(w http.ResponseWriter, r *http.Request) {
	next := r.URL.RequestURI()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		next = "/kit/"
	}
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Method == http.MethodGet {
		s.render(w, r, page{Title: "One moment", Body: "again", Content: next})
		return
	}
	http.Redirect(w, r, s.signsIn()+"/login?next="+url.QueryEscape(next), http.StatusSeeOther)
}

// login shows the sign-in page. A token that is no longer valid is dropped.
func (s site) login(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.FormValue("next"))
	switch {
	case kit.CallerOf(r.Context()).Subject != "":
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	case s.signsIn() == "":
		http.Redirect(w, r, "/login?next="+url.QueryEscape(next), http.StatusSeeOther)
		return
	}
	_, err := r.Cookie(cookie)
	wrong := err == nil
	if wrong {
		keepToken(w, r, "")
	}
	s.render(w, r, page{Title: "Sign in", Body: "login", Content: signInPage{Next: next, Wrong: wrong}})
}

// signIn keeps the token in the browser. Whether it is valid shows at the
// sign-in page, to which it leads: that one passes on only whoever is known.
func (s site) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if s.signsIn() != "" {
		keepToken(w, r, strings.TrimSpace(r.PostFormValue("token")))
	}
	http.Redirect(w, r, "/kit/login?next="+url.QueryEscape(localPath(r.PostFormValue("next"))), http.StatusSeeOther)
}

// signOut makes the browser forget the token.
func (s site) signOut(w http.ResponseWriter, r *http.Request) {
	keepToken(w, r, "")
	http.Redirect(w, r, "/kit/login", http.StatusSeeOther)
}

// keepToken sets the cookie; an empty token removes it.
func keepToken(w http.ResponseWriter, r *http.Request, token string) {
	c := &http.Cookie{
		Name: cookie, Value: token, Path: "/", MaxAge: cookieAge, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	}
	if token == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// localPath returns next if it is a path of this site, otherwise that of the
// kinds.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.Contains(next, `\`) {
		return "/kit/"
	}
	return next
}
