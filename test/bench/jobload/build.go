package jobload

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
)

// The jobs of the project that is built.
const (
	Nothing = "nothing" // ends at once
	Hello   = "hello"   // prints greeting
	Talk    = "talk"    // prints the machine's uptime until it is cancelled
)

// greeting is what Hello prints, and nobody before it.
const greeting = "the first line"

// Files are those of the project that is built.
func Files() map[string]string {
	return map[string]string{"README": "Nothing is built here.\n", "jobs/jobs.yml": `- job:
    name: nothing
    script: 'true'
- job:
    name: hello
    script: echo "the first" line
- job:
    name: talk
    script: while sleep 0.2; do cut -d ' ' -f 1 /proc/uptime; done
`}
}

// Builds makes builds of one project at one commit.
type Builds struct {
	Hub
	Project, Commit string
}

// patience is how long a build may take.
const patience = 2 * time.Minute

// order orders a build of a job.
func (b Builds) order(ctx context.Context, job string) (api.Build, error) {
	return api.Builds.Create(ctx, b.Client, "", api.Build{Project: b.Project, Job: job, Commit: b.Commit})
}

// await waits until a build is as it should be.
func (b Builds) await(ctx context.Context, id string, done func(api.Build) bool) (api.Build, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("build %s does not come to its end", id))
	defer cancel()
	return api.Builds.Await(ctx, b.Client, id, func(b api.Build) bool { return b.State.Done() || done(b) })
}

// passed waits for the end of a build, which must pass.
func (b Builds) passed(ctx context.Context, id string) (api.Build, error) {
	built, err := b.await(ctx, id, func(api.Build) bool { return false })
	if err == nil && built.State != api.BuildPassed {
		err = fmt.Errorf("build %s has %s: %s", id, built.State, built.Error)
	}
	return built, err
}

// FirstLine returns how long it takes from when a build is queued until
// somebody who follows its log reads the first line that its script prints.
func (b Builds) FirstLine(ctx context.Context) (time.Duration, error) {
	ordered, err := b.order(ctx, Hello)
	if err != nil {
		return 0, err
	}
	id := ordered.Link.ID()
	log, err := b.do(ctx, "GET", "/logs/"+id, nil)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	if err := until(log, greeting); err != nil {
		return 0, fmt.Errorf("the log of build %s: %w", id, err)
	}
	read := time.Now()
	built, err := b.passed(ctx, id)
	return read.Sub(built.Queued), err
}

// until reads Server-Sent Events until the text in them has a line.
func until(events io.Reader, line string) error {
	s := bufio.NewScanner(events)
	s.Buffer(nil, 4<<20)
	var text strings.Builder
	for s.Scan() {
		data, ok := strings.CutPrefix(s.Text(), "data: ")
		var more string
		if !ok || json.Unmarshal([]byte(data), &more) != nil {
			continue
		}
		text.WriteString(more)
		if slices.Contains(strings.Split(text.String(), "\n"), line) {
			return nil
		}
	}
	return errors.Join(s.Err(), fmt.Errorf("it has no line %q but %q", line, text.String()))
}

// Bare returns how long docker run takes to print the same line.
func Bare(ctx context.Context, image string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, "docker", "run", "--rm", "--network=none", image, "/bin/sh", "-c", "echo "+greeting)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	took := time.Since(began)
	err = errors.Join(err, cmd.Wait())
	if err == nil && line != greeting+"\n" {
		err = fmt.Errorf("docker run printed %q", line)
	}
	return took, err
}

// Starts orders n builds at once and returns how many were started a second,
// from the first to the last.
func (b Builds) Starts(ctx context.Context, n int) (float64, error) {
	var ids []string
	for range n {
		ordered, err := b.order(ctx, Nothing)
		if err != nil {
			return 0, err
		}
		ids = append(ids, ordered.Link.ID())
	}
	var first, last time.Time
	for _, id := range ids {
		built, err := b.passed(ctx, id)
		if err != nil {
			return 0, err
		}
		if first.IsZero() || built.Started.Before(first) {
			first = built.Started
		}
		if built.Started.After(last) {
			last = built.Started
		}
	}
	return float64(n-1) / last.Sub(first).Seconds(), nil
}
