package plan

import (
	"fmt"
	"slices"

	"landfall.dev/kit"
)

// Suggest returns ` (did you mean "x"?)` with the candidate that is nearest to
// name, or nothing if none is near.
func Suggest(name string, candidates []string) string {
	if best := kit.Nearest(name, slices.Sorted(slices.Values(candidates))); best != "" {
		return fmt.Sprintf(" (did you mean %q?)", best)
	}
	return ""
}
