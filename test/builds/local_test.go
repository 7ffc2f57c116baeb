package builds_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"landfall.dev/api"
)

// trying is a job that fails and one that passes.
const trying = `- job:
    name: fails
    parameters:
    - password: {name: TOKEN, default: s3cret-default, description: a secret}
    - string: {name: WHO, default: nobody}
    builders:
    - shell: |
        #!/bin/sh
        echo "token $TOKEN, $WHO"
        cat README
        echo made > made
        exit 3
- job:
    name: works
    builders:
    - shell: |
        #!/bin/sh
        cat README; ls
`

// try runs a client command that may fail.
func (p *place) try(args ...string) (out, errs string, err error) {
	cmd := exec.Command(landfall, args...)
	cmd.Env = append(os.Environ(), "LANDFALL_URL="+p.url, "LANDFALL_TOKEN="+p.token)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	return o.String(), e.String(), err
}

// contains insists that each of the texts is in what a command has printed.
func contains(t *testing.T, what, printed string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(printed, text) {
			t.Errorf("%s: %q is not in\n%s", what, text, printed)
		}
	}
}

func TestADeveloperTriesBuilds(t *testing.T) {
	p := newPlace(t, map[string]string{"jobs/jobs.yml": trying, "README": "as landed\n", ".gitignore": "ignored\n"}, "--engine", "docker")

	out, errs, err := p.try("build", "run", "fails", "--project", "demo", "--keep", "-p", "WHO=ada")
	contains(t, "build run", out, "token ****, ada\nas landed\n", "--- step 1 exited with 3\n", "--- the container is kept for 60 minutes: landfall build shell ")
	if err == nil {
		t.Error("build run of a job that fails: no error")
	}
	m := regexp.MustCompile(`(?m)^build (\S+)$`).FindStringSubmatch(errs)
	if m == nil {
		t.Fatalf("build run does not tell the build's name: %s", errs)
	}
	id := m[1]
	contains(t, "build run", errs, "build "+id+" is failed: step 1 exited with 3: as landed")
	p.eventually("there is a shell in the kept container", func() error {
		if out, errs, err = p.try("build", "shell", id, "--", "sh", "-c", "cat made; echo $WHO; pwd"); err != nil {
			err = fmt.Errorf("%w: %s", err, errs)
		}
		return err
	})
	contains(t, "build shell", out, "made\nada\n/work\n")

	contains(t, "build log --search", p.landfall("build", "log", id, "--search", "^as l", "-C", "1"), "2-token ****, ada\n3:as landed\n4-\n")
	if got := p.landfall("build", "log", id, "--from", "2", "--to", "3"); got != "token ****, ada\nas landed\n" {
		t.Errorf("build log --from 2 --to 3: %q", got)
	}
	if raw, live := p.landfall("build", "log", id, "--raw"), p.landfall("build", "log", id); raw != live || !strings.HasPrefix(raw, "--- step 1: echo") {
		t.Errorf("build log --raw: %q, without: %q", raw, live)
	}

	out, errs, err = p.try("build", "reproduce", id)
	contains(t, "build reproduce", out, "token ****, ada\nas landed\n")
	contains(t, "build reproduce", errs, "left out the secret TOKEN: give it with --secret TOKEN=VALUE", "the job fails ended as FAILURE: step 1 exited with 3", " in sha256:")
	if err == nil {
		t.Error("build reproduce of a build that failed: no error")
	}
	out, _, _ = p.try("build", "reproduce", id, "--secret", "TOKEN=another")
	contains(t, "build reproduce --secret", out, "token ****, ada\n")

	tree := p.path("files")
	for name, text := range map[string]string{"README": "changed\n", "new": "", "ignored": ""} {
		if err := os.WriteFile(tree+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("git", "init", "-q", tree).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v: %s", err, out)
	}
	out = p.landfall("build", "run", "works", "--local", "--dir", tree)
	if want := "--- step 1: cat README; ls\nchanged\nREADME\njobs\nnew\n"; out != want {
		t.Errorf("build run --local: got %q, want %q", out, want)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{`the working tree has no job "work": did you mean works?`, []string{"build", "run", "work", "--local", "--dir", tree}},
		{"has no folder jobs with definitions", []string{"build", "run", "works", "--local", "--dir", t.TempDir()}},
		{"name the job's project: --project NAME", []string{"build", "run", "works"}},
		{"there are no lines from 3 to 2", []string{"build", "log", id, "--from", "3", "--to", "2"}},
		{"there is no such document", []string{"build", "shell", id + "x"}},
	} {
		if _, errs, err := p.try(c.args...); err == nil || !strings.Contains(errs, c.want) {
			t.Errorf("landfall %v: %v, %q; want %q", c.args, err, errs, c.want)
		}
	}

	p.build("passes", "works")
	p.landfall("build", "keep", "passes")
	if b := p.ended("passes"); b.State != api.BuildPassed {
		t.Errorf("the build is %s, %q", b.State, b.Error)
	}
	_, errs, err = p.try("build", "shell", "passes")
	contains(t, "build shell", errs, "build passes is passed: only what failed is kept")
	if err == nil {
		t.Error("build shell of a build that passed: no error")
	}
	p.cleared()
}
