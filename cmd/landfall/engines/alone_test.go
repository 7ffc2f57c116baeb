package engines

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"landfall.dev/engine"
	"landfall.dev/engine/fleet"
)

// dockerNamed only has the name of an engine.
type dockerNamed struct{ engine.Engine }

func (dockerNamed) Name() string { return "docker" }

func TestTwoRunnersDoNotShareADirectoryOrAName(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	members := []fleet.Member{{Engine: dockerNamed{}}}
	dir, other := t.TempDir(), t.TempDir()
	first, err := Alone(dir, "runner", members)
	if err != nil {
		t.Fatal(err)
	}
	us := fmt.Sprintf("another runner (pid %d)", os.Getpid())
	if _, err := Alone(dir, "second", members); err == nil || !strings.HasPrefix(err.Error(), us+" uses "+dir) {
		t.Errorf("with the first one's directory: got error %v", err)
	}
	if _, err := Alone(other, "runner", members); err == nil || !strings.HasPrefix(err.Error(), us+" is called runner") {
		t.Errorf("with the first one's name: got error %v", err)
	}
	second, err := Alone(other, "second", members)
	if err != nil {
		t.Fatalf("with a directory and a name of its own: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	again, err := Alone(dir, "runner", members)
	if err != nil {
		t.Fatalf("once the first has ended: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
