package snapshot

import (
	"bytes"
	"io"
	"testing"
)

func FuzzSnapshot(f *testing.F) {
	var sound bytes.Buffer
	w, err := NewWriter(&sound, Head{Applied: 3, Schema: "s"})
	if err != nil {
		f.Fatal(err)
	}
	_, _ = w.Write([]byte("state"))
	_ = w.Close()
	f.Add(sound.Bytes())
	f.Add([]byte(magic1 + "0123456789abcdef{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		state, err := io.ReadAll(in)
		if err != nil || in.sum == nil {
			return
		}
		var again bytes.Buffer
		w, err := NewWriter(&again, in.Head)
		if err != nil && len(b) > maxBlock/6 {
			return // JSON may take 6 bytes for one that was not escaped
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(state)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if r, err := NewReader(&again); err != nil {
			t.Errorf("what was read cannot be written and read again: %v", err)
		} else if more, err := io.ReadAll(r); err != nil || !bytes.Equal(more, state) {
			t.Errorf("%q became %q (%v)", state, more, err)
		}
	})
}
