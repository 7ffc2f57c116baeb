package native

import (
	"fmt"
	"regexp/syntax"
	"strings"
)

// posix translates a regular expression of Java, which is to match a whole
// text, to an extended one of POSIX, as grep knows it. Those that go beyond
// both, with a look ahead or a reference back, are errors.
func posix(expression string) (ere string, foldCase bool, err error) {
	if rest, ok := strings.CutPrefix(expression, "(?i)"); ok {
		expression, foldCase = rest, true
	}
	re, err := syntax.Parse(expression, syntax.Perl|syntax.DotNL)
	if err != nil {
		return "", false, fmt.Errorf("the expression %q is none that grep can take: %w", expression, err)
	}
	var b strings.Builder
	if err := writePosix(&b, re, &foldCase); err != nil {
		return "", false, fmt.Errorf("the expression %q is none that grep can take: %w", expression, err)
	}
	return b.String(), foldCase, nil
}

func writePosix(b *strings.Builder, re *syntax.Regexp, foldCase *bool) error {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			*foldCase = true
		}
		for _, r := range re.Rune {
			if strings.ContainsRune(`\.[](){}*+?|^$`, r) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		}
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine:
		// What is around the whole text needs no sign.
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('.')
	case syntax.OpCharClass:
		return writeClass(b, re.Rune)
	case syntax.OpCapture:
		return writeGroup(b, re.Sub, "", foldCase)
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		if err := writeGroup(b, re.Sub, "", foldCase); err != nil {
			return err
		}
		b.WriteString(suffix(re))
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if err := writePosix(b, sub, foldCase); err != nil {
				return err
			}
		}
	case syntax.OpAlternate:
		return writeGroup(b, re.Sub, "|", foldCase)
	default:
		return fmt.Errorf("%s has no counterpart", re.Op)
	}
	return nil
}

// writeGroup writes expressions in parentheses.
func writeGroup(b *strings.Builder, of []*syntax.Regexp, between string, foldCase *bool) error {
	b.WriteByte('(')
	for i, sub := range of {
		if i > 0 {
			b.WriteString(between)
		}
		start := b.Len()
		if err := writePosix(b, sub, foldCase); err != nil {
			return err
		}
		if b.Len() == start {
			b.WriteString(".{0}") // an empty expression is undefined in POSIX
		}
	}
	b.WriteByte(')')
	return nil
}

func suffix(re *syntax.Regexp) string {
	switch {
	case re.Op == syntax.OpStar:
		return "*"
	case re.Op == syntax.OpPlus:
		return "+"
	case re.Op == syntax.OpQuest:
		return "?"
	case re.Max < 0:
		return fmt.Sprintf("{%d,}", re.Min)
	}
	return fmt.Sprintf("{%d,%d}", re.Min, re.Max)
}

// writeClass writes a set of characters, given by pairs of first and last. A
// set that goes on to the last character there is, is written by what it lacks.
func writeClass(b *strings.Builder, pairs []rune) error {
	const last = 0x10FFFF
	sign := ""
	if len(pairs) > 0 && pairs[len(pairs)-1] == last {
		sign = "^"
		pairs = complement(pairs)
		if len(pairs) == 0 {
			b.WriteByte('.')
			return nil
		}
	}
	var caret, dash, bracket, rest strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		lo, hi := pairs[i], pairs[i+1]
		if lo <= '\n' && '\n' <= hi && hi-lo < 32 && lo < '\n' {
			rest.WriteString("\t") // of the blanks, those that a line can have
			continue
		}
		switch {
		case lo == hi && lo == '\n':
		case lo == hi && lo == '^':
			caret.WriteByte('^')
		case lo == hi && lo == '-':
			dash.WriteByte('-')
		case lo == hi && lo == ']':
			bracket.WriteByte(']')
		case lo == hi:
			rest.WriteRune(lo)
		case hi == lo+1:
			for _, r := range []rune{lo, hi} {
				if strings.ContainsRune("^-]", r) {
					return fmt.Errorf("a set with %q in a range has no counterpart", r)
				}
				rest.WriteRune(r)
			}
		default:
			if strings.ContainsRune("^-]", lo) || strings.ContainsRune("^-]", hi) {
				return fmt.Errorf("a range from %q to %q has no counterpart", lo, hi)
			}
			fmt.Fprintf(&rest, "%c-%c", lo, hi)
		}
	}
	set := bracket.String() + rest.String() + caret.String() + dash.String()
	if set == "^" && sign == "" {
		b.WriteString(`\^`)
		return nil
	}
	b.WriteString("[" + sign + set + "]")
	return nil
}

// complement returns the characters that are not in pairs.
func complement(pairs []rune) []rune {
	var out []rune
	next := rune(0)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] > next {
			out = append(out, next, pairs[i]-1)
		}
		next = pairs[i+1] + 1
	}
	return out
}
