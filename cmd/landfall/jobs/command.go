package jobs

import (
	"github.com/spf13/cobra"

	"landfall.dev/capability/job/definition"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

// Commands returns the commands about definitions.
func Commands(h console.Hub) []*cobra.Command {
	return []*cobra.Command{testCommand(h), planCommand(h), applyCommand(h), tryCommand(h), explainCommand(h), importCommand(h), historyCommand(h)}
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
