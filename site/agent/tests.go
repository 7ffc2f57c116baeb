package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"landfall.dev/engine"
	"landfall.dev/kit"
)

// What the tests of a deployment find in their environment.
const (
	envTarget = "LANDFALL_TARGET" // the address of what is tested
	envToken  = "LANDFALL_TOKEN"  // of the administrator of a platform made of kit
)

// Bounds of tests.
const (
	testWithin = 30 * time.Minute // one command
	testLines  = 5000
	maxOutput  = 32 << 10 // of all commands, bytes; the tail is kept
	tokenFile  = "admin.token"
)

// testGroup is the name of the engine's group for the tests of g. It is one
// of its own, so that tests can be stopped alone.
func testGroup(g group) string { return g.name() + "-tests" }

// test runs the commands one after the other, each as an instance of g's image,
// until one fails. The result has their output, and an Error if one failed.
func (s *instances) test(ctx context.Context, g group, target string, commands []string) (progress, error) {
	env := map[string]string{envTarget: target}
	token, err := s.adminToken(g)
	if err != nil {
		return progress{}, err
	}
	if token != "" {
		env[envToken] = token
	}
	var p progress
	var output strings.Builder
	for n, command := range commands {
		words := strings.Fields(command)
		if len(words) == 0 {
			return p, kit.Errorf(kit.ErrInvalid, g.Order, "test %d is empty: write a command", n+1)
		}
		i := engine.Instance{Group: testGroup(g), Name: fmt.Sprintf("test-%d", n+1), Image: g.Image, Command: words, Env: env}
		exit, logs, err := s.run(ctx, i)
		if err != nil {
			return p, err
		}
		fmt.Fprintf(&output, "$ %s\n%s", command, logs)
		if exit != 0 {
			p.Error = fmt.Sprintf("the test %q ended with exit code %d", command, exit)
			break
		}
	}
	p.Output = tail(output.String(), maxOutput)
	return p, s.engine.Stop(ctx, testGroup(g))
}

// run returns how the instance ended, and what it wrote. One that runs or has
// ended already is not started again, unless nobody has seen how it ended.
func (s *instances) run(ctx context.Context, i engine.Instance) (exit int, logs []byte, err error) {
	limit := time.NewTimer(testWithin)
	defer limit.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for started := false; ; {
		st, err := s.status(ctx, i.Group, i.Name)
		switch {
		case err != nil || st.Running:
		case st.Exit == notSeen && !started:
			err = s.engine.Start(ctx, i)
			started = err == nil
		default:
			logs, err := s.engine.Logs(ctx, i.Group, i.Name, testLines)
			return st.Exit, logs, err
		}
		if errors.Is(err, engine.ErrInvalid) || errors.Is(err, engine.ErrNoImage) {
			return 0, nil, kit.Errorf(kit.ErrInvalid, "", "%v", err)
		}
		if err != nil {
			return 0, nil, err
		}
		select {
		case <-ctx.Done():
			return 0, nil, context.Cause(ctx)
		case <-limit.C:
			err := s.engine.Stop(ctx, i.Group)
			return 0, nil, errors.Join(kit.Errorf(kit.ErrConflict, "", "the test %q did not end within %s", strings.Join(i.Command, " "), testWithin), err)
		case <-tick.C:
		}
	}
}

// adminToken returns the token of the administrator of g, "" if it has none.
// A platform writes it at its first start; the groups that follow get it with
// the documents, and the agent keeps it with them.
func (s *instances) adminToken(g group) (string, error) {
	for _, path := range []string{filepath.Join(s.data(g), "0", tokenFile), filepath.Join(s.data(g), tokenFile)} {
		b, err := os.ReadFile(path)
		if err == nil {
			return strings.TrimSpace(string(b)), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}

// inherit makes the administrator of blue that of green too. That green's
// directory cannot be written is final: nothing has begun yet, and nobody
// would look for the reason while it is tried again.
func (s *instances) inherit(blue, green group) error {
	token, err := s.adminToken(blue)
	if err != nil || token == "" {
		return err
	}
	dir := s.data(green)
	if err := writeToken(dir, token); err != nil {
		return &kit.Error{
			Fault: kit.ErrConflict, Link: green.Link,
			Detail: fmt.Sprintf("the administrator's token cannot be written to %s, the directory of the new group: %v", dir, err),
			Hint:   "make room there, or make the directory writable for the agent, and deploy again; what runs goes on",
		}
	}
	return nil
}

// writeToken keeps an administrator's token in a group's directory.
func writeToken(dir, token string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, tokenFile)
	if err := os.WriteFile(path+".new", []byte(token+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// tail returns the end of text, whole lines if it can.
func tail(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	text = text[len(text)-limit:]
	if _, rest, ok := strings.Cut(text, "\n"); ok {
		text = rest
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
