package runner

import (
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/engine"
)

// Each of these builds would harm a machine that runs it as it is. Here it ends
// with a verdict that says why, and the build beside it passes.
func TestHostileBuildsAreContained(t *testing.T) {
	h := newHub(t)
	c := h.config()
	c.Engine, c.DefaultImage = dockerEngine(t)
	c.Parallel, c.Warm, c.ArtifactsMB = 2, 1, 10
	c.Limits = engine.Limits{MemoryMB: 256, Pids: 200, CPUs: 1, DiskMB: 64}
	stop := start(t, newRunner(t, c))
	tests := []struct {
		name   string
		script string
		time   int
		after  api.JobSpec // more of the job
		state  api.BuildState
		want   []string // one of them is in the verdict
		log    string   // is in the log
		// refused is in the log if the verdict is an exit code: many processes write
		// the last lines of it, which the verdict quotes, at the same time.
		refused string
	}{
		{name: "fork-bomb", script: "bomb() { bomb | bomb & }; bomb; while :; do sleep 1 & done", time: 60, state: api.BuildFailed,
			want: []string{"was killed: it had as many processes as it may, 200", "step 1 exited with 2"}, refused: "can't fork"},
		{name: "processes", script: `n=0; while [ $n -lt 3 ]; do (while :; do sleep 1000 & done) 2> /dev/null & n=$((n+1)); done; exec sleep 1000`, time: 60, state: api.BuildFailed,
			want: []string{"was killed: it had as many processes as it may, 200", "step 1 exited with 2"}, refused: "can't fork"},
		{name: "memory", script: "tail -c 900000000 /dev/zero", time: 60, state: api.BuildFailed, want: []string{"memory"}},
		{name: "disk", script: "yes > big", time: 60, state: api.BuildFailed, want: []string{"was killed: it wrote more than 64 MiB of disk, its limit"}},
		{name: "tmp", script: "yes > /tmp/big", time: 60, state: api.BuildFailed, want: []string{"No space left on device"}},
		{name: "lines", script: "yes a line of a million in a second", time: 5, state: api.BuildFailed, want: []string{"took longer than 5 seconds"}},
		{name: "escapes", script: `printf '\033]0;title\007\033[2J\033]1338;url=http://evil/x.gif\007\033[31mred\n'`, time: 60, state: api.BuildPassed, want: []string{""}, log: "\x1b[31mred"},
		{name: "deaf", script: "trap '' TERM; while :; do sleep 0.2; done", time: 1, state: api.BuildFailed, want: []string{"took longer than 1 second"}},
		{name: "artifact", script: "dd if=/dev/zero of=big bs=1 count=1 seek=1073741823 2> /dev/null", time: 60, after: api.JobSpec{Artifacts: []string{"big"}}, state: api.BuildFailed,
			want: []string{"the artifacts have more than 10 MiB, the limit of runner one, with big of 1024 MiB"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spec := test.after
			spec.Script, spec.TimeoutSeconds = []string{test.script}, test.time
			h.submit(test.name, spec)
			beside := test.name + "-beside"
			h.submit(beside, api.JobSpec{Script: []string{"n=0; while [ $n -lt 10 ]; do sleep 0.1; n=$((n+1)); done; echo done > file; cat file"}})
			if b := h.ended(beside); b.State != api.BuildPassed {
				t.Errorf("the build beside it is %s, %q:\n%s", b.State, b.Error, h.log(beside, 1))
			}
			b := h.ended(test.name)
			said := false
			for _, want := range test.want {
				said = said || strings.Contains(b.Error, want)
			}
			if log := h.log(test.name, 1); !strings.HasPrefix(b.Error, "was killed") && !strings.Contains(log, test.refused) {
				t.Errorf("it is %q, without %q in the log:\n%s", b.Error, test.refused, log[max(0, len(log)-500):])
			}
			if log := h.log(test.name, 1); b.State != test.state || !said || !strings.Contains(log, test.log) {
				t.Errorf("it is %s, %q; want %s, %q, and %q in the log:\n%s", b.State, b.Error, test.state, test.want, test.log, log[max(0, len(log)-500):])
			}
		})
	}
	stop()
	if names := containers(t); len(names) > 0 {
		t.Errorf("containers are left: %q", names)
	}
}
