package bom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep values may be in each other.
const maxDepth = 100

// walker reads JSON part by part, so that no file makes more work or memory
// than a multiple of its size.
type walker struct {
	file    string
	what    string // "CycloneDX bill of materials"
	data    []byte
	decoder *json.Decoder
}

func walk(file, what string, data []byte) *walker {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	return &walker{file: file, what: what, data: data, decoder: json.NewDecoder(bytes.NewReader(data))}
}

// errorf returns an error about the place in the file.
func (w *walker) errorf(format string, args ...any) error {
	before := w.data[:min(int(w.decoder.InputOffset()), len(w.data))]
	return fmt.Errorf("%s:%d: %s", w.file, 1+bytes.Count(before, []byte("\n")), fmt.Sprintf(format, args...))
}

func (w *walker) broken(err error) error {
	return w.errorf("it is no %s: %s", w.what, brief(err.Error(), 200))
}

func (w *walker) token() (json.Token, error) {
	t, err := w.decoder.Token()
	if err != nil {
		return nil, w.broken(err)
	}
	return t, nil
}

// object calls field for each key of the object that comes next; it reads the
// value.
func (w *walker) object(name string, field func(key string) error) error {
	return w.values(name, '{', func() error {
		key, err := w.token()
		if err != nil {
			return err
		}
		return field(fmt.Sprint(key))
	})
}

// list calls item for each value of the list that comes next; it reads it.
func (w *walker) list(name string, item func() error) error {
	return w.values(name, '[', item)
}

// values calls next until the object or the list ends. Instead of it there may
// be null.
func (w *walker) values(name string, open json.Delim, next func() error) error {
	t, err := w.token()
	if err != nil || t == nil {
		return err
	}
	if t != open {
		form := map[json.Delim]string{'{': "an object", '[': "a list"}[open]
		return w.errorf("it is no %s: %s must be %s", w.what, name, form)
	}
	for w.decoder.More() {
		if err := next(); err != nil {
			return err
		}
	}
	_, err = w.token()
	return err
}

// read reads the value that comes next into v.
func (w *walker) read(v any) error {
	if err := w.decoder.Decode(v); err != nil {
		return w.broken(err)
	}
	return nil
}

// skip reads a value that does not matter.
func (w *walker) skip() error {
	for depth := 0; ; {
		t, err := w.token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxDepth {
				return w.errorf("values are nested more than %d deep", maxDepth)
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// brief returns the first line of text, cut to at most limit bytes.
func brief(text string, limit int) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	text = strings.ToValidUTF8(strings.TrimSpace(text), "\uFFFD")
	if len(text) <= limit {
		return text
	}
	const mark = "…"
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}
