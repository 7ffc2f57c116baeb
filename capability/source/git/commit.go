package git

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Commit is a commit as git stores it.
type Commit struct {
	SHA       string
	Tree      string
	Parents   []string
	Author    Person
	Committer Person

	// Subject is the first line of Message, which is kept byte for byte.
	Subject string
	Message string

	// ChangeID is "I" and 40 hex digits, or empty. It comes from the trailer
	// "Change-Id: I…" or "Link: https://…/id/I…" in the last paragraph, or
	// else from the header change-id that jj and GitButler write.
	ChangeID string
}

// Person is an author or committer, and when they acted.
type Person struct {
	Name  string
	Email string
	Time  time.Time
}

// line returns p as it stands in a commit.
func (p Person) line() string {
	clean := func(s string) string {
		return strings.TrimSpace(strings.Map(func(c rune) rune {
			if c < ' ' || c == '<' || c == '>' {
				return -1
			}
			return c
		}, s))
	}
	return clean(p.Name) + " <" + clean(p.Email) + "> " + strconv.FormatInt(p.Time.Unix(), 10) + p.Time.Format(" -0700")
}

// parsePerson reads "Name <email> seconds zone". Old commits have broken
// ones; what cannot be read stays empty.
func parsePerson(line string) Person {
	var p Person
	name, rest, _ := strings.Cut(line, "<")
	p.Name = strings.TrimSpace(name)
	end := strings.LastIndexByte(rest, '>')
	if end < 0 {
		return p
	}
	p.Email = rest[:end]
	seconds, zone, _ := strings.Cut(strings.TrimSpace(rest[end+1:]), " ")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return p
	}
	p.Time = time.Unix(unix, 0).UTC()
	if at, err := time.ParseInLocation("-0700", zone, time.UTC); err == nil {
		p.Time = p.Time.In(at.Location())
	}
	return p
}

// parseCommit reads the raw bytes of a commit.
func parseCommit(sha string, raw []byte) Commit {
	c := Commit{SHA: sha}
	var header string // of jj
	head, message, _ := bytes.Cut(raw, []byte("\n\n"))
	for line := range strings.SplitSeq(string(head), "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "tree":
			c.Tree = value
		case "parent":
			c.Parents = append(c.Parents, value)
		case "author":
			c.Author = parsePerson(value)
		case "committer":
			c.Committer = parsePerson(value)
		case "change-id":
			header = value
		}
	}
	c.Message = string(message)
	c.Subject, _, _ = strings.Cut(c.Message, "\n")
	for _, id := range footers(c.Message) {
		if changeIDPattern.MatchString(id) {
			c.ChangeID = id
		}
	}
	if c.ChangeID == "" {
		c.ChangeID = headerID(header)
	}
	return c
}

var (
	changeIDPattern = regexp.MustCompile(`^I[0-9a-f]{40}$`)
	footerPattern   = regexp.MustCompile(`^Change-Id:\s*(.*)$`)
	linkPattern     = regexp.MustCompile(`^Link:\s*\S+/id/(I[0-9a-f]{40})$`)
	jjPattern       = regexp.MustCompile(`^[k-z]{32}$`)
)

// footers returns the different change ids in the last paragraph of a message, well
// formed or not. The first paragraph is the subject and has no footers.
func footers(message string) []string {
	message = strings.TrimSpace(strings.ReplaceAll(message, "\r\n", "\n"))
	_, body, _ := strings.Cut(message, "\n")
	start := strings.LastIndex(body, "\n\n")
	if start < 0 && !strings.HasPrefix(body, "\n") {
		return nil
	}
	var ids []string
	for line := range strings.SplitSeq(body[max(start, 0):], "\n") {
		line = strings.TrimSpace(line)
		m := footerPattern.FindStringSubmatch(line)
		if m == nil {
			m = linkPattern.FindStringSubmatch(line)
		}
		if m != nil && !slices.Contains(ids, m[1]) {
			ids = append(ids, m[1])
		}
	}
	return ids
}

// headerID turns jj's change id, 16 bytes in the digits z (0) to k (15), into
// the Change-Id that jj's template for Gerrit's trailer writes for it: the
// bytes in hex and then "jjid", which makes 20 bytes.
func headerID(header string) string {
	if !jjPattern.MatchString(header) {
		return ""
	}
	hex := strings.Map(func(c rune) rune { return rune("0123456789abcdef"['z'-c]) }, header)
	return "I" + hex + "6a6a6964"
}

// rewrite returns a raw commit with another tree, parent and committer. What
// signed the old one is left out.
func rewrite(raw []byte, tree, parent string, committer Person) []byte {
	head, message, _ := bytes.Cut(raw, []byte("\n\n"))
	var out bytes.Buffer
	drop := false
	for line := range strings.SplitSeq(string(head), "\n") {
		if strings.HasPrefix(line, " ") { // goes on with the header above
			if !drop {
				out.WriteString(line + "\n")
			}
			continue
		}
		key, _, _ := strings.Cut(line, " ")
		drop = key == "gpgsig" || key == "gpgsig-sha256" || key == "mergetag"
		switch {
		case drop:
		case key == "tree":
			out.WriteString("tree " + tree + "\nparent " + parent + "\n")
		case key == "parent":
		case key == "committer":
			out.WriteString("committer " + committer.line() + "\n")
		default:
			out.WriteString(line + "\n")
		}
	}
	out.WriteByte('\n')
	out.Write(message)
	return out.Bytes()
}
