package yaml11

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
)

// Text returns v as Python's str does.
func (v *Value) Text() string { return v.TextAs(false) }

// TextAs is Text; ordered says that maps are of Python's type OrderedDict.
func (v *Value) TextAs(ordered bool) string {
	switch data := v.Data.(type) {
	case string:
		return data
	case Date:
		return data.Text
	}
	return v.Repr(ordered)
}

// Repr returns v as Python's repr does.
func (v *Value) Repr(ordered bool) string {
	var b strings.Builder
	v.writeRepr(&b, ordered)
	return b.String()
}

func (v *Value) writeRepr(b *strings.Builder, ordered bool) {
	switch data := v.Data.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		if data {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case *big.Int:
		b.WriteString(data.String())
	case float64:
		b.WriteString(floatText(data))
	case string:
		writeQuoted(b, data)
	case Date:
		b.WriteString(data.Repr)
	case Tag:
		b.WriteString(data.Kind + " " + data.Arg.Text())
	case []*Value:
		b.WriteByte('[')
		for i, item := range data {
			if i > 0 {
				b.WriteString(", ")
			}
			item.writeRepr(b, ordered)
		}
		b.WriteByte(']')
	case Map:
		writeMap(b, data, ordered)
	}
}

func writeMap(b *strings.Builder, m Map, ordered bool) {
	open, colon, closing := "{", ": ", "}"
	switch {
	case ordered && len(m) == 0:
		open, closing = "OrderedDict(", ")"
	case ordered:
		open, closing = "OrderedDict([", "])"
	}
	b.WriteString(open)
	for i, e := range m {
		if i > 0 {
			b.WriteString(", ")
		}
		if ordered {
			b.WriteByte('(')
			colon = ", "
		}
		e.Key.writeRepr(b, ordered)
		b.WriteString(colon)
		e.Value.writeRepr(b, ordered)
		if ordered {
			b.WriteByte(')')
		}
	}
	b.WriteString(closing)
}

// floatText returns the shortest text that stands for f: 1.0, 0.5, 1e+16.
func floatText(f float64) string {
	switch {
	case math.IsInf(f, 0):
		return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(f, 'g', -1, 64), "+"))
	case math.IsNaN(f):
		return "nan"
	case f != 0 && (math.Abs(f) < 1e-4 || math.Abs(f) >= 1e16):
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// writeQuoted writes text as a Python literal: in single quotes, unless it has
// these and no double ones.
func writeQuoted(b *strings.Builder, text string) {
	quote := '\''
	if strings.Contains(text, "'") && !strings.Contains(text, `"`) {
		quote = '"'
	}
	b.WriteRune(quote)
	for _, r := range text {
		switch {
		case r == quote || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			fmt.Fprintf(b, `\U%08x`, r)
		}
	}
	b.WriteRune(quote)
}
