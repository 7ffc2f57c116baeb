package input

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
)

// maxDepth is how deep elements may be in each other.
const maxDepth = 100

// Element is the start of an XML element.
type Element struct {
	Name string // without its namespace
	// Line is where its tag ends.
	Line int

	file  string
	attrs []xml.Attr
}

// Attr returns the value of an attribute, empty if there is none.
func (e Element) Attr(name string) string {
	for _, a := range e.attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// Number returns the value of an attribute that must be a number from 0 on,
// and 0 if there is none.
func (e Element) Number(name string) (int, error) {
	text := e.Attr(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, Errorf(e.file, e.Line, "<%s %s=%q>: it is no number from 0 to 2147483647", Brief(e.Name, 40), name, Brief(text, 40))
	}
	return int(n), nil
}

// Visitor is what XML calls. A function that is nil is left out; an error of
// one ends the visit.
type Visitor struct {
	// Root is asked whether the outermost element is the right one.
	Root  func(Element) error
	Start func(Element) error
	End   func(name string) error
	Text  func(text []byte) // not kept
}

// XML visits the elements of a file. A definition of entities is an error:
// reports have no need of any.
func XML(file string, data []byte, v Visitor) error {
	d := xml.NewDecoder(bytes.NewReader(data))
	d.CharsetReader = charset
	for depth, seen := 0, false; ; {
		token, err := d.Token()
		line, _ := d.InputPos()
		if err == io.EOF && seen {
			return nil
		}
		if err == io.EOF {
			return Errorf(file, line, "it has no element: it is empty")
		}
		if err != nil {
			return xmlError(file, line, err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			e := Element{Name: t.Name.Local, Line: line, file: file, attrs: t.Attr}
			if depth++; depth > maxDepth {
				return Errorf(file, line, "elements are nested more than %d deep", maxDepth)
			}
			if err = v.start(e, !seen); err != nil {
				return err
			}
			seen = true
		case xml.EndElement:
			depth--
			if v.End != nil {
				err = v.End(t.Name.Local)
			}
		case xml.CharData:
			if v.Text != nil && depth > 0 {
				v.Text(t)
			}
		case xml.Directive:
			if bytes.Contains(bytes.ToUpper(t), []byte("<!ENTITY")) {
				return Errorf(file, line, "it defines entities, which no report needs")
			}
		}
		if err != nil {
			return err
		}
	}
}

func (v Visitor) start(e Element, root bool) error {
	if root && v.Root != nil {
		if err := v.Root(e); err != nil {
			return err
		}
	}
	if v.Start == nil {
		return nil
	}
	return v.Start(e)
}

func xmlError(file string, line int, err error) error {
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return Errorf(file, syntax.Line, "it is no XML: %s", Brief(syntax.Msg, 200))
	}
	return Errorf(file, line, "it is no XML: %s", Brief(strings.TrimPrefix(err.Error(), "xml: "), 200))
}

// charset returns in, which is in Latin-1, in UTF-8.
func charset(label string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "us-ascii", "ascii":
		return in, nil
	case "iso-8859-1", "latin1", "windows-1252":
		b, err := io.ReadAll(in)
		if err != nil {
			return nil, err
		}
		runes := make([]rune, len(b))
		for i, c := range b {
			runes[i] = rune(c)
		}
		return strings.NewReader(string(runes)), nil
	}
	return nil, errors.New("the encoding " + Brief(strconv.Quote(label), 40) + " is not known: write UTF-8")
}
