package cluster

import (
	"testing"

	"landfall.dev/kit/cluster/disk"
)

func FuzzJoinAnswer(f *testing.F) {
	f.Add([]byte(`{"key":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=","peers":[{"id":"n1"}],"schema":"s"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := parseAnswer(b); err == nil && (len(a.Key) != disk.KeySize || len(a.Peers) == 0) {
			t.Errorf("%q was taken for an answer", b)
		}
	})
}
