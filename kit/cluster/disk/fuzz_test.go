package disk

import "testing"

func FuzzFilesOfADirectory(f *testing.F) {
	f.Add([]byte(`[{"id":"n1","url":"http://127.0.0.1:1","raft":"127.0.0.1:2","gossip":"127.0.0.1:3"}]`))
	f.Add([]byte(`{"id":"n1","key":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}`))
	f.Add(make([]byte, markSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if peers, err := parsePeers(b); err == nil {
			for _, p := range peers {
				if p.ID == "" {
					t.Errorf("%q has a peer without an id", b)
				}
			}
		}
		if id, err := parseIdentity(b); err == nil && (id.ID == "" || len(id.Key) != KeySize) {
			t.Errorf("%q was taken for an identity", b)
		}
		parseMark(b)
	})
}

func FuzzSegment(f *testing.F) {
	header := make([]byte, segmentHeader)
	f.Add(append(header, frameEntry, 0, 0, 0, 1, 0, 0, 0, 'x', 0, 0, 0, 0, 0, 0, 0, frameCommit, 0, 0, 0, 1, 2, 3, 4))
	f.Add(header)
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := scanSegment(b); s.end > int64(len(b)) || s.end%frameHeader != 0 {
			t.Errorf("%d bytes are sound up to %d", len(b), s.end)
		}
	})
}
