// Package duplication finds the lines that a patch adds although the sources
// have them already, or that it adds twice: in blocks of at least ten lines and
// a hundred words and signs. Space, blank lines, comments, imports and lines
// without a letter or a digit do not matter. Only files of programs count, but
// for those that others have made (vendor, node_modules) and test data.
package duplication

import (
	"bytes"
	"errors"
	"hash/maphash"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// blockLines and blockTokens are how large a block is at least.
	blockLines  = 10
	blockTokens = 100
	// maxLines is how many lines the sources may have, of those that matter.
	maxLines = 1_000_000
)

// ErrTooMany is of sources that are too large to be compared.
var ErrTooMany = errors.New("the sources have more than 1000000 lines")

// programs are the ends of the names of files that count.
var programs = strings.Fields(`.go .java .kt .scala .groovy .c .h .cc .cpp .cxx .hh .hpp .m .cs .js .jsx .mjs .ts .tsx .vue
	.py .rb .php .rs .swift .dart .lua .pl .pm .sh .bash .sql .ex .exs .erl .hs .clj`)

// foreign are folders of files that do not count.
var foreign = []string{"vendor", "node_modules", "third_party", "testdata"}

// Counts tells whether a file is compared.
func Counts(file string) bool {
	if !slices.Contains(programs, strings.ToLower(path.Ext(file))) {
		return false
	}
	return !slices.ContainsFunc(strings.Split(path.Dir(file), "/"), func(dir string) bool { return slices.Contains(foreign, dir) })
}

// Finder compares the files of a version of the sources.
type Finder struct {
	seed   maphash.Seed
	blocks map[uint64]place
	mine   []block // that have an added line
	added  map[string][]int
	files  int32
	lines  int
}

// place is where a block was found first.
type place struct {
	file, line int32 // numbers: the line's among those that matter
	again      bool  // it was found at another place, too
}

// block is one of the file with added lines.
type block struct {
	hash  uint64
	file  string
	lines []int // those that the patch adds
}

// line is one that matters.
type line struct {
	number, tokens int
	hash           uint64
}

// Add adds a file that counts. Of the lines of the text, from 1, added tells
// which the patch adds.
func (f *Finder) Add(file string, text []byte, added func(line int) bool) error {
	if f.blocks == nil {
		f.seed, f.blocks, f.added = maphash.MakeSeed(), map[uint64]place{}, map[string][]int{}
	}
	lines := f.matter(text)
	if f.lines += len(lines); f.lines > maxLines {
		return ErrTooMany
	}
	f.files++
	for _, l := range lines {
		if added(l.number) {
			f.added[file] = append(f.added[file], l.number)
		}
	}
	for i := range max(len(lines)-blockLines+1, 0) {
		f.block(file, i, lines[i:i+blockLines], added)
	}
	return nil
}

// block adds the lines of file that begin with the one of that number among
// those that matter.
func (f *Finder) block(file string, at int, lines []line, added func(line int) bool) {
	var h maphash.Hash
	h.SetSeed(f.seed)
	tokens := 0
	var own []int
	for _, l := range lines {
		tokens += l.tokens
		maphash.WriteComparable(&h, l.hash)
		if added(l.number) {
			own = append(own, l.number)
		}
	}
	if tokens < blockTokens {
		return
	}
	sum := h.Sum64()
	if len(own) > 0 {
		f.mine = append(f.mine, block{sum, file, own})
	}
	p, known := f.blocks[sum]
	switch {
	case !known:
		f.blocks[sum] = place{file: f.files, line: int32(at)}
	case !p.again && (p.file != f.files || at-int(p.line) >= blockLines):
		p.again = true
		f.blocks[sum] = p
	}
}

// Found returns how many lines that matter the patch adds, and which of them are
// in blocks that are there more than once, by file.
func (f *Finder) Found() (added int, duplicated map[string][]int) {
	for _, lines := range f.added {
		added += len(lines)
	}
	duplicated = map[string][]int{}
	for _, b := range f.mine {
		if f.blocks[b.hash].again {
			duplicated[b.file] = append(duplicated[b.file], b.lines...)
		}
	}
	for file, lines := range duplicated {
		slices.Sort(lines)
		duplicated[file] = slices.Compact(lines)
	}
	return added, duplicated
}

// idle is how lines begin that do not matter: comments and imports.
var idle = regexp.MustCompile(`^(//|#|\*|/\*|--|<!--|import\b|package\b|using\b|use\b|require\b|from\s+\S+\s+import\b|"[^"]*",?$)`)

// matter returns the lines of a text that matter.
func (f *Finder) matter(text []byte) (lines []line) {
	number := 0
	for raw := range bytes.Lines(text) {
		number++
		words := bytes.Fields(raw)
		plain := bytes.Join(words, []byte(" "))
		if idle.Match(plain) {
			continue
		}
		if tokens, any := tokensOf(plain); any {
			lines = append(lines, line{number, tokens, maphash.Bytes(f.seed, plain)})
		}
	}
	return lines
}

// tokensOf counts words and signs, and tells whether there is a word.
func tokensOf(text []byte) (tokens int, any bool) {
	inWord := false
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		word := unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_'
		if word && !inWord || !word && r != ' ' {
			tokens++
		}
		any = any || word
		inWord = word
	}
	return tokens, any
}
