package step

import (
	"bytes"
	"io"
	"slices"
)

// minSecret is the shortest value that is masked, in bytes: shorter ones would
// be found in too much.
const minSecret = 4

// Mask is a writer that writes "****" for each secret. Because a secret may
// come in pieces, it holds back an end that may be the beginning of one.
type Mask struct {
	out     io.Writer
	secrets [][]byte // longest first
	held    []byte
}

// NewMask returns a Mask that writes to out.
func NewMask(out io.Writer, secrets []string) *Mask {
	m := &Mask{out: out}
	for _, s := range secrets {
		if len(s) >= minSecret {
			m.secrets = append(m.secrets, []byte(s))
		}
	}
	slices.SortFunc(m.secrets, func(a, b []byte) int { return len(b) - len(a) })
	return m
}

// Write implements io.Writer.
func (m *Mask) Write(p []byte) (int, error) {
	if len(m.secrets) == 0 {
		return m.out.Write(p)
	}
	m.held = append(m.held, p...)
	if err := m.release(false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes what is held back.
func (m *Mask) Flush() error { return m.release(true) }

// release writes what is held back: all if it is final, else up to where a
// secret may begin that has not come to its end.
func (m *Mask) release(final bool) error {
	var safe []byte
	text := m.held
	for len(text) > 0 {
		n, wait := m.secretAt(text)
		if wait && !final {
			break
		}
		if n > 0 {
			safe = append(safe, "****"...)
		} else {
			safe, n = append(safe, text[0]), 1
		}
		text = text[n:]
	}
	m.held = bytes.Clone(text)
	if len(safe) == 0 {
		return nil
	}
	_, err := m.out.Write(safe)
	return err
}

// secretAt returns the length of the longest secret that text begins with, and
// whether a longer one may begin here.
func (m *Mask) secretAt(text []byte) (n int, wait bool) {
	for _, s := range m.secrets {
		if bytes.HasPrefix(text, s) {
			return len(s), wait
		}
		wait = wait || bytes.HasPrefix(s, text)
	}
	return 0, wait
}
