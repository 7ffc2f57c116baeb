package snapshot

import (
	"bytes"
	"strings"
	"testing"
)

func TestAHeadThatNoReaderTakesIsNotWritten(t *testing.T) {
	var out bytes.Buffer
	_, err := NewWriter(&out, Head{Schema: strings.Repeat("x", maxBlock)})
	if err == nil || !strings.Contains(err.Error(), "the head of the snapshot has") || out.Len() > 0 {
		t.Errorf("a head of more than a block: %v, with %d bytes written", err, out.Len())
	}
	largest := strings.Repeat("x", maxBlock-len(`{"applied":0,"decided":0,"schema":""}`))
	w, err := NewWriter(&out, Head{Schema: largest})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := NewReader(&out); err != nil || r.Head.Schema != largest {
		t.Errorf("the largest head cannot be read: %v", err)
	}
}
