package soak

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"landfall.dev/api"
	"landfall.dev/runner/task"
	"landfall.dev/test/harness"
)

// striker kills what a build needs, round by round, in an order of its own.
type striker struct {
	*place
	rand    *rand.Rand
	round   []string        // what is still to be killed in this one
	rounds  int             // that have begun
	hit     map[string]bool // the names of killed containers
	outages []outage
	counts  [3]int // of strikes at roles, daemons and containers
}

// outage is the time in which a daemon was away.
type outage struct {
	engine   string
	from, to time.Time
}

// complete tells whether everything was killed once.
func (s *striker) complete() bool { return s.rounds > 1 || s.rounds == 1 && len(s.round) == 0 }

func (s *striker) tally() string {
	return fmt.Sprintf("%d strikes at the hub and runners, %d at daemons, %d at containers", s.counts[0], s.counts[1], s.counts[2])
}

// strike kills one thing, or two at once, starts them again after a moment, and
// returns once they answer.
func (s *striker) strike() {
	s.t.Helper()
	var back []func()
	for range 1 + s.rand.IntN(4)/3 {
		if len(s.round) == 0 {
			s.round = []string{"hub", "runner1", "runner2", "dockerd-near", "dockerd-far", "container", "container", "container"}
			s.rand.Shuffle(len(s.round), func(i, j int) { s.round[i], s.round[j] = s.round[j], s.round[i] })
			s.rounds++
		}
		back = append(back, s.kill(s.round[0]))
		s.round = s.round[1:]
	}
	s.pause(time.Duration(s.rand.IntN(2000)) * time.Millisecond)
	for _, start := range back {
		start()
	}
	s.awake()
	now := time.Now()
	for i := range s.outages {
		if s.outages[i].to.IsZero() {
			s.outages[i].to = now
		}
	}
}

// kill kills what has the name, and returns what starts it again.
func (s *striker) kill(name string) (start func()) {
	if name == "container" {
		s.killContainer()
		return func() {}
	}
	for _, d := range s.daemons {
		if engine, is := strings.CutPrefix(name, "dockerd-"); is && d.Name == name {
			s.counts[1]++
			s.outages = append(s.outages, outage{engine: engine, from: time.Now()})
			d.Kill()
			d.docker.Bury(s.t)
			unbridge(s.t, d.pool)
			return d.Start
		}
	}
	s.counts[0]++
	roles := append([]*harness.Role{s.hub}, s.runners...)
	role := roles[slices.IndexFunc(roles, func(r *harness.Role) bool { return r.Name == name })]
	role.Kill()
	return role.Start
}

// killContainer kills the container of a build, or one of a service, if there is
// any on the daemons that are there.
func (s *striker) killContainer() {
	type victim struct {
		*daemon
		name string
	}
	var victims []victim
	for _, d := range s.daemons {
		list, err := d.client.ContainerList(s.t.Context(), client.ContainerListOptions{})
		if err != nil {
			continue // it was killed just now
		}
		for _, c := range list.Items {
			if name := c.Names[0]; !strings.Contains(name, "-spare-") {
				victims = append(victims, victim{d, name})
			}
		}
	}
	if len(victims) == 0 {
		return
	}
	slices.SortFunc(victims, func(a, b victim) int { return strings.Compare(a.name, b.name) })
	v := victims[s.rand.IntN(len(victims))]
	if _, err := v.client.ContainerKill(s.t.Context(), v.name, client.ContainerKillOptions{Signal: "KILL"}); err == nil {
		s.counts[2]++
		s.hit[strings.TrimPrefix(v.name, "/")] = true
	}
}

// onContainer tells whether the container of b, or that of its service, was killed.
func (s *striker) onContainer(b api.Build) bool {
	name := "landfall-runner-" + b.Runner + "-" + task.ID(b)
	return s.hit[name] || s.hit[name+".web"]
}

// onDaemon tells whether the daemon of b was killed while b ran, any if it had
// none yet.
func (s *striker) onDaemon(b api.Build) bool {
	return slices.ContainsFunc(s.outages, func(o outage) bool {
		return (o.engine == b.Engine || b.Engine == "") && b.Started.Before(o.to) && b.Finished.After(o.from)
	})
}
