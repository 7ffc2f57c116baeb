package job

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/kit"
)

func (h *hub) get(path string, answer any) {
	h.t.Helper()
	status, body := h.call("users/admin", http.MethodGet, path, "")
	if err := json.Unmarshal([]byte(body), answer); status != http.StatusOK || err != nil {
		h.t.Fatalf("%s: %d %.300s, %v", path, status, body, err)
	}
}

func TestPartsOfALog(t *testing.T) {
	h := newHub(t)
	h.define("c1", "true", "gate")
	b := h.send(h.build("gate", queued), "lease", api.LeaseArgs{Runner: "r1"})
	path := "/logs/" + b.Link.ID()
	h.append(b, 0, "--- begin\none\ntw")
	for range 2 { // with an index and before
		var w api.LogWindow
		if h.get(path+"/lines", &w); len(w.Lines) != 2 || w.Total != 2 || w.After != "1.14" {
			t.Errorf("the last lines of a live log: %+v", w)
		}
	}
	h.follow(b, "Last-Event-ID: 1.14").expect("tw")
	h.append(b, 16, "o\nthree\n")
	var w api.LogWindow
	if h.get(path+"/lines?from=2&to=4", &w); fmt.Sprint(w) != "{2 [{one 0} {two 0}] 4 1.18}" {
		t.Errorf("lines 2 to 4: %+v", w)
	}
	var found api.LogSearch
	if h.get(path+"/search?q=^t&limit=1&around=1", &found); len(found.Matches) != 1 || found.Matches[0].Line != 3 || found.Next != 4 {
		t.Errorf("the search finds %+v", found)
	}
	var sections []api.LogSection
	if h.get(path+"/sections", &sections); len(sections) != 1 || sections[0].Title != "begin" {
		t.Errorf("the sections are %+v", sections)
	}
	for query, want := range map[string]string{
		"/lines?from=0": "lines are counted from 1", "/lines?to=x": "lines are counted from 1", "/search": "a search needs a pattern", "/search?q=(": "is no regular expression",
	} {
		if status, body := h.call("users/admin", http.MethodGet, path+query, ""); status != http.StatusBadRequest || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want 400 with %q", query, status, body, want)
		}
	}
	for _, part := range []string{"/lines", "/search?q=a", "/sections"} {
		if status, _ := h.call("users/eve", http.MethodGet, path+part, ""); status != http.StatusForbidden {
			t.Errorf("%s without a role: %d, want 403", part, status)
		}
	}
	res, err := h.request("users/admin", http.MethodGet, path, "", "Range: bytes=10-12")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusPartialContent || res.Header.Get("Content-Range") != "bytes 10-12/24" {
		t.Errorf("a range of the text: %s, %s", res.Status, res.Header.Get("Content-Range"))
	}
}

func TestALogIsSealedBeforeTheEnd(t *testing.T) {
	h := newHub(t)
	h.define("c1", "true", "gate")
	b := h.send(h.build("gate", queued), "lease", api.LeaseArgs{Runner: "r1"})
	h.append(b, 0, "one\ntwo")
	path := "/logs/" + b.Link.ID() + "/seal?attempt="
	if status, body := h.call("users/admin", http.MethodPost, path+"2", ""); status != http.StatusConflict {
		t.Errorf("seal of another attempt: %d %s, want a conflict", status, body)
	}
	status, body := h.call("users/admin", http.MethodPost, path+"1", "")
	var seal api.LogSeal
	if err := json.Unmarshal([]byte(body), &seal); err != nil || status != http.StatusOK || seal != (api.LogSeal{Size: 7, Lines: 2, Digest: kit.DigestOf([]byte("one\ntwo"))}) {
		t.Fatalf("seal: %d %s, %v", status, body, err)
	}
	b = h.send(b, "finish", api.FinishArgs{Attempt: 1, State: api.BuildPassed, LogSize: 7, LogDigest: seal.Digest, LogMissing: 4})
	if b.LogDigest != seal.Digest || b.LogMissing != 4 {
		t.Errorf("the build has %s, %d lines missing; want what the runner said", b.LogDigest, b.LogMissing)
	}
}

func TestTheLogOfACancelledBuildGoesOn(t *testing.T) {
	h := newHub(t)
	h.define("c1", "true", "gate")
	b := h.send(h.build("gate", queued), "lease", api.LeaseArgs{Runner: "r1"})
	h.append(b, 0, "one\n")
	live := h.follow(b)
	live.expect("one\n")
	b = h.send(b, "cancel", nil)
	h.append(b, 4, "cleaning up\n")
	live.expect("cleaning up\n")
	if status, body := h.call("users/admin", http.MethodPost, "/logs/"+b.Link.ID()+"/seal?attempt=1", ""); status != http.StatusOK {
		t.Fatalf("seal: %d %s", status, body)
	}
	b = h.send(b, "finish", api.FinishArgs{Attempt: 1, State: api.BuildCancelled, LogSize: 16, LogDigest: kit.DigestOf([]byte("one\ncleaning up\n"))})
	if b.State != api.BuildCancelled || b.LogSize != 16 || b.LogDigest == "" {
		t.Errorf("the build is %s, its log %s of %d bytes", b.State, b.LogDigest, b.LogSize)
	}
	live.expect("end")
	if status, _ := h.call("users/admin", http.MethodPost, "/logs/"+b.Link.ID()+"?attempt=1&offset=16", "late"); status != http.StatusConflict {
		t.Errorf("append to the sealed log: %d, want a conflict", status)
	}
}

func TestALogThatNobodySealsIsClosed(t *testing.T) {
	b, ops := live(t, order, []step{
		{event: "created", by: planner, want: api.BuildCreated},
		{event: "resolve.done", args: api.JobSpec{}, want: api.BuildQueued},
		{event: "lease", args: api.LeaseArgs{Runner: "r1"}, want: api.BuildRunning},
		{event: "cancel", want: api.BuildCancelled},
	})
	if len(ops) != 1 || ops[0].Do != kit.OpSend || !fading(b) {
		t.Fatalf("after the cancellation: %+v, want a timer", ops)
	}
	b, ops = next(b, kit.Event{Name: "close"}, start.Add(fadeTime))
	if len(ops) != 1 || ops[0].Do != "seal" || b.LogMissing != -1 {
		t.Errorf("when the time is up: %+v, %d lines missing; want the log sealed, and that nobody knows", ops, b.LogMissing)
	}
	b.LogMissing = 0
	data, _ := json.Marshal(api.LogSeal{Size: 3, Digest: "sha256:x"})
	b.LogSize = 5
	b, _ = next(b, kit.Event{Name: "seal.done", Data: data}, start)
	if fading(b) || b.LogMissing != -1 {
		t.Errorf("the log of which less is there than was sent: %d lines missing, want that nobody knows", b.LogMissing)
	}
}
