package python

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"landfall.dev/capability/job/definition/yaml11"
)

// expand returns what Python's text.format(**variables) does, but for
// attributes, positions and the rarer formats of numbers, which are errors.
// The text may be the format of another: then level is 1.
func (f Formatter) expand(text string, vars Variables, level int) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c != '{' && c != '}':
			n := strings.IndexAny(text[i:], "{}")
			if n < 0 {
				n = len(text) - i
			}
			b.WriteString(text[i : i+n])
			i += n
		case i+1 < len(text) && text[i+1] == c:
			b.WriteByte(c)
			i += 2
		case c == '}':
			return "", &Error{text[i:], "a } has no { before it: write }} if you mean the brace"}
		default:
			part, err := readField(text[i:])
			if err != nil {
				return "", err
			}
			part.afterDollar = i > 0 && text[i-1] == '$'
			out, err := f.field(part, vars, level)
			if err != nil {
				return "", err
			}
			if b.Len()+len(out) > yaml11.MaxSize {
				return "", &Error{part.fragment, "the text grows over 4 MiB here: make it smaller"}
			}
			b.WriteString(out)
			i += len(part.fragment)
		}
	}
	return b.String(), nil
}

// field is a {name!conversion:spec} in a text.
type field struct {
	fragment    string
	name        string // with [keys]
	conversion  byte   // 0 for none
	spec        string
	afterDollar bool
}

// readField reads the field that text begins with.
func readField(text string) (field, error) {
	var f field
	i := 1
	for ; i < len(text) && !strings.ContainsRune("}:!{", rune(text[i])); i++ {
		if text[i] != '[' {
			continue
		}
		for i+1 < len(text) && text[i] != ']' {
			i++
		}
	}
	unclosed := &Error{firstLine(text), "a { has no } after it: write {{ if you mean the brace"}
	if i >= len(text) || text[i] == '{' {
		return f, unclosed
	}
	f.name = text[1:i]
	if text[i] == '!' {
		if i+2 >= len(text) || text[i+2] != ':' && text[i+2] != '}' {
			return f, &Error{firstLine(text), "after ! must come r, s or a, then : or }: write {{ and }} if you mean braces"}
		}
		f.conversion = text[i+1]
		i += 2
	}
	if text[i] == '}' {
		f.fragment = text[:i+1]
		return f, nil
	}
	start := i + 1
	open := 1
	for i = start; i < len(text); i++ {
		switch text[i] {
		case '{':
			open++
		case '}':
			open--
		}
		if open == 0 {
			f.spec, f.fragment = text[start:i], text[:i+1]
			return f, nil
		}
	}
	return f, unclosed
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// wrong makes an error about f.
func (f field) wrong(format string, args ...any) error {
	return &Error{f.fragment, fmt.Sprintf(format, args...)}
}

// field returns the text that a field stands for.
func (f Formatter) field(part field, vars Variables, level int) (string, error) {
	if level > 1 {
		return "", part.wrong("formats are nested too deeply")
	}
	v, err := part.value(vars)
	if err != nil {
		return "", err
	}
	switch part.conversion {
	case 0:
	case 's':
		v = yaml11.New(v.At, v.TextAs(f.Ordered))
	case 'r':
		v = yaml11.New(v.At, v.Repr(f.Ordered))
	case 'a':
		v = yaml11.New(v.At, ascii(v.Repr(f.Ordered)))
	default:
		return "", part.wrong("the conversion !%c is not known: there are r, s and a", part.conversion)
	}
	spec, err := f.expand(part.spec, vars, level+1)
	if err != nil {
		return "", err
	}
	if spec == "" {
		return v.TextAs(f.Ordered), nil
	}
	return part.pad(v, spec)
}

// value returns the variable of f, or the part of it that [keys] select.
func (f field) value(vars Variables) (*yaml11.Value, error) {
	end := strings.IndexAny(f.name, ".[")
	if end < 0 {
		end = len(f.name)
	}
	name, rest := f.name[:end], f.name[end:]
	if strings.Trim(name, "0123456789") == "" {
		return nil, f.wrong("{%s} names no variable: write {{%s}} if you mean braces", yaml11.Brief(f.name), yaml11.Brief(f.name))
	}
	v, err := vars.Lookup(name, f.fragment, f.afterDollar)
	if err != nil {
		return nil, err
	}
	for rest != "" {
		key, after, ok := strings.Cut(rest[1:], "]")
		if rest[0] != '[' || !ok || key == "" {
			return nil, f.wrong("after a variable only [key] can follow, but this is %q", yaml11.Brief(rest))
		}
		if v, err = f.item(v, key); err != nil {
			return nil, err
		}
		rest = after
	}
	return v, nil
}

// item returns v[key].
func (f field) item(v *yaml11.Value, key string) (*yaml11.Value, error) {
	index, notIndex := strconv.Atoi(key)
	isIndex := notIndex == nil && strings.Trim(key, "0123456789") == ""
	switch data := v.Data.(type) {
	case yaml11.Map:
		for _, e := range data {
			n, isInt := e.Key.Data.(*big.Int)
			if !isIndex && e.Key.Data == key || isIndex && isInt && n.IsInt64() && n.Int64() == int64(index) {
				return e.Value, nil
			}
		}
	case []*yaml11.Value:
		if isIndex && index < len(data) {
			return data[index], nil
		}
	case string:
		if runes := []rune(data); isIndex && index < len(runes) {
			return yaml11.New(v.At, string(runes[index])), nil
		}
	}
	return nil, f.wrong("there is no [%s] in the variable, which is %s", yaml11.Brief(key), yaml11.KindOf(v))
}

// ascii returns text with escapes for all that is not ASCII.
func ascii(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < 0x80:
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// specPattern is Python's format specification: fill and alignment, sign, 0,
// width, precision, type.
var specPattern = regexp.MustCompile(`(?s)^(?:(.)?([<>=^]))?([-+ ])?(0)?([0-9]*)(?:\.([0-9]+))?([a-zA-Z])?$`)

// pad returns v in the format spec.
func (f field) pad(v *yaml11.Value, spec string) (string, error) {
	m := specPattern.FindStringSubmatch(spec)
	if m == nil {
		return "", f.wrong("the format %q is not known: there are alignment, width, precision and the types s, d, x, X, o, b and f; "+
			"write {{ and }} if you mean braces", yaml11.Brief(spec))
	}
	fill, align, sign, kind := m[1], m[2], m[3], m[7]
	width, _ := strconv.Atoi(m[5])
	precision, noPrecision := strconv.Atoi(m[6])
	if len(m[5]) > 4 || len(m[6]) > 4 || width > maxPadding || precision > maxPadding {
		return "", f.wrong("a width or precision may be %d at most", maxPadding)
	}
	if noPrecision != nil {
		precision = -1
	}
	_, isText := v.Data.(string)
	body, ok := formatBody(v, kind, precision)
	if !ok || isText && (sign != "" || align == "=") {
		return "", f.wrong("the format %q does not fit the variable, which is %s", yaml11.Brief(spec), yaml11.KindOf(v))
	}
	if m[4] == "0" && fill == "" {
		fill = "0"
		if align == "" && !isText {
			align = "="
		}
	}
	if fill == "" {
		fill = " "
	}
	if align == "" {
		align = map[bool]string{true: "<", false: ">"}[isText]
	}
	if !isText && (sign == "+" || sign == " ") && !strings.HasPrefix(body, "-") {
		body = sign + body
	}
	return aligned(body, align, fill, width-utf8.RuneCountInString(body)), nil
}

// formatBody returns v by the type of a format, without sign and padding.
func formatBody(v *yaml11.Value, kind string, precision int) (string, bool) {
	switch data := v.Data.(type) {
	case string:
		if runes := []rune(data); precision >= 0 && precision < len(runes) {
			data = string(runes[:precision])
		}
		return data, kind == "" || kind == "s"
	case *big.Int:
		if kind == "f" {
			n, _ := new(big.Float).SetInt(data).Float64()
			return formatFloat(n, precision), true
		}
		base, ok := map[string]int{"": 10, "d": 10, "x": 16, "X": 16, "o": 8, "b": 2}[kind]
		if !ok || precision >= 0 {
			return "", false
		}
		text := data.Text(base)
		if kind == "X" {
			text = strings.ToUpper(text)
		}
		return text, true
	case float64:
		if kind == "" && precision < 0 {
			return v.Text(), true
		}
		return formatFloat(data, precision), kind == "f"
	}
	return "", false
}

func formatFloat(n float64, precision int) string {
	if precision < 0 {
		precision = 6
	}
	return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(n, 'f', precision, 64), "+"))
}

// aligned adds count times fill to body: "=" means after its sign.
func aligned(body, align, fill string, count int) string {
	if count <= 0 {
		return body
	}
	switch align {
	case "<":
		return body + strings.Repeat(fill, count)
	case "^":
		return strings.Repeat(fill, count/2) + body + strings.Repeat(fill, count-count/2)
	case "=":
		if body != "" && strings.ContainsRune("+- ", rune(body[0])) {
			return body[:1] + strings.Repeat(fill, count) + body[1:]
		}
	}
	return strings.Repeat(fill, count) + body
}
