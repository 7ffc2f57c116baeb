// Package wrk loads a server by the program wrk, which takes little of the
// machine for itself.
package wrk

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"landfall.dev/test/bench/load"
)

// Run has the program ask for the URL over so many connections, each of which
// waits for its answers, for the time in whole seconds.
func Run(ctx context.Context, program, url string, connections int, span time.Duration) (load.Result, error) {
	out, err := exec.CommandContext(ctx, program, "-t1", "-c", strconv.Itoa(connections),
		"-d", fmt.Sprintf("%ds", Seconds(span)), "--latency", url).CombinedOutput()
	if err != nil {
		return load.Result{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return parse(string(out))
}

// Seconds rounds up: wrk knows no parts of a second.
func Seconds(d time.Duration) int {
	return max(int((d+time.Second-1)/time.Second), 1)
}

// parse reads what wrk --latency prints.
func parse(out string) (load.Result, error) {
	var r load.Result
	var p50, p99 time.Duration
	var errs [6]error
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "50%":
			p50, errs[0] = time.ParseDuration(f[1])
		case len(f) == 2 && f[0] == "99%":
			p99, errs[1] = time.ParseDuration(f[1])
		case len(f) > 2 && f[1] == "requests" && f[2] == "in":
			r.Requests, errs[2] = strconv.Atoi(f[0])
		case len(f) == 2 && f[0] == "Requests/sec:":
			r.PerSecond, errs[3] = strconv.ParseFloat(f[1], 64)
		case strings.HasPrefix(line, "Non-2xx or 3xx responses:"):
			var n int
			n, errs[4] = strconv.Atoi(f[len(f)-1])
			r.Failed += n
		case strings.HasPrefix(line, "Socket errors:"):
			var n [4]int
			_, errs[5] = fmt.Sscanf(line, "Socket errors: connect %d, read %d, write %d, timeout %d", &n[0], &n[1], &n[2], &n[3])
			r.Failed += n[0] + n[1] + n[2] + n[3]
		}
	}
	if err := errors.Join(errs[:]...); err != nil {
		return r, fmt.Errorf("wrk is not understood: %w\n%s", err, out)
	}
	if r.Requests == 0 || r.PerSecond == 0 {
		return r, fmt.Errorf("wrk tells of no requests:\n%s", out)
	}
	r.P50, r.P99 = p50.Seconds()*1000, p99.Seconds()*1000
	return r, nil
}
