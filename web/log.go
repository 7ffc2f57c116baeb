package web

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	terminal "github.com/buildkite/terminal-to-html/v3"
	"github.com/microcosm-cc/bluemonday"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// logLines is how many lines of a log a page shows.
const logLines = api.MaxWindowLines

// log is a part of a build's log. A page never has more of a log than that,
// whatever its size.
type log struct {
	ID    string // of the attempt whose log it is
	Path  string // where all of it is
	First int64  // number of the first line, from 1
	Lines []logLine
	Total int64 // lines of the whole log
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

// logLine is a line of a log, as it is shown.
type logLine struct {
	Text  template.HTML
	Title bool // it begins a section
	Cut   int64
}

// Number returns the number of the i-th line.
func (l log) Number(i int) int64 { return l.First + int64(i) }

// Last returns the number of the last line.
func (l log) Last() int64 { return l.First + int64(len(l.Lines)) - 1 }

// Around is the first line of a part in which line has some before it.
func (l log) Around(line int64) int64 { return max(line-50, 1) }

// log returns the end of the log of b, or the part from ?from= on, and what
// ?search= finds in all of it.
func (s site) log(r request, b api.Build) (log, error) {
	l := log{ID: fmt.Sprintf("log-%d", max(b.Attempt, 1)), Path: "/logs/" + b.Link.ID(), Wanted: r.FormValue("search"), Outline: r.FormValue("outline") != ""}
	window := url.Values{}
	if text := r.FormValue("from"); text != "" {
		if n, err := strconv.Atoi(text); err != nil || n < 1 {
			return l, kit.Errorf(kit.ErrInvalid, b.Link, "%q is no line of a log: they are numbered from 1", text)
		}
		window.Set("from", text)
	}
	var w api.LogWindow
	if err := s.ask(r, l.Path+"/lines", window, &w); err != nil {
		return l, err
	}
	l.First, l.Total, l.Lines = w.First, w.Total, coloured(w.Lines)
	if l.First > 1 {
		l.Previous = max(l.First-logLines, 1)
	}
	// What somebody has cancelled may still write until its log is sealed.
	ended := b.State.Done() && (b.State != api.BuildCancelled || b.LogDigest != "" || b.Attempt == 0)
	if l.Last() < l.Total {
		l.Next = l.Last() + 1
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

// clean lets through what colours are made of, and nothing that loads or runs.
var clean = func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowAttrs("class").Matching(regexp.MustCompile(`^term-[a-z]+[0-9]+( term-[a-z]+[0-9]+)*$`)).OnElements("span")
	return p
}()

// coloured renders the lines with the colours of their escape sequences. Each
// is rendered by itself, so that nothing in one can change another.
func coloured(lines []api.LogLine) []logLine {
	if len(lines) == 0 {
		return nil
	}
	var text strings.Builder
	for i, line := range lines {
		if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(strings.ReplaceAll(terminal.Render([]byte(line.Text)), "\n", " "))
	}
	var shown []logLine
	for html := range strings.SplitSeq(clean.Sanitize(text.String()), "\n") {
		line := lines[len(shown)]
		shown = append(shown, logLine{Text: template.HTML(html), Title: title.MatchString(line.Text), Cut: line.Cut}) // sanitised
	}
	return shown
}

// title is how the first line of a section begins.
var title = regexp.MustCompile(`^(?:---|\+\+\+|~~~) \S|^::group::`)
