package kit

import "testing"

func TestNearest(t *testing.T) {
	names := []string{"changes", "channels", "builds", "runs"}
	for word, want := range map[string]string{
		"chnages": "changes", "build": "builds", "chanels": "channels", "run": "runs",
		"": "", "projects": "", "x": "",
	} {
		if got := Nearest(word, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
