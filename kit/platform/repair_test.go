package platform_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster"
	"landfall.dev/kit/cluster/authority"
	"landfall.dev/kit/elect"
	"landfall.dev/kit/platform"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/rest/audit"
)

// lone starts the first node of a cluster and returns it with a client of its
// administrator's.
func lone(t *testing.T, c platform.Config) (*member, *rest.Client, string) {
	t.Helper()
	m := enter(t, c)
	token := adminToken(t, m)
	return m, clientOf(t, m.url, token, nil), token
}

func clientOf(t *testing.T, url, token string, via http.RoundTripper) *rest.Client {
	t.Helper()
	c, err := rest.NewClient(url, token, rest.ClientOptions{Patience: patience, Transport: via})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func configIn(dir string) platform.Config {
	return platform.Config{Data: dir, Listen: "127.0.0.1:0", Schema: "notes-1"}
}

func create(t *testing.T, c kit.Client, id string) {
	t.Helper()
	if _, err := notes.Create(t.Context(), c, id, note{Text: id}); err != nil {
		t.Fatalf("create %s: %v", id, err)
	}
}

func says(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want it to say %q", err, text)
		}
	}
}

func TestNodesOffLoopbackServeTLSOfTheClustersOwn(t *testing.T) {
	dir := t.TempDir()
	config := func(name string) platform.Config { return platform.TLSOnLoopback(configIn(filepath.Join(dir, name))) }
	first := enter(t, config("0"))
	if !strings.HasPrefix(first.url, "https://") {
		t.Fatalf("the node is at %s, want https", first.url)
	}
	token, secret := adminToken(t, first), clusterToken(t, first)
	c := config("1")
	c.Join, c.Token = []string{first.url}, secret
	second := enter(t, c)
	via := authority.Transport(secret[:64])
	create(t, clientOf(t, first.url, token, via), "a")
	create(t, clientOf(t, second.url, token, via), "b") // passed on to the leader

	second.stop()
	c.Token, c.Join = "", nil // it has kept what it needs
	c.Listen = second.config.Listen
	second = enter(t, c)
	create(t, clientOf(t, second.url, token, via), "c")

	for name, test := range map[string]struct{ token, text string }{
		"a token of another cluster":    {strings.Repeat("0", 64) + secret[64:], "is not of the cluster that the token is for"},
		"a token that somebody made up": {"let-me-in", "the token does not tell the cluster's"},
		"a wrong secret":                {secret[:64] + strings.Repeat("0", 64), "the join token is wrong"},
	} {
		c := config(name)
		c.Join, c.Token = []string{first.url}, test.token
		m := enter(t, c)
		<-m.done
		says(t, m.err, first.url, test.text)
	}
}

func TestABackupIsTakenOnlineAndRestored(t *testing.T) {
	dir := t.TempDir()
	m, c, token := lone(t, configIn(filepath.Join(dir, "old")))
	for i := range 50 {
		create(t, c, fmt.Sprint(i))
	}
	page, err := c.List(t.Context(), kit.Query{Kind: notes.Name})
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(token string) (int, []byte) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.url+platform.BackupPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, b
	}
	poor, err := rest.MintToken(t.Context(), c, "users/ada", "without a role")
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := fetch(poor); status != http.StatusForbidden {
		t.Errorf("a backup for a caller without a role is answered with %d, want 403", status)
	}
	status, backup := fetch(token)
	if schema, err := cluster.CheckBackup(bytes.NewReader(backup)); status != http.StatusOK || err != nil || schema != "notes-1" {
		t.Fatalf("the backup is answered with %d and is of schema %q (%v)", status, schema, err)
	}
	records := 0
	for r, err := range audit.Records.All(t.Context(), c, `verb == "GET" && status == 200`, "") {
		if err != nil {
			t.Fatal(err)
		}
		if records++; r.Subject != "users/admin" || r.Target != platform.BackupPath {
			t.Errorf("the audit tells of %s at %s, want users/admin at %s", r.Subject, r.Target, platform.BackupPath)
		}
	}
	if records != 1 {
		t.Errorf("the audit has %d records of backups, want one", records)
	}
	file := filepath.Join(dir, "backup")
	if err := os.WriteFile(file, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, platform.Restore(m.config.Data, file), m.config.Data+" is not empty")
	data := filepath.Join(dir, "new")
	if err := platform.Restore(data, file); err != nil {
		t.Fatal(err)
	}

	_, restored, _ := lone(t, configIn(data))
	n := 0
	for _, err := range notes.All(t.Context(), restored, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 50 {
		t.Errorf("the restored cluster has %d notes, want 50", n)
	}
	from, err := kit.ParsePosition(page.Position)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range restored.Watch(t.Context(), kit.WatchQuery{Kind: notes.Name, From: from}) {
		if !errors.Is(err, kit.ErrGone) {
			t.Errorf("a watch from a position of the old cluster gets %v, want 410", err)
		}
		break
	}
}

// flip changes one bit of the note in the file of the log that has it.
func flip(t *testing.T, data, text string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "log", "log", "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(b, []byte(text)); i >= 0 {
			b[i] ^= 1
			if err := os.WriteFile(f, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("no log below %s has %q", data, text)
	return ""
}

func TestADamagedNodeSaysWhichCommandRepairsIt(t *testing.T) {
	dir := t.TempDir()
	first, c, token := lone(t, configIn(filepath.Join(dir, "0")))
	config := configIn(filepath.Join(dir, "2"))
	config.Join, config.Token = []string{first.url}, clusterToken(t, first)
	third := enter(t, config)
	config.Data = filepath.Join(dir, "1")
	second := enter(t, config)
	complete(t, []string{first.url, second.url, third.url}, token, 3)
	create(t, c, "precious")
	there := clientOf(t, second.url, token, nil)
	until(t, "replication", patience, func(ctx context.Context) error {
		_, err := there.Read(ctx, notes.Link("precious"), kit.ReadOptions{Consistency: kit.Eventual})
		return err
	})
	second.stop()
	file := flip(t, second.config.Data, "precious")
	config.Join, config.Token = nil, ""
	broken := enter(t, config)
	<-broken.done
	says(t, broken.err, file+" is damaged at byte ", "landfall cluster refill --data "+config.Data+" --join http://127.0.0.1:")

	aside, err := platform.Refill(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(aside, "log")); err != nil {
		t.Errorf("the damaged log is not kept: %v", err)
	}
	config.Listen = second.config.Listen
	second = enter(t, config)
	create(t, clientOf(t, second.url, token, nil), "later")
	if _, err := there.Read(t.Context(), notes.Link("precious"), kit.ReadOptions{Consistency: kit.Eventual}); err != nil {
		t.Errorf("the refilled node: %v", err)
	}
}

func TestADamagedSingleNodeNamesTheBackup(t *testing.T) {
	m, c, _ := lone(t, configIn(filepath.Join(t.TempDir(), "0")))
	create(t, c, "precious")
	m.stop()
	file := flip(t, m.config.Data, "precious")
	broken := enter(t, m.config)
	<-broken.done
	says(t, broken.err, file+" is damaged at byte ", "landfall cluster restore --data")
	_, err := platform.Refill(t.Context(), m.config)
	says(t, err, "no other member is known")
}

func TestAnAdministratorsTokenThatWasTakenAwayIsNotMadeAgain(t *testing.T) {
	m, c, token := lone(t, configIn(t.TempDir()))
	fence := func(ctx context.Context) (int64, error) {
		l, err := elect.Leaders.Read(ctx, c, "tasks")
		return l.Fence, err
	}
	var before int64
	until(t, "the first term of the tasks", patience, func(ctx context.Context) (err error) {
		before, err = fence(ctx)
		return err
	})
	m.stop()
	file := filepath.Join(m.config.Data, "admin.token")
	if err := os.Remove(file); err != nil { // it is in a safe place by now
		t.Fatal(err)
	}
	again := enter(t, m.config)
	c = clientOf(t, again.url, token, nil)
	until(t, "the next term of the tasks, which come after all preparations", patience, func(ctx context.Context) error {
		now, err := fence(ctx)
		if err == nil && now == before {
			err = errors.New("it is the former still")
		}
		return err
	})
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("admin.token is there again: %v", err)
	}
	p, err := c.List(t.Context(), kit.Query{Kind: rest.Tokens.Name, Filter: `subject == "users/admin"`})
	if err != nil || len(p.Items) != 1 {
		t.Errorf("the administrator has %d tokens, want the first alone: %v", len(p.Items), err)
	}
}
