// Package layout is what all pages have in common, those of kit and those of a
// product built on it: the frame around their content, with the navigation and
// who has signed in, the sign-in itself, what is shown in the place of a page
// that cannot be, and the headers that keep a browser from loading anything
// else.
//
// It owns nothing and knows no document. A service makes Pages from its
// templates and a few words, and gives each page as a View.
package layout

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"landfall.dev/kit"
)

//go:embed templates static
var own embed.FS

// Site is what is different between the pages of two services.
type Site struct {
	Name string // behind every title: "Landfall"
	// Home is the path of the first page, with a slash at its end. Below it are
	// login, logout and static/. Start is what people call that page.
	Home, Start string
	// Files has in templates/ a file for each page, which defines "content" and
	// may define "head", and parts.html with what several use; that defines
	// "brand", the mark and the name on top, and "tokens", where to get one. In
	// static/ it has the files that are served, among them icon.svg, style.css
	// and live.js, which every page loads.
	Files fs.FS
	// Words are functions of the templates; "iso" and "who" are there anyway.
	Words template.FuncMap
	// Sections returns the entries of the navigation.
	Sections func() []Section
	// Back returns the page to go on from where a request was refused.
	Back func(*http.Request) string
	// Elsewhere, if not nil, tells whether people sign in at /login, with
	// another service.
	Elsewhere func() bool
	// Secure keeps tokens from going over plain HTTP where the process itself
	// speaks that, behind a proxy. Where it speaks TLS they never do.
	Secure bool
}

// Section is an entry of the navigation.
type Section struct{ Name, Path string }

// Page is a page before it is rendered.
type Page struct {
	Title   string
	Section string // the path of the entry in the navigation that it belongs to
	Body    string // the name of its template, without .html
	Content any
	Status  int    // 0 means 200
	To      string // if not empty, the browser is sent there instead
	// Live is the address of a stream of events that tells when the page has
	// changed; empty if it stays as it is.
	Live string
	// Self is the address that shows the same again, if not the request's.
	Self string
}

// View makes a page for a request of the caller.
type View func(r *http.Request, caller kit.Caller) (Page, error)

// Pages are the pages of one service.
type Pages struct {
	site   Site
	bodies map[string]*template.Template // each with the frame around it
}

// New returns the pages of the site. It panics if a template cannot be read:
// that is a mistake of the program.
func New(s Site) *Pages {
	words := template.FuncMap{
		"iso": func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"who": Who,
	}
	frame := template.Must(template.New("").Funcs(words).Funcs(s.Words).ParseFS(own, "templates/layout.html"))
	template.Must(frame.ParseFS(s.Files, "templates/parts.html"))
	p := &Pages{site: s, bodies: map[string]*template.Template{}}
	for _, files := range []fs.FS{own, s.Files} {
		names, err := fs.Glob(files, "templates/*.html")
		if err != nil {
			panic("layout: " + err.Error())
		}
		for _, name := range names {
			body := template.Must(template.Must(frame.Clone()).ParseFS(files, name))
			p.bodies[strings.TrimSuffix(path.Base(name), ".html")] = body
		}
	}
	return p
}

// Who returns the name of a subject: "ada" of "users/ada".
func Who(subject string) string {
	if _, name, ok := strings.Cut(subject, "/"); ok {
		return name
	}
	return subject
}

// Routes returns those to sign in and out, and of the static files. All are
// for callers without a token.
func (p *Pages) Routes() []kit.Route {
	at := p.site.Home
	return []kit.Route{
		{Pattern: "GET " + at + "login", Handler: http.HandlerFunc(p.login), Anonymous: true},
		{Pattern: "POST " + at + "login", Handler: http.HandlerFunc(p.signIn), Anonymous: true},
		{Pattern: "POST " + at + "logout", Handler: http.HandlerFunc(p.signOut), Anonymous: true},
		{Pattern: "GET " + at + "static/{file}", Handler: http.HandlerFunc(p.static), Anonymous: true},
	}
}

// maxForm is the size limit of a form: a document before and after, encoded.
const maxForm = 8 * kit.MaxDocument

// Handler returns the handler that renders what view makes, or its error. Its
// route is for callers without a token, too: they are sent to the sign-in page.
func (p *Pages) Handler(view View) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		caller := kit.CallerOf(r.Context())
		if caller.Subject == "" {
			p.askToSignIn(w, r)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		page, err := made(view, r, caller)
		switch {
		case kit.FaultOf(err) == kit.ErrUnauthenticated:
			p.askToSignIn(w, r)
		case kit.FaultOf(err) == kit.ErrGone && Token(r) != "":
			http.Redirect(w, r, beginning(r), http.StatusSeeOther)
		case err != nil:
			p.refuse(w, r, err)
		case page.To != "":
			http.Redirect(w, r, page.To, http.StatusSeeOther)
		default:
			p.render(w, r, page)
		}
	}
}

// made returns what view makes of the request, once its form has been read.
func made(view View, r *http.Request, caller kit.Caller) (Page, error) {
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			return Page{}, &kit.Error{Fault: kit.ErrInvalid, Detail: "the form could not be read: " + err.Error()}
		}
	}
	return view(r, caller)
}

// The parameters of the addresses of lists: a later page of one, and that it
// begins again, which the frame tells of.
const (
	pageParameter  = "page"
	againParameter = "again"
)

// Next returns the address of the part of a list that the token of kit.Page is
// for, empty without one. If that is too old when it is asked for, the view
// fails with kit.ErrGone, and the list begins again and says so.
func Next(r *http.Request, token string) string {
	if token == "" {
		return ""
	}
	return With(r, pageParameter, token)
}

// Token returns the token that Next was given, empty for the first page.
func Token(r *http.Request) string { return r.FormValue(pageParameter) }

// With returns the address of the request's page with another value of a
// parameter.
func With(r *http.Request, name, value string) string {
	q := r.URL.Query()
	q.Del(againParameter)
	q.Set(name, value)
	return r.URL.Path + "?" + q.Encode()
}

// beginning returns the address of the first part of the request's list, which
// begins again.
func beginning(r *http.Request) string {
	q := r.URL.Query()
	q.Del(pageParameter)
	q.Set(againParameter, "yes")
	return r.URL.Path + "?" + q.Encode()
}

// policy lets a page load nothing but what its own platform serves, and run no
// script that is not a file there.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// framed is a page as the frame around it needs it.
type framed struct {
	Page
	Site     Site
	Caller   string
	Sections []Section
	Leave    string // where to sign out
	Again    bool   // a list begins again
}

// render writes the page.
func (p *Pages) render(w http.ResponseWriter, r *http.Request, page Page) {
	f := framed{
		Page: page, Site: p.site, Caller: kit.CallerOf(r.Context()).Subject, Sections: p.site.Sections(),
		Leave: p.signsIn() + "logout", Again: r.FormValue(againParameter) != "",
	}
	var b bytes.Buffer
	if err := p.bodies[page.Body].ExecuteTemplate(&b, "layout", f); err != nil {
		slog.ErrorContext(r.Context(), "page was not rendered", "page", page.Body, "path", r.URL.Path, "error", err)
		http.Error(w, "this page could not be rendered", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if page.Status != 0 {
		w.WriteHeader(page.Status)
	}
	_, _ = w.Write(b.Bytes())
}

// static serves a file of the site or, if it has none of that name, of this
// package. A browser checks it for being current at each use.
func (p *Pages) static(w http.ResponseWriter, r *http.Request) {
	name := "static/" + r.PathValue("file")
	b, err := fs.ReadFile(p.site.Files, name)
	if err != nil {
		b, err = own.ReadFile(name)
	}
	if err != nil {
		http.NotFound(w, r)
		return
	}
	types := map[string]string{".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
	h := w.Header()
	h.Set("Content-Type", types[path.Ext(name)])
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", `"`+kit.DigestOf(b).Hex()[:16]+`"`)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
}
