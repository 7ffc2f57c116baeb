package calls

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/kit"
)

// Path is where a server takes calls. It is no kind's, since the name of a
// kind begins with a letter.
const Path = "/api/~calls"

// ContentType is that of a request and of its answer.
const ContentType = "application/x-ndjson"

// MaxCalls is how many calls a request may have.
const MaxCalls = 1000

// Call is one line of a request.
type Call struct {
	ID     int // not negative, and unlike the others'
	Method string
	Path   string // with the query
	Header http.Header
	Body   []byte // JSON in one line, or nothing

	url  *url.URL // of Path
	line []byte   // that it was read from, without its end
}

// Answer is one line of the answer to a request.
type Answer struct {
	ID     int
	Status int
	Header http.Header
	Body   []byte // JSON in one line, or nothing
}

// The headers that a line may have. All others belong to the whole request.
var (
	ofCalls   = []string{"Content-Type", "Idempotency-Key", "If-Match", "Landfall-Position", "Traceparent", "Tracestate", "X-Request-Id"}
	ofAnswers = []string{"Etag", "Landfall-Position", "Location", "Retry-After", "X-Request-Id"}
)

// Read returns the calls in the body of a request. It refuses all of them if
// a line is none, and says which.
func Read(body []byte) ([]Call, error) {
	var read []Call
	ids := map[int]bool{}
	number := 0
	for line := range bytes.Lines(body) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		c, err := readCall(line)
		switch {
		case err != nil:
		case ids[c.ID]:
			err = fmt.Errorf("there are two calls with the id %d", c.ID)
		case len(read) == MaxCalls:
			return nil, kit.Errorf(kit.ErrTooLarge, "", "the request has more than %d calls: split it", MaxCalls)
		}
		if err != nil {
			return nil, &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("line %d is no call: %v", number, err), Hint: `write {"id":1,"method":"GET","path":"/api/KIND/ID"}, each call in a line; nothing was done`}
		}
		ids[c.ID] = true
		read = append(read, c)
	}
	if len(read) == 0 {
		return nil, &kit.Error{Fault: kit.ErrInvalid, Detail: "the request has no calls", Hint: `write {"id":1,"method":"GET","path":"/api/KIND/ID"}, each call in a line`}
	}
	return read, nil
}

func readCall(line []byte) (Call, error) {
	c := Call{ID: -1, line: line}
	err := members(line, func(name string, value []byte) (err error) {
		switch name {
		case "id":
			c.ID, err = number(value)
		case "method":
			c.Method, err = text(value)
		case "path":
			c.Path, err = text(value)
		case "headers":
			c.Header, err = headers(value, ofCalls)
		case "body":
			c.Body = value
		default:
			err = errors.New("it is not one of id, method, path, headers and body")
		}
		return err
	})
	switch {
	case err != nil:
		return c, err
	case c.ID < 0:
		return c, errors.New("it has no id")
	case !slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete}, c.Method):
		return c, fmt.Errorf("its method is %.20q, not one of GET, POST, PATCH and DELETE", c.Method)
	}
	if c.url, err = url.ParseRequestURI(c.Path); err != nil || c.url.Scheme != "" || !ofDocuments(c.url.Path) {
		return c, fmt.Errorf("its path is %.200q, not that of a document or a kind, like /api/KIND/ID or /api/KIND", c.Path)
	}
	return c, nil
}

// Reads tells whether the call changes nothing.
func (c Call) Reads() bool { return c.Method == http.MethodGet }

// ofDocuments tells whether path is that of a document, or of a method of one,
// or of a kind, and of none of a server's own.
func ofDocuments(path string) bool {
	rest, ok := strings.CutPrefix(path, "/api/")
	kind, id, one := strings.Cut(rest, "/")
	return ok && kit.CheckKind(kind) == nil && kind != "batch" && !strings.Contains(id, "/") && (!one || id != "")
}

// ReadAnswer returns the answer in a line.
func ReadAnswer(line []byte) (Answer, error) {
	a := Answer{ID: -1}
	err := members(line, func(name string, value []byte) (err error) {
		switch name {
		case "id":
			a.ID, err = number(value)
		case "status":
			a.Status, err = number(value)
		case "headers":
			a.Header, err = headers(value, nil)
		case "body":
			a.Body = value
		}
		return err
	})
	if err == nil && (a.ID < 0 || a.Status < 200) {
		err = errors.New("it has no id, or no status")
	}
	return a, err
}

// Append appends c's line to b.
func (c Call) Append(b []byte) []byte {
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, int64(c.ID), 10)
	b = append(b, `,"method":`...)
	b = appendText(b, c.Method)
	b = append(b, `,"path":`...)
	b = appendText(b, c.Path)
	b = appendHeaders(b, c.Header, ofCalls)
	return appendBody(b, c.Body)
}

// Append appends a's line to b.
func (a Answer) Append(b []byte) []byte {
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, int64(a.ID), 10)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(a.Status), 10)
	b = appendHeaders(b, a.Header, ofAnswers)
	return appendBody(b, a.Body)
}

func appendBody(b, body []byte) []byte {
	if len(body) > 0 {
		b = append(b, `,"body":`...)
		b = append(b, body...)
	}
	return append(b, '}', '\n')
}

func appendHeaders(b []byte, h http.Header, names []string) []byte {
	before := `,"headers":{`
	for _, name := range names {
		values := h[name]
		if len(values) == 0 {
			continue
		}
		b = append(b, before...)
		b = append(b, '"')
		b = append(b, name...)
		b = append(b, '"', ':')
		b = appendText(b, values[0])
		before = ","
	}
	if before == "," {
		b = append(b, '}')
	}
	return b
}

// appendText appends s as a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string can be marshalled
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// headers reads an object of headers, each with one value; allowed are those
// with the names, or all for nil.
func headers(object []byte, names []string) (http.Header, error) {
	h := http.Header{}
	return h, members(object, func(name string, value []byte) error {
		name = http.CanonicalHeaderKey(name)
		if names != nil && !slices.Contains(names, name) {
			return fmt.Errorf("a call has no such header: use %s", strings.Join(names, ", "))
		}
		s, err := text(value)
		h[name] = []string{s}
		return err
	})
}

func text(value []byte) (string, error) {
	if len(value) >= 2 && value[0] == '"' && !bytes.ContainsFunc(value[1:len(value)-1], func(r rune) bool { return r < ' ' || r >= 0x7f || r == '\\' }) {
		return string(value[1 : len(value)-1]), nil
	}
	var s *string
	if err := json.Unmarshal(value, &s); err != nil || s == nil {
		return "", errors.New("it is no string")
	}
	return *s, nil
}

func number(value []byte) (int, error) {
	n, err := strconv.Atoi(string(value))
	if err != nil || n < 0 || value[0] == '+' {
		return 0, errors.New("it is no whole number from 0 on")
	}
	return n, nil
}
