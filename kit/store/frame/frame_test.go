package frame

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/storetest"
)

var someFrames = []Frame{
	{Head: json.RawMessage(`{"of":"test"}`)},
	{Record: kit.Record{Meta: kit.Meta{Link: "notes/a", Kind: "notes", Schema: 2, Version: 3, Created: time.Unix(1, 0).UTC(), Pending: []kit.Op{{ID: "x", Do: "send"}}}, Body: json.RawMessage(`{"a":1}`), Seq: 300}},
	{Record: kit.Record{Meta: kit.Meta{Link: "notes/b", Kind: "notes", Version: 1}, Seq: 1, Deleted: true}, Origin: Origin{Stream: "up", Seq: 9, Hash: [16]byte{1, 2}}},
}

func encodeFrames(t testing.TB, frames []Frame) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	for _, f := range frames {
		if err := w.Write(f); err != nil {
			t.Fatalf("write %+v: %v", f, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readFrames(r io.Reader) ([]Frame, error) {
	fr := NewReader(r)
	var frames []Frame
	for {
		f, err := fr.Read()
		if err == io.EOF {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
	}
}

func TestFramesAreReadAsWritten(t *testing.T) {
	got, err := readFrames(bytes.NewReader(encodeFrames(t, someFrames)))
	if err != nil || !reflect.DeepEqual(got, someFrames) {
		t.Errorf("got %+v, error %v\nwant %+v", got, err, someFrames)
	}
	if got, err := readFrames(bytes.NewReader(encodeFrames(t, nil))); len(got) != 0 || err != nil {
		t.Errorf("no frames: got %+v, error %v", got, err)
	}
}

func TestFrameComesWithoutWaitingForTheNext(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	go func() { _ = NewWriter(w).Write(someFrames[1]) }()
	got, err := NewReader(r).Read()
	if err != nil || !reflect.DeepEqual(got, someFrames[1]) {
		t.Errorf("got %+v, error %v", got, err)
	}
}

func TestBrokenStreamsSayWhere(t *testing.T) {
	good := encodeFrames(t, someFrames)
	second := len(encodeFrames(t, someFrames[:1])) - 7 // less the end's frame
	flipped := bytes.Clone(good)
	flipped[second+10] ^= 1
	newer := bytes.Clone(good)
	newer[4] = 2
	for _, c := range []struct {
		name string
		in   []byte
		says string
	}{
		{"nothing", nil, "not a stream of documents"},
		{"flipped bit", flipped, "the frame at byte 24 is damaged: its checksum is wrong"},
		{"cut frame", good[:second+10], "stops inside or before the frame at byte 24"},
		{"no end", good[:len(good)-7], "stops inside or before"},
		{"newer format", newer, "a newer binary wrote it"},
		{"newer frame", frameOf(9, 'x'), "unknown type 9"},
		{"wrong end", frameOf(typeEnd, 5), "counts 5 frames, not 0"},
		{"empty document", frameOf(typeJSON), "do not fit"},
		{"number without end", append([]byte("lfdt\x01"), bytes.Repeat([]byte{0x96}, 11)...), "over 64 bits"},
		{"huge length", append([]byte("lfdt\x01"), 0xff, 0xff, 0xff, 0xff, 0x0f), "length of"},
	} {
		_, err := readFrames(bytes.NewReader(c.in))
		storetest.WantError(t, c.name, err, kit.ErrInvalid, c.says)
	}
	r := NewReader(bytes.NewReader(flipped))
	var last error
	for range 4 {
		_, last = r.Read()
	}
	storetest.WantError(t, "reading on after damage", last, kit.ErrInvalid, "byte 24")
}

// frameOf returns a stream of one frame with the payload.
func frameOf(payload ...byte) []byte {
	var b bytes.Buffer
	_ = NewWriter(&b).write(payload[0], payload[1:])
	return b.Bytes()
}

func TestFrameOverTheLimitIsNotWritten(t *testing.T) {
	err := NewWriter(io.Discard).Write(Frame{Head: make([]byte, maxFrame)})
	storetest.WantError(t, "a huge frame", err, kit.ErrTooLarge, "limit")
}

// FuzzReader checks that no input makes the reader panic, and that what
// it takes is written back as the same frames.
func FuzzReader(f *testing.F) {
	f.Add(encodeFrames(f, someFrames))
	f.Add(encodeFrames(f, nil))
	f.Add(append([]byte(magicText), bytes.Repeat([]byte{0x96}, 11)...))
	f.Add(frameOf(typeJSON, 2, 3, 'a', '/', 'b', 1, 0, 1))
	f.Fuzz(func(t *testing.T, in []byte) {
		frames, err := readFrames(bytes.NewReader(in))
		if err != nil && !errors.Is(err, kit.ErrInvalid) {
			t.Fatalf("error %v is not invalid", err)
		}
		again, err := readFrames(bytes.NewReader(encodeFrames(t, frames)))
		if err != nil || !reflect.DeepEqual(again, frames) {
			t.Fatalf("written back: got %+v, error %v\nwant %+v", again, err, frames)
		}
	})
}

// FuzzDocument is FuzzReader behind the checksum: documents in both of
// their forms.
func FuzzDocument(f *testing.F) {
	for _, s := range someFrames[1:] {
		p, err := appendJSONDocument(nil, s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(typeJSON), p)
		if p, err = AppendDocument(nil, s.Record, s.Origin); err != nil {
			f.Fatal(err)
		}
		f.Add(byte(TypeDocument), p)
		f.Add(byte(TypePast), p)
	}
	o := Once{ID: [16]byte{1}, Request: [16]byte{2}, At: time.Unix(1, 0), Links: []string{"notes/a"}}
	f.Add(byte(TypeOnce), o.Append(nil))
	f.Fuzz(func(t *testing.T, frame byte, in []byte) {
		p, err := parsePiece(frame, in)
		if err != nil {
			return
		}
		if frame == TypeOnce {
			if again, ok := ParseOnce(p.Once.Append(nil)); !ok || again.ID != p.Once.ID || !slices.Equal(again.Links, p.Once.Links) {
				t.Fatalf("written back: %+v, want %+v", again, p.Once)
			}
			return
		}
		r := p.Record(kit.Link(Text(p.Link)).Kind())
		raw, err := AppendDocument(nil, r, p.Origin())
		if err != nil {
			t.Fatalf("a document that was read cannot be written: %v", err)
		}
		again, err := parseDocument(raw)
		if err != nil || !reflect.DeepEqual(again.Record(r.Kind), r) || again.Origin() != p.Origin() {
			t.Fatalf("written back: got %+v, error %v\nwant %+v", again.Record(r.Kind), err, r)
		}
		if _, err := appendJSONDocument(nil, Frame{Record: r, Origin: p.Origin()}); err != nil {
			t.Fatalf("a document that was read cannot be exported: %v", err)
		}
	})
}
