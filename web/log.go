package web

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	terminal "github.com/buildkite/terminal-to-html/v3"
	"github.com/microcosm-cc/bluemonday"

	"landfall.dev/api"
	"landfall.dev/kit"
)

const (
	// logLines is how many lines of a log a page shows.
	logLines = 2000
	// maxLine is where a line is cut off, in bytes.
	maxLine = 8 << 10
)

// log is a part of a build's log.
type log struct {
	ID    string // of the attempt whose log it is
	Path  string // where all of it is
	First int    // number of the first line, from 1
	Lines []template.HTML
	Total int // lines of the whole log
	// Live is where what comes after the part can be followed; empty if the part
	// is not the last or the build has ended.
	Live string
	// Previous and Next are the first lines of the parts around it, 0 if there
	// is none.
	Previous, Next int
}

// Number returns the number of the i-th line.
func (l log) Number(i int) int { return l.First + i }

// Last returns the number of the last line.
func (l log) Last() int { return l.First + len(l.Lines) - 1 }

// log returns the end of the log of b, or the part from ?from= on.
func (s site) log(r request, b api.Build) (log, error) {
	l := log{ID: fmt.Sprintf("log-%d", max(b.Attempt, 1)), Path: "/logs/" + b.Link.ID()}
	from := 0
	if text := r.FormValue("from"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return l, kit.Errorf(kit.ErrInvalid, b.Link, "%q is no line of a log: they are numbered from 1", text)
		}
		from = n
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, s.base+l.Path, nil)
	if err != nil {
		return l, err
	}
	res, err := s.http.Do(req)
	if err != nil {
		return l, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, kit.MaxDocument))
		return l, kit.DecodeProblem(res.StatusCode, body)
	}
	w := window{from: from, ended: b.State.Done()}
	if err := w.read(res.Body); err != nil {
		return l, &kit.Error{Op: "web.log", Link: b.Link, Err: err}
	}
	l.First, l.Total, l.Lines = w.first, w.total, coloured(w.lines)
	if l.First > 1 {
		l.Previous = max(l.First-logLines, 1)
	}
	if l.Last() < l.Total {
		l.Next = l.Last() + 1
	} else if !b.State.Done() {
		l.Live = fmt.Sprintf("%s?from=%d", l.Path, w.end)
	}
	return l, nil
}

// window is the part of a log that a page shows: logLines lines from a given
// one on, or the last ones.
type window struct {
	from  int  // number of the first line wanted; 0 for the last ones
	ended bool // the last line is one even if it does not end
	first int  // number of the first line there is
	lines [][]byte
	total int   // lines of the log
	end   int64 // bytes up to the end of the last line
}

// read reads a log to its end.
func (w *window) read(r io.Reader) error {
	in := bufio.NewReaderSize(r, maxLine)
	w.first = max(w.from, 1)
	var line []byte // the beginning of the current one
	var length int64
	for {
		part, err := in.ReadSlice('\n')
		if length == 0 {
			line = append(line[:0], part...)
		}
		length += int64(len(part))
		if err == nil || errors.Is(err, io.EOF) && w.ended && length > 0 {
			w.take(bytes.TrimSuffix(line, []byte("\n")))
			w.end += length
			length = 0
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// take keeps a line if it is in the window.
func (w *window) take(line []byte) {
	w.total++
	switch {
	case w.total < w.from, w.from > 0 && len(w.lines) == logLines:
		return
	case len(w.lines) == logLines:
		w.lines = w.lines[1:]
		w.first++
	}
	w.lines = append(w.lines, bytes.Clone(line))
}

// clean lets through what colours are made of, and nothing that loads or runs.
var clean = func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowAttrs("class").Matching(regexp.MustCompile(`^term-[a-z]+[0-9]+( term-[a-z]+[0-9]+)*$`)).OnElements("span")
	return p
}()

// coloured renders the lines with the colours of their escape sequences. Each
// is rendered by itself, so that nothing in one can change another.
func coloured(lines [][]byte) []template.HTML {
	if len(lines) == 0 {
		return nil
	}
	var text strings.Builder
	for i, line := range lines {
		if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(strings.ReplaceAll(terminal.Render(line), "\n", " "))
	}
	var html []template.HTML
	for line := range strings.SplitSeq(clean.Sanitize(text.String()), "\n") {
		html = append(html, template.HTML(line)) // sanitised
	}
	return html
}
