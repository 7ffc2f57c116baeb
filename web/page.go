package web

import (
	"embed"
	"encoding/json"
	"net/http"
	"path"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/page/layout"
)

//go:embed templates static
var files embed.FS

// page is a page before it is rendered.
type page = layout.Page

// sections are the entries of the navigation.
var sections = []layout.Section{
	{Name: "Overview", Path: "/"}, {Name: "Projects", Path: "/projects"}, {Name: "Changes", Path: "/changes"}, {Name: "Runs", Path: "/runs"},
	{Name: "Jobs", Path: "/jobs"}, {Name: "Builds", Path: "/builds"}, {Name: "Runners", Path: "/runners"},
	{Name: "Releases", Path: "/releases"}, {Name: "Channels", Path: "/channels"},
	{Name: "Environments", Path: "/environments"}, {Name: "Upgrades", Path: "/upgrades"},
}

// pages returns what is around the views.
func (s site) pages() *layout.Pages {
	return layout.New(layout.Site{
		Name: "Landfall", Home: "/", Start: "the overview", Files: files, Words: words, Back: back,
		Sections: func() []layout.Section { return sections },
		Secure:   strings.HasPrefix(s.base, "https://"),
	})
}

// back returns the list that the document of the request is in, or the
// document whose form was sent.
func back(r *http.Request) string {
	above := "/" + kit.Link(strings.TrimPrefix(path.Clean(r.URL.Path), "/")).Kind()
	if r.Method == http.MethodPost {
		above = path.Dir(r.URL.Path)
	}
	if !strings.HasPrefix(r.URL.Path, above+"/") {
		return "/"
	}
	return above
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

// view returns v as the layout calls it.
func (s site) view(v view) layout.View {
	return func(r *http.Request, caller kit.Caller) (page, error) {
		return v(request{Request: r, caller: caller, client: s.as(caller.Subject), id: r.PathValue("id")})
	}
}

// form reads the arguments of an event out of a form.
type form func(*http.Request) (any, error)

// act returns the view of the forms on the page of a document of kind. The
// event is the caller's, who gets the page again.
func act(kind string, forms map[string]form) view {
	return func(r request) (page, error) {
		return page{To: "/" + string(kit.NewLink(kind, r.id))}, r.act(kind, forms)
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
func (s site) nothing(pages *layout.Pages) http.HandlerFunc {
	none := func(r *http.Request) error {
		return &kit.Error{Fault: kit.ErrNotFound, Detail: "there is nothing at " + r.URL.Path}
	}
	shown := pages.Handler(s.view(func(r request) (page, error) { return page{}, none(r.Request) }))
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			shown(w, r)
			return
		}
		kit.WriteProblem(w, none(r))
	}
}

// pageSize is how many documents a list shows.
const pageSize = 50

// list returns the part of k that the request's ?page= is about, and the
// address of the next, empty at the end.
func list[T any](r request, k kit.Kind[T], filter, order string) (docs []T, next string, err error) {
	docs, token, err := some(r, kit.Query{Kind: k.Name, Filter: filter, Order: order, Limit: pageSize, Token: layout.Token(r.Request)}, k)
	return docs, layout.Next(r.Request, token), err
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
