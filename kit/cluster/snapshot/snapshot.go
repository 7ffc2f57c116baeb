// Package snapshot is the format of a cluster's snapshots and backups.
package snapshot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"landfall.dev/kit"
)

// A snapshot, which is also what a backup is:
//
//	snapshot = "landfall snapshot 2\n" block* end
//	block    = length crc32c(bytes) bytes      at most maxBlock bytes, not 0
//	end      = 0 sha256(all before the end)
//
// Length and CRC are big-endian integers of 32 bits. The first block is the
// head, JSON; the machine's bytes follow.
const (
	magic    = "landfall snapshot 2\n"
	maxBlock = 256 << 10
)

// magic1 starts a snapshot of format 1: the log index of the last
// entry in it and the newest time follow, as big-endian integers of 64 bits,
// then the machine's bytes.
const magic1 = "landfall snapshot 1\n"

// Head is what a snapshot says of itself.
type Head struct {
	Applied  uint64   `json:"applied"` // the log index of the last entry in it
	Decided  int64    `json:"decided"` // the newest time in the log, in Unix nanoseconds
	Schema   string   `json:"schema"`
	Expelled []string `json:"expelled,omitempty"` // removed on purpose, the oldest first
}

// Writer writes a snapshot. It must be closed.
type Writer struct {
	w    io.Writer
	sum  hash.Hash
	rest []byte // less than a block
	err  error
}

// NewWriter writes the head of a snapshot to w and returns a writer of the rest.
// It fails if the head is larger than a reader takes.
func NewWriter(w io.Writer, head Head) (*Writer, error) {
	b := &Writer{w: w, sum: sha256.New(), rest: make([]byte, 0, maxBlock)}
	text, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	if len(text) > maxBlock {
		return nil, fmt.Errorf("the head of the snapshot has %d bytes, more than %d", len(text), maxBlock)
	}
	b.put([]byte(magic))
	b.block(text)
	return b, b.err
}

func (b *Writer) put(p []byte) {
	if b.err == nil {
		_, b.err = b.w.Write(p)
		b.sum.Write(p)
	}
}

func (b *Writer) block(p []byte) {
	var head [8]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(p)))
	binary.BigEndian.PutUint32(head[4:], crc32.Checksum(p, castagnoli))
	b.put(head[:])
	b.put(p)
}

// Write writes the machine's bytes.
func (b *Writer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && b.err == nil {
		took := min(maxBlock-len(b.rest), len(p))
		b.rest = append(b.rest, p[:took]...)
		p = p[took:]
		if len(b.rest) == maxBlock {
			b.block(b.rest)
			b.rest = b.rest[:0]
		}
	}
	return n, b.err
}

// Close writes the end. It does not close the underlying writer.
func (b *Writer) Close() error {
	if len(b.rest) > 0 {
		b.block(b.rest)
	}
	b.put(make([]byte, 4))
	if b.err == nil {
		_, b.err = b.w.Write(b.sum.Sum(nil))
	}
	return b.err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Reader reads the machine's bytes of a snapshot, and io.EOF only at its
// end. Damage is ErrInvalid and names the byte offset.
type Reader struct {
	in    *bufio.Reader
	sum   hash.Hash // nil in format 1
	Head  Head
	at    int64 // of the block
	next  int64 // of what follows
	block []byte
	rest  []byte // of block
	err   error
}

// NewReader reads the head of a snapshot from r and returns a reader of the
// rest. It may read beyond the end.
func NewReader(r io.Reader) (*Reader, error) {
	b := &Reader{in: bufio.NewReaderSize(r, 1<<16), sum: sha256.New()}
	start := make([]byte, len(magic))
	if err := b.take(start); err != nil {
		return nil, err
	}
	switch string(start) {
	case magic:
	case magic1:
		b.sum = nil
		var numbers [16]byte
		if err := b.take(numbers[:]); err != nil {
			return nil, err
		}
		b.Head.Applied, b.Head.Decided = binary.BigEndian.Uint64(numbers[:]), int64(binary.BigEndian.Uint64(numbers[8:]))
		return b, nil
	default:
		return nil, b.damaged(fmt.Sprintf("it starts with %q, not %q", start, magic))
	}
	if err := b.fill(); err != nil {
		if errors.Is(err, io.EOF) {
			err = b.damaged("it has no head")
		}
		return nil, err
	}
	if err := json.Unmarshal(b.rest, &b.Head); err != nil {
		return nil, b.damaged("its head is no JSON: " + err.Error())
	}
	b.rest = nil
	return b, nil
}

// Sealed tells whether the snapshot in f, whose place it leaves alone, has
// checksums: in format 1 it has none.
func Sealed(f io.ReaderAt) (bool, error) {
	start := make([]byte, len(magic1))
	n, err := f.ReadAt(start, 0)
	if errors.Is(err, io.EOF) {
		err = nil // NewReader says why that is damage
	}
	return string(start[:n]) != magic1, err
}

// Read implements io.Reader.
func (b *Reader) Read(p []byte) (int, error) {
	if b.sum == nil {
		return b.in.Read(p)
	}
	for len(b.rest) == 0 && b.err == nil {
		b.err = b.fill()
	}
	if len(b.rest) == 0 {
		return 0, b.err
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// fill reads the next block into rest. At the end it checks that and returns
// io.EOF.
func (b *Reader) fill() error {
	b.at = b.next
	var word [4]byte
	if err := b.take(word[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(word[:])
	if size == 0 {
		return b.finish(word[:])
	}
	if size > maxBlock {
		return b.damaged(fmt.Sprintf("the block has a length of %d bytes", size))
	}
	b.sum.Write(word[:])
	if err := b.take(word[:]); err != nil {
		return err
	}
	b.sum.Write(word[:])
	if cap(b.block) < int(size) {
		b.block = make([]byte, size)
	}
	b.rest = b.block[:size]
	if err := b.take(b.rest); err != nil {
		b.rest = nil
		return err
	}
	b.sum.Write(b.rest)
	if crc32.Checksum(b.rest, castagnoli) != binary.BigEndian.Uint32(word[:]) {
		b.rest = nil
		return b.damaged("the checksum of the block is wrong")
	}
	return nil
}

func (b *Reader) finish(end []byte) error {
	b.sum.Write(end)
	want := make([]byte, sha256.Size)
	if err := b.take(want); err != nil {
		return err
	}
	if !bytes.Equal(want, b.sum.Sum(nil)) {
		return b.damaged("the digest of the whole is wrong")
	}
	if _, err := b.in.ReadByte(); err == nil {
		return b.damaged("something follows the end")
	}
	return io.EOF
}

// take reads all of p.
func (b *Reader) take(p []byte) error {
	n, err := io.ReadFull(b.in, p)
	if b.next == 0 && b.sum != nil { // the magic
		b.sum.Write(p)
	}
	b.next += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return b.damaged("it stops there")
	}
	return err
}

// Damage is why a snapshot cannot be read, and where.
type Damage struct {
	At  int64 // the byte offset
	Why string
}

func (d *Damage) Error() string { return fmt.Sprintf("at byte %d: %s", d.At, d.Why) }

func (b *Reader) damaged(why string) error {
	d := &Damage{b.at, why}
	return &kit.Error{Fault: kit.ErrInvalid, Err: d}
}

// Drain reads what the machine has left unread, so that the end is checked.
func (b *Reader) Drain() error {
	_, err := io.Copy(io.Discard, b)
	return err
}

// Tally counts the bytes that are written to it.
type Tally int64

// Write implements io.Writer.
func (t *Tally) Write(b []byte) (int, error) {
	*t += Tally(len(b))
	return len(b), nil
}
