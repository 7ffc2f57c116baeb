package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"landfall.dev/test/bench/server"
)

// start starts a program, with what it says in the measurement's directory.
func (m *measurement) start(ctx context.Context, name string, env []string, program string, args ...string) (*server.Server, error) {
	return server.Start(ctx, m.dir, name, env, program, args...)
}

// result runs a program that prints JSON, and reads that into v. It returns
// the CPU time that the program took.
func (m *measurement) result(ctx context.Context, v any, program string, args ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = m.dir, &out, &errs
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s %s: %w: %s", filepath.Base(program), args[0], err, strings.TrimSpace(errs.String()))
	}
	if v != nil {
		if err := json.Unmarshal(out.Bytes(), v); err != nil {
			return 0, fmt.Errorf("%s %s: %w", filepath.Base(program), args[0], err)
		}
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// build builds the program in a directory of the checkout and returns its
// path.
func (m *measurement) build(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(m.dir, filepath.Base(dir))
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s does not build: %w\n%s", dir, err, out)
	}
	return program, nil
}
