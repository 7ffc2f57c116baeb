package definition

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
)

// text returns v as Python's str does.
func (v *value) text() string {
	if s, ok := v.data.(string); ok {
		return s
	}
	return v.repr()
}

// repr returns v as Python's repr does.
func (v *value) repr() string {
	var b strings.Builder
	v.writeRepr(&b)
	return b.String()
}

func (v *value) writeRepr(b *strings.Builder) {
	switch data := v.data.(type) {
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
	case []*value:
		b.WriteByte('[')
		for i, item := range data {
			if i > 0 {
				b.WriteString(", ")
			}
			item.writeRepr(b)
		}
		b.WriteByte(']')
	case mapping:
		b.WriteByte('{')
		for i, e := range data {
			if i > 0 {
				b.WriteString(", ")
			}
			e.key.writeRepr(b)
			b.WriteString(": ")
			e.value.writeRepr(b)
		}
		b.WriteByte('}')
	}
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
