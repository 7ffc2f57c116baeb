package sarif

import (
	"strconv"

	"landfall.dev/api"
	"landfall.dev/capability/quality/input"
)

// lint reads the XML that analysers of before SARIF write: Checkstyle's (which
// many others write too), PMD's, and that of FindBugs and SpotBugs.
type lint struct {
	file     string
	findings *Findings
	tool     string
	source   string       // of the <file> that it is in
	found    *api.Finding // that it is in
	placed   bool         // its own place is known
	elements []string     // that it is in, from the outermost
	reading  bool         // the text of the finding
	said     []byte
}

func (f *Findings) readXML(file string, data []byte) error {
	l := &lint{file: file, findings: f}
	return input.XML(file, data, input.Visitor{Root: l.root, Start: l.start, End: l.end, Text: l.text})
}

func (l *lint) root(e input.Element) error {
	tools := map[string]string{"checkstyle": "Checkstyle", "pmd": "PMD", "BugCollection": "FindBugs"}
	if l.tool = tools[e.Name]; l.tool == "" {
		return input.Errorf(l.file, e.Line, "it is no report of findings: it begins with <%s>, and is neither SARIF nor of Checkstyle, PMD or FindBugs", input.Brief(e.Name, 40))
	}
	return nil
}

func (l *lint) start(e input.Element) error {
	l.elements = append(l.elements, e.Name)
	switch e.Name {
	case "file":
		l.source = fileOf(e.Attr("name"))
	case "error":
		return l.begin(e, e.Attr("source"), severities[e.Attr("severity")], "line")
	case "violation":
		l.reading = true
		return l.begin(e, e.Attr("rule"), priorities[e.Attr("priority")], "beginline")
	case "BugInstance":
		return l.begin(e, e.Attr("type"), ranks[e.Attr("priority")], "")
	case "LongMessage":
		l.reading = l.found != nil
	case "SourceLine":
		return l.place(e)
	}
	return nil
}

// The levels of the tools' own.
var (
	severities = map[string]string{"error": "error", "warning": "warning", "info": "note", "ignore": none}
	priorities = map[string]string{"1": "error", "2": "error", "3": "warning", "4": "note", "5": "note"}
	ranks      = map[string]string{"1": "error", "2": "warning", "3": "note"}
)

// begin begins a finding, whose line an attribute of e tells.
func (l *lint) begin(e input.Element, rule, level, line string) error {
	if l.found != nil {
		return input.Errorf(l.file, e.Line, "a <%s> is inside another finding", input.Brief(e.Name, 40))
	}
	if len(l.findings.List) >= maxFindings {
		return input.Errorf(l.file, e.Line, "the build has more than %d findings", maxFindings)
	}
	if level == "" {
		level = "warning"
	}
	l.found = &api.Finding{
		Tool: l.tool, Rule: input.Brief(rule, maxName), Level: level, File: l.source, Message: input.Brief(e.Attr("message"), maxMessage),
	}
	l.placed = false
	var err error
	if line != "" {
		l.found.Line, err = e.Number(line)
	}
	return err
}

// place notes where a bug is: the place of its own, or else the first of those
// of what it is about.
func (l *lint) place(e input.Element) error {
	own := len(l.elements) > 1 && l.elements[len(l.elements)-2] == "BugInstance"
	if l.found == nil || l.placed || l.found.File != "" && !own {
		return nil
	}
	l.placed = own
	line, err := strconv.ParseUint(e.Attr("start"), 10, 31)
	if err != nil { // a whole class may have none
		line = 1
	}
	l.found.File, l.found.Line = e.Attr("sourcepath"), int(line)
	return nil
}

func (l *lint) text(b []byte) {
	if room := 4*maxMessage - len(l.said); l.reading && room > 0 {
		l.said = append(l.said, b[:min(room, len(b))]...)
	}
}

func (l *lint) end(name string) error {
	l.elements = l.elements[:len(l.elements)-1]
	switch name {
	case "LongMessage", "violation":
		if l.found != nil && l.found.Message == "" {
			l.found.Message = input.Brief(string(l.said), maxMessage)
		}
		l.reading, l.said = false, nil
	}
	switch name {
	case "error", "violation", "BugInstance":
		if l.found.Level != none {
			l.findings.add(*l.found)
		}
		l.found = nil
	}
	return nil
}
