package task

import (
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/elect"
)

// Cursor is how far a service has reacted to a kind.
type Cursor struct {
	kit.Meta
	// Position is that of the last change that is done, as are all before it.
	Position string `json:"position"`
}

// Cursors are the cursors of all services.
var Cursors = kit.Define[Cursor]("cursors", kit.Local())

// Service declares the kinds that this package owns, and the leaders.
func Service() kit.Service {
	return kit.Service{Name: "task", Owns: []kit.Owned{kit.Own(Cursors, nil), kit.Own(AllSteps, nextSteps), elect.Owned()}}
}

// cursorID returns the id of the service's cursor in the kind. A dot is in
// neither name.
func cursorID(service, kind string) string { return service + "." + kind }

// Allows tells whether the service, which owns kinds, may do v to l though it
// owns neither the cursors, nor the steps, nor the leaders: a runner keeps its
// cursors and the steps of its documents, and asserts its term.
func Allows(service string, owns map[string]bool, v kit.Verb, l kit.Link) bool {
	if l.Kind() == elect.Leaders.Name {
		return v == elect.VerbAssert
	}
	if v != kit.VerbRead && v != kit.VerbCreate && v != kit.VerbUpdate {
		return false
	}
	first, rest, ok := strings.Cut(l.ID(), ".")
	switch {
	case !ok || rest == "":
		return false
	case l.Kind() == Cursors.Name:
		return first == service
	}
	return l.Kind() == AllSteps.Name && owns[first]
}
