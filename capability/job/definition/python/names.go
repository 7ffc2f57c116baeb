package python

import (
	"regexp"
	"strings"
)

// Fnmatch returns the expression for a pattern of Python's fnmatch, where * and
// ? match slashes too.
func Fnmatch(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(pattern); i++ {
		end := strings.IndexByte(pattern[min(i+2, len(pattern)):], ']')
		switch {
		case pattern[i] == '*':
			b.WriteString(".*")
		case pattern[i] == '?':
			b.WriteString(".")
		case pattern[i] == '[' && i+2 < len(pattern) && end >= 0:
			set := strings.ReplaceAll(pattern[i+1:i+2+end], `\`, `\\`)
			if rest, ok := strings.CutPrefix(set, "!"); ok {
				set = "^" + rest
			} else if strings.HasPrefix(set, "^") {
				set = `\` + set
			}
			b.WriteString("[" + strings.ReplaceAll(set, "[", `\[`) + "]")
			i += 2 + end
		default:
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	re, err := regexp.Compile(b.String() + `\z`)
	if err != nil {
		return regexp.MustCompile(`\A` + regexp.QuoteMeta(pattern) + `\z`)
	}
	return re
}

// CompareNames orders names so that numbers in them count as numbers: a2
// before a10, a1 before a1.1, and upper case before lower case.
func CompareNames(a, b string) int {
	for a != "" || b != "" {
		var partA, partB string
		partA, a = chunk(a)
		partB, b = chunk(b)
		numA, numB := isDigit(partA), isDigit(partB)
		c := strings.Compare(partA, partB)
		if numA && numB {
			c = compareNumbers(partA, partB)
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func isDigit(text string) bool { return text != "" && text[0] >= '0' && text[0] <= '9' }

// chunk splits text after the digits, or other characters, that it begins with.
func chunk(text string) (first, rest string) {
	end := strings.IndexFunc(text, func(r rune) bool { return (r >= '0' && r <= '9') != isDigit(text) })
	if end < 0 {
		return text, ""
	}
	return text[:end], text[end:]
}

// compareNumbers compares two numbers of any length.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
