package git

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

func TestCloneAndFetchSpeakEveryProtocolVersion(t *testing.T) {
	s := newSite(t)
	for _, version := range []string{"0", "1", "2"} {
		c := &client{t, t.TempDir()}
		gitIn(t, "", "-c", "protocol.version="+version, "clone", "-q", s.url, c.dir)
		if got := c.git("ls-files"); got != "README\nlines" {
			t.Errorf("files of a clone, version %s: got %q", version, got)
		}
		c.git("-c", "protocol.version="+version, "fetch", "-q", "origin")
	}
	c := &client{t, t.TempDir()}
	gitIn(t, "", "clone", "-q", "--filter=blob:none", "--no-checkout", s.url, c.dir)
}

func TestFetchWithManyHavesIsCompressed(t *testing.T) {
	s := newSite(t)
	s.judge = open
	one, two := s.clone(), s.clone()
	for range 60 { // clients compress requests of more than 1 KiB
		one.git("commit", "-q", "--allow-empty", "-m", "Go on")
		two.git("commit", "-q", "--allow-empty", "-m", "Go another way")
	}
	one.git("push", "-q", "origin", "HEAD:main")
	two.git("fetch", "-q", "origin")
	if got, want := two.git("rev-parse", "origin/main"), one.git("rev-parse", "HEAD"); got != want {
		t.Errorf("fetched: got %s, want %s", got, want)
	}
}

func TestHandlerAnswersPlainRequests(t *testing.T) {
	s := newSite(t)
	base := strings.TrimSuffix(s.url, "/demo.git")
	push := "application/x-git-receive-pack-request"
	packed := func(text string) string {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		io.WriteString(w, text)
		w.Close()
		return out.String()
	}
	command := Zero + " " + strings.Repeat("1", 40) + " refs/for/main\x00report-status"
	for name, test := range map[string]struct {
		method, path, kind, coding, body string
		status                           int
		want                             string
	}{
		"push advertisement": {method: "GET", path: "/demo/info/refs?service=git-receive-pack", status: 200,
			want: "001f# service=git-receive-pack\n0000"},
		"dumb client":           {method: "GET", path: "/demo/info/refs", status: 403, want: "smart HTTP"},
		"unknown service":       {method: "GET", path: "/demo/info/refs?service=git-daemon", status: 403, want: "smart HTTP"},
		"no such project":       {method: "GET", path: "/nope/info/refs?service=git-upload-pack", status: 404, want: "project nope: not found"},
		"bad project":           {method: "GET", path: "/a/../b/info/refs?service=git-upload-pack", status: 404, want: "project name"},
		"denied project":        {method: "GET", path: "/secret/info/refs?service=git-upload-pack", status: 403, want: "denied"},
		"other page":            {method: "GET", path: "/demo/HEAD", status: 404, want: "no such page"},
		"wrong method":          {method: "GET", path: "/demo/git-receive-pack", status: 405, want: "use POST"},
		"wrong content type":    {method: "POST", path: "/demo/git-receive-pack", kind: "text/plain", status: 415, want: push},
		"probe for rights":      {method: "POST", path: "/demo/git-receive-pack", kind: push, body: "0000", status: 200},
		"compressed probe":      {method: "POST", path: "/demo/git-receive-pack", kind: push, coding: "gzip", body: packed("0000"), status: 200},
		"false compression":     {method: "POST", path: "/demo/git-receive-pack", kind: push, coding: "gzip", body: "0000", status: 415, want: "not gzip"},
		"unknown coding":        {method: "POST", path: "/demo/git-receive-pack", kind: push, coding: "br", body: "0000", status: 415, want: "only gzip"},
		"empty request":         {method: "POST", path: "/demo/git-receive-pack", kind: push, status: 400, want: "cut short"},
		"bad packet":            {method: "POST", path: "/demo/git-receive-pack", kind: push, body: "zzzz", status: 400, want: "packet length"},
		"tiny packet":           {method: "POST", path: "/demo/git-receive-pack", kind: push, body: "0003", status: 400, want: "packet length"},
		"bad command":           {method: "POST", path: "/demo/git-receive-pack", kind: push, body: "0009hello0000", status: 400, want: "no command"},
		"bad ref":               {method: "POST", path: "/demo/git-receive-pack", kind: push, body: request(strings.Replace(command, "for/main", "../x", 1)), status: 400, want: "well-formed"},
		"same ref twice":        {method: "POST", path: "/demo/git-receive-pack", kind: push, body: request(command, command), status: 400, want: "twice"},
		"SHA-256 objects":       {method: "POST", path: "/demo/git-receive-pack", kind: push, body: request(command + " object-format=sha256"), status: 400, want: "SHA-1"},
		"no pack after command": {method: "POST", path: "/demo/git-receive-pack", kind: push, body: request(command), status: 200, want: "unpack the pack is cut short"},
		"no pack but text":      {method: "POST", path: "/demo/git-receive-pack", kind: push, body: request(command) + "hello, hello", status: 200, want: "holds no pack"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), test.method, base+test.path, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", test.kind)
			if test.coding != "" {
				r.Header.Set("Content-Encoding", test.coding)
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != test.status {
				t.Errorf("status: got %d, want %d", answer.StatusCode, test.status)
			}
			contains(t, string(body), test.want)
			if test.status != 200 {
				return
			}
			if got := answer.Header.Get("Cache-Control"); got != "no-cache, max-age=0, must-revalidate" {
				t.Errorf("Cache-Control: got %q", got)
			}
			if got := answer.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/x-git-receive-pack-") {
				t.Errorf("Content-Type: got %q", got)
			}
		})
	}
	s.unchanged(s.files())
}

// request is a push with these commands and no pack.
func request(commands ...string) string {
	var out []byte
	for _, c := range commands {
		out = appendPacket(out, c)
	}
	return string(append(out, flush...))
}

func TestUnknownProjectIsNotFoundForGit(t *testing.T) {
	s := newSite(t)
	out, err := try(t, t.TempDir(), "clone", strings.Replace(s.url, "demo", "nope", 1), "x")
	if err == nil {
		t.Fatal("clone of an unknown project: passed")
	}
	contains(t, out, "not found")
}

func shell(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sh: %v\n%s", err, out)
	}
	return string(out)
}
