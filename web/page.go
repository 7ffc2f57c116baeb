package web

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"landfall.dev/kit"
)

//go:embed templates static
var files embed.FS

// page is a page before it is rendered.
type page struct {
	Title   string
	Section string // the entry of the navigation that it belongs to
	Body    string // the name of the template of its content
	Content any
	// Live is the query of /live for what it shows; empty if that stays as it is.
	Live string
	// Self is the address that shows the same again, if not the request's.
	Self string
	// Caller and Sections are set when it is rendered.
	Caller   string
	Sections []section
}

// section is an entry of the navigation.
type section struct{ Name, Path string }

var sections = []section{
	{"Overview", "/"}, {"Projects", "/projects"}, {"Changes", "/changes"}, {"Runs", "/runs"}, {"Builds", "/builds"},
	{"Releases", "/releases"}, {"Channels", "/channels"}, {"Environments", "/environments"}, {"Upgrades", "/upgrades"},
}

// view makes a page for a request.
type view func(request) (page, error)

// request is what a view is asked for, and by whom.
type request struct {
	*http.Request
	caller kit.Caller
	client kit.Client // acts as the caller
	id     string     // of the document in the path
}

// may tells whether the caller may do v to l.
func (r request) may(v kit.Verb, l kit.Link) bool { return r.caller.May(v, l) == nil }

// page returns the handler that renders what view makes, or its error.
func (s site) page(view view) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, ok := s.request(w, r)
		if !ok {
			return
		}
		p, err := view(req)
		if err != nil {
			refuse(w, r, err)
			return
		}
		render(w, r, http.StatusOK, p)
	}
}

// request tells who makes r. Nobody is sent to the sign-in page.
func (s site) request(w http.ResponseWriter, r *http.Request) (request, bool) {
	caller := kit.CallerOf(r.Context())
	if caller.Subject == "" {
		askToSignIn(w, r)
		return request{}, false
	}
	return request{Request: r, caller: caller, client: s.as(caller.Subject), id: r.PathValue("id")}, true
}

// form reads the arguments of an event out of a form.
type form func(*http.Request) (any, error)

// act returns the handler of the forms on the page of a document of kind. The
// event is the caller's, who gets the page again.
func (s site) act(kind string, forms map[string]form) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, ok := s.request(w, r)
		if !ok {
			return
		}
		if err := req.act(kind, forms); err != nil {
			refuse(w, r, err)
			return
		}
		http.Redirect(w, r, "/"+string(kit.NewLink(kind, req.id)), http.StatusSeeOther)
	}
}

func (r request) act(kind string, forms map[string]form) error {
	link, method := kit.NewLink(kind, r.id), r.PathValue("do")
	read, ok := forms[method]
	if !ok {
		return kit.Errorf(kit.ErrNotFound, link, "there is no form %q", method)
	}
	if err := link.Check(); err != nil {
		return err
	}
	args, err := read(r.Request)
	if err != nil {
		return err
	}
	body, err := json.Marshal(args)
	if err != nil {
		return &kit.Error{Op: "web." + method, Link: link, Err: err}
	}
	_, err = r.client.Do(r.Context(), link, method, body)
	return err
}

// noArguments is the form of an event that needs none.
func noArguments(*http.Request) (any, error) { return struct{}{}, nil }

// nothing answers for paths that no service has: programs with a problem
// detail, people with a page.
func (s site) nothing(w http.ResponseWriter, r *http.Request) {
	err := &kit.Error{Fault: kit.ErrNotFound, Detail: "there is nothing at " + r.URL.Path}
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		if _, ok := s.request(w, r); ok {
			refuse(w, r, err)
		}
		return
	}
	b, status := kit.EncodeProblem(err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// fault is an error as people see it.
type fault struct {
	Status int
	Detail string
	Hint   string
	Link   kit.Link
	Back   string // a page to go on from
}

// refuse answers with a page that says what err means.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	if kit.FaultOf(err) == kit.ErrUnauthenticated {
		askToSignIn(w, r)
		return
	}
	f := faultOf(err)
	f.Back = "/" + kit.Link(strings.TrimPrefix(path.Clean(r.URL.Path), "/")).Kind()
	if r.Method == http.MethodPost {
		f.Back = path.Dir(r.URL.Path)
	}
	if !strings.HasPrefix(r.URL.Path, f.Back+"/") {
		f.Back = "/"
	}
	render(w, r, f.Status, page{Title: http.StatusText(f.Status), Body: "error", Content: f})
}

// faultOf returns what users are told of err: its cause is left out.
func faultOf(err error) fault {
	var f fault
	b, status := kit.EncodeProblem(err)
	_ = json.Unmarshal(b, &f) // EncodeProblem writes these names
	f.Status = status
	return f
}

// policy lets a page load nothing but what this package serves, and run no
// script that is not a file of it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// render writes p.
func render(w http.ResponseWriter, r *http.Request, status int, p page) {
	p.Caller = kit.CallerOf(r.Context()).Subject
	p.Sections = sections
	var b bytes.Buffer
	if err := bodies[p.Body].ExecuteTemplate(&b, "layout", p); err != nil {
		slog.Error("page was not rendered", "page", p.Body, "path", r.URL.Path, "error", err)
		http.Error(w, "this page could not be rendered", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// bodies are the templates of pages by name, each with the layout around it.
var bodies = parse()

func parse() map[string]*template.Template {
	layout := template.Must(template.New("").Funcs(words).ParseFS(files, "templates/layout.html"))
	names, err := files.ReadDir("templates")
	if err != nil {
		panic("web: " + err.Error()) // the files are part of the program
	}
	parsed := map[string]*template.Template{}
	for _, f := range names {
		if f.Name() == "layout.html" {
			continue
		}
		body := template.Must(layout.Clone())
		name := strings.TrimSuffix(f.Name(), ".html")
		parsed[name] = template.Must(body.ParseFS(files, "templates/"+f.Name()))
	}
	return parsed
}

// static serves a file of this package. It is checked for being current at
// each use.
func static(w http.ResponseWriter, r *http.Request) {
	name := "static/" + r.PathValue("file")
	b, err := files.ReadFile(name)
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

// pageSize is how many documents a list shows.
const pageSize = 50

// list returns the part of k that the request's ?page= is about, and the
// address of the next, empty at the end.
func list[T any](r request, k kit.Kind[T], filter, order string) (docs []T, next string, err error) {
	docs, token, err := some(r, kit.Query{Kind: k.Name, Filter: filter, Order: order, Limit: pageSize, Token: r.FormValue("page")}, k)
	if token != "" {
		q := r.URL.Query()
		q.Set("page", token)
		next = r.URL.Path + "?" + q.Encode()
	}
	return docs, next, err
}

// latest returns the n last documents of k, by the time of their change, or
// none where the caller may not see any or this hub does not keep them.
func latest[T any](r request, k kit.Kind[T], filter string, n int) ([]T, error) {
	docs, _, err := some(r, kit.Query{Kind: k.Name, Filter: filter, Order: "-updated", Limit: n}, k)
	switch kit.FaultOf(err) {
	case kit.ErrForbidden, kit.ErrNotFound:
		return nil, nil
	}
	return docs, err
}

func some[T any](r request, q kit.Query, k kit.Kind[T]) (docs []T, token string, err error) {
	p, err := r.client.List(r.Context(), q)
	if err != nil {
		return nil, "", err
	}
	for _, record := range p.Items {
		doc, err := k.Decode(record)
		if err != nil {
			return nil, "", err
		}
		docs = append(docs, doc)
	}
	return docs, p.Next, nil
}

// read returns the document that the request's path names.
func read[T any](r request, k kit.Kind[T]) (T, error) {
	if err := kit.CheckID(r.id); err != nil {
		var none T
		return none, kit.Errorf(kit.ErrNotFound, "", "there is no document %q", r.id)
	}
	return k.Read(r.Context(), r.client, r.id)
}
