package fleet

import "time"

// Health is how a member is.
type Health struct {
	Member
	Used          int // slots that are taken
	Suspect, Lost bool
	// Since is when it began not to answer, Err why; zero if it answers.
	Since time.Time
	Err   error
}

// Health returns that of all members, in their order.
func (f *Fleet) Health() []Health {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []Health
	for _, m := range f.members {
		all = append(all, Health{Member: m.Member, Used: m.used, Suspect: m.suspect(), Lost: m.misses >= lostAfter, Since: m.since, Err: m.err})
	}
	return all
}
