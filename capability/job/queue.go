package job

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// ageing is how long a build waits until it counts as one of the class before,
// and so on: at last it is before all that have come later.
const ageing = 10 * time.Minute

// classes are in the order in which they are taken.
var classes = []api.BuildClass{api.ClassGate, api.ClassLanded, api.ClassHand, api.ClassSchedule}

func classOf(b api.Build) api.BuildClass {
	switch {
	case b.Change != "" && (b.Run != "" || b.Upstream != ""):
		return api.ClassGate
	case b.Run != "" || b.Upstream != "":
		return api.ClassLanded
	case b.Source.Kind() == api.Schedules.Name && b.Author == "":
		return api.ClassSchedule
	}
	return api.ClassHand
}

// waiter is a queued build.
type waiter struct {
	api.QueuePlace
	rank int // smaller for what is taken before
}

// waiters returns the queued builds as they come, rank by rank.
func waiters(queued []api.Build, now time.Time) []*waiter {
	var all []*waiter
	for _, b := range queued {
		class := classOf(b)
		w := &waiter{
			QueuePlace: api.QueuePlace{Build: b.Link, Project: b.Project, Job: b.Job, Class: class, Since: b.Queued, Attempt: b.Attempt},
			rank:       slices.Index(classes, class) - int(now.Sub(b.Queued)/ageing),
		}
		if b.Spec != nil {
			w.Labels = b.Spec.Labels
		}
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *waiter) int {
		return cmp.Or(a.rank-b.rank, a.Since.Compare(b.Since), cmp.Compare(a.Build, b.Build))
	})
	return all
}

// line returns the places of the queued builds: class by class, and in each the
// projects in turn, that with the fewest builds at work first, each with its
// oldest.
func line(queued, running []api.Build, now time.Time) []api.QueuePlace {
	busy := map[string]int{} // builds at work, or to be by then, by project
	for _, b := range running {
		busy[b.Project]++
	}
	left := waiters(queued, now)
	places := make([]api.QueuePlace, 0, len(left))
	var before []*waiter
	for len(left) > 0 {
		i := fairest(left, busy)
		w := left[i]
		left = slices.Delete(left, i, i+1)
		busy[w.Project]++
		w.Position, w.Why = len(places)+1, why(w, before, now)
		places, before = append(places, w.QueuePlace), append(before, w)
	}
	return places
}

// fairest returns the index of the first build of the first rank whose project
// is the least busy.
func fairest(left []*waiter, busy map[string]int) int {
	best, least := 0, busy[left[0].Project]
	for i, w := range left {
		if w.rank > left[0].rank || least == 0 {
			break
		}
		if n := busy[w.Project]; n < least {
			best, least = i, n
		}
	}
	return best
}

// why says what w waits for behind those before it.
func why(w *waiter, before []*waiter, now time.Time) string {
	if len(before) == 0 && len(w.Labels) > 0 {
		return "for a free engine with " + strings.Join(w.Labels, " and ")
	}
	if len(before) == 0 {
		return "for a free runner"
	}
	var higher, older, fairer int
	for _, x := range before {
		switch {
		case x.rank < w.rank:
			higher++
		case !x.Since.After(w.Since):
			older++
		default:
			fairer++
		}
	}
	var parts []string
	for _, p := range []struct {
		n    int
		text string
	}{{higher, "of a higher class"}, {older, "queued before it"}, {fairer, "of projects with fewer builds"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.text))
		}
	}
	text := "behind " + strings.Join(parts, ", ")
	if aged := now.Sub(w.Since) / ageing; aged > 0 {
		text += fmt.Sprintf("; moved up after %s", (aged * ageing).String())
	}
	return text
}

// queueServer answers with the places of all queued builds.
type queueServer struct{ client kit.Client }

func (q queueServer) serve(w http.ResponseWriter, r *http.Request) error {
	if err := kit.CallerOf(r.Context()).May(kit.VerbList, api.Builds.Link("")); err != nil {
		return err
	}
	states := map[api.BuildState][]api.Build{}
	for _, s := range []api.BuildState{api.BuildQueued, api.BuildRunning} {
		for b, err := range api.Builds.All(r.Context(), q.client, fmt.Sprintf("state == %q", s), "") {
			if err != nil {
				return err
			}
			states[s] = append(states[s], b)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(line(states[api.BuildQueued], states[api.BuildRunning], time.Now()))
	return nil
}
