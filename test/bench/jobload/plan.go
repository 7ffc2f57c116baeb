package jobload

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/pipeline/plan"
)

// program makes a graph of 500 builds: 25 stages of 20 that run at once.
const program = `
def main(ctx):
    stages = []
    for s in range(25):
        builds = [build(job = "job-%d" % j, params = {"stage": str(s), "branch": ctx.event.branch}) for j in range(20)]
        stages.append(stage("stage-%d" % s, parallel(*builds)))
    return stages
`

// Nodes is how many nodes the planned pipeline has.
const Nodes = 500

// Plan returns how long the hub's own process for a pipeline takes, from its
// start to its answer. Landfall is the binary.
func Plan(ctx context.Context, landfall string) (time.Duration, error) {
	in := plan.Input{
		Event:   plan.Event{Type: "merged", Branch: "main", Commit: "c0ffee"},
		Project: plan.Project{Name: "large"}, Files: map[string]string{"pipeline.star": program},
	}
	for j := range 20 {
		in.Jobs = append(in.Jobs, fmt.Sprintf("job-%d", j))
	}
	text, err := json.Marshal(in)
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, landfall, plan.Command)
	cmd.Env = []string{"GOMEMLIMIT=192MiB", "GOMAXPROCS=1"} // as the hub does
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout = bytes.NewReader(text), &out
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("plan a pipeline: %w", err)
	}
	took := time.Since(began)
	var answer struct {
		Plan  api.Plan    `json:"plan"`
		Error *plan.Error `json:"error"`
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return 0, err
	}
	if answer.Error != nil {
		return 0, answer.Error
	}
	if n := len(answer.Plan.Nodes); n != Nodes {
		return 0, fmt.Errorf("the plan has %d nodes, want %d", n, Nodes)
	}
	return took, nil
}
