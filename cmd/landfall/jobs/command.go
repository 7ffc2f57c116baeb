package jobs

import (
	"context"

	"github.com/spf13/cobra"

	"landfall.dev/capability/job/definition"
	"landfall.dev/kit"
)

// Hub is how the commands reach the hub, and what they are to print.
type Hub interface {
	// Client returns the hub's documents.
	Client() (kit.Client, error)
	// Ask sends a request to a route of the hub and reads the answer into out.
	Ask(ctx context.Context, method, path string, out any) error
	// JSON tells whether to print JSON instead of text.
	JSON() bool
}

// Commands returns the commands about definitions.
func Commands(h Hub) []*cobra.Command {
	return []*cobra.Command{testCommand(h), planCommand(h), applyCommand(h), explainCommand(h), importCommand(h), historyCommand(h)}
}

// Exit ends the program with a code that says something, and no message.
type Exit int

// Error returns what nobody is told.
func (e Exit) Error() string { return "" }

// dialectFlag adds the flag --dialect to c.
func dialectFlag(c *cobra.Command) *string {
	return c.Flags().String("dialect", string(definition.Modern), "modern (Jenkins Job Builder since 6.1) or classic (up to 4)")
}

func dialectOf(flag string) (definition.Dialect, error) {
	switch d := definition.Dialect(flag); d {
	case definition.Modern, definition.Classic:
		return d, nil
	}
	return "", kit.Errorf(kit.ErrInvalid, "", "--dialect %s: there are modern and classic", flag)
}
