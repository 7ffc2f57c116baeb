package engines

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"landfall.dev/engine"
)

func TestEnginesOfFlags(t *testing.T) {
	s := Several{texts: []string{"small=unix:///run/docker.sock", "big=ssh://builder@there:2222?slots=8&label=big&label=gpu"}}
	members, err := s.Open(t.Context(), t.TempDir(), "runner-one", 2)
	if err != nil {
		t.Fatal(err)
	}
	if m := members[0]; m.Name != "small" || m.Slots != 2 || len(m.Labels) != 0 {
		t.Errorf("the first is %+v", m)
	}
	if m := members[1]; m.Name != "big" || m.Slots != 8 || !slices.Equal(m.Labels, []string{"big", "gpu"}) {
		t.Errorf("the second is %+v", m)
	}
	if members, err := (&Several{texts: []string{"docker", "process"}}).Open(t.Context(), t.TempDir(), "runner-one", 2); err != nil || len(members) != 1 || members[0].Name != "process" {
		t.Errorf("the last of two without names: got %+v, error %v", members, err)
	}
	for text, want := range map[string]string{
		"podman":                     `there is no engine "podman": use docker, process or auto`,
		"a=docker":                   `"a=docker" is no engine: write NAME=unix:///PATH`,
		"a=tcp://10.0.0.1:2375":      "--engine a: docker: tcp://10.0.0.1:2375 is open to everyone who can reach it",
		"a=unix:///x?slots=0":        `--engine a: slots is "0"`,
		"a=unix:///x?slot=2":         `--engine a: docker: the address unix:///x has an unknown part "slot"`,
		"a=tcp://10.0.0.1:2375?ca=x": "ca: stat x",
	} {
		s := Several{texts: []string{text}}
		if _, err := s.Open(t.Context(), t.TempDir(), "runner-one", 2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want %q", text, err, want)
		}
	}
}

func TestMountsAreNoSockets(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Mounts([]string{"CACHE=" + socket}, true); err == nil || !strings.Contains(err.Error(), "builds get none") {
		t.Errorf("a socket is mounted: %v", err)
	}
	got, err := Mounts([]string{"CACHE=" + dir + ":/cache"}, false)
	if want := (engine.Mount{Host: dir, Target: "/cache", ReadOnly: true, Env: "CACHE"}); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	gone := []string{"CACHE=" + dir + "/gone"}
	for address, far := range map[string]bool{"docker": false, "a=unix:///docker.sock": false, "b=ssh://builder@b": true} {
		s := Several{texts: []string{address}}
		if _, err := Mounts(gone, s.Far()); s.Far() != far || (err == nil) != far {
			t.Errorf("a mount that is not here, for %s: far %t, %v; want %t, and an error here only", address, s.Far(), err, far)
		}
	}
}
