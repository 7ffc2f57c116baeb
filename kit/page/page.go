package page

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
	Body    string // the name of the template of its content
	Content any
	Status  int    // 0 means 200
	To      string // if not empty, the browser is sent there instead
	// Live is the address of the watch that tells when it has changed; empty if
	// it stays as it is.
	Live string
	// The rest is set when it is rendered.
	Path   string // of the request
	Caller string
	Own    bool   // the platform has pages of its own
	Leave  string // where to sign out
}

// view makes a page for a request.
type view func(request) (page, error)

// request is what a view is asked for, and by whom.
type request struct {
	*http.Request
	caller kit.Caller
	client kit.Client   // acts as the caller
	http   *http.Client // likewise
	link   kit.Link     // of the document, or "kind/"
}

// may tells whether the caller may do v to l.
func (r request) may(v kit.Verb, l kit.Link) bool { return r.caller.May(v, l) == nil }

// maxForm is the size limit of a form: the document before and after, encoded.
const maxForm = 8 * kit.MaxDocument

// page returns the handler that renders what view makes, or its error.
func (s site) page(view view) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		caller := kit.CallerOf(r.Context())
		if caller.Subject == "" {
			s.askToSignIn(w, r)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		p, err := page{}, error(nil)
		if r.Method == http.MethodPost {
			err = checkForm(r)
		}
		if err == nil {
			p, err = view(request{
				Request: r, caller: caller, client: s.As(caller.Subject), http: s.HTTP(caller.Subject),
				link: kit.NewLink(r.PathValue("kind"), r.PathValue("id")),
			})
		}
		switch {
		case kit.FaultOf(err) == kit.ErrUnauthenticated:
			s.askToSignIn(w, r)
		case err != nil:
			s.refuse(w, r, err)
		case p.To != "":
			http.Redirect(w, r, p.To, http.StatusSeeOther)
		default:
			s.render(w, r, p)
		}
	}
}

// checkForm reads the form that r sends.
func checkForm(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return &kit.Error{Fault: kit.ErrInvalid, Detail: "the form could not be read: " + err.Error()}
	}
	return nil
}

// kind returns the definition of the kind that r is about.
func (s site) kind(r request) (kit.Owned, error) {
	k, ok := s.Kinds.Find(r.link.Kind())
	if !ok {
		return k, kit.Errorf(kit.ErrNotFound, "", "there is no kind %q", r.link.Kind())
	}
	return k, nil
}

// fault is an error as people see it.
type fault struct {
	Title  string
	Status int
	Detail string
	Hint   string
	Link   kit.Link
}

// faultOf returns what users are told of err, nil if there is none: its cause
// is left out.
func faultOf(err error) *fault {
	if err == nil {
		return nil
	}
	f := new(fault)
	b, status := kit.EncodeProblem(err)
	_ = json.Unmarshal(b, f) // EncodeProblem writes these names
	f.Status = status
	return f
}

// refuse answers with a page that says what err means.
func (s site) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f := faultOf(err)
	if f.Status >= http.StatusInternalServerError {
		slog.ErrorContext(r.Context(), "page could not be made", "path", r.URL.Path, "error", err)
	}
	s.render(w, r, page{Title: f.Title, Status: f.Status, Body: "error", Content: f})
}

// policy lets a page load nothing but what this package and the API serve, and
// run no script that is not a file of it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// render writes p.
func (s site) render(w http.ResponseWriter, r *http.Request, p page) {
	p.Path, p.Caller = r.URL.Path, kit.CallerOf(r.Context()).Subject
	p.Own = s.serves("/", "/{$}", "GET /", "GET /{$}")
	p.Leave = s.signsIn() + "/logout"
	var b bytes.Buffer
	if err := bodies[p.Body].ExecuteTemplate(&b, "layout", p); err != nil {
		slog.ErrorContext(r.Context(), "page was not rendered", "page", p.Body, "path", r.URL.Path, "error", err)
		http.Error(w, "this page could not be rendered", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if p.Status != 0 {
		w.WriteHeader(p.Status)
	}
	_, _ = w.Write(b.Bytes())
}

// words are the functions of templates.
var words = template.FuncMap{
	"time": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"iso":  func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
	"rate": rateText,
	"span": spanText,
	"name": func(subject string) string { return kit.Link(subject).ID() },
}

// bodies are the templates of pages by name, each with the layout around it.
var bodies = parse()

func parse() map[string]*template.Template {
	layout := template.Must(template.New("").Funcs(words).ParseFS(files, "templates/layout.html"))
	names, err := files.ReadDir("templates")
	if err != nil {
		panic("page: " + err.Error()) // the files are part of the program
	}
	parsed := map[string]*template.Template{}
	for _, f := range names {
		if f.Name() != "layout.html" {
			body := template.Must(layout.Clone())
			parsed[strings.TrimSuffix(f.Name(), ".html")] = template.Must(body.ParseFS(files, "templates/"+f.Name()))
		}
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
