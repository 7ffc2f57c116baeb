package web_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/job/lines"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/web"
)

// hub is a hub with the pages, and stand-ins for the capabilities that own
// what they show.
type hub struct {
	*kittest.Cluster
	t     testing.TB
	diffs map[string]string // by project and range: "ledger/a..b"
	files map[string]string // sources and explanations, by their paths
	roles []api.TrustRole
	logs  *logs
	queue []api.QueuePlace
}

func start(t testing.TB) *hub {
	h := &hub{t: t, diffs: map[string]string{}, files: map[string]string{}, logs: &logs{grown: make(chan struct{})}}
	stub := kit.Service{
		Name: "stub",
		Owns: []kit.Owned{
			kit.Own(api.Changes, nextChange, "vote", "submit", "abandon", "restore", "comment"),
			kit.Own(api.Runs, nextRun, "approve", "cancel", "rerun", "override"),
			kit.Own(api.Builds, nextBuild, "cancel"), kit.Own[api.Runner](api.Runners, nil),
			kit.Own(api.Reports, nextReport, "judge"), kit.Own[api.TestHistory](api.Tests, nil),
			kit.Own(api.Inventories, nextInventory, "judge"),
			kit.Own[api.Project](api.Projects, nil), kit.Own[api.Ref](api.Refs, nil), kit.Own[api.Push](api.Pushes, nil),
			kit.Own[api.Job](api.Jobs, nil), kit.Own[api.Generation](api.Generations, nil),
			kit.Own[api.Proposal](api.Proposals, nil), kit.Own[api.Schedule](api.Schedules, nil), kit.Own[api.Image](api.Images, nil),
			kit.Own[api.Release](api.Releases, nil), kit.Own[api.Channel](api.Channels, nil),
			kit.Own[api.Environment](api.Environments, nil), kit.Own[api.Deployment](api.Deployments, nil),
			kit.Own[api.Status](api.Statuses, nil), kit.Own[api.Upgrade](api.Upgrades, nil),
		},
		Serves: []kit.Route{
			{Pattern: "GET /source/{project}/diff/{range}", Handler: http.HandlerFunc(h.diff)},
			{Pattern: "GET /source/{project}/file/{path...}", Handler: kit.Handler(h.file)},
			{Pattern: "GET /job/explain/{path...}", Handler: kit.Handler(h.file)},
			{Pattern: "GET /job/queue", Handler: kit.Handler(func(w http.ResponseWriter, _ *http.Request) error { return json.NewEncoder(w).Encode(h.queue) })},
			{Pattern: "GET /logs/{build}", Handler: h.logs},
			{Pattern: "GET /logs/{build}/{what}", Handler: kit.Handler(h.logs.look)},
			{Pattern: "GET /tuf/roles", Handler: kit.Handler(func(w http.ResponseWriter, _ *http.Request) error {
				if h.roles == nil {
					return kit.Errorf(kit.ErrNotFound, "", "nobody has set up signing yet")
				}
				return json.NewEncoder(w).Encode(h.roles)
			})},
		},
	}
	h.Cluster = kittest.Serve(t, stub)
	h.Server.Add(web.Service(h.Client("services/web"), h.Client, h.Server.HTTP("services/web"), "http://hub.example"))
	return h
}

func nextChange(c api.Change, e kit.Event, _ time.Time) (api.Change, []kit.Op) {
	switch e.Name {
	case "vote":
		var a api.VoteArgs
		if err := e.Into(&a); err != nil {
			return c, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		ps := &c.PatchSets[a.PatchSet-1]
		ps.Votes = append(ps.Votes, api.Vote{Label: a.Label, Value: a.Value, By: e.By, Text: a.Text})
	case "submit":
		var a api.SubmitArgs
		if err := e.Into(&a); err != nil || a.PatchSet != len(c.PatchSets) {
			return c, kit.Refuse(kit.ErrConflict, "patch set %d is not the current one", a.PatchSet)
		}
		c.Submit = e.By
	case "abandon":
		c.Status = api.ChangeAbandoned
	case "restore":
		c.Status = api.ChangeOpen
	case "comment":
		var a struct{ Text string }
		if err := e.Into(&a); err != nil {
			return c, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		c.Messages = append(c.Messages, api.Message{By: e.By, Text: a.Text})
	}
	return c, nil
}

func nextRun(r api.Run, e kit.Event, _ time.Time) (api.Run, []kit.Op) {
	switch e.Name {
	case "approve":
		var a api.ApproveArgs
		if err := e.Into(&a); err != nil {
			return r, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		for i := range r.Nodes {
			if r.Nodes[i].ID == a.Node {
				r.Nodes[i].State = api.RunPassed
			}
		}
	case "override":
		var a api.OverrideArgs
		if err := e.Into(&a); err != nil || a.Reason != "it burns" {
			return r, kit.Refuse(kit.ErrInvalid, "the reason is %q, %v", a.Reason, err)
		}
		for i := range r.Nodes {
			r.Nodes[i].Until = time.Time{}
		}
	case "cancel":
		r.State = api.RunCancelled
	case "rerun":
		r.Next = r.Link + "-r1"
	}
	return r, nil
}

func nextBuild(b api.Build, e kit.Event, _ time.Time) (api.Build, []kit.Op) {
	if e.Name == "cancel" {
		b.State = api.BuildCancelled
	}
	return b, nil
}

func nextReport(r api.Report, e kit.Event, _ time.Time) (api.Report, []kit.Op) {
	if e.Name == "judge" {
		r.State = api.ReportJudging
	}
	return r, nil
}

func nextInventory(i api.Inventory, e kit.Event, _ time.Time) (api.Inventory, []kit.Op) {
	if e.Name == "judge" {
		i.State = api.InventoryJudging
	}
	return i, nil
}

// diff answers as source does.
func (h *hub) diff(w http.ResponseWriter, r *http.Request) {
	project := r.PathValue("project")
	err := kit.CallerOf(r.Context()).May(kit.VerbRead, api.Projects.Link(project))
	text, ok := h.diffs[project+"/"+r.PathValue("range")]
	if err == nil && !ok {
		err = kit.Errorf(kit.ErrNotFound, "", "there is no commit in %q", r.PathValue("range"))
	}
	if err != nil {
		b, status := kit.EncodeProblem(err)
		w.WriteHeader(status)
		_, _ = w.Write(b)
		return
	}
	_, _ = io.WriteString(w, text)
}

// file answers as source and job do.
func (h *hub) file(w http.ResponseWriter, r *http.Request) error {
	text, ok := h.files[r.URL.RequestURI()]
	if !ok {
		return kit.Errorf(kit.ErrNotFound, "", "there is no %s", r.URL.Path)
	}
	_, err := io.WriteString(w, text)
	return err
}

// logs answers as job does. There is one log, of each build.
type logs struct {
	mu    sync.Mutex
	text  string
	ended bool
	grown chan struct{} // closed at the next change
}

func (l *logs) add(text string, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text, l.ended = l.text+text, ended
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *logs) state() (text string, ended bool, grown <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text, l.ended, l.grown
}

func (l *logs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, ended, grown := l.state()
	if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		_, _ = io.WriteString(w, text)
		return
	}
	var at int
	_, _ = fmt.Sscanf(r.FormValue("from"), "1.%d", &at)
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		if at < len(text) {
			line, _ := json.Marshal(text[at:])
			at = len(text)
			_, _ = fmt.Fprintf(w, "id: 1.%d\ndata: %s\n\n", at, line)
		}
		if ended {
			_, _ = io.WriteString(w, "event: end\ndata: {}\n\n")
			return
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-grown:
		}
		text, ended, grown = l.state()
	}
}

// look answers with a part of the log.
func (l *logs) look(w http.ResponseWriter, r *http.Request) error {
	text, ended, _ := l.state()
	dir, err := os.MkdirTemp("", "log-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log, err := lines.Open(strings.NewReader(text), filepath.Join(dir, "index"), ended)
	if err != nil {
		return err
	}
	from, _ := strconv.ParseInt(r.FormValue("from"), 10, 64)
	var answer any
	switch r.PathValue("what") {
	case "lines":
		var shown api.LogWindow
		var end int64
		shown, end, err = log.Window(from, 0)
		shown.After = fmt.Sprintf("1.%d", end)
		answer = shown
	case "search":
		answer, err = log.Search(r.Context(), lines.Question{Pattern: r.FormValue("q"), From: from, Around: 1, Limit: 100})
	case "sections":
		answer, err = log.Sections(r.Context())
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(answer)
}

// put makes a document, as its owner would.
func put[T any](h *hub, k kit.Kind[T], id string, doc T) T {
	h.t.Helper()
	made, err := k.Create(h.t.Context(), h.Admin(), id, doc)
	if err != nil {
		h.t.Fatalf("make %s: %v", k.Link(id), err)
	}
	return made
}

// browser is a person's.
type browser struct {
	*http.Client
	hub *hub
}

// browser returns one without a token.
func (h *hub) browser() browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return browser{&http.Client{Jar: jar}, h}
}

// as returns a browser in which subject has signed in.
func (h *hub) as(subject string) browser {
	h.t.Helper()
	b := h.browser()
	p := b.post("/login", "token", h.Token(subject), "next", "/")
	if p.status == http.StatusOK && p.title == "Sign in · Landfall" {
		h.t.Fatalf("%s cannot sign in: %s", subject, p.text)
	}
	return b
}

func (b browser) open(path string, header ...string) doc {
	b.hub.t.Helper()
	req, err := http.NewRequestWithContext(b.hub.t.Context(), http.MethodGet, b.hub.URL()+path, nil)
	if err != nil {
		b.hub.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return b.do(req)
}

func (b browser) post(path string, fields ...string) doc {
	b.hub.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	req, err := http.NewRequestWithContext(b.hub.t.Context(), http.MethodPost, b.hub.URL()+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.hub.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

func (b browser) do(req *http.Request) doc {
	b.hub.t.Helper()
	res, err := b.Do(req)
	if err != nil {
		b.hub.t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.hub.t.Fatal(err)
	}
	d := doc{path: res.Request.URL.RequestURI(), status: res.StatusCode, header: res.Header, source: string(body)}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		d.parse(b.hub.t)
	}
	return d
}

// doc is a page as a browser got it.
type doc struct {
	path   string // where it was in the end
	status int
	header http.Header
	source string

	title string
	text  string   // with single spaces
	links []string // href, action and src
}

// parse reads the page, which must be well-formed.
func (d *doc) parse(t testing.TB) {
	t.Helper()
	in := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(d.source, "<!doctype html>")))
	in.Strict, in.AutoClose, in.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var text strings.Builder
	element := ""
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s is no HTML: %v\n%s", d.path, err, d.source)
		}
		switch x := token.(type) {
		case xml.StartElement:
			element = x.Name.Local
			for _, a := range x.Attr {
				if slices.Contains([]string{"href", "action", "src"}, a.Name.Local) {
					d.links = append(d.links, a.Value)
				}
			}
		case xml.CharData:
			if element == "title" && d.title == "" {
				d.title = string(x)
			}
			text.Write(x)
			text.WriteByte(' ')
		}
	}
	d.text = strings.Join(strings.Fields(text.String()), " ")
}

// shows fails the test unless the page has each text.
func (d doc) shows(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(d.text, text) {
			t.Errorf("%s: got %q, wanted %q in it", d.path, d.text, text)
		}
	}
}

// hides fails the test if the page has any of the texts.
func (d doc) hides(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(d.text, text) {
			t.Errorf("%s: got %q, wanted no %q in it", d.path, d.text, text)
		}
	}
}

// leads fails the test unless the page has each link.
func (d doc) leads(t testing.TB, links ...string) {
	t.Helper()
	for _, link := range links {
		if !slices.Contains(d.links, link) {
			t.Errorf("%s: got the links %q, wanted %q among them", d.path, d.links, link)
		}
	}
}
