package store

import (
	"bufio"
	"bytes"
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
//
// Link, stream and meta are a uvarint length and bytes, seq is a uvarint, body
// is the rest. Meta is the envelope's JSON without link and kind.
const (
	frameMagic  = "lfdt"
	frameFormat = 1

	frameHead     = 1
	frameDocument = 2
	frameEnd      = 3

	flagDeleted = 1
	flagOrigin  = 2

	// maxFrame bounds what a reader takes: a document of kit.MaxDocument and its
	// pending operations, or a head.
	maxFrame = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Frame is one piece of an entry, a snapshot or an export: a document, or with
// a Head what the stream says of itself.
type Frame struct {
	// Head is JSON. If it is set the rest is not.
	Head   json.RawMessage
	Record kit.Record
	Origin Origin
}

// FrameWriter writes frames. Its methods must not be called concurrently.
type FrameWriter struct {
	w       io.Writer
	payload []byte
	out     []byte
	count   uint64
	started bool
}

// NewFrameWriter returns a writer of frames to w, which gets each frame in one
// Write.
func NewFrameWriter(w io.Writer) *FrameWriter { return &FrameWriter{w: w} }

// Write writes f.
func (w *FrameWriter) Write(f Frame) error {
	p := w.payload[:0]
	if f.Head != nil {
		p = append(append(p, frameHead), f.Head...)
	} else {
		var err error
		if p, err = appendDocument(p, f); err != nil {
			return err
		}
	}
	w.payload = p
	return w.writeFrame(p)
}

func (w *FrameWriter) writeFrame(payload []byte) error {
	if len(payload) > maxFrame {
		return kit.Errorf(kit.ErrTooLarge, "", "a frame of %d bytes is over the limit of %d", len(payload), maxFrame)
	}
	w.count++
	return w.write(payload)
}

// Close writes the end of the stream. It does not close the underlying writer.
func (w *FrameWriter) Close() error {
	return w.write(binary.AppendUvarint([]byte{frameEnd}, w.count))
}

func (w *FrameWriter) write(payload []byte) error {
	w.out = w.out[:0]
	if !w.started {
		w.out = binary.AppendUvarint(append(w.out, frameMagic...), frameFormat)
		w.started = true
	}
	w.out = binary.AppendUvarint(w.out, uint64(len(payload)))
	w.out = append(w.out, payload...)
	w.out = binary.LittleEndian.AppendUint32(w.out, crc32.Checksum(payload, castagnoli))
	_, err := w.w.Write(w.out)
	return err
}

func appendDocument(p []byte, f Frame) ([]byte, error) {
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
	p = append(p, frameDocument, flags)
	p = appendBytes(p, string(f.Record.Link))
	p = binary.AppendUvarint(p, uint64(f.Record.Seq))
	if flags&flagOrigin != 0 {
		p = appendBytes(p, f.Origin.Stream)
		p = binary.AppendUvarint(p, uint64(f.Origin.Seq))
		p = append(p, f.Origin.Hash[:]...)
	}
	p = appendBytes(p, string(head))
	return append(p, f.Record.Body...), nil
}

func appendBytes(p []byte, s string) []byte {
	return append(binary.AppendUvarint(p, uint64(len(s))), s...)
}

// FrameReader reads what a FrameWriter has written. Its methods must not be
// called concurrently.
type FrameReader struct {
	r       *bufio.Reader
	offset  int64 // of the frame that is read
	next    int64 // of what follows what was read
	count   uint64
	started bool
	err     error // what ended the stream
}

// NewFrameReader returns a reader of the frames that r yields. It may read
// ahead.
func NewFrameReader(r io.Reader) *FrameReader { return &FrameReader{r: bufio.NewReader(r)} }

// Read returns the next frame, and io.EOF only after the end that Close
// writes: a stream that just stops is damaged. A damaged stream is ErrInvalid
// with the byte offset of the frame, and so is one that a newer binary wrote.
// After an error every further Read fails with the same. The frame is the
// caller's.
func (r *FrameReader) Read() (Frame, error) {
	if r.err != nil {
		return Frame{}, r.err
	}
	f, err := r.read()
	r.err = err
	return f, err
}

func (r *FrameReader) read() (Frame, error) {
	if err := r.start(); err != nil {
		return Frame{}, err
	}
	p, err := r.payload()
	if err != nil {
		return Frame{}, err
	}
	switch kind, p := p[0], p[1:]; kind {
	case frameHead:
		if !json.Valid(p) {
			return Frame{}, r.damaged("its head is not JSON")
		}
		r.count++
		return Frame{Head: p}, nil
	case frameDocument:
		f, err := parseDocument(p)
		if err != nil {
			return Frame{}, r.damaged(err.Error())
		}
		r.count++
		return f, nil
	case frameEnd:
		if n, size := binary.Uvarint(p); size != len(p) || n != r.count {
			return Frame{}, r.damaged(fmt.Sprintf("the stream's end counts %d frames, not %d", n, r.count))
		}
		return Frame{}, io.EOF
	default:
		return Frame{}, r.newer(fmt.Sprintf("the frame at byte %d is of the unknown type %d", r.offset, kind))
	}
}

// start reads the stream's magic and format.
func (r *FrameReader) start() error {
	if r.started {
		return nil
	}
	r.started = true
	magic := make([]byte, len(frameMagic))
	if _, err := io.ReadFull(r.r, magic); err != nil && !isEOF(err) {
		return r.broken(err)
	}
	if string(magic) != frameMagic {
		return &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("not a stream of documents: it starts with %q, not %q", bytes.TrimRight(magic, "\x00"), frameMagic)}
	}
	r.next = int64(len(frameMagic))
	format, err := r.uvarint()
	if err != nil {
		return err
	}
	if format != frameFormat {
		return r.newer(fmt.Sprintf("the stream is of format %d, this binary reads %d", format, frameFormat))
	}
	return nil
}

// payload reads one frame and checks it. It has at least one byte.
func (r *FrameReader) payload() ([]byte, error) {
	r.offset = r.next
	size, err := r.uvarint()
	if err != nil {
		return nil, err
	}
	if size == 0 || size > maxFrame {
		return nil, r.damaged(fmt.Sprintf("it has a length of %d bytes", size))
	}
	p, err := r.bytes(int(size))
	if err != nil {
		return nil, err
	}
	sum, err := r.bytes(crc32.Size)
	if err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(sum) != crc32.Checksum(p, castagnoli) {
		return nil, r.damaged("its checksum is wrong")
	}
	return p, nil
}

// bytes reads n bytes. It takes memory only for what really comes.
func (r *FrameReader) bytes(n int) ([]byte, error) {
	const piece = 64 << 10
	var p []byte
	for len(p) < n {
		have, more := len(p), min(n-len(p), max(piece, len(p)))
		p = append(p, make([]byte, more)...)
		if _, err := io.ReadFull(r.r, p[have:]); err != nil {
			return nil, r.broken(err)
		}
	}
	r.next += int64(n)
	return p, nil
}

func (r *FrameReader) uvarint() (uint64, error) {
	c := countingByteReader{r: r.r}
	v, err := binary.ReadUvarint(&c)
	r.next += c.n
	switch {
	case c.err != nil:
		return 0, r.broken(c.err)
	case err != nil:
		return 0, r.damaged("it has a number over 64 bits")
	}
	return v, nil
}

type countingByteReader struct {
	r   *bufio.Reader
	n   int64
	err error
}

func (c *countingByteReader) ReadByte() (b byte, err error) {
	if b, c.err = c.r.ReadByte(); c.err == nil {
		c.n++
	}
	return b, c.err
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// broken tells a stream that stops from a failure to read it.
func (r *FrameReader) broken(err error) error {
	if isEOF(err) {
		return &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("the stream stops inside or before the frame at byte %d", r.offset), Err: io.ErrUnexpectedEOF}
	}
	return &kit.Error{Op: "read", Detail: fmt.Sprintf("the frame at byte %d", r.offset), Err: err}
}

func (r *FrameReader) damaged(why string) error {
	return &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("the frame at byte %d is damaged: %s", r.offset, why)}
}

func (r *FrameReader) newer(why string) error {
	return &kit.Error{Fault: kit.ErrInvalid, Detail: why + ": a newer binary wrote it", Hint: "run that one or a later one"}
}

// parseDocument reads the payload of a document, whose parts the frame may
// share.
func parseDocument(p []byte) (Frame, error) {
	var f Frame
	d := decoder{rest: p}
	flags := d.byte()
	link := d.bytes()
	f.Record.Seq = d.int()
	if flags&flagOrigin != 0 {
		f.Origin.Stream = string(d.bytes())
		f.Origin.Seq = d.int()
		copy(f.Origin.Hash[:], d.take(len(f.Origin.Hash)))
	}
	meta := d.bytes()
	if d.failed || flags&^(flagDeleted|flagOrigin) != 0 {
		return f, errors.New("its parts do not fit")
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

// decoder takes values from the front of rest; it fails once and for all.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) take(n int) []byte {
	if d.failed || n < 0 || n > len(d.rest) {
		d.failed = true
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) int() int64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > 1<<62 {
		d.failed = true
		return 0
	}
	d.take(n)
	return int64(v)
}

func (d *decoder) bytes() []byte {
	n := d.int()
	if n > int64(len(d.rest)) {
		d.failed = true
		return nil
	}
	return d.take(int(n))
}
