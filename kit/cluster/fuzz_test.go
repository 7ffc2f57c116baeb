package cluster

import (
	"bytes"
	"testing"
	"time"

	"landfall.dev/kit/cluster/disk"
)

func FuzzDecodeEntry(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeEntry([]byte("data"), time.Unix(1, 0)))
	f.Fuzz(func(t *testing.T, b []byte) {
		data, at, err := decodeEntry(b)
		if err == nil && !bytes.Equal(encodeEntry(data, time.Unix(0, at)), b) {
			t.Errorf("%q decodes to %q at %d, which encodes to something else", b, data, at)
		}
	})
}

func FuzzJoinAnswer(f *testing.F) {
	f.Add([]byte(`{"key":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=","peers":[{"id":"n1"}],"schema":"s"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := parseAnswer(b); err == nil && (len(a.Key) != disk.KeySize || len(a.Peers) == 0) {
			t.Errorf("%q was taken for an answer", b)
		}
	})
}
