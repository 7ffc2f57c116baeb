package deploy

import (
	"fmt"
	"net/http"

	"landfall.dev/api"
)

// unroutable says which of the declared routes no front door could take, and
// why, or nothing.
func unroutable(routes []api.RouteClass) (why string) {
	at := 0
	defer func() {
		if p := recover(); p != nil { // that is how a ServeMux refuses a pattern
			why = fmt.Sprintf("routes[%d].pattern %q: %v; write it like GET /files/{id} or /files/", at, routes[at].Pattern, p)
		}
	}()
	mux := http.NewServeMux()
	for i, r := range routes {
		at = i
		switch r.Class {
		case "short", "stream", "upload":
		default:
			return fmt.Sprintf("routes[%d].class %q of %q: a class is short, stream or upload", i, r.Class, r.Pattern)
		}
		mux.Handle(r.Pattern, http.NotFoundHandler())
	}
	return ""
}
