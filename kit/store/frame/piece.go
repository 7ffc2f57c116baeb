package frame

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"

	"landfall.dev/kit"
)

// Head reads the first frame of a stream into h, whose JSON has in "of" what
// the stream is: it is ErrInvalid if that is not of.
func (r *Reader) Head(of string, h any) error {
	frame, head, err := r.raw()
	if errors.Is(err, io.EOF) || err == nil && frame != typeHead {
		return r.Damaged("the stream has no head")
	}
	if err != nil {
		return err
	}
	var kind struct {
		Of string `json:"of"`
	}
	if err := json.Unmarshal(head, &kind); err != nil {
		return r.Damaged("its head: " + err.Error())
	}
	if kind.Of != of {
		return r.Damaged("it begins no " + of + " but one of: " + kind.Of)
	}
	d := json.NewDecoder(bytes.NewReader(head))
	d.DisallowUnknownFields()
	if err := d.Decode(h); err != nil {
		return r.newer("the head of the " + of + " is not understood, " + err.Error())
	}
	return nil
}

// Piece is a frame of an entry or a snapshot after the head.
type Piece struct {
	Type     byte   // TypeDocument, TypePast or TypeOnce
	Raw      []byte // encoded as in memory
	Document        // of a document
	Once     *Once  // of a key
	// Own is what the document counts by in sums, see digest.Of; zero is not known.
	Own [16]byte
}

// NewPiece returns the piece of a document. Its error is for one that a reader
// would not take: a record may have what no document can.
func NewPiece(f Frame) (p Piece, err error) {
	err = p.Encode(nil, &f.Record, &f.Origin, false)
	return p, err
}

// Encode makes p the piece of a document, whose bytes are appended to b, and
// returns the error of NewPiece. With linked its link is known to be one.
func (p *Piece) Encode(b []byte, r *kit.Record, o *Origin, linked bool) (err error) {
	p.Type = TypeDocument
	if b, err = p.append(b, r, o); err != nil {
		return err
	}
	p.Raw = b[len(b)-p.Size:]
	if !linked {
		err = r.Link.Check()
	}
	if err == nil {
		err = p.checkRest()
	}
	return err
}

// MoveTo gives the document the position, where it has MaxSeq, the longest one.
// Another copy of the piece is of no use then, for both share memory.
func (p *Piece) MoveTo(seq int64) {
	const Longest = 9 // bytes of MaxSeq
	var b [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(b[:], uint64(seq))
	start := Longest - n
	p.Raw[start] = p.Raw[0] // the flags
	copy(p.Raw[start+1:], b[:n])
	p.Raw, p.Seq = p.Raw[start:], uint64(seq)
	p.Size = len(p.Raw)
}

// Frame returns the document that p is, which shares memory with it.
func (p Piece) Frame() Frame {
	link := kit.Link(Text(p.Link))
	return Frame{Record: p.Record(link.Kind()), Origin: p.Origin()}
}

// Kind returns the kind of the document that p is.
func (p Piece) Kind() []byte {
	kind, _, _ := bytes.Cut(p.Link, []byte("/"))
	return kind
}

// Pieces yields the frames up to the stream's end. Their bytes are valid
// until the next is read, unless the stream is in memory.
func (r *Reader) Pieces(yield func(Piece) error) error {
	for {
		frame, raw, err := r.raw()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		p, err := parsePiece(frame, raw)
		if err != nil {
			return r.Damaged(err.Error())
		}
		if err := yield(p); err != nil {
			return err
		}
	}
}

func parsePiece(frame byte, raw []byte) (p Piece, err error) {
	p = Piece{Type: frame, Raw: raw}
	switch frame {
	case TypeOnce:
		o, ok := ParseOnce(raw)
		if p.Once = &o; !ok || o.Size != len(raw) {
			err = errParts
		}
	case TypeDocument, TypePast:
		p.Document, err = parseDocument(raw)
	case typeJSON:
		var f Frame
		if f, err = parseJSONDocument(raw); err != nil {
			return p, err
		}
		return NewPiece(f)
	default:
		err = errors.New("a second head")
	}
	return p, err
}
