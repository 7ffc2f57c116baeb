// Package lines finds the lines of a log of any size: windows of it, matches of
// a pattern, and its sections, each in bounded memory.
//
// A log is text that only grows. Beside it is an index, a file with the places
// of some of its lines, which is made by the first who looks and continued by
// those who look later. It may be deleted at any time.
package lines

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"landfall.dev/api"
	"landfall.dev/kit"
)

const (
	// maxLine is where a line is cut off that is shown, in bytes.
	maxLine = 8 << 10

	// A mark is made after so many lines or bytes, whichever is first.
	markLines = 4096
	markBytes = 1 << 20
)

// mark is the place where a line begins.
type mark struct {
	Lines  int64 // before it
	Offset int64 // of its first byte
}

// Log is a log as it was when it was opened. It must not be used concurrently.
type Log struct {
	in    io.ReadSeeker
	ended bool
	marks []mark // in order
	total int64  // lines
	end   int64  // offset after the last line
}

// Open looks through what has come to the log in since the file index was
// written, and continues that. ended tells that the log will not grow, so that
// what is after its last newline is a line too.
func Open(in io.ReadSeeker, index string, ended bool) (*Log, error) {
	marks, err := readIndex(index)
	if err != nil {
		return nil, err
	}
	size, err := in.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	for len(marks) > 0 && marks[len(marks)-1].Offset > size {
		marks = nil // of another log
	}
	l := &Log{in: in, ended: ended, marks: marks}
	known := len(marks)
	if err := l.scan(); err != nil {
		return nil, err
	}
	if len(l.marks) > known {
		return l, writeIndex(index, l.marks)
	}
	return l, nil
}

// scan counts the lines after the last mark, and marks some.
func (l *Log) scan() error {
	var last mark
	if len(l.marks) > 0 {
		last = l.marks[len(l.marks)-1]
	}
	if _, err := l.in.Seek(last.Offset, io.SeekStart); err != nil {
		return err
	}
	at, n := last.Offset, last.Lines
	l.end = last.Offset
	buf := make([]byte, 256<<10)
	for {
		read, err := l.in.Read(buf)
		for part := buf[:read]; ; {
			i := bytes.IndexByte(part, '\n')
			if i < 0 {
				at += int64(len(part))
				break
			}
			part, at, n = part[i+1:], at+int64(i)+1, n+1
			l.end = at
			if n-last.Lines >= markLines || at-last.Offset >= markBytes {
				last = mark{n, at}
				l.marks = append(l.marks, last)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	l.total = n
	if l.ended && at > l.end {
		l.total, l.end = n+1, at
	}
	return nil
}

// Total is the number of lines.
func (l *Log) Total() int64 { return l.total }

// Window returns the lines from, from 1, up to but not to, as far as they fit:
// see api.LogWindow. With from 0 it returns the last lines before to, or before
// the end if to is 0 too. end is the offset after the last.
func (l *Log) Window(from, to int64) (w api.LogWindow, end int64, err error) {
	if to == 0 || to > l.total+1 {
		to = l.total + 1
	}
	last := from == 0
	if last {
		from = max(to-api.MaxWindowLines, 1)
	}
	to = min(to, from+api.MaxWindowLines)
	w = api.LogWindow{First: from, Lines: []api.LogLine{}, Total: l.total}
	size := 0
	end, err = l.each(from, to, maxLine, func(_ int64, text []byte, cut int64) bool {
		size += len(text)
		if size > api.MaxWindowBytes && !last {
			return false
		}
		w.Lines = append(w.Lines, api.LogLine{Text: string(text), Cut: cut})
		for ; size > api.MaxWindowBytes; w.First++ { // the first ones must go
			size -= len(w.Lines[0].Text)
			w.Lines = w.Lines[1:]
		}
		return true
	})
	return w, end, err
}

// each calls f for the lines from up to but not to, each without its end and
// what is over limit bytes, until f returns false. It returns the offset after
// the last line that f has taken.
func (l *Log) each(from, to int64, limit int, f func(n int64, text []byte, cut int64) bool) (end int64, err error) {
	before := l.before(from)
	if _, err := l.in.Seek(before.Offset, io.SeekStart); err != nil {
		return 0, err
	}
	r := reader{in: l.in, buf: make([]byte, 0, 256<<10), at: before.Offset}
	to = min(to, l.total+1)
	for n := before.Lines + 1; n < to; n++ {
		want := limit
		if n < from {
			want = 0
		}
		start := r.at
		text, cut, err := r.line(want)
		if err != nil {
			return r.at, err
		}
		if n >= from && !f(n, text, cut) {
			return start, nil
		}
	}
	return r.at, nil
}

// before returns the last mark that is not after the line n.
func (l *Log) before(n int64) mark {
	i := sort.Search(len(l.marks), func(i int) bool { return l.marks[i].Lines >= n })
	if i == 0 {
		return mark{}
	}
	return l.marks[i-1]
}

// reader reads lines.
type reader struct {
	in   io.Reader
	buf  []byte // what is read but not used
	rest []byte // where buf is stored
	at   int64  // offset of what is used
	text []byte
}

// line returns the next line up to limit bytes, which are valid until the next
// call, and how many more it has. At the end of the log it is an empty one.
func (r *reader) line(limit int) (text []byte, cut int64, err error) {
	r.text = r.text[:0]
	for {
		i := bytes.IndexByte(r.buf, '\n')
		part := r.buf
		if i >= 0 {
			part = r.buf[:i]
		}
		kept := min(len(part), limit-len(r.text))
		r.text = append(r.text, part[:kept]...)
		cut += int64(len(part) - kept)
		r.at += int64(len(part))
		r.buf = r.buf[len(part):]
		if i >= 0 {
			r.buf = r.buf[1:]
			r.at++
			return r.text, cut, nil
		}
		if r.rest == nil {
			r.rest = make([]byte, 256<<10)
		}
		n, err := r.in.Read(r.rest)
		r.buf = r.rest[:n]
		if n == 0 && errors.Is(err, io.EOF) {
			return r.text, cut, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
	}
}

// readIndex returns the marks in the file, none if it is not there.
func readIndex(path string) ([]mark, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	marks := make([]mark, len(data)/binary.Size(mark{}))
	if _, err := binary.Decode(data, binary.LittleEndian, marks); err != nil {
		return nil, err
	}
	for i := 1; i < len(marks); i++ {
		if marks[i].Lines <= marks[i-1].Lines || marks[i].Offset <= marks[i-1].Offset {
			return nil, nil // damaged: it is made anew
		}
	}
	return marks, nil
}

// writeIndex replaces the file in one step, because others may read it.
func writeIndex(path string, marks []mark) error {
	data, err := binary.Append(nil, binary.LittleEndian, marks)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".lines-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// invalid is the error of a question that is wrong.
func invalid(format string, args ...any) error {
	return kit.Errorf(kit.ErrInvalid, "", format, args...)
}
