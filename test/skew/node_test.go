package skew

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"landfall.dev/kit/migrate"
	"landfall.dev/kit/rest"
)

// program is the path of the built node.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "skew")
	if err == nil {
		program = filepath.Join(dir, "node")
		build := exec.Command("go", "build", "-o", program, "./node")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		var out []byte
		if out, err = build.CombinedOutput(); err != nil {
			err = fmt.Errorf("build the node: %w\n%s", err, out)
		}
	}
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// node is a running process.
type node struct {
	t    *testing.T
	dir  string
	url  string
	cmd  *exec.Cmd
	said *lines
}

// lines keeps the last that a process has said.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// start starts a node on the data directory dir. It ends with the test.
func start(t *testing.T, dir string, env ...string) *node {
	t.Helper()
	n := &node{t: t, dir: dir, cmd: exec.Command(program), said: new(lines)}
	n.cmd.Env = append(os.Environ(), append([]string{"KIT_LISTEN=127.0.0.1:0", "DATA_DIR=" + dir}, env...)...)
	n.cmd.Stderr = n.said
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := n.cmd.StdoutPipe()
	if err == nil {
		err = n.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.stop)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the node on %s ended at its start:\n%s", dir, n.said)
	}
	n.url = strings.TrimSpace(line)
	return n
}

// stop ends the node and waits for it; a second call does nothing.
func (n *node) stop() {
	if n.cmd.ProcessState != nil {
		return
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(20*time.Second, func() { _ = n.cmd.Process.Kill() })
	defer kill.Stop()
	if err := n.cmd.Wait(); err != nil {
		n.t.Errorf("the node on %s ended with %v:\n%s", n.dir, err, n.said)
	}
}

func (n *node) client(token string) *rest.Client {
	n.t.Helper()
	c, err := rest.NewClient(n.url, token, rest.ClientOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

func (n *node) migration(token string) *migrate.Client {
	return &migrate.Client{URLs: []string{n.url}, Token: token}
}

// fence puts up or takes down the fence, once the node leads.
func (n *node) fence(token string, epoch int64, on bool) {
	n.t.Helper()
	n.until("the fence was set", func(ctx context.Context) error {
		_, err := n.migration(token).Fence(ctx, epoch, on)
		return err
	})
}

// get returns what the node answers at path, once it answers with 200.
func (n *node) get(path, token, accept string) []byte {
	n.t.Helper()
	var body []byte
	n.until(path+" was answered", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+path, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Accept", accept)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err = io.ReadAll(res.Body)
		if err == nil && res.StatusCode != http.StatusOK {
			err = errors.New(res.Status + ": " + string(body))
		}
		return err
	})
	return body
}

// until repeats do until it succeeds, for a minute.
func (n *node) until(what string, do func(context.Context) error) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := do(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			n.t.Fatalf("waited for a minute until %s: %v\n%s", what, err, n.said)
		case <-tick.C:
		}
	}
}
