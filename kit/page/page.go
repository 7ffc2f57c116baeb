package page

import (
	"embed"
	"html/template"
	"net/http"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/page/layout"
)

//go:embed templates static
var files embed.FS

// page is a page before it is rendered.
type page = layout.Page

// fault is an error as people see it.
type fault = layout.Fault

// pages returns what is around the views.
func (s site) pages() *layout.Pages {
	return layout.New(layout.Site{
		Name: "kit", Home: "/kit/", Start: "all kinds", Files: files, Words: words, Sections: s.sections,
		Back:      func(*http.Request) string { return "/kit/" },
		Elsewhere: func() bool { return s.serves("POST /login") },
	})
}

// sections are the entries of the navigation; the last leads to the platform's
// own pages.
func (s site) sections() []layout.Section {
	sections := []layout.Section{{Name: "Kinds", Path: "/kit/"}, {Name: "Statistics", Path: "/kit/stats"}, {Name: "Try the API", Path: "/kit/try"}}
	if s.serves("/", "/{$}", "GET /", "GET /{$}") {
		sections = append(sections, layout.Section{Name: "Platform", Path: "/"})
	}
	return sections
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

// view returns v as the layout calls it.
func (s site) view(v view) layout.View {
	return func(r *http.Request, caller kit.Caller) (page, error) {
		return v(request{
			Request: r, caller: caller, client: s.As(caller.Subject), http: s.HTTP(caller.Subject),
			link: kit.NewLink(r.PathValue("kind"), r.PathValue("id")),
		})
	}
}

// kind returns the definition of the kind that r is about.
func (s site) kind(r request) (kit.Owned, error) {
	k, ok := s.Kinds.Find(r.link.Kind())
	if !ok {
		return k, kit.Errorf(kit.ErrNotFound, "", "there is no kind %q", r.link.Kind())
	}
	return k, nil
}

// words are the functions of templates.
var words = template.FuncMap{
	"time": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"rate": rateText,
	"span": spanText,
}
