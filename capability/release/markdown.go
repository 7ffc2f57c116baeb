package release

import (
	"fmt"
	"regexp"
	"strings"

	"landfall.dev/api"
)

// maxNotes is the size limit of notes, in bytes: they are signed with the
// release and read by every agent.
const maxNotes = 64 << 10

// sections are the headings of notes, in their order.
var sections = []struct{ kind, heading string }{
	{"breaking", "Breaking changes"},
	{"feat", "Features"},
	{"fix", "Fixes"},
	{"perf", "Performance"},
	{"", "Other changes"},
}

// entry is a commit's line in the notes.
type entry struct{ kind, text string }

// conventional is a subject after Conventional Commits 1.0.0 of a type that
// has a section: "feat(api)!: text".
var conventional = regexp.MustCompile(`^(feat|fix|perf)(\([^)]*\))?(!?): *(.+)$`)

// marked is a subject of another type that is marked as breaking.
var marked = regexp.MustCompile(`^[a-z]+(\([^)]*\))?!: *(.+)$`)

// markdown returns the notes of r: the commits, grouped by type if any has
// one, otherwise as a plain list.
func markdown(r, before api.Release, commits []api.Commit) string {
	groups := map[string][]string{}
	for _, c := range commits {
		if e, ok := entryOf(c); ok {
			groups[e.kind] = append(groups[e.kind], fmt.Sprintf("- %s (%.12s)\n", e.text, c.SHA))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "## %s %s\n", r.Project, r.Version)
	if before.Version != "" {
		fmt.Fprintf(&b, "\nChanges since %s.\n", before.Version)
	}
	if len(groups) == 0 {
		b.WriteString("\nNo changes worth a note.\n")
	}
	plain := len(groups) == 1 && len(groups[""]) > 0
	for _, s := range sections {
		if len(groups[s.kind]) == 0 {
			continue
		}
		if !plain {
			fmt.Fprintf(&b, "\n### %s\n", s.heading)
		}
		b.WriteString("\n")
		writeLines(&b, groups[s.kind])
	}
	return b.String()
}

// writeLines appends as many of lines as the limit allows, and says how many
// are left out.
func writeLines(b *strings.Builder, lines []string) {
	for i, line := range lines {
		if b.Len()+len(line) > maxNotes {
			fmt.Fprintf(b, "- and %d more\n", len(lines)-i)
			return
		}
		b.WriteString(line)
	}
}

// entryOf returns the line of c in the notes, if it has one. The footer
// Release-Notes takes the place of the subject, or leaves c out.
func entryOf(c api.Commit) (entry, bool) {
	e := entry{text: c.Subject}
	if m := conventional.FindStringSubmatch(c.Subject); m != nil {
		e = entry{kind: m[1], text: m[4]}
		if m[3] != "" {
			e.kind = "breaking"
		}
	} else if m := marked.FindStringSubmatch(c.Subject); m != nil {
		e = entry{kind: "breaking", text: m[2]}
	}
	for _, name := range []string{"BREAKING CHANGE", "BREAKING-CHANGE"} {
		if text := footer(c.Message, name); text != "" {
			e = entry{kind: "breaking", text: text}
		}
	}
	switch text := footer(c.Message, "Release-Notes"); text {
	case "":
	case "skip":
		return entry{}, false
	default:
		e.text = text
	}
	return e, e.text != ""
}

// footer returns the value of the footer name, in the last paragraph of a
// commit's message; lines that begin with a blank go on with the one before.
func footer(message, name string) string {
	paragraphs := strings.Split(strings.TrimSpace(strings.ReplaceAll(message, "\r\n", "\n")), "\n\n")
	if len(paragraphs) < 2 {
		return ""
	}
	value, found := "", false
	for line := range strings.SplitSeq(paragraphs[len(paragraphs)-1], "\n") {
		switch {
		case found && strings.HasPrefix(line, " "):
			value += " " + strings.TrimSpace(line)
		case found:
			return value
		case strings.HasPrefix(line, name+":"):
			value, found = strings.TrimSpace(line[len(name)+1:]), true
		}
	}
	return value
}
