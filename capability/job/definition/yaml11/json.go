package yaml11

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"
)

// MarshalJSON returns v as JSON, maps in their order. What JSON has no value
// for is the text that Python prints.
func (v *Value) MarshalJSON() ([]byte, error) { return new(Encoder).Append(nil, v), nil }

// Encoder makes JSON of values. It remembers what long texts are, which many
// values share: scripts are most of what trees of definitions expand to.
type Encoder struct{ texts map[*Value][]byte }

// longText is from how many bytes on a text is remembered.
const longText = 256

// Append appends v as JSON, as MarshalJSON returns it.
func (e *Encoder) Append(b []byte, v *Value) []byte {
	switch data := v.Data.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, data)
	case *big.Int:
		return data.Append(b, 10)
	case float64:
		if !math.IsInf(data, 0) && !math.IsNaN(data) {
			return append(b, floatText(data)...)
		}
	case []*Value:
		b = append(b, '[')
		for i, item := range data {
			if i > 0 {
				b = append(b, ',')
			}
			b = e.Append(b, item)
		}
		return append(b, ']')
	case Map:
		b = append(b, '{')
		for i, entry := range data {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(AppendText(b, entry.Key.Text()), ':')
			b = e.Append(b, entry.Value)
		}
		return append(b, '}')
	}
	return e.text(b, v)
}

func (e *Encoder) text(b []byte, v *Value) []byte {
	text := v.Text()
	if len(text) < longText {
		return AppendText(b, text)
	}
	quoted, ok := e.texts[v]
	if !ok {
		if e.texts == nil {
			e.texts = map[*Value][]byte{}
		}
		quoted = AppendText(nil, text)
		e.texts[v] = quoted
	}
	return append(b, quoted...)
}

// escapes are how JSON writes characters that it does not take as they are, in
// the short form if there is one.
var escapes = func() (all [utf8.RuneSelf]string) {
	for c := range ' ' {
		all[c] = `\u00` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15])
	}
	all['\n'], all['\t'], all['\r'], all['"'], all['\\'] = `\n`, `\t`, `\r`, `\"`, `\\`
	return all
}()

// AppendText appends a text as JSON.
func AppendText(b []byte, text string) []byte {
	if !utf8.ValidString(text) {
		quoted, _ := json.Marshal(text) // of a text there is always JSON
		return append(b, quoted...)
	}
	b = append(b, '"')
	start := 0
	for i := range len(text) {
		c := text[i]
		if c >= utf8.RuneSelf || escapes[c] == "" {
			continue
		}
		b = append(append(b, text[start:i]...), escapes[c]...)
		start = i + 1
	}
	return append(append(b, text[start:]...), '"')
}
