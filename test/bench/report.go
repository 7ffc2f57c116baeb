package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const preamble = `# Benchmarks

What Landfall is measured against, and what came of it. ` + "`make bench`" + ` writes this
page: a group's section when that group has run. Ours and the peer take turns on
the same machine, and a figure is the median over the rounds, so that only the
ratios tell something: ours by the peer's, or by what is demanded where there is
no peer.
`

// write puts the group's section in its place on the page in the file. Other
// sections stay as they are.
func (m *measurement) write(file, notes string) error {
	why, err := os.ReadFile(filepath.Join(notes, m.group+".md"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	text := place(string(old), m.group, m.section(time.Now(), machine(), string(why)))
	return os.WriteFile(file, []byte(text), 0o644)
}

// heading starts a group's section.
func heading(group string) string { return "## " + group + "\n" }

// section is the group's part of the page.
func (m *measurement) section(now time.Time, machine, why string) string {
	var b strings.Builder
	b.WriteString(heading(m.group))
	fmt.Fprintf(&b, "\n%s: %s.\n", now.UTC().Format("2006-01-02 15:04 MST"), machine)
	if len(m.peers) > 0 {
		fmt.Fprintf(&b, "Against %s.\n", strings.Join(m.peers, ", "))
	}
	fmt.Fprintf(&b, "\n```\n%s\n```\n", cmp.Or(m.command, "make bench ONLY="+m.group))
	for _, s := range m.setup {
		fmt.Fprintf(&b, "\n%s\n", s)
	}
	b.WriteString("\n| bar | of | ours | peer | ratio | want | |\n|---|---|---:|---:|---:|---:|---|\n")
	for _, r := range m.bars {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n",
			r.name, r.what, figure(r.ours), figure(r.peer), digits(r.ratio(), 3), r.want, r.verdict())
	}
	if len(m.also) > 0 {
		b.WriteString("\nAlso measured:\n\n")
	}
	for _, a := range m.also {
		fmt.Fprintf(&b, "- %s\n", a)
	}
	why = strings.TrimSpace(why)
	if why == "" && m.missed() {
		why = "Nobody has written it down yet."
	}
	title := "Notes"
	if m.missed() {
		title = "Why missed"
	}
	if why != "" {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n", title, why)
	}
	return b.String()
}

// place returns the page with the group's section in its place: where it was,
// or at the end.
func place(page, group, section string) string {
	if page == "" {
		page = preamble
	}
	sections := strings.Split(page, "\n## ")
	for i := range sections[1:] {
		sections[i+1] = "## " + strings.TrimRight(sections[i+1], "\n") + "\n"
	}
	sections[0] = strings.TrimRight(sections[0], "\n") + "\n"
	at := slices.IndexFunc(sections, func(s string) bool { return strings.HasPrefix(s, heading(group)) })
	if at < 0 {
		sections = append(sections, section)
	} else {
		sections[at] = section
	}
	return strings.Join(sections, "\n")
}
