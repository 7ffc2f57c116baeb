package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"landfall.dev/test/bench/jobload"
	"landfall.dev/test/bench/jobtree"
)

const treeSetup = `The tree of definitions has the shape of large ones in the world
(test/bench/jobtree): macros for what jobs share, with scripts in files,
templates, groups, and 50 projects in three streams. Both sides read it with the
same arguments, as processes, in turns. Jenkins Job Builder writes a file of XML
for each job; ours writes JSON of all that the jobs consist of, without macros, to
one file. One job is a file with nothing else.`

// compareExpansion measures ours and Jenkins Job Builder in turns.
func compareExpansion(ctx context.Context, m *measurement, landfall string) error {
	jenkins, err := installed("jenkins-jobs")
	if err != nil {
		return err
	}
	version, err := exec.CommandContext(ctx, jenkins, "--version").CombinedOutput()
	if err != nil {
		return err
	}
	words := strings.Fields(string(version))
	m.peers = append(m.peers, "Jenkins Job Builder "+word(string(version), len(words)-1)+" (Debian's jenkins-job-builder)")
	m.setup = append(m.setup, treeSetup)
	dir := filepath.Join(m.dir, "tree")
	if err := jobload.WriteTrees(dir); err != nil {
		return err
	}
	ours := jobload.Landfall(landfall, true)
	peer := jobload.Jenkins(jenkins)
	if m.wants("expand", "expand-1500") {
		if err := compareTrees(ctx, m, dir, ours, peer); err != nil {
			return err
		}
	}
	if !m.wants("expand-one") {
		return nil
	}
	ms, err := expandOne(ctx, ours, repeated, dir)
	if err != nil {
		return err
	}
	theirs, err := expandOne(ctx, peer, m.rounds, dir)
	if err != nil {
		return err
	}
	m.bar("expand-one", fmt.Sprintf("ms, one job, process and all, median of %d", repeated), middle(ms), wantOne, atMost(1))
	m.tell("one job, ms: ours p50 %s, p95 %s; Jenkins Job Builder %s", figure(middle(ms)), figure(percentile(ms, 95)), figure(middle(theirs)))
	return nil
}

func compareTrees(ctx context.Context, m *measurement, dir string, ours, peer jobload.Expander) error {
	var mine, theirs, mineCPU, theirsCPU []float64
	for range m.rounds {
		x, err := peer.Many(ctx, dir)
		if err != nil {
			return err
		}
		theirs, theirsCPU = append(theirs, x.Took.Seconds()), append(theirsCPU, x.CPU.Seconds())
		for range m.rounds { // one alone is so short that it would be chance
			if x, err = ours.Many(ctx, dir); err != nil {
				return err
			}
			mine, mineCPU = append(mine, x.Took.Seconds()), append(mineCPU, x.CPU.Seconds())
		}
	}
	m.bar("expand", fmt.Sprintf("jobs a second, a tree of %d", jobtree.Jobs), jobtree.Jobs/middle(mine), jobtree.Jobs/middle(theirs), atLeast(wantFaster))
	m.bar("expand-1500", fmt.Sprintf("s, a tree of %d jobs, median of %d", jobtree.Jobs, len(mine)), middle(mine), wantTree, atMost(1))
	names, err := jobload.Landfall(ours.Program, false).Many(ctx, dir)
	if err != nil {
		return err
	}
	m.tell("a tree of %d jobs of which ours prints the names only: %s s", jobtree.Jobs, figure(names.Took.Seconds()))
	m.tell("a tree of %d jobs, s of CPU: ours %s, Jenkins Job Builder %s", jobtree.Jobs, figure(middle(mineCPU)), figure(middle(theirsCPU)))
	return nil
}

// expandOne returns the milliseconds that one job takes, n times.
func expandOne(ctx context.Context, e jobload.Expander, n int, dir string) ([]float64, error) {
	return jobload.Repeat(n, func() (float64, error) {
		x, err := e.One(ctx, dir)
		return jobload.Milliseconds(x.Took), err
	})
}
