package query

import (
	"errors"
	"strings"
	"testing"

	"landfall.dev/kit"
)

// wantError checks the fault of err and parts of its text.
func wantError(t testing.TB, what string, err error, fault kit.Fault, parts ...string) {
	t.Helper()
	if !errors.Is(err, fault) {
		t.Errorf("%s: got error %v, want %v", what, err, fault)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%s: got error %q, want it to say %q", what, err, p)
		}
	}
}
