package lines_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the answers into doc/protocol.md")

const page = "../../../doc/protocol.md"

// TestTheServiceAnswersAsThePageSays plays the examples of doc/protocol.md, in
// their order. An example is a request, "GET blue /path" with its body, and
// after it the answer, "→ 200" with its body.
func TestTheServiceAnswersAsThePageSays(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	sides := map[string]*notes{"blue": start(t, "v1", false), "green": start(t, "v2", true)}
	var out []string
	played := 0
	for i, block := range strings.Split(string(text), "```") {
		if code, ok := strings.CutPrefix(block, "http\n"); ok {
			var examples []string
			for example := range strings.SplitSeq(strings.TrimSpace(code), "\n\n") {
				examples = append(examples, play(t, sides, example))
				played++
			}
			block = "http\n" + strings.Join(examples, "\n\n") + "\n"
		} else if i%2 == 1 {
			t.Errorf("a block of the page is no example: %s", block)
		}
		out = append(out, block)
	}
	if played < 20 {
		t.Errorf("the page has %d examples, want at least one for each request", played)
	}
	got := strings.Join(out, "```")
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != string(text) {
		t.Errorf("the service answers otherwise than doc/protocol.md says; its examples would be:\n%s", got)
	}
}

// play sends the request of an example and returns it with the answer that it
// has got.
func play(t *testing.T, sides map[string]*notes, example string) string {
	t.Helper()
	request, _, _ := strings.Cut(example, "\n→ ")
	head, body, _ := strings.Cut(request, "\n")
	words := strings.Fields(head)
	if len(words) != 3 || sides[words[1]] == nil {
		t.Fatalf("an example begins with %q; want it like GET blue /migrate/status", head)
	}
	status, answer := sides[words[1]].send(words[0], words[2], body)
	return strings.TrimRight(fmt.Sprintf("%s\n→ %d\n%s", request, status, answer), "\n")
}

func TestWhoHasAnotherTokenIsRefused(t *testing.T) {
	n := start(t, "v1", false)
	for _, request := range []string{
		"GET status", "GET export", "GET checksum?side=own", "GET blobs/sha256:" + strings.Repeat("0", 64),
		"POST fence", "POST begin", "POST import?after=",
	} {
		method, path, _ := strings.Cut(request, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, n.url+"/migrate/"+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer another")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s is answered with %s, want 401", request, res.Status)
		}
	}
}

func TestASideThatTakesWritesBecomesNoCopy(t *testing.T) {
	n := start(t, "v1", false)
	n.load(1)
	if status, answer := n.send("POST", "/migrate/begin", `{"base": ""}`); status != http.StatusConflict || !strings.Contains(answer, "this side takes writes") {
		t.Errorf("begin without a fence: %d %s, want 409", status, answer)
	}
	if status, answer := n.send("GET", "/migrate/status", ""); status != http.StatusOK || !strings.Contains(answer, `"documents": 1`) {
		t.Errorf("after it the status is %d %s, want the document that there was", status, answer)
	}
}

func TestAnExportIsPackedForWhoCanUnpackIt(t *testing.T) {
	n := start(t, "v1", false)
	n.load(500)
	sizes := map[string]int{}
	for _, encoding := range []string{"gzip", "identity"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.url+"/migrate/export", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Accept-Encoding", encoding)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v", encoding, res.StatusCode, err)
		}
		if packed := res.Header.Get("Content-Encoding") == "gzip"; packed != (encoding == "gzip") {
			t.Errorf("%s was asked for, packed %t", encoding, packed)
		}
		sizes[encoding] = len(body)
	}
	if sizes["gzip"]*4 > sizes["identity"] {
		t.Errorf("%d bytes are packed into %d", sizes["identity"], sizes["gzip"])
	}
}
