package jjb

import (
	"math/rand/v2"
	"strings"
)

// The generator makes trees of these and of text: a map with its order, a
// list, and YAML that is written as it is.
type (
	table []entry
	items []any
	plain string
)

type entry struct {
	key   string
	value any
}

// writer writes YAML in the styles that people use.
type writer struct {
	rand *rand.Rand
	out  strings.Builder
}

// write writes v after the key or dash that stands on the line already.
// Below that, lines are indented by indent.
func (w *writer) write(v any, indent int) {
	switch v := v.(type) {
	case nil:
		w.out.WriteString("\n")
	case plain:
		w.out.WriteString(" " + string(v) + "\n")
	case string:
		w.out.WriteString(" " + w.text(v, indent) + "\n")
	case items:
		w.items(v, indent)
	case table:
		w.table(v, indent)
	case anchored:
		w.out.WriteString(" &" + v.name)
		w.table(v.value, indent)
	}
}

func (w *writer) items(v items, indent int) {
	if len(v) == 0 {
		w.out.WriteString(" []\n")
		return
	}
	w.out.WriteString("\n")
	for _, item := range v {
		w.out.WriteString(strings.Repeat(" ", indent) + "-")
		w.write(item, indent+2)
	}
}

func (w *writer) table(v table, indent int) {
	if len(v) == 0 {
		w.out.WriteString(" {}\n")
		return
	}
	w.out.WriteString("\n")
	for _, e := range v {
		key := e.key
		if key != "<<" {
			key = w.key(key)
		}
		w.out.WriteString(strings.Repeat(" ", indent) + key + ":")
		w.write(e.value, indent+2)
	}
}

func (w *writer) key(s string) string {
	if strings.ContainsAny(s, "{}|#'\": ") || s == "" {
		return quoted(s)
	}
	return s
}

// text returns s in one of the styles that keep it.
func (w *writer) text(s string, indent int) string {
	block := strings.Contains(s, "\n") && !strings.HasPrefix(s, " ") && !strings.HasPrefix(s, "\n") && strings.TrimSpace(s) != ""
	switch {
	case block && w.rand.IntN(4) > 0:
		return w.block(s, indent)
	case !strings.Contains(s, "\n") && w.rand.IntN(2) == 0:
		return quoted(s)
	default:
		return doubled(s)
	}
}

// doubled writes s in double quotes.
func doubled(s string) string {
	r := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`)
	return `"` + r.Replace(s) + `"`
}

// block writes s as a literal block, which keeps each of its final newlines.
func (w *writer) block(s string, indent int) string {
	mark, body := "|-", s
	if rest, ok := strings.CutSuffix(s, "\n"); ok {
		mark, body = "|", rest
		if strings.HasSuffix(rest, "\n") {
			mark = "|+"
		}
	}
	lines := strings.Split(body, "\n")
	for i, l := range lines {
		if l != "" {
			lines[i] = strings.Repeat(" ", indent+2) + l
		}
	}
	return mark + "\n" + strings.Join(lines, "\n")
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// document writes definitions as a file.
func document(r *rand.Rand, definitions items) string {
	w := &writer{rand: r}
	w.items(definitions, 0)
	return strings.TrimPrefix(w.out.String(), "\n")
}

// anchored is a value that has an anchor.
type anchored struct {
	name  string
	value table
}
