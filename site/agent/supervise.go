package agent

import (
	"context"
	"strconv"
	"time"

	"landfall.dev/engine"
	"landfall.dev/site/agent/again"
)

// lookEvery is how often the instances are looked at.
const lookEvery = 500 * time.Millisecond

// supervise starts what has ended but should run, until ctx ends.
func (s *instances) supervise(ctx context.Context) error {
	seen := map[string]again.Ends{}
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
func (s *instances) look(ctx context.Context, seen map[string]again.Ends) error {
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
func (s *instances) revive(ctx context.Context, g group, i int, st engine.Status, seen map[string]again.Ends) {
	key, now := g.name()+"/"+strconv.Itoa(i), time.Now()
	c := seen[key]
	switch {
	case st.Running && c.Well(now):
		delete(seen, key)
		return
	case st.Running || !c.Due(now):
		return
	}
	seen[key] = again.Ends{Count: c.Count + 1, Started: now}
	exit := st.Exit
	if st.Group == "" {
		exit = notSeen
	}
	said := s.lastWords(g, i, 1)
	if err := s.engine.Start(ctx, s.instance(g, i)); err != nil {
		s.log.Error("instance could not be started again", "instance", key, "exit", exit, "said", said, "error", err)
		return
	}
	s.log.Warn("started an instance again that had ended", "instance", key, "exit", exit, "times", c.Count+1, "said", said)
}
