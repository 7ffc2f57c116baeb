package lines_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/engine/enginetest"
	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
	"landfall.dev/site/agent/lines"
)

// examples is where the service is.
const examples = "../../../examples/notes"

// token is that of all services here.
const token = "secret"

// notes is a process of the service of examples/notes.
type notes struct {
	*migrate.Client
	t       *testing.T
	version string
	standby bool
	dir     string
	url     string
	via     string // what the copier is told instead of url, if anything
	cmd     *exec.Cmd
}

// start runs a version of the service until the test ends.
func start(t *testing.T, version string, standby bool) *notes {
	t.Helper()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + port.Addr().String()
	port.Close()
	n := &notes{
		Client: &migrate.Client{URLs: []string{url}, Token: token},
		t:      t, version: version, standby: standby, dir: t.TempDir(), url: url,
	}
	t.Cleanup(n.kill)
	n.run()
	return n
}

// run starts the process and returns once it answers.
func (n *notes) run() {
	n.t.Helper()
	n.cmd = exec.Command("python3", "-B", filepath.Join(examples, n.version+".py"))
	n.cmd.Env = append(os.Environ(), "KIT_TOKEN="+token, "DATA_DIR="+n.dir, "KIT_LISTEN="+strings.TrimPrefix(n.url, "http://"))
	if n.standby {
		n.cmd.Env = append(n.cmd.Env, "KIT_STANDBY=1")
	}
	n.cmd.Stderr = n.t.Output()
	if err := n.cmd.Start(); err != nil {
		n.t.Fatalf("%v: the tests need python3, which test/setup.sh installs", err)
	}
	enginetest.Eventually(n.t, func() string {
		res, err := http.Get(n.url + "/healthz")
		if err != nil {
			return err.Error()
		}
		res.Body.Close()
		return ""
	})
}

func (n *notes) kill() {
	if n.cmd != nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait() // killed is what it says
		n.cmd = nil
	}
}

// send sends a request and returns the status and the text of the answer.
func (n *notes) send(method, path, body string) (int, string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return res.StatusCode, strings.TrimRight(string(text), "\n")
}

// must is send for what has to succeed.
func (n *notes) must(method, path, body string) string {
	n.t.Helper()
	status, text := n.send(method, path, body)
	if status != http.StatusOK {
		n.t.Fatalf("%s %s %s: %d %s", n.version, method, path, status, text)
	}
	return text
}

func (n *notes) putText(id, text string) {
	n.t.Helper()
	n.must("PUT", "/notes/"+id, fmt.Sprintf(`{"text": %q}`, text))
}

// read returns a note, nil if there is none.
func (n *notes) read(id string) map[string]any {
	n.t.Helper()
	status, text := n.send("GET", "/notes/"+id, "")
	if status == http.StatusNotFound {
		return nil
	}
	var note map[string]any
	if err := json.Unmarshal([]byte(text), &note); err != nil || status != http.StatusOK {
		n.t.Fatalf("%s: %d %s", id, status, text)
	}
	return note
}

func (n *notes) fence(epoch int64, on bool) {
	n.t.Helper()
	if _, err := n.Fence(n.t.Context(), epoch, on); err != nil {
		n.t.Fatal(err)
	}
}

// The sides of all copies here.
var (
	blue  = api.Side{Group: "blue"}
	green = api.Side{Group: "green"}
)

// between returns a new copier, as an agent has after a start. All that is not
// of lines fails.
func between(b, g *notes) *lines.Copier {
	return lines.Beside(nil, func(_ context.Context, side api.Side) ([]string, string, error) {
		n := map[string]*notes{"blue": b, "green": g}[side.Group]
		if n == nil {
			return nil, "", kit.Errorf(kit.ErrNotFound, "", "there is no group %q", side.Group)
		}
		if n.via != "" {
			return []string{n.via}, token, nil
		}
		return []string{n.url}, token, nil
	})
}
