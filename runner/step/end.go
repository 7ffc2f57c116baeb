package step

import (
	"bytes"
	"io"
)

// endMark is what the script writes last, see lf_finish.
var endMark = []byte("\x1elandfall: all was written\x1e\n")

// End is a writer that leaves out the mark with which the script says that it
// has written all. Because the mark may come in pieces, it holds back an end that
// may be the beginning of it.
type End struct {
	out  io.Writer
	held []byte
	seen func()
}

// NewEnd returns an End that writes to out, and calls seen when the mark has come
// and what was before it is written. If it never comes, the script has not come to
// its end, or what it wrote last was lost.
func NewEnd(out io.Writer, seen func()) *End { return &End{out: out, seen: seen} }

// Write implements io.Writer.
func (e *End) Write(p []byte) (int, error) {
	text := p
	if len(e.held) > 0 {
		text = append(e.held, p...)
		e.held = nil
	}
	for {
		at := bytes.Index(text, endMark)
		if at < 0 {
			break
		}
		if err := e.write(text[:at]); err != nil {
			return 0, err
		}
		e.seen()
		text = text[at+len(endMark):]
	}
	keep := 0
	for n := min(len(endMark)-1, len(text)); n > 0; n-- {
		if bytes.HasSuffix(text, endMark[:n]) {
			keep = n
			break
		}
	}
	if keep > 0 {
		e.held = bytes.Clone(text[len(text)-keep:])
	}
	return len(p), e.write(text[:len(text)-keep])
}

// Flush writes what is held back.
func (e *End) Flush() error {
	held := e.held
	e.held = nil
	return e.write(held)
}

func (e *End) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	_, err := e.out.Write(p)
	return err
}
