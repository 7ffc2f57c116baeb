// Package frame is the one format of entries, snapshots and exports: documents
// and idempotency keys in frames with checksums, and how they are encoded.
//
// It owns the format, old forms included, and the Origin of a document. It
// never says what a stream means, nor keeps what it has read.
package frame

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"landfall.dev/kit"
)

// The stream of frames:
//
//	stream  = "lfdt" format:uvarint frame* end
//	frame   = length:uvarint payload crc32c(payload):4 bytes, little-endian
//	payload = 1 json                                                head
//	        | 2 flags link seq [stream seq hash:16] meta body       document
//	        | 3 count:uvarint                                       end
//	        | 4 document                                            document
//	        | 5 once                                                idempotency key
//	        | 6 document                                            earlier version
//
// In type 2 link, stream and meta are a uvarint length and bytes, seq is a
// uvarint, body is the rest; meta is the envelope's JSON without link and kind.
// It is what a Writer writes, for readers of any age. Entries and
// snapshots have documents in type 4, see AppendDocument, where they used to
// have type 2; type 5, see Once; and in snapshots what only a Store takes: type 6.

// The first bytes of payloads, and what else there is in a stream.
const (
	magicText    = "lfdt"
	formatNumber = 1

	typeHead     = 1
	typeJSON     = 2
	typeEnd      = 3
	TypeDocument = 4
	TypeOnce     = 5
	TypePast     = 6

	flagDeleted = 1
	flagOrigin  = 2

	// maxFrame bounds what a reader takes: a document of kit.MaxDocument and its
	// pending operations, or a head.
	maxFrame = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum returns the CRC-32C of b.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Frame is one piece of an entry, a snapshot or an export: a document, or with
// a Head what the stream says of itself.
type Frame struct {
	// Head is JSON. If it is set the rest is not.
	Head   json.RawMessage
	Record kit.Record
	Origin Origin
}

// Writer writes frames. Its methods must not be called concurrently.
type Writer struct {
	w       io.Writer // nil for a buffer
	payload []byte
	out     []byte
	count   uint64
	started bool
}

// NewWriter returns a writer of frames to w, which gets each frame in one
// Write.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// NewBuffer returns a writer of frames that are kept, for Bytes. It makes room
// for so many bytes.
func NewBuffer(size int) *Writer { return &Writer{out: make([]byte, 0, size)} }

// Bytes returns what was written to a buffer.
func (w *Writer) Bytes() []byte { return w.out }

// Write writes f.
func (w *Writer) Write(f Frame) error {
	if f.Head != nil {
		return w.WriteRaw(typeHead, f.Head)
	}
	p, err := appendJSONDocument(w.payload[:0], f)
	if err != nil {
		return err
	}
	w.payload = p
	return w.WriteRaw(typeJSON, p)
}

// WriteRaw writes a frame of the type, whose payload is raw beyond it.
func (w *Writer) WriteRaw(frame byte, raw []byte) error {
	if n := len(raw) + 1; n > maxFrame {
		return kit.Errorf(kit.ErrTooLarge, "", "a frame of %d bytes is over the limit of %d", n, maxFrame)
	}
	w.count++
	return w.write(frame, raw)
}

// Close writes the end of the stream. It does not close the underlying writer.
func (w *Writer) Close() error {
	return w.write(typeEnd, binary.AppendUvarint(nil, w.count))
}

func (w *Writer) write(frame byte, raw []byte) error {
	if w.w != nil {
		w.out = w.out[:0]
	}
	if !w.started {
		w.out = binary.AppendUvarint(append(w.out, magicText...), formatNumber)
		w.started = true
	}
	w.out = binary.AppendUvarint(w.out, uint64(len(raw)+1))
	start := len(w.out)
	w.out = append(append(w.out, frame), raw...)
	w.out = binary.LittleEndian.AppendUint32(w.out, Checksum(w.out[start:]))
	if w.w == nil {
		return nil
	}
	_, err := w.w.Write(w.out)
	return err
}

func appendJSONDocument(p []byte, f Frame) ([]byte, error) {
	meta := f.Record.Meta
	meta.Link, meta.Kind = "", ""
	head, err := json.Marshal(&meta)
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrInternal, Op: "encode", Link: f.Record.Link, Err: err}
	}
	var flags byte
	if f.Record.Deleted {
		flags |= flagDeleted
	}
	if f.Origin != (Origin{}) {
		flags |= flagOrigin
	}
	p = AppendText(append(p, flags), f.Record.Link)
	p = binary.AppendUvarint(p, uint64(f.Record.Seq))
	if flags&flagOrigin != 0 {
		p = AppendText(p, f.Origin.Stream)
		p = binary.AppendUvarint(p, uint64(f.Origin.Seq))
		p = append(p, f.Origin.Hash[:]...)
	}
	return append(AppendText(p, head), f.Record.Body...), nil
}

// Reader reads what a Writer has written, and entries and snapshots.
// Its methods must not be called concurrently.
type Reader struct {
	r       io.Reader
	buf     []byte // what was read and not used yet
	own     []byte // the memory that buf is in
	given   bool   // what was read is the caller's: the memory is not used again
	offset  int64  // of the frame that is read
	next    int64  // of what follows what was used
	count   uint64
	started bool
	err     error // what ended the stream
}

// NewReader returns a reader of the frames that r yields. It may read
// ahead.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// NewBytesReader returns a reader of a whole stream in memory.
func NewBytesReader(stream []byte) *Reader {
	return &Reader{r: eof{}, buf: stream[:len(stream):len(stream)]}
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// Read returns the next frame, and io.EOF only after the end that Close
// writes: a stream that just stops is damaged. A damaged stream is ErrInvalid
// with the byte offset of the frame, and so is one that a newer binary wrote.
// After an error every further Read fails with the same. The frame is the
// caller's, and shares memory with those around it. Idempotency keys and
// earlier versions are left out.
func (r *Reader) Read() (Frame, error) {
	raw, err := r.ReadRaw()
	for err == nil && raw.Type == TypeOnce {
		raw, err = r.ReadRaw()
	}
	if err != nil {
		return Frame{}, err
	}
	f, err := raw.Frame()
	if err != nil {
		r.err = err
	}
	return f, err
}

// Raw is a frame that was read, and not yet taken apart.
type Raw struct {
	Type   byte
	Bytes  []byte // the payload without the type
	offset int64
}

// ReadRaw is Read for who takes frames apart later, and so maybe several at
// once. It leaves out earlier versions only.
func (r *Reader) ReadRaw() (Raw, error) {
	r.given = true
	for {
		kind, p, err := r.raw()
		if err != nil {
			return Raw{}, err
		}
		if kind != TypePast {
			return Raw{kind, p, r.offset}, nil
		}
	}
}

// Head returns the head that r is, or nil if it is none.
func (r Raw) Head() json.RawMessage {
	if r.Type == typeHead {
		return r.Bytes
	}
	return nil
}

// Once returns the idempotency key that r is, with links that are some.
func (r Raw) Once() (Once, error) {
	p, err := parsePiece(TypeOnce, r.Bytes)
	for _, l := range p.Once.Links {
		if err == nil {
			err = kit.Link(l).Check()
		}
	}
	if err != nil {
		err = damaged(r.offset, err.Error())
	}
	return *p.Once, err
}

// Frame returns the head or the document that r is. Its errors are those of
// Read.
func (r Raw) Frame() (f Frame, err error) {
	switch r.Type {
	case typeHead:
		f.Head = r.Bytes
	case typeJSON:
		f, err = parseJSONDocument(r.Bytes)
	default:
		var d Document
		if d, err = parseDocument(r.Bytes); err == nil {
			f = Piece{Document: d}.Frame()
		}
	}
	if err != nil {
		err = damaged(r.offset, err.Error())
	}
	return f, err
}

// raw returns the type of the next frame and the rest of its payload, which is
// valid until the next call.
func (r *Reader) raw() (kind byte, p []byte, err error) {
	if r.err == nil {
		kind, p, r.err = r.read()
	}
	return kind, p, r.err
}

func (r *Reader) read() (kind byte, p []byte, err error) {
	if err := r.start(); err != nil {
		return 0, nil, err
	}
	p, err = r.payload()
	if err != nil {
		return 0, nil, err
	}
	switch kind, p = p[0], p[1:]; kind {
	case typeHead:
		if !json.Valid(p) {
			return 0, nil, r.Damaged("its head is not JSON")
		}
	case typeJSON, TypeDocument, TypeOnce, TypePast:
	case typeEnd:
		if n, size := binary.Uvarint(p); size != len(p) || n != r.count {
			return 0, nil, r.Damaged(fmt.Sprintf("the stream's end counts %d frames, not %d", n, r.count))
		}
		return 0, nil, io.EOF
	default:
		return 0, nil, r.newer(fmt.Sprintf("the frame at byte %d is of the unknown type %d", r.offset, kind))
	}
	r.count++
	return kind, p, nil
}

// start reads the stream's magic and format.
func (r *Reader) start() error {
	if r.started {
		return nil
	}
	r.started = true
	if err := r.fill(len(magicText)); err != nil && !isEOF(err) {
		return r.broken(err)
	}
	magic := r.buf[:min(len(magicText), len(r.buf))]
	if string(magic) != magicText {
		return &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("not a stream of documents: it starts with %q, not %q", magic, magicText)}
	}
	r.use(len(magicText))
	format, err := r.uvarint()
	if err != nil {
		return err
	}
	if format != formatNumber {
		return r.newer(fmt.Sprintf("the stream is of format %d, this binary reads %d", format, formatNumber))
	}
	return nil
}

// payload reads one frame and checks it. It has at least one byte.
func (r *Reader) payload() ([]byte, error) {
	r.offset = r.next
	size, err := r.uvarint()
	if err != nil {
		return nil, err
	}
	if size == 0 || size > maxFrame {
		return nil, r.Damaged(fmt.Sprintf("it has a length of %d bytes", size))
	}
	if err := r.fill(int(size) + crc32.Size); err != nil {
		return nil, r.broken(err)
	}
	p, sum := r.buf[:size:size], r.buf[size:size+crc32.Size]
	if binary.LittleEndian.Uint32(sum) != Checksum(p) {
		return nil, r.Damaged("its checksum is wrong")
	}
	r.use(int(size) + crc32.Size)
	return p, nil
}

// fill makes sure that n bytes are in buf. It takes memory only for about as
// much as really comes.
func (r *Reader) fill(n int) error {
	const Piece = 256 << 10
	for empty := 0; len(r.buf) < n; empty++ {
		have := len(r.buf)
		if have == cap(r.buf) {
			if size := max(Piece, 2*have); r.given || len(r.own) < size {
				r.own = make([]byte, size)
			}
			copy(r.own, r.buf)
			r.buf = r.own[:have]
		}
		got, err := r.r.Read(r.buf[have:cap(r.buf)])
		r.buf = r.buf[:have+got]
		switch {
		case len(r.buf) >= n:
		case err != nil:
			return err
		case got > 0:
			empty = 0
		case empty == 100:
			return io.ErrNoProgress
		}
	}
	return nil
}

func (r *Reader) use(n int) {
	r.buf = r.buf[n:]
	r.next += int64(n)
}

func (r *Reader) uvarint() (uint64, error) {
	for n := 1; ; n++ {
		if err := r.fill(n); err != nil {
			return 0, r.broken(err)
		}
		if r.buf[n-1] < 0x80 || n == binary.MaxVarintLen64 {
			v, size := binary.Uvarint(r.buf[:n])
			if size <= 0 {
				return 0, r.Damaged("it has a number over 64 bits")
			}
			r.use(n)
			return v, nil
		}
	}
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// broken tells a stream that stops from a failure to read it.
func (r *Reader) broken(err error) error {
	if isEOF(err) {
		return &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("the stream stops inside or before the frame at byte %d", r.offset), Err: io.ErrUnexpectedEOF}
	}
	return &kit.Error{Op: "read", Detail: fmt.Sprintf("the frame at byte %d", r.offset), Err: err}
}

// Damaged returns the error for a frame, the last that was read, that is wrong.
func (r *Reader) Damaged(why string) error { return damaged(r.offset, why) }

func damaged(offset int64, why string) error {
	return &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("the frame at byte %d is damaged: %s", offset, why)}
}

func (r *Reader) newer(why string) error {
	return &kit.Error{Fault: kit.ErrInvalid, Detail: why + ": a newer binary wrote it", Hint: "run that one or a later one"}
}

var errParts = errors.New("its parts do not fit")

// parseDocument reads the payload of a frame of type 4, whose memory the
// document shares.
func parseDocument(p []byte) (Document, error) {
	d, ok := Unpack(p)
	if !ok || d.Size != len(p) {
		return d, errParts
	}
	return d, d.check()
}

// parseJSONDocument reads the payload of a frame of type 2, whose memory the
// frame shares.
func parseJSONDocument(p []byte) (Frame, error) {
	var f Frame
	d := decoder{rest: p}
	flags := d.byte()
	link := d.text()
	f.Record.Seq = d.int()
	if flags&flagOrigin != 0 {
		f.Origin.Stream = string(d.text())
		f.Origin.Seq = d.int()
		copy(f.Origin.Hash[:], d.take(len(f.Origin.Hash)))
	}
	meta := d.text()
	if d.failed || flags&^(flagDeleted|flagOrigin) != 0 {
		return f, errParts
	}
	if err := json.Unmarshal(meta, &f.Record.Meta); err != nil {
		return f, fmt.Errorf("its envelope: %w", err)
	}
	f.Record.Link = kit.Link(link)
	f.Record.Kind = f.Record.Link.Kind()
	if err := f.Record.Link.Check(); err != nil {
		return f, err
	}
	f.Record.Deleted = flags&flagDeleted != 0
	switch {
	case f.Record.Deleted && len(d.rest) > 0:
		return f, errors.New("it is a tombstone with a body")
	case f.Record.Deleted:
	case len(d.rest) == 0 || d.rest[0] != '{':
		return f, errors.New("its body is not a JSON object")
	default:
		f.Record.Body = d.rest
	}
	return f, nil
}
