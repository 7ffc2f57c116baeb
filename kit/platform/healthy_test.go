package platform_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/platform"
)

// Who starts a platform waits for it to be healthy and then uses it, as an agent
// does with the tests of a deployment.
func TestANodeThatIsHealthyHasTheAdministratorsToken(t *testing.T) {
	for range 5 {
		c := configIn(filepath.Join(t.TempDir(), "0"))
		c.Disk = func(op, _ string) error { // slow, so that there is time to be seen
			if op == "sync" {
				<-time.After(40 * time.Millisecond)
			}
			return nil
		}
		node, err := platform.New(c)
		if err != nil {
			t.Fatal(err)
		}
		node.Add(kit.Service{Name: "notes", Owns: []kit.Owned{kit.Own(notes, nil)}})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- node.Run(ctx) }()
		until(t, "it is healthy", patience, func(context.Context) error {
			res, err := http.Get(node.URL() + "/healthz")
			if err != nil {
				return err
			}
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				return fmt.Errorf("it answers %s", res.Status)
			}
			return nil
		})
		if _, err := os.Stat(filepath.Join(c.Data, "admin.token")); err != nil {
			t.Errorf("it is healthy, but %v", err)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("the node ended with %v", err)
		}
	}
}

func TestAPlatformWhoseTransformationsHaveAGapDoesNotRun(t *testing.T) {
	node, err := platform.New(configIn(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	gap := kit.Define[note]("gaps", kit.Schema(3, []kit.Transform{kit.Rename("a", "b")}))
	node.Add(kit.Service{Name: "gaps", Owns: []kit.Owned{kit.Own(gap, nil)}})
	const want = "gaps has 1 of the 2 lists of transformations that lead to schema 3: there is a gap"
	if err := node.Run(t.Context()); !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "declare one list for each step") {
		t.Errorf("it ended with %v, want %q", err, want)
	}
}
