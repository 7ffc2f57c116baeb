package quality

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/quality/coverage"
	"landfall.dev/capability/quality/junit"
	"landfall.dev/capability/quality/patch"
	"landfall.dev/capability/quality/sarif"
	"landfall.dev/capability/quality/sonar"
	"landfall.dev/kit"
)

// judging carries out the action of reports.
type judging struct {
	client kit.Client
	http   *http.Client
	base   string
	blobs  kit.Blobs
	sonar  sonar.Server
}

// judge reads the report files of the build of the report r and judges them.
func (j judging) judge(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	report, err := api.Reports.Decode(r)
	if err != nil {
		return nil, err
	}
	b, err := api.Builds.Read(ctx, j.client, report.Link.ID())
	if err != nil {
		return nil, err
	}
	e := evidence{rules: api.DefaultGate}
	gate, err := found(api.Gates.Read(ctx, j.client, b.Project))
	if err != nil {
		return nil, err
	}
	if gate.Link != "" {
		e.rules = gate.GateRules
	}
	if err := j.read(ctx, b.Reports, &e); err != nil {
		return nil, err
	}
	if err := j.askSonar(ctx, b, &e); err != nil {
		return nil, err
	}
	var o outcome
	if o.Parent, e.patch, err = j.added(ctx, b); err != nil {
		return nil, err
	}
	if err := j.before(ctx, report, o.Parent, &e); err != nil {
		return nil, err
	}
	if err := j.copied(ctx, b, &e); err != nil {
		return nil, err
	}
	if e.tests != nil {
		history, err := found(api.Tests.Read(ctx, j.client, historyID(report)))
		if err != nil {
			return nil, err
		}
		x, err := j.tested(ctx, b, e, history)
		if err != nil {
			return nil, err
		}
		o.Tested, e.flaky = &x, flaky(after(history, x))
	}
	o.verdict = e.verdict()
	return fit(o)
}

// maxOutcome is how large an outcome may be in JSON, in bytes.
const maxOutcome = kit.MaxDocument / 2

// fit shortens the lists of o, which are of whatever the reports say, until it
// is small enough for a document.
func fit(o outcome) (outcome, error) {
	for range 20 {
		b, err := json.Marshal(o)
		if err != nil || len(b) <= maxOutcome {
			return o, err
		}
		if t := o.Tests; t != nil {
			t.Failures, t.Slowest = half(t.Failures), half(t.Slowest)
		}
		if c := o.Coverage; c != nil {
			c.Missed = half(c.Missed)
		}
		if d := o.Duplication; d != nil {
			d.List = half(d.List)
		}
		if f := o.Findings; f != nil {
			f.List = half(f.List)
		}
		if x := o.Tested; x != nil {
			x.Before, x.Slowest = nil, half(x.Slowest)
			names := slices.Sorted(maps.Keys(x.Outcomes))
			for _, name := range names[len(names)/2:] {
				delete(x.Outcomes, name)
			}
		}
	}
	return o, nil // what is left is no list
}

func half[T any](list []T) []T { return list[:len(list)/2] }

// found turns the error for a document that does not exist into a zero one.
func found[T any](doc T, err error) (T, error) {
	if errors.Is(err, kit.ErrNotFound) {
		var none T
		return none, nil
	}
	return doc, err
}

// read adds what report files say to e. What is wrong with them becomes a
// problem; its error is that of getting at them.
func (j judging) read(ctx context.Context, files []api.ReportFile, e *evidence) error {
	var lines coverage.Reader
	var findings sarif.Findings
	for _, f := range files {
		if f.Kind.OfInventory() {
			continue
		}
		if f.Error != "" {
			e.problems = append(e.problems, fmt.Sprintf("%s report %s: %s", f.Kind, f.Path, f.Error))
			continue
		}
		data, err := j.file(ctx, f)
		if err != nil {
			return err
		}
		switch f.Kind {
		case api.ReportJUnit:
			if e.tests == nil {
				e.tests = &junit.Results{}
			}
			err = e.tests.Read(f.Path, data)
		case api.ReportCoverage:
			var p coverage.Profile
			if p, err = lines.Read(f.Path, data); err == nil {
				e.profiles = append(e.profiles, p)
			}
		case api.ReportSARIF:
			e.analysed = true
			err = findings.Read(f.Path, data)
		case api.ReportSonar:
			var t sonar.Task
			if t, err = sonar.Read(f.Path, data); err == nil {
				e.tasks = append(e.tasks, t)
			}
		default:
			err = fmt.Errorf("%s: reports of kind %q are not known", f.Path, f.Kind)
		}
		if err != nil {
			e.problems = append(e.problems, err.Error())
		}
	}
	e.findings = findings.List
	return nil
}

const (
	// maxTasks is how many analyses of SonarQube a build may have.
	maxTasks = 10
	// patience is how long after the build SonarQube may take for its analysis.
	patience = time.Hour
)

// askSonar adds what SonarQube's gate says of the build's analyses. Until the
// server has done them, its error is temporary.
func (j judging) askSonar(ctx context.Context, b api.Build, e *evidence) error {
	for _, t := range e.tasks[:min(len(e.tasks), maxTasks)] {
		c, err := j.sonar.Verdict(ctx, e.rules.Sonar, t)
		late := kit.Temporary(err) && time.Since(b.Finished) > patience
		switch {
		case errors.Is(err, kit.ErrInvalid) || late:
			e.problems = append(e.problems, err.Error())
		case err != nil:
			return err
		default:
			e.sonar = append(e.sonar, c)
		}
	}
	if n := len(e.tasks); n > maxTasks {
		e.problems = append(e.problems, fmt.Sprintf("the build has %d analyses of SonarQube, the limit is %d", n, maxTasks))
	}
	return nil
}

// file returns the bytes of a report file.
func (j judging) file(ctx context.Context, f api.ReportFile) ([]byte, error) {
	b, err := j.blobs.Open(ctx, f.Digest)
	if err != nil {
		return nil, &kit.Error{Op: "quality.read", Detail: fmt.Sprintf("the %s report %s cannot be read", f.Kind, f.Path), Err: err}
	}
	defer b.Close()
	if b.Size() > api.MaxReport {
		return nil, kit.Errorf(kit.ErrTooLarge, "", "the %s report %s has %d bytes, the limit is %d", f.Kind, f.Path, b.Size(), api.MaxReport)
	}
	return io.ReadAll(b)
}

// added returns the commit that b's is a change of, and the lines that it adds;
// no patch if nobody knows.
func (j judging) added(ctx context.Context, b api.Build) (parent string, p *patch.Patch, err error) {
	change, number, err := j.change(ctx, b)
	if err != nil || change == "" {
		return "", nil, err
	}
	c, err := found(api.Changes.Read(ctx, j.client, change.ID()))
	if err != nil {
		return "", nil, err
	}
	for _, ps := range c.PatchSets {
		if ps.Number != number || ps.Commit != b.Commit {
			continue
		}
		diff, err := j.fetch(ctx, fmt.Sprintf("/source/%s/diff/%s..%s", url.PathEscape(b.Project), ps.Parent, ps.Commit))
		if err != nil {
			return "", nil, err
		}
		if p, err = patch.Parse(diff); err != nil {
			return "", nil, &kit.Error{Fault: kit.ErrInvalid, Link: c.Link, Err: err}
		}
		return ps.Parent, p, nil
	}
	return "", nil, nil
}

// maxRounds is how often a run may have been run again and still be followed.
const maxRounds = 20

// change returns the change and the patch set that b is of: its own, or the one
// whose landing its run is for.
func (j judging) change(ctx context.Context, b api.Build) (kit.Link, int, error) {
	if b.Change != "" || b.Run == "" {
		return b.Change, b.PatchSet, nil
	}
	from := b.Run
	for range maxRounds {
		if from.Kind() != api.Runs.Name {
			break
		}
		run, err := found(api.Runs.Read(ctx, j.client, from.ID()))
		if err != nil {
			return "", 0, err
		}
		from = run.Source
	}
	if from.Kind() != api.Landings.Name {
		return "", 0, nil
	}
	l, err := found(api.Landings.Read(ctx, j.client, from.ID()))
	return l.Change, l.PatchSet, err
}

// maxDiff is more than source ever answers with, in bytes.
const maxDiff = 16 << 20

// fetch returns what the hub has at path.
func (j judging) fetch(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.base+path, nil)
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrInvalid, Err: err}
	}
	res, err := j.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDiff))
	if err == nil && res.StatusCode != http.StatusOK {
		err = kit.DecodeProblem(res.StatusCode, body)
	}
	return body, err
}

// tested returns what b's tests are in their history.
func (j judging) tested(ctx context.Context, b api.Build, e evidence, h api.TestHistory) (tested, error) {
	x := tested{
		Build:    api.TestedBuild{Build: b.Link, Commit: b.Commit, At: b.Finished},
		Outcomes: map[string]string{}, Release: e.rules.Quarantine, Slowest: slowest(e.tests.Tests),
	}
	if x.Release == 0 {
		x.Release = api.DefaultGate.Quarantine
	}
	known := map[string]bool{}
	for _, t := range h.Tests {
		known[t.Name] = true
	}
	var fresh []string // those that fail for the first time
	for _, t := range e.tests.Tests {
		x.Build.Seconds += t.Seconds
		switch t.Outcome {
		case junit.Passed:
			x.Build.Passed++
		case junit.Skipped:
			x.Build.Skipped++
		case junit.Failed:
			x.Build.Failed++
			if !known[t.Name] && len(fresh) < maxFresh {
				fresh = append(fresh, t.Name)
				x.Outcomes[t.Name] = string(t.Outcome)
			}
		}
		if known[t.Name] {
			x.Outcomes[t.Name] = string(t.Outcome)
		}
	}
	if len(fresh) == 0 {
		return x, nil
	}
	var err error
	x.Before, err = j.passedBefore(ctx, b, h, fresh)
	return x, err
}

// maxBefore is how many earlier builds of a commit are looked at.
const maxBefore = 3

// passedBefore returns which of the tests passed in earlier builds of b's
// commit. The history does not tell: it keeps only tests that have failed.
func (j judging) passedBefore(ctx context.Context, b api.Build, h api.TestHistory, tests []string) (map[kit.Link][]string, error) {
	passed := map[kit.Link][]string{}
	for _, old := range slices.Backward(h.Builds) {
		if old.Commit != b.Commit || old.Build == b.Link {
			continue
		}
		if len(passed) == maxBefore {
			break
		}
		build, err := found(api.Builds.Read(ctx, j.client, old.Build.ID()))
		if err != nil {
			return nil, err
		}
		var e evidence
		err = j.read(ctx, only(build.Reports, api.ReportJUnit), &e)
		if err != nil && !errors.Is(err, kit.ErrNotFound) {
			return nil, err
		}
		if err != nil || e.tests == nil {
			continue // they are not kept any more
		}
		for _, name := range tests {
			if t, ok := e.tests.Find(name); ok && t.Outcome == junit.Passed {
				passed[old.Build] = append(passed[old.Build], name)
			}
		}
	}
	return passed, nil
}

// only returns the files of a kind.
func only(files []api.ReportFile, kind api.ReportKind) []api.ReportFile {
	var kept []api.ReportFile
	for _, f := range files {
		if f.Kind == kind {
			kept = append(kept, f)
		}
	}
	return kept
}
