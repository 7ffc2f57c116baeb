package seal

import (
	"bytes"
	"testing"
	"time"
)

func FuzzOpen(f *testing.F) {
	f.Add([]byte{})
	f.Add(Entry([]byte("data"), time.Unix(1, 0)))
	f.Fuzz(func(t *testing.T, b []byte) {
		data, at, err := Open(b)
		if err == nil && !bytes.Equal(Entry(data, time.Unix(0, at)), b) {
			t.Errorf("%q decodes to %q at %d, which encodes to something else", b, data, at)
		}
	})
}
