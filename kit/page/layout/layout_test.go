package layout_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"landfall.dev/kit"
	"landfall.dev/kit/page/layout"
)

// list is a list of two pages, of which the second may be too old.
func list(r *http.Request, _ kit.Caller) (layout.Page, error) {
	switch layout.Token(r) {
	case "":
		return layout.Page{Title: "First", Section: "/shop/", Body: "list", Content: layout.Next(r, "t2")}, nil
	case "t2":
		return layout.Page{Title: "Second", Body: "list", Content: layout.Next(r, "")}, nil
	}
	return layout.Page{}, kit.Errorf(kit.ErrGone, "", "the list can no longer be continued")
}

func shop() *layout.Pages {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	return layout.New(layout.Site{
		Name: "Shop", Home: "/shop/", Start: "the shelves",
		Files: fstest.MapFS{
			"templates/parts.html": file(`{{define "brand"}}Shop{{end}}{{define "tokens"}}At the till.{{end}}`),
			"templates/list.html":  file(`{{define "content"}}next: {{.Content}}{{end}}`),
			"static/style.css":     file("main { color: red; }"),
		},
		Sections: func() []layout.Section { return []layout.Section{{Name: "Shelves", Path: "/shop/"}} },
		Back:     func(*http.Request) string { return "/shop/" },
	})
}

// ask returns the answer to subject, who may be nobody.
func ask(h http.Handler, subject, method, address string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, address, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(kit.WithCaller(r.Context(), kit.Caller{Subject: subject})))
	return w
}

// wantText checks the status and parts of the body.
func wantText(t *testing.T, w *httptest.ResponseRecorder, status int, parts ...string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("got the status %d, want %d", w.Code, status)
	}
	for _, part := range parts {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("got %s, want %q in it", w.Body, part)
		}
	}
}

const begins = "It begins again, as it is now."

func TestListThatIsTooOldBeginsAgain(t *testing.T) {
	h := shop().Handler(list)
	w := ask(h, "users/ada", "GET", "/shop/?order=name")
	wantText(t, w, http.StatusOK, "<title>First · Shop</title>", "next: /shop/?order=name&amp;page=t2", `<a href="/shop/" aria-current="page">Shelves</a>`, "<span>ada</span>")
	if strings.Contains(w.Body.String(), begins) {
		t.Error("a list that is new says that it begins again")
	}
	wantText(t, ask(h, "users/ada", "GET", "/shop/?order=name&page=t2"), http.StatusOK, "Second")
	w = ask(h, "users/ada", "GET", "/shop/?order=name&page=t1")
	if at := w.Header().Get("Location"); w.Code != http.StatusSeeOther || at != "/shop/?again=yes&order=name" {
		t.Fatalf("a token that is too old: got %d to %q, want the first page", w.Code, at)
	}
	wantText(t, ask(h, "users/ada", "GET", w.Header().Get("Location")), http.StatusOK, "First", begins, "next: /shop/?order=name&amp;page=t2")
}

func TestWhatCannotBeShownIsExplained(t *testing.T) {
	refused := func(err error) http.Handler {
		return shop().Handler(func(*http.Request, kit.Caller) (layout.Page, error) { return layout.Page{}, err })
	}
	err := &kit.Error{Fault: kit.ErrForbidden, Link: "shelves/<b>", Detail: "users/ada may not read this", Hint: "ask an administrator"}
	wantText(t, ask(refused(err), "users/ada", "GET", "/shop/x"), http.StatusForbidden,
		"403 · Forbidden", "users/ada may not read this", "shelves/&lt;b&gt;", "ask an administrator", "Back to the shelves")
	w := ask(refused(errors.New("the password is secret")), "users/ada", "GET", "/shop/x")
	wantText(t, w, http.StatusInternalServerError, "This did not work.")
	if strings.Contains(w.Body.String(), "secret") {
		t.Errorf("the cause is shown: %s", w.Body)
	}
	gone := kit.Errorf(kit.ErrGone, "", "the position is too old")
	wantText(t, ask(refused(gone), "users/ada", "GET", "/shop/?asOf=1.1"), http.StatusGone, "the position is too old")
	w = ask(refused(kit.Errorf(kit.ErrUnauthenticated, "", "who are you?")), "users/ada", "POST", "/shop/x")
	if at := w.Header().Get("Location"); at != "/shop/login?next=%2Fshop%2F" {
		t.Errorf("who is not known any more is sent to %q", at)
	}
}

func TestTokensAreKeptForHTTPSWhereItIsSpoken(t *testing.T) {
	for _, test := range []struct {
		name, address, proxy string
		secure               bool
	}{
		{"plain HTTP", "http://shop.example/shop/logout", "", false},
		{"TLS", "https://shop.example/shop/logout", "", true},
		{"a proxy with TLS", "http://shop.example/shop/logout", "https", true},
	} {
		r := httptest.NewRequest("POST", test.address, nil)
		r.Header.Set("X-Forwarded-Proto", test.proxy)
		mux := http.NewServeMux()
		for _, route := range shop().Routes() {
			mux.Handle(route.Pattern, route.Handler)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if cookie := w.Header().Get("Set-Cookie"); strings.Contains(cookie, "Secure") != test.secure {
			t.Errorf("%s: got the cookie %q", test.name, cookie)
		}
	}
}

func TestFilesOfASiteStandBesideThoseOfAll(t *testing.T) {
	mux := http.NewServeMux()
	for _, route := range shop().Routes() {
		mux.Handle(route.Pattern, route.Handler)
	}
	wantText(t, ask(mux, "", "GET", "/shop/static/style.css"), http.StatusOK, "color: red")
	wantText(t, ask(mux, "", "GET", "/shop/static/base.css"), http.StatusOK, ".brand")
	wantText(t, ask(mux, "", "GET", "/shop/static/other.css"), http.StatusNotFound)
	wantText(t, ask(mux, "", "GET", "/shop/login"), http.StatusOK, "At the till.", `action="/shop/login"`)
}

func TestWhoIsTheNameOfASubject(t *testing.T) {
	for subject, want := range map[string]string{"users/ada": "ada", "root": "root", "services/a/b": "a/b", "": ""} {
		if got := layout.Who(subject); got != want {
			t.Errorf("who(%q) is %q, want %q", subject, got, want)
		}
	}
}
