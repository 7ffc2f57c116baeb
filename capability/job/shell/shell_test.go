package shell

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestScriptsAreOnlyRead(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace")
	for _, test := range []struct {
		name, script string
		want         *Mistake
	}{
		{"plain", "set -e\nmake test\n", nil},
		{"of bash", "a=(1 2)\nif [[ ${a[0]} =~ 1 ]]; then rm -f !(keep); fi\n", nil},
		{"a loop without its end", "for i in a b; do\n  echo $i\n", &Mistake{2, "syntax error: unexpected end of file"}},
		{"a quote too few", "echo ok\necho 'no end\n", &Mistake{2, "unexpected EOF while looking for matching `''"}},
		{"the wrong word", "if true; then\n  make\ndone\n", &Mistake{3, "syntax error near unexpected token `done'"}},
		{"not run", "touch " + trace + "\necho $(touch " + trace + ")\nexit 3\n", nil},
	} {
		got, err := Check(t.Context(), test.script)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if (got == nil) != (test.want == nil) || got != nil && *got != *test.want {
			t.Errorf("%s: found %+v, want %+v", test.name, got, test.want)
		}
	}
	if got, err := Check(t.Context(), strings.Repeat("(", 1<<20)); err != nil || got == nil {
		t.Errorf("a million brackets: %+v, %v, want a mistake", got, err)
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("a script was run")
	}
}

func TestTheFirstLineNamesTheInterpreter(t *testing.T) {
	for script, want := range map[string]string{
		"make\n": "sh", "#!/bin/bash -x\n": "bash", "#!/usr/bin/env python3\n": "python3", "#! /usr/bin/env -S X=1 perl -w\n": "perl", "#!\n": "sh",
	} {
		if got := Interpreter(script); got != want {
			t.Errorf("that of %q is %q, want %q", script, got, want)
		}
	}
}
