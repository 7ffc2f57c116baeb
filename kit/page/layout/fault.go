package layout

import (
	"encoding/json"
	"log/slog"
	"net/http"

	"landfall.dev/kit"
)

// Fault is an error as people see it.
type Fault struct {
	Title  string
	Status int
	Detail string
	Hint   string
	Link   kit.Link
}

// FaultOf returns what users are told of err, nil if there is none: its cause
// is left out.
func FaultOf(err error) *Fault {
	if err == nil {
		return nil
	}
	f := new(Fault)
	b, status := kit.EncodeProblem(err)
	_ = json.Unmarshal(b, f) // EncodeProblem writes these names
	f.Status = status
	return f
}

// errorPage is what is shown in the place of a page.
type errorPage struct {
	*Fault
	Back string // a page to go on from
}

// refuse answers with a page that says what err means.
func (p *Pages) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f := FaultOf(err)
	if f.Status >= http.StatusInternalServerError && r.Context().Err() == nil { // else nobody waits for it
		slog.ErrorContext(r.Context(), "page could not be made", "path", r.URL.Path, "error", err)
	}
	p.render(w, r, Page{Title: http.StatusText(f.Status), Status: f.Status, Body: "error", Content: errorPage{f, p.site.Back(r)}})
}
