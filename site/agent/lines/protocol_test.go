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
