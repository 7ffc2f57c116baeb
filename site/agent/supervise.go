package agent

import (
	"context"
	"strconv"
	"time"

	"landfall.dev/engine"
)

// The times between two starts of an instance that ends again and again, and
// how long it has to run to count as well again.
const (
	firstPause   = time.Second
	longestPause = 30 * time.Second
	well         = time.Minute
	lookEvery    = 500 * time.Millisecond
)

// crashes is what is known of an instance that has ended.
type crashes struct {
	count   int
	started time.Time // the last time
}

// due tells whether the instance may be started again.
func (c crashes) due(now time.Time) bool {
	if c.count == 0 {
		return true
	}
	return now.Sub(c.started) >= min(firstPause<<min(c.count-1, 10), longestPause)
}

// supervise starts what has ended but should run, until ctx ends.
func (s *instances) supervise(ctx context.Context) error {
	seen := map[string]crashes{}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := s.look(ctx, seen); err != nil && ctx.Err() == nil {
			s.log.Warn("instances could not be looked after", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look starts the instances that should run and do not.
func (s *instances) look(ctx context.Context, seen map[string]crashes) error {
	list, err := s.engine.List(ctx)
	if err != nil {
		return err
	}
	found := map[string]engine.Status{}
	for _, st := range list {
		found[st.Group+"/"+st.Name] = st
	}
	for g, err := range groups.All(ctx, s.client, `state == "running"`, "") {
		if err != nil {
			return err
		}
		l := s.lock(g.name())
		if !l.TryLock() {
			continue // it is just being started or stopped
		}
		for i := range g.Nodes {
			s.revive(ctx, g, i, found[g.name()+"/"+strconv.Itoa(i)], seen)
		}
		l.Unlock()
	}
	return nil
}

// revive starts the instance i of g unless it runs or has just been started.
func (s *instances) revive(ctx context.Context, g group, i int, st engine.Status, seen map[string]crashes) {
	key, now := g.name()+"/"+strconv.Itoa(i), time.Now()
	c := seen[key]
	switch {
	case st.Running && c.count > 0 && now.Sub(c.started) > well:
		delete(seen, key)
		return
	case st.Running || !c.due(now):
		return
	}
	seen[key] = crashes{c.count + 1, now}
	exit := st.Exit
	if st.Group == "" {
		exit = notSeen
	}
	if err := s.engine.Start(ctx, s.instance(g, i)); err != nil {
		s.log.Error("instance could not be started again", "instance", key, "exit", exit, "error", err)
		return
	}
	s.log.Warn("started an instance again that had ended", "instance", key, "exit", exit, "times", c.count+1)
}
