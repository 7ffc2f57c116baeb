// Package upgrades tells live upgrades to people in lines of text: as they are, as
// they go, and what a rehearsal has come to. It decides nothing.
package upgrades

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/progress"
	"landfall.dev/kit"
)

// State is u's state for a table.
func State(u api.Upgrade) string {
	state := string(u.State)
	if u.Rehearse && u.State != api.UpgradeRehearsed {
		state += ", rehearsal"
	}
	if u.Paused {
		state += ", paused"
	}
	return state
}

// Pause writes a pause, nothing for none.
func Pause(d api.Duration) string {
	if d == 0 {
		return ""
	}
	return d.Std().Round(time.Millisecond).String()
}

const cycleHead = "cycle   documents  deletions  seconds     docs/s     left  predicted pause"

func cycleLine(k api.Cycle) string {
	mark := ""
	switch {
	case k.Final:
		mark = "  final, traffic held"
	case k.Bound > 0:
		mark = fmt.Sprintf("  bound to %.0f docs/s", k.Bound)
	}
	return fmt.Sprintf("%5d  %10d %10d %8.3f %10.0f %8d  %-10s %s%s", k.Number, k.Documents, k.Deletions, k.Seconds, k.Rate, k.Left, Pause(k.Predicted), bar(k.Documents), mark)
}

// bar draws a number of documents, four marks for each factor of ten.
func bar(documents int64) string {
	return strings.Repeat("#", int(4*math.Log10(float64(documents+1))))
}

// Describe returns all that is to be said of u.
func Describe(u api.Upgrade) []string {
	lines := []string{fmt.Sprintf("%s  %s: %s -> %s  %s %s", u.Link, u.Environment, Short(u.Blue.Image), Short(u.Green.Image), State(u), u.Error)}
	lines = append(lines, oneWay(u)...)
	if len(u.Cycles) > 0 {
		lines = append(lines, cycleHead)
	}
	for _, k := range u.Cycles {
		lines = append(lines, cycleLine(k))
	}
	if u.Sparing.Base > 0 {
		lines = append(lines, sparing(u))
	}
	if u.Slowest > 0 {
		lines = append(lines, slowed(u))
	}
	if all := quarantine(u); len(all) > 0 {
		lines = append(lines, all...)
	}
	if u.Verified != nil {
		lines = append(lines, fmt.Sprintf("verified: %d documents in %d buckets, %d different", u.Verified.Documents, u.Verified.Buckets, u.Verified.Different))
	}
	if u.Pause > 0 {
		lines = append(lines, fmt.Sprintf("pause: %s (predicted %s, budget %s)", Pause(u.Pause), Pause(u.Predicted), Pause(u.Budget)))
	}
	lines = append(lines, traffic(u)...)
	if u.Back != nil {
		lines = append(lines, backLine(u))
	}
	if u.Back != nil && u.Back.Pause > 0 {
		lines = append(lines, fmt.Sprintf("pause of going back: %s (predicted %s, budget %s)", Pause(u.Back.Pause), Pause(u.Back.Predicted), Pause(u.Budget)))
	}
	for _, r := range u.Health {
		lines = append(lines, fmt.Sprintf("check %s: %.4g %s", r.Name, r.Value, r.Error))
	}
	for _, m := range u.History {
		if m.State == api.UpgradeBack {
			lines = append(lines, momentLine(m))
		}
	}
	if u.Rehearsal != nil {
		lines = append(lines, u.Rehearsal.Lines()...)
	}
	return lines
}

// traffic says where traffic has gone since when, if u has moved it.
func traffic(u api.Upgrade) (lines []string) {
	for _, m := range u.History {
		switch {
		case m.State == api.UpgradeReleased && lines == nil:
			lines = []string{"traffic goes to green since " + m.At.Format(time.RFC3339Nano)}
		case m.State == api.UpgradeRolledBack:
			lines = []string{"traffic goes to blue again since " + m.At.Format(time.RFC3339Nano)}
		}
	}
	return lines
}

// Quarantine lists the documents of u that cannot be transformed.
func Quarantine(u api.Upgrade) []string {
	lines := quarantine(u)
	if len(lines) == 0 {
		return []string{"nothing is in quarantine"}
	}
	return lines
}

func quarantine(u api.Upgrade) []string {
	lines := quarantined("in quarantine", u.Quarantine)
	if u.Back != nil {
		lines = append(lines, quarantined("in quarantine on the way back", u.Back.Quarantine)...)
	}
	return lines
}

func quarantined(where string, all []api.Quarantined) (lines []string) {
	for _, q := range all {
		line := fmt.Sprintf("%s: %s, version %d", where, q, q.Version)
		if q.WaivedBy != "" {
			line += ", stays behind: waived by " + q.WaivedBy
		}
		lines = append(lines, line)
	}
	return lines
}

func momentLine(m api.Moment) string {
	return fmt.Sprintf("%s  %s %s", m.At.Format("15:04:05.000"), m.State, m.Text)
}

// oneWay says why there is no way back, a line for each reason.
func oneWay(u api.Upgrade) []string {
	var lines []string
	for _, why := range u.OneWay {
		lines = append(lines, "no way back without loss: "+why)
	}
	return lines
}

func slowed(u api.Upgrade) string {
	return fmt.Sprintf("writers are slowed by %.0f %%, at most they were by %.0f %%", 100*u.Slowed, 100*u.Slowest)
}

// sparing says how blue's clients fare while it is copied.
func sparing(u api.Upgrade) string {
	s := u.Sparing
	line := fmt.Sprintf("p99 of %.0f requests/s before copying: %s (limit %s)", s.Requests, latency(s.Base), latency(s.Limit))
	if s.P99 > 0 {
		line += ", while copying: " + latency(s.P99)
	}
	if s.Rate > 0 && u.State == api.UpgradeCopying {
		line += fmt.Sprintf(", so the copy is bound to %.0f docs/s", s.Rate)
	}
	return line
}

// latency writes the time that requests take.
func latency(d api.Duration) string { return d.Std().Round(10 * time.Microsecond).String() }

// backLine says how far blue is behind green.
func backLine(u api.Upgrade) string {
	b := u.Back
	line := fmt.Sprintf("back to blue: %d documents in %d cycles, %d left", b.Documents, b.Cycles, b.Lag)
	if !b.At.IsZero() {
		line += " at " + b.At.Format("15:04:05")
	}
	if b.Error != "" {
		line += ", interrupted: " + b.Error
	}
	return line
}

// Printer prints each state and cycle of an upgrade once.
type Printer struct {
	Out           io.Writer
	Bar           func(done, total int64) // told how far the copy is
	states, cycle int
	back          int
	copied        int64
	slowed        float64
	sparing       api.Sparing
	warned        bool
}

// Print writes what is new of u.
func (p *Printer) Print(u api.Upgrade) {
	for _, k := range u.Cycles {
		if k.Number <= p.cycle {
			continue
		}
		if p.cycle == 0 {
			fmt.Fprintln(p.Out, cycleHead)
		}
		p.cycle = k.Number
		p.copied += k.Documents
		fmt.Fprintln(p.Out, cycleLine(k))
		p.Bar(p.copied, p.copied+k.Left)
	}
	if k := u.Copying; k != nil {
		p.Bar(k.Documents, max(k.Of, k.Documents))
	}
	if !p.warned && len(u.OneWay) > 0 {
		p.warned = true
		fmt.Fprintln(p.Out, strings.Join(oneWay(u), "\n"))
	}
	if u.Sparing != p.sparing && u.Sparing.Base > 0 {
		p.sparing = u.Sparing
		fmt.Fprintln(p.Out, sparing(u))
	}
	if u.Slowed != p.slowed {
		p.slowed = u.Slowed
		fmt.Fprintln(p.Out, slowed(u))
	}
	if b := u.Back; b != nil && b.Cycles > p.back {
		p.back = b.Cycles
		fmt.Fprintln(p.Out, backLine(u), bar(b.Last.Documents))
	}
	for ; p.states < len(u.History); p.states++ {
		m := u.History[p.states]
		fmt.Fprintln(p.Out, momentLine(m))
	}
}

// Watch prints each state and cycle of an upgrade once, until it has ended; with
// soak until blue is not kept any more.
func Watch(ctx context.Context, client kit.Client, to io.Writer, id string, soak bool) error {
	out := progress.New(to, "copied")
	p := Printer{Out: out, Bar: out.Set}
	u, err := api.Upgrades.Await(ctx, client, id, func(u api.Upgrade) bool {
		p.Print(u)
		return u.State.Over() && u.Settled() && (!soak || u.State != api.UpgradeSoak)
	})
	out.Close()
	if err != nil {
		return err
	}
	if u.State == api.UpgradeAborted {
		return &kit.Error{Fault: kit.ErrConflict, Link: u.Link, Detail: "the upgrade was given up, blue goes on: " + u.Error}
	}
	return nil
}

// Done tells of an upgrade that was sent the event whether all that follows
// from it is done.
func Done(event string) func(api.Upgrade) bool {
	asked := func(op kit.Op) bool { return op.Do == event }
	return func(u api.Upgrade) bool {
		if event == "retry" || event == "waive" { // cycles go on
			return !slices.ContainsFunc(u.Pending, asked)
		}
		return u.Settled() || u.State == api.UpgradeRolledBack // a dead green is fenced when it is back
	}
}

// Rehearse orders a rehearsal of a release or an image and waits for its report.
func Rehearse(ctx context.Context, client kit.Client, out io.Writer, environment, what string) error {
	e, err := api.Environments.Read(ctx, client, environment)
	if err != nil {
		return err
	}
	d := api.Deployment{Environment: environment, Image: what, Rehearse: true}
	if name, _, ok := strings.Cut(what, "@"); ok {
		if e.Channel != "" {
			return &kit.Error{
				Fault: kit.ErrConflict, Link: e.Link, Detail: fmt.Sprintf("it follows %s and takes signed releases alone", e.Channel),
				Hint: "rehearse a release, like " + name + "-2.0.0",
			}
		}
		d.Project = name
	} else {
		r, err := api.Releases.Read(ctx, client, what)
		if err != nil {
			return err
		}
		d.Project, d.Image, d.Release = r.Project, r.Image, r.Link
	}
	id := fmt.Sprintf("rehearsal.%s.%d", environment, time.Now().UnixMilli())
	if d, err = api.Deployments.Create(ctx, client, id, d); err != nil {
		return err
	}
	step := ""
	s, err := api.Statuses.Await(ctx, client, environment+"~"+id, func(s api.Status) bool {
		if s.Step != step && s.Step != "" {
			fmt.Fprintln(out, s.Environment, s.Step)
			step = s.Step
		}
		return s.State.Done()
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, s.Output)
	if s.State != api.DeploymentPassed {
		return &kit.Error{Fault: kit.ErrConflict, Link: d.Link, Detail: s.Error, Hint: "blue was left as it is"}
	}
	return nil
}

// Short cuts the digest of an image to what a person tells apart.
func Short(image string) string {
	name, digest, ok := strings.Cut(image, "@sha256:")
	if !ok || len(digest) < 12 {
		return image
	}
	return name + "@" + digest[:12]
}
