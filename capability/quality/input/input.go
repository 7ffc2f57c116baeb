// Package input reads report files. Builds write them, of patches that nobody
// has reviewed yet, so they may hold anything: errors name the file and the
// line, and no file makes more work or memory than a multiple of its size.
package input

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Errorf returns an error about a line of a file.
func Errorf(file string, line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", file, line, fmt.Sprintf(format, args...))
}

// LineAt returns the number of the line at an offset of data, from 1.
func LineAt(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(int(offset), len(data))], []byte("\n"))
}

// Brief returns the first line of text that is not blank, without spaces
// around it and cut to at most limit bytes.
func Brief(text string, limit int) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	text = strings.ToValidUTF8(strings.TrimSpace(text), "\uFFFD")
	if len(text) <= limit {
		return text
	}
	const mark = "…"
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}
