package snapshot

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestReadingAheadYieldsTheSame(t *testing.T) {
	whole := bytes.Repeat([]byte("some bytes "), 3*ahead*maxBlock/11)
	for name, r := range map[string]io.Reader{
		"at once":     bytes.NewReader(whole),
		"in halves":   iotest.HalfReader(bytes.NewReader(whole)),
		"with an EOF": iotest.DataErrReader(bytes.NewReader(whole)),
	} {
		a := NewAhead(r)
		got, err := io.ReadAll(a)
		a.Close()
		if err != nil || !bytes.Equal(got, whole) {
			t.Errorf("%s: read %d bytes (%v), want %d", name, len(got), err, len(whole))
		}
	}
}

func TestReadingAheadEndsWithTheError(t *testing.T) {
	broken := errors.New("broken")
	a := NewAhead(io.MultiReader(bytes.NewReader(make([]byte, maxBlock+1)), iotest.ErrReader(broken)))
	defer a.Close()
	for range 2 {
		got, err := io.ReadAll(a)
		if !errors.Is(err, broken) {
			t.Errorf("after %d bytes the error is %v, want %v", len(got), err, broken)
		}
	}
}

func TestReadingAheadCanBeClosedEarly(t *testing.T) {
	a := NewAhead(bytes.NewReader(make([]byte, 10*ahead*maxBlock)))
	if _, err := io.ReadFull(a, make([]byte, maxBlock/2)); err != nil {
		t.Fatal(err)
	}
	a.Close()
}
