package jobs

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
)

// printer prints jobs for people: each with its name, and below that what it has,
// one thing a line. What is empty, and so as in most jobs, is left out.
type printer struct{ w io.Writer }

// line prints one thing of a job, unless it is empty. Further lines of the text
// stand below the first.
func (p printer) line(indent, what, text string) {
	if text = strings.TrimSpace(text); text == "" {
		return
	}
	before := fmt.Sprintf("%s%-9s", indent, what)
	below := strings.Repeat(" ", len(before))
	fmt.Fprintln(p.w, before+strings.ReplaceAll(text, "\n", "\n"+below))
}

// list prints the texts in one line.
func (p printer) list(what string, texts []string) { p.line(margin, what, strings.Join(texts, ", ")) }

// margin is what stands before all that a job has.
const margin = "  "

func (p printer) job(s api.JobSpec) {
	fmt.Fprintln(p.w, s.Name)
	p.line(margin, "from", strings.Join(s.Origin, " > "))
	p.line(margin, "formerly", s.MovedFrom)
	p.starts(s)
	p.container(s)
	p.steps(margin, s)
	p.outcome(s)
	for _, m := range s.Missing {
		what := "without"
		if m.Needed {
			what = "cannot run:"
		}
		fmt.Fprintf(p.w, "%s%s %s (%s)\n", margin, what, m.Component, m.Reason)
	}
}

// starts prints what starts a job, and with what.
func (p printer) starts(s api.JobSpec) {
	if s.Schedule != nil {
		p.line(margin, "times", strings.Join(s.Schedule.Timed, "\n"))
		p.list("", []string{"missed " + string(cmp.Or(s.Schedule.Missed, api.MissedOne)), "overlap " + string(cmp.Or(s.Schedule.Overlap, api.OverlapForbid))})
	}
	if s.Pipeline {
		p.line(margin, "pipeline", "runs when a build at one of these times has passed")
	}
	for _, t := range s.Triggers {
		text := t.Type
		if len(t.Events) > 0 {
			text += " by " + strings.Join(t.Events, ", ")
		} else if len(t.On) > 0 {
			text += " of " + strings.Join(t.On, ", ")
		}
		p.line(margin, "trigger", text)
	}
	for _, x := range s.Parameters {
		value := x.Default
		switch {
		case x.Secret:
			value = "****"
		case len(x.Choices) > 0:
			value = strings.Join(x.Choices, " | ")
		case x.Random:
			value = "at random"
		}
		p.line(margin, "param", x.Name+"="+value)
	}
	if m := s.Matrix; m != nil {
		p.line(margin, "matrix", fmt.Sprintf("%s: %d builds", strings.Join(m.Axes, ", "), len(m.Cells)))
	}
	var locks []string
	for _, l := range s.Locks {
		locks = append(locks, fmt.Sprintf("%s %d of %d", l.Name, l.Part, l.Room))
	}
	p.list("locks", locks)
}

// container prints what a build runs in.
func (p printer) container(s api.JobSpec) {
	p.line(margin, "image", s.Image)
	p.list("labels", s.Labels)
	for _, v := range s.Services {
		text := v.Name + " of " + v.Image
		if v.Ready != "" {
			text += ", ready when: " + v.Ready
		}
		p.line(margin, "service", text)
	}
	cache := pairs(s.Cache, " at ")
	for i, key := range slices.Sorted(maps.Keys(s.Cache)) {
		if n := s.CacheMB[key]; n > 0 {
			cache[i] += fmt.Sprintf(" up to %dM", n)
		}
	}
	p.list("cache", cache)
	if r := s.Resources; r != nil {
		var all []string
		for _, x := range []struct {
			name, unit string
			n          float64
		}{{"cpus", "", r.CPUs}, {"memory", "M", float64(r.MemoryMB)}, {"pids", "", float64(r.Pids)}, {"disk", "M", float64(r.DiskMB)}} {
			if x.n > 0 {
				all = append(all, fmt.Sprintf("%s %g%s", x.name, x.n, x.unit))
			}
		}
		p.list("limits", all)
	}
	if s.TimeoutSeconds > 0 {
		p.line(margin, "timeout", seconds(s.TimeoutSeconds))
	}
	if s.QuietSeconds > 0 {
		p.line(margin, "timeout", seconds(s.QuietSeconds)+" of silence")
	}
	p.line(margin, "sources", s.SourceDir)
	p.list("env", pairs(s.Env, "="))
	var secrets []string
	for _, u := range s.Secrets {
		text := u.Secret
		if u.Part != "value" {
			text += " (" + u.Part + ")"
		}
		if u.Variable != "" {
			text += " as " + u.Variable
		}
		secrets = append(secrets, text)
	}
	p.list("secrets", secrets)
}

func seconds(n int) string { return (time.Duration(n) * time.Second).String() }

// pairs are the entries of m in the order of their keys.
func pairs(m map[string]string, between string) []string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, k+between+m[k])
	}
	return all
}

func (p printer) steps(indent string, s api.JobSpec) {
	for _, script := range s.Script {
		p.line(indent, "step", script)
	}
	p.each(indent, s.Steps)
	for _, a := range s.After {
		on := "whatever the result"
		if len(a.On) > 0 {
			on = fmt.Sprintf("on %v", a.On)
		}
		if len(a.Log) > 0 {
			on += ", if the log has " + strings.Join(a.Log, ", ")
		}
		p.line(indent, "after", on)
		p.each(indent+margin, a.Steps)
	}
}

func (p printer) each(indent string, steps []api.Step) {
	for _, s := range steps {
		switch {
		case s.Shell != nil:
			p.line(indent, "step", s.Shell.Script)
		case s.If != nil:
			p.line(indent, "if", condition(s.If.Condition))
			p.each(indent+margin, s.If.Steps)
		case s.Inject != nil:
			p.line(indent, "inject", s.Inject.File+"\n"+s.Inject.Content)
		case s.Copy != nil:
			p.line(indent, "copy", fmt.Sprintf("%s of %s", cmp.Or(strings.Join(s.Copy.Files, ", "), "all"), s.Copy.Job))
		case s.Call != nil:
			p.call(indent, s.Call)
		case s.File != nil:
			from := "the definitions"
			if s.File.Secret {
				from = "a secret"
			}
			p.line(indent, "file", fmt.Sprintf("%s of %s %s", s.File.Name, from, strings.TrimSpace(s.File.Variable+" "+s.File.Target)))
		}
	}
}

func (p printer) call(indent string, s *api.CallStep) {
	var jobs []string
	for _, called := range s.All() {
		jobs = append(jobs, called.Jobs...)
	}
	what := "start"
	if s.Wait {
		what = "build"
	}
	p.line(indent, what, strings.Join(jobs, ", "))
}

// condition is c in one line.
func condition(c api.StepCondition) string {
	var of []string
	for _, o := range c.Of {
		of = append(of, condition(o))
	}
	text := strings.TrimSpace(fmt.Sprintf("%s %s %s", c.Type, c.A, c.B))
	if len(of) > 0 {
		text += " (" + strings.Join(of, ", ") + ")"
	}
	return text
}

// outcome prints what becomes of a build that has run.
func (p printer) outcome(s api.JobSpec) {
	p.list("keeps", s.Artifacts)
	if r := s.Reports; r != nil {
		for _, x := range []struct {
			kind     api.ReportKind
			patterns []string
		}{
			{api.ReportJUnit, r.JUnit}, {api.ReportCoverage, r.Coverage}, {api.ReportSARIF, r.SARIF},
			{api.ReportSonar, r.Sonar}, {api.ReportCycloneDX, r.CycloneDX}, {api.ReportOSV, r.OSV},
		} {
			if len(x.patterns) > 0 {
				p.list("report", append([]string{string(x.kind) + " in " + x.patterns[0]}, x.patterns[1:]...))
			}
		}
	}
	if s.Pack != nil {
		p.line(margin, "pack", s.Pack.Repository)
	}
	if s.Retry != nil {
		p.line(margin, "retry", fmt.Sprintf("%d times", s.Retry.Max))
	}
	if s.Once {
		p.line(margin, "once", "not tried again when its host is lost")
	}
	for _, d := range s.Downstream {
		text := strings.Join(d.Jobs, ", ")
		if len(d.On) > 0 {
			text += fmt.Sprintf(" on %v", d.On)
		}
		p.line(margin, "then", text)
	}
	for _, m := range s.Messages {
		to := slices.Clone(m.To)
		if m.Author {
			to = append(to, "the author")
		}
		p.line(margin, "tell", fmt.Sprintf("%s, when %v", cmp.Or(strings.Join(to, ", "), "the project's channel"), m.When))
	}
}
