// Package task names the tasks of builds, as engines know them: a container has
// its task's name in its label landfall.task.
package task

import (
	"fmt"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/kit"
)

// ID is the name of b's current attempt.
func ID(b api.Build) string { return fit(fmt.Sprintf("%s-%d", b.Link.ID(), b.Attempt)) }

// Kept is the name of the container that is kept of a build that has failed.
func Kept(b api.Build) string { return fit(ID(b) + "-kept") }

// fit replaces what no engine takes by its digest.
func fit(id string) string {
	if engine.CheckName("task id", id) != nil {
		return "build-" + kit.DigestOf([]byte(id)).Hex()[:32]
	}
	return id
}
