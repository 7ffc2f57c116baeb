// Package yaml11 reads YAML 1.1 as Python's PyYAML does: into values that
// know their place in a file, with its types, its last-wins duplicate keys and
// the tags that job definitions have. Text gives a value as Python prints it.
//
// It is a pure function from bytes to values and errors; it includes no files
// and gives no meaning to tags. Its limits exist because files come from
// people who may do harm.
package yaml11

const (
	// MaxFile is the size of one file in bytes.
	MaxFile = 1 << 20
	// MaxSize is the size of one value, aliases and references counted as
	// often as they occur: a byte of text is 1, each value 1 more.
	MaxSize = 4 << 20
	// MaxDepth is how deep lists and maps may be nested in one value.
	MaxDepth = 100
	// maxMerged is how many keys the merges (<<) of one file may bring.
	maxMerged = 1_000_000
	// maxKnown is among how many words a suggestion is looked for.
	maxKnown = 2000
)
