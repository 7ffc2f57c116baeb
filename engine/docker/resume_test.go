package docker

import (
	"context"
	"os"
	"strconv"
	"testing"

	"landfall.dev/engine"
	"landfall.dev/engine/enginetest"
)

func TestTasksOutliveTheirKilledCaller(t *testing.T) {
	owner := "test-orphans-" + strconv.Itoa(os.Getpid())
	e, err := New(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	enginetest.Resumes(t, enginetest.Subject{Open: func() engine.Engine { return e }, Tools: loadTools(t, e)}, owner, 3)
}

func TestMain(m *testing.M) {
	if owner := os.Getenv(enginetest.VictimVariable); owner != "" {
		e, err := New(context.Background(), owner)
		if err != nil {
			panic(err)
		}
		enginetest.Victim(e)
	}
	os.Exit(m.Run())
}
