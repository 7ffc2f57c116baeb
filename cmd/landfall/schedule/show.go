package schedule

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"landfall.dev/api"
	"landfall.dev/capability/job/cron"
	"landfall.dev/cmd/landfall/console"
)

// ahead is how many of the next times are told.
const ahead = 5

// show prints s unless err says that there is none.
func show(w io.Writer, h console.Hub, s api.Schedule, err error) error {
	if err != nil {
		return err
	}
	if h.JSON() {
		return console.WriteJSON(w, s)
	}
	state := string(s.State)
	if s.By != "" {
		state += " by " + s.By
	}
	fmt.Fprintf(w, "%s  %s of %s: %s %s\n", s.Link, s.Job, s.Project, state, s.Error)
	fmt.Fprintf(w, "times    %s\n", times(s))
	fmt.Fprintf(w, "missed   %s, overlap %s\n", cmp.Or(s.Spec.Missed, api.MissedOne), cmp.Or(s.Spec.Overlap, api.OverlapForbid))
	if t, err := cron.Parse(s.Job, s.Spec.Timed...); err == nil && !s.Next.IsZero() {
		next := s.Next
		for range ahead {
			fmt.Fprintf(w, "next     %s\n", at(next))
			next = t.Next(next)
		}
	}
	if len(s.Waiting) > 0 {
		fmt.Fprintf(w, "waiting  %d times, the first of %s\n", len(s.Waiting), at(s.Waiting[0]))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := len(s.History) - 1; i >= 0; i-- {
		f := s.History[i]
		state := f.State
		if f.Times > 1 {
			state += fmt.Sprintf(" %d times", f.Times)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", at(f.Due), state, f.Build.ID(), f.By, f.Error)
	}
	return t.Flush()
}

// times writes the triggers in one line, with the numbers that each H stands
// for.
func times(s api.Schedule) string {
	text := strings.Join(strings.FieldsFunc(strings.Join(s.Spec.Timed, "\n"), func(r rune) bool { return r == '\n' }), "; ")
	t, err := cron.Parse(s.Job, s.Spec.Timed...)
	if err != nil || t.String() == text {
		return text
	}
	return text + "  (" + t.String() + ")"
}
