// Package console is what the packages of commands share: how they reach the
// hub, and how they print.
package console

import (
	"context"
	"encoding/json"
	"io"

	"landfall.dev/kit"
)

// Hub is how commands reach the hub, and what they are to print.
type Hub interface {
	// Client returns the hub's documents.
	Client() (kit.Client, error)
	// Ask sends a request to a route of the hub and reads the answer into out.
	Ask(ctx context.Context, method, path string, out any) error
	// JSON tells whether to print JSON instead of text.
	JSON() bool
}

// WriteJSON prints v as JSON that people can read.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
