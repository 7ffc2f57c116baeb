package web

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/web/logview"
)

const (
	// logLines is how many lines of a log a page shows.
	logLines = api.MaxWindowLines
	// linesBefore is how many a part has before the line that it is for.
	linesBefore = 50
)

// log is a part of a build's log. A page never has more of a log than that,
// whatever its size.
type log struct {
	ID    string // of the attempt whose log it is
	Path  string // where all of it is
	First int64  // number of the first line, from 1
	Last  int64  // of the last; less than First if there is none
	Total int64  // lines of the whole log
	Parts []logview.Part
	// From is the first line that was asked for, 0 if it is the end that is shown.
	From int64
	// Folds tells that some sections are folded, Unfold that none is to be.
	Folds, Unfold bool
	// Live is where what comes after the part can be followed; empty if the part
	// is not the last or the build has ended.
	Live string
	// Previous and Next are the first lines of the parts around it, 0 if there
	// is none.
	Previous, Next int64

	// Wanted is the pattern that is searched for, Found what matches it.
	Wanted string
	Found  *api.LogSearch
	// Outline has the sections of the log, if they are asked for.
	Outline  bool
	Sections []api.LogSection
}

// log returns the end of the log of b, or the part from ?from= on, or that
// around ?line=, and what ?search= finds in all of it.
func (s site) log(r request, b api.Build) (log, error) {
	l := log{
		ID: fmt.Sprintf("log-%d", max(b.Attempt, 1)), Path: "/logs/" + b.Link.ID(),
		Wanted: r.FormValue("search"), Outline: r.FormValue("outline") != "", Unfold: r.FormValue("unfold") != "",
	}
	line, err := lineOf(r, b, "line")
	if err != nil {
		return l, err
	}
	if l.From, err = lineOf(r, b, "from"); err != nil {
		return l, err
	}
	window := url.Values{}
	if line > 0 {
		l.From = max(line-linesBefore, 1)
	}
	if l.From > 0 {
		window.Set("from", strconv.FormatInt(l.From, 10))
	}
	var w api.LogWindow
	if err := s.ask(r, l.Path+"/lines", window, &w); err != nil {
		return l, err
	}
	l.First, l.Last, l.Total = w.First, w.First+int64(len(w.Lines))-1, w.Total
	l.Parts = logview.Parts(w, logview.Open{All: l.Unfold, Line: line, Last: b.State != api.BuildPassed && l.Last == l.Total})
	l.Folds = slices.ContainsFunc(l.Parts, func(p logview.Part) bool { return p.Title != nil && !p.Open })
	if l.First > 1 {
		l.Previous = max(l.First-logLines, 1)
	}
	// What somebody has cancelled may still write until its log is sealed.
	ended := b.State.Done() && (b.State != api.BuildCancelled || b.LogDigest != "" || b.Attempt == 0)
	if l.Last < l.Total {
		l.Next = l.Last + 1
	} else if !ended {
		l.Live = l.Path + "?from=" + w.After
	}
	if l.Outline {
		return l, s.ask(r, l.Path+"/sections", nil, &l.Sections)
	}
	if l.Wanted == "" {
		return l, nil
	}
	question := url.Values{"q": {l.Wanted}, "around": {"1"}, "limit": {"100"}}
	if after := r.FormValue("after"); after != "" {
		question.Set("from", after)
	}
	return l, s.ask(r, l.Path+"/search", question, &l.Found)
}

// lineOf reads the number of a line from the request, 0 if it has none.
func lineOf(r request, b api.Build, name string) (int64, error) {
	text := r.FormValue(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 {
		return 0, kit.Errorf(kit.ErrInvalid, b.Link, "%q is no line of a log: they are numbered from 1", text)
	}
	return n, nil
}

// ask reads what a raw route of the hub answers with.
func (s site) ask(r request, path string, query url.Values, answer any) error {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, s.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	res, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, kit.MaxDocument))
		return kit.DecodeProblem(res.StatusCode, body)
	}
	return json.NewDecoder(res.Body).Decode(answer)
}
