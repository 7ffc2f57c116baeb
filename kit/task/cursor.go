package task

import (
	"landfall.dev/kit"
)

// Cursor is how far a service has reacted to a kind.
type Cursor struct {
	kit.Meta
	// Position is that of the last change that is done, as are all before it.
	Position string `json:"position"`
}

// Cursors are the cursors of all services.
var Cursors = kit.Define[Cursor]("cursors", kit.Local())

// Service declares the kind that this package owns.
func Service() kit.Service {
	return kit.Service{Name: "task", Owns: []kit.Owned{kit.Own(Cursors, nil)}}
}

// cursorID returns the id of the service's cursor in the kind. A dot is in
// neither name.
func cursorID(service, kind string) string { return service + "." + kind }

// OwnCursor tells whether l is a cursor of the service, which it may create,
// read and update though it does not own the kind.
func OwnCursor(service string, l kit.Link) bool {
	prefix := Cursors.Link(cursorID(service, ""))
	return len(l) > len(prefix) && l[:len(prefix)] == prefix
}
