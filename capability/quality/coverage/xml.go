package coverage

import (
	"path"
	"strings"

	"landfall.dev/capability/quality/input"
)

// xml reads a report of Cobertura or JaCoCo, by its outermost element.
func (p *parser) xml(data []byte) error {
	x := &xmlParser{parser: p}
	return input.XML(p.file, data, input.Visitor{Root: x.root, Start: x.start, End: x.end, Text: x.text})
}

// xmlParser reads <coverage>, Cobertura's
//
//	<sources><source>DIR</source></sources>
//	<class filename="FILE"><lines><line number="3" hits="1"/>
//
// or <report>, JaCoCo's
//
//	<package name="org/example"><sourcefile name="App.java">
//	<line nr="3" mi="0" ci="2"/>         missed and covered instructions
type xmlParser struct {
	*parser
	jacoco   bool
	inSource bool
	sources  []string
	pkg      string
	name     string // of the file that it is in
}

func (x *xmlParser) root(e input.Element) error {
	switch {
	case e.Name == "report":
		x.jacoco = true
	case e.Name != "coverage":
		return input.Errorf(x.file, e.Line, "it is no coverage report: it begins with <%s>, not with Cobertura's <coverage> or JaCoCo's <report>", input.Brief(e.Name, 40))
	case e.Attr("clover") != "":
		return input.Errorf(x.file, e.Line, "it is a report of Clover, which is not known: write Cobertura's")
	}
	return nil
}

func (x *xmlParser) start(e input.Element) error {
	switch e.Name {
	case "source":
		x.inSource, x.sources = true, append(x.sources, "")
	case "class":
		if !x.jacoco {
			x.name = x.within(e.Attr("filename"))
		}
	case "package":
		x.pkg = e.Attr("name")
	case "sourcefile":
		x.name = path.Join(x.pkg, e.Attr("name"))
	case "line":
		return x.line(e)
	}
	return nil
}

func (x *xmlParser) end(name string) error {
	switch name {
	case "source":
		x.inSource = false
	case "class", "sourcefile":
		x.name = ""
	}
	return nil
}

func (x *xmlParser) text(b []byte) {
	if x.inSource {
		x.sources[len(x.sources)-1] += string(b)
	}
}

// within returns the name of a class's file in the source folder, if there is
// only one.
func (x *xmlParser) within(name string) string {
	if len(x.sources) != 1 || path.IsAbs(name) || name == "" {
		return name
	}
	return path.Join(strings.TrimSpace(x.sources[0]), name)
}

func (x *xmlParser) line(e input.Element) error {
	if x.name == "" {
		return input.Errorf(x.file, e.Line, "a <line> is in no file")
	}
	number, hits := "number", "hits"
	if x.jacoco {
		number, hits = "nr", "ci"
	}
	n, err := e.Number(number)
	if err != nil {
		return err
	}
	count, err := e.Number(hits)
	if err != nil {
		return err
	}
	return x.hit(x.name, e.Line, n, count)
}
