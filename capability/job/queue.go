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
	case b.Change != "":
		return api.ClassGate
	case b.Run != "":
		return api.ClassLanded
	case b.Source.Kind() == api.Schedules.Name && b.Author == "":
		return api.ClassSchedule
	}
	return api.ClassHand
}

// rankOf is smaller for what is taken before.
func rankOf(b api.Build, now time.Time) int {
	return slices.Index(classes, classOf(b)) - int(now.Sub(b.Queued)/ageing)
}

// line returns the places of the queued builds: class by class, and in each the
// projects in turn, that with the fewest builds at work first, each with its
// oldest.
func line(queued, running []api.Build, now time.Time) []api.QueuePlace {
	busy := map[string]int{} // builds at work, or to be by then, by project
	for _, b := range running {
		busy[b.Project]++
	}
	left := slices.SortedFunc(slices.Values(queued), func(a, b api.Build) int {
		return cmp.Or(rankOf(a, now)-rankOf(b, now), a.Queued.Compare(b.Queued), cmp.Compare(a.Link, b.Link))
	})
	places := []api.QueuePlace{}
	var before []api.Build
	for len(left) > 0 {
		i := fairest(left, busy, now)
		b := left[i]
		left = slices.Delete(left, i, i+1)
		busy[b.Project]++
		places = append(places, api.QueuePlace{
			Build: b.Link, Project: b.Project, Job: b.Job, Class: classOf(b), Position: len(places) + 1,
			Since: b.Queued, Attempt: b.Attempt, Why: why(b, before, now),
		})
		before = append(before, b)
	}
	return places
}

// fairest returns the index of the first build of the first rank whose project
// is the least busy.
func fairest(sorted []api.Build, busy map[string]int, now time.Time) int {
	best := 0
	for i, b := range sorted {
		if rankOf(b, now) > rankOf(sorted[0], now) {
			break
		}
		if busy[b.Project] < busy[sorted[best].Project] {
			best = i
		}
	}
	return best
}

// why says what b waits for behind those before it.
func why(b api.Build, before []api.Build, now time.Time) string {
	if len(before) == 0 {
		return "for a free runner"
	}
	var higher, older, fairer int
	for _, x := range before {
		switch {
		case rankOf(x, now) < rankOf(b, now):
			higher++
		case !x.Queued.After(b.Queued):
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
	if aged := now.Sub(b.Queued) / ageing; aged > 0 {
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
