package task_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/elect"
	"landfall.dev/kit/kittest/process"
	"landfall.dev/kit/platform"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/task"
)

// watchman is a document whose action runs until its node dies.
type watchman struct {
	kit.Meta
	Served []string `json:"served"`
}

var watchmen = kit.Define[watchman]("watchmen")

// TestMain runs the tests, or a node if a test has started this binary again.
func TestMain(m *testing.M) { process.Main(m, serveNode) }

// serveNode runs a node. Its service notes, with the fencing number, that it has
// begun to serve a watchman, and then works until it is stopped.
func serveNode(ctx context.Context, _ []string) error {
	c := platform.FromEnvironment()
	c.Logger = slog.New(slog.DiscardHandler)
	node, err := platform.New(c)
	if err != nil {
		return err
	}
	next := func(w watchman, e kit.Event, _ time.Time) (watchman, []kit.Op) {
		switch e.Name {
		case "created":
			return w, []kit.Op{kit.Call("serve", "1", nil)}
		case "begun":
			var by string
			_ = e.Into(&by)
			w.Served = append(w.Served, by)
		}
		return w, nil
	}
	client := node.Client("services/guard")
	node.Add(kit.Service{
		Name: "guard",
		Owns: []kit.Owned{kit.Own(watchmen, next, "begun")},
		Does: kit.Does{"serve": func(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
			kit.Progress(ctx, 1, 0, node.URL())
			by := fmt.Sprintf("%d %s", kit.FenceOf(ctx), node.URL())
			if _, err := watchmen.Send(ctx, client, r.Link.ID(), "begun", by); err != nil {
				return nil, err
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}},
	})
	process.Ready(node.URL())
	return node.Run(ctx)
}

// launch starts a node in a process of its own.
func launch(t *testing.T, dir, token string, join ...string) *process.Process {
	t.Helper()
	return process.Start(t, []string{
		platform.EnvListen + "=127.0.0.1:0", platform.EnvData + "=" + dir,
		platform.EnvToken + "=" + token, platform.EnvJoin + "=" + strings.Join(join, ","),
	})
}

// within bounds what the test waits for.
func within(t *testing.T, wait func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := wait(ctx); err != nil {
		t.Fatal(err)
	}
}

// poll calls try until it succeeds, for what nobody tells.
func poll(t *testing.T, what string, try func(ctx context.Context) error) {
	t.Helper()
	within(t, func(ctx context.Context) error {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			err := try(ctx)
			if err == nil {
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("%s: %w", what, err)
			}
		}
	})
}

// voters fails unless the cluster has n voters.
func voters(ctx context.Context, url, token string, n int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+platform.MembersPath, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	var m platform.Membership
	if err := json.NewDecoder(res.Body).Decode(&m); err != nil {
		return err
	}
	for _, member := range m.Members {
		if member.Voter {
			n--
		}
	}
	if n > 0 {
		return fmt.Errorf("%d voters are missing", n)
	}
	return nil
}

func TestTaskIsCarriedOnByAnotherNodeAfterTheDeathOfItsOwn(t *testing.T) {
	const token = "the token of a test's cluster"
	dir := t.TempDir()
	nodes := []*process.Process{launch(t, filepath.Join(dir, "0"), token)}
	for i := 1; i < 3; i++ {
		nodes = append(nodes, launch(t, filepath.Join(dir, fmt.Sprint(i)), token, nodes[0].URL))
	}
	var admin string
	poll(t, "the administrator's token", func(context.Context) error {
		b, err := os.ReadFile(filepath.Join(dir, "0", "admin.token"))
		admin = strings.TrimSpace(string(b))
		return err
	})
	clients := map[string]kit.Client{}
	for _, n := range nodes {
		c, err := rest.NewClient(n.URL, admin, rest.ClientOptions{Patience: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		clients[n.URL] = c
		within(t, func(ctx context.Context) error {
			_, err := elect.Leaders.Await(ctx, c, elect.Tasks, func(elect.Leader) bool { return true })
			return err
		})
	}
	poll(t, "three voters", func(ctx context.Context) error { return voters(ctx, nodes[0].URL, admin, 3) })
	// served waits until as many nodes have begun to serve the watchman, and
	// returns what the last of them has noted.
	served := func(c kit.Client, nodes int) (fence int64, by string) {
		t.Helper()
		within(t, func(ctx context.Context) error {
			w, err := watchmen.Await(ctx, c, "a", func(w watchman) bool { return len(w.Served) >= nodes })
			if err == nil {
				_, err = fmt.Sscan(w.Served[nodes-1], &fence, &by)
			}
			return err
		})
		return fence, by
	}
	within(t, func(ctx context.Context) error {
		_, err := watchmen.Create(ctx, clients[nodes[0].URL], "a", watchman{})
		return err
	})
	// noted waits until the steps name the nodes; that an attempt runs is noted
	// beside it.
	noted := func(c kit.Client, by ...string) {
		t.Helper()
		within(t, func(ctx context.Context) error {
			_, err := task.AllSteps.Await(ctx, c, "watchmen.a", func(s task.Steps) bool {
				text, _ := json.Marshal(s.Steps) // of texts and numbers
				return !slices.ContainsFunc(by, func(node string) bool { return !strings.Contains(string(text), node) })
			})
			return err
		})
	}
	first, owner := served(clients[nodes[0].URL], 1)
	noted(clients[nodes[0].URL], owner)
	var rest kit.Client
	for _, n := range nodes {
		if n.URL == owner {
			n.Kill()
		} else {
			rest = clients[n.URL]
		}
	}
	// How soon is for the test of the cluster with a clock of its own.
	second, heir := served(rest, 2)
	if heir == owner || second <= first {
		t.Errorf("after %s with the fencing number %d came %s with %d, want another with a higher one", owner, first, heir, second)
	}
	noted(rest, owner, heir)
}
