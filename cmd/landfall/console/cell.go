package console

import "strings"

// widest is how many characters a cell of a table has at most.
const widest = 160

// Cell returns text as it fits into a cell of a table: in one line, and cut where
// it is long, as what a program wrote before it ended.
func Cell(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if all := []rune(text); len(all) > widest {
		text = string(all[:widest-3]) + "..."
	}
	return text
}
