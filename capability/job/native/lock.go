package native

import (
	"regexp"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// What keeps builds from running at the same time.

// wholeLock is the room of a lock that one build takes whole and any number of
// others in parts.
const wholeLock = 10000

// lockName is a name that a link can have.
func lockName(name string) string {
	if kit.CheckID("project~"+name) == nil && len(name) <= 100 {
		return name
	}
	return "l-" + kit.DigestOf([]byte(name)).Hex()[:32]
}

// addLock adds use to locks, unless it is there.
func addLock(locks []api.LockUse, use api.LockUse) []api.LockUse {
	if slices.ContainsFunc(locks, func(l api.LockUse) bool { return l.Name == use.Name }) {
		return locks
	}
	return append(slices.Clone(locks), use)
}

// lock makes builds of the job take one of room parts of what is called name.
func (t *translation) lock(name string, room int) {
	t.spec.Locks = addLock(t.spec.Locks, api.LockUse{Name: lockName(name), Room: room, Part: 1})
}

// alone makes the job build one at a time.
func (t *translation) alone() { t.lock("job."+t.job.Name, 1) }

func throttle(t *translation, a args) {
	if !a.flag("enabled", true) {
		return
	}
	total, perNode := a.number("max-total"), a.number("max-per-node")
	if perNode > 0 {
		t.miss(a.c, Without, "max-per-node: how many run on one host is not limited, but how many in all is")
	}
	if or(a.text("option"), "project") == "project" {
		if total == 0 && perNode > 0 {
			total = perNode
		}
		if total > 0 {
			t.lock("job."+t.job.Name, total)
		}
		return
	}
	for _, category := range list(a.get("categories")) {
		if total == 0 && perNode == 0 {
			t.miss(a.c, Without, "how many builds the category %q may have is kept in Jenkins: it is one at a time; add max-total", category)
		}
		t.lock("category."+category, or0(total, or0(perNode, 1)))
	}
}

func blocker(t *translation, a args) {
	if !a.flag("use-build-blocker", true) {
		return
	}
	for _, expression := range list(a.get("blocking-jobs")) {
		if _, err := regexp.Compile(expression); err != nil {
			t.miss(a.c, Without, "the expression %q for jobs is malformed: %v", expression, err)
			continue
		}
		t.spec.BlockedBy = append(t.spec.BlockedBy, expression)
	}
}

func oneAtATime(t *translation, a args) {
	if a.flag("abort-previous", false) {
		t.miss(a.c, Without, "the build before is not cancelled: the next waits for it")
	}
	t.alone()
}

// resources makes builds wait for what they name.
func resources(t *translation, a args) {
	names := strings.Fields(strings.ReplaceAll(a.text("resources"), ",", " "))
	if label := a.text("label"); label != "" {
		names = append(names, "label."+label)
		if a.number("number") > 0 {
			t.miss(a.c, Without, "which resources have the label %q is kept in Jenkins: one build at a time has them", label)
		}
	}
	for _, name := range names {
		t.lock("resource."+name, 1)
	}
}

// locks is a wrapper: its argument is a list of names.
func locks(t *translation, a args) {
	names := list(a.value)
	if a.m != nil {
		names = list(a.get("resources"))
	}
	for _, name := range names {
		t.lock("resource."+name, 1)
	}
}
