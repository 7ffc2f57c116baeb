package yaml11

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// maxDigits is the length of the longest number, as in Python.
const maxDigits = 4300

// What a scalar without quotes is in YAML 1.1, as PyYAML has it (resolver.py):
// differs from YAML 1.2 in yes and no, 0777, 12:30, 1_000 and more.
var (
	boolPattern = regexp.MustCompile(`^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$`)
	intPattern  = regexp.MustCompile(`^(?:[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|` +
		`[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$`)
	floatPattern = regexp.MustCompile(`^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|` +
		`\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|` +
		`[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
	nullPattern = regexp.MustCompile(`^(?:~|null|Null|NULL|)$`)
	datePattern = regexp.MustCompile(`^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|` +
		`[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?` +
		`(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)$`)
)

// scalar returns the value of a scalar node.
func scalar(n *yaml.Node, at Position) (*Value, *Error) {
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	tagged := n.Style&yaml.TaggedStyle != 0
	if quoted && !tagged || tagged && n.Tag == "!!str" || n.Tag == "!" {
		v := New(at, n.Value)
		if n.Style&yaml.LiteralStyle != 0 {
			v.Lead = 2
		}
		return v, nil
	}
	text := n.Value
	if len(text) > maxDigits && (intPattern.MatchString(text) || floatPattern.MatchString(text)) {
		return nil, at.Errorf("the number has more than %d digits: quote it if it is text", maxDigits)
	}
	switch {
	case text == "=":
		return nil, at.Errorf(`= alone has a meaning of its own in YAML 1.1: write "=" with quotes`)
	case datePattern.MatchString(text):
		return date(text, at)
	case nullPattern.MatchString(text):
		return New(at, nil), nil
	case boolPattern.MatchString(text):
		switch strings.ToLower(text) {
		case "yes", "true", "on":
			return New(at, true), nil
		}
		return New(at, false), nil
	case intPattern.MatchString(text):
		if n := integer(text); n != nil {
			return New(at, n), nil
		}
	case floatPattern.MatchString(text):
		return New(at, float(text)), nil
	}
	return New(at, text), nil
}

// zonePattern is the end of a time with a zone.
var zonePattern = regexp.MustCompile(`[ \t]*(Z|[-+][0-9]{1,2}(?::[0-9]{2})?)$`)

// date returns the date or time that text, which matches datePattern, stands
// for.
func date(text string, at Position) (*Value, *Error) {
	if t, err := time.Parse("2006-01-02", text); err == nil {
		repr := fmt.Sprintf("datetime.date(%d, %d, %d)", t.Year(), t.Month(), t.Day())
		return New(at, Date{Text: text, Repr: repr}), nil
	}
	clock, zone := text, ""
	if i := zonePattern.FindStringSubmatchIndex(text); i != nil && strings.Contains(text, ":") {
		clock, zone = text[:i[0]], text[i[2]:i[3]]
	}
	clock = strings.Join(strings.FieldsFunc(clock, func(r rune) bool { return strings.ContainsRune("Tt \t", r) }), " ")
	t, err := time.Parse("2006-1-2 15:4:5", clock)
	if err != nil {
		return nil, at.Errorf("%s looks like a date, but there is no such day or time: quote it if it is text", text)
	}
	printed := t.Format("2006-01-02 15:04:05")
	if us := t.Nanosecond() / 1000; us > 0 {
		printed += fmt.Sprintf(".%06d", us)
	}
	if zone != "" {
		hours, minutes, _ := strings.Cut(strings.TrimLeft(zone, "+-Z"), ":")
		h, _ := strconv.Atoi(hours)
		m, _ := strconv.Atoi(minutes)
		sign := "+"
		if strings.HasPrefix(zone, "-") {
			sign = "-"
		}
		printed += fmt.Sprintf("%s%02d:%02d", sign, h, m)
	}
	return New(at, Date{Text: printed, Repr: "datetime.datetime(" + printed + ")"}), nil
}

// integer returns the number that text, which matches intPattern, stands for,
// or nil if it has no digit.
func integer(text string) *big.Int {
	sign, digits := splitSign(strings.ReplaceAll(text, "_", ""))
	base := 10
	switch {
	case strings.HasPrefix(digits, "0b"):
		base, digits = 2, digits[2:]
	case strings.HasPrefix(digits, "0x"):
		base, digits = 16, digits[2:]
	case strings.HasPrefix(digits, "0") && len(digits) > 1:
		base, digits = 8, digits[1:]
	}
	total := new(big.Int)
	for part := range strings.SplitSeq(digits, ":") {
		n, ok := new(big.Int).SetString(part, base)
		if !ok {
			return nil
		}
		total.Add(total.Mul(total, big.NewInt(60)), n)
	}
	return total.Mul(total, big.NewInt(int64(sign)))
}

// float returns the number that text, which matches floatPattern, stands for.
func float(text string) float64 {
	sign, digits := splitSign(strings.ToLower(strings.ReplaceAll(text, "_", "")))
	switch digits {
	case ".inf":
		return math.Inf(sign)
	case ".nan":
		return math.NaN()
	}
	total := 0.0
	for part := range strings.SplitSeq(digits, ":") {
		// Out of range is infinite, as it is in Python.
		n, _ := strconv.ParseFloat(part, 64)
		total = total*60 + n
	}
	return total * float64(sign)
}

// splitSign returns the sign of a number as 1 or -1, and the rest of it.
func splitSign(text string) (sign int, rest string) {
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		return -1, rest
	}
	return 1, strings.TrimPrefix(text, "+")
}
