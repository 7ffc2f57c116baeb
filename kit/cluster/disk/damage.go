package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"

	"landfall.dev/kit"
)

// Damage is the cause of the error of a node whose files cannot be trusted.
type Damage struct {
	// Dir is the data directory, File the damaged file in it, and Offset the
	// byte at which it cannot be read further; less than 0 if it is missing or
	// wrong as a whole.
	Dir, File string
	Offset    int64
	// Peers are the URLs of the other members as far as they are known: they
	// have what was lost. Without any there is only a backup.
	Peers []string
	Err   error
}

func (d *Damage) Error() string {
	s := d.File + " is damaged"
	if d.Offset >= 0 {
		s += fmt.Sprintf(" at byte %d", d.Offset)
	}
	return s + ": " + d.Err.Error()
}

// Unwrap returns the cause.
func (d *Damage) Unwrap() error { return d.Err }

// Damaged says that the file name in the directory cannot be used because of
// err.
func (d *Directory) Damaged(name string, err error) error { return d.damagedAt(name, -1, err) }

// damagedAt is Damaged, with where the damage begins.
func (d *Directory) damagedAt(name string, at int64, err error) error {
	why := &Damage{Dir: d.path, File: d.file(name), Offset: at, Err: err}
	why.Peers = d.Others()
	hint := "restore it from a backup"
	if len(why.Peers) > 0 {
		hint = "refill it from the other members, or restore a backup"
	}
	return &kit.Error{Fault: kit.ErrInternal, Err: why, Hint: hint}
}

// Others returns the URLs of the other members, if the files that tell can be
// read.
func (d *Directory) Others() []string {
	var id Identity
	if b, err := os.ReadFile(d.file("node.json")); err == nil {
		id, _ = parseIdentity(b)
	}
	b, err := os.ReadFile(d.file("peers.json"))
	if err != nil {
		return nil
	}
	peers, _ := parsePeers(b)
	var urls []string
	for _, p := range peers {
		if p.ID != id.ID && p.URL != "" {
			urls = append(urls, p.URL)
		}
	}
	return urls
}

// A segment of the log is a header of 32 bytes and frames, each padded to 8
// bytes: a type, three zero bytes, and the length of the payload that follows
// or, in a commit, the CRC-32C of all since the commit before
// (github.com/hashicorp/raft-wal).
const (
	segmentHeader = 32
	frameHeader   = 8
	frameEntry    = 1
	frameIndex    = 2
	frameCommit   = 3
)

// soundness is how far a segment can be read.
type soundness struct {
	// entries is how many entries were committed up to the byte end.
	entries uint64
	end     int64
	// damage is set if something that was committed once follows; what was not,
	// a write that was torn, is cut off by raft-wal.
	damage error
}

// scanSegment compares all checksums of a segment. A last commit that does not
// fit is a torn write; one that sound ones follow is damage.
func scanSegment(b []byte) soundness {
	var s soundness
	b = b[:min(used(b), len(b))]
	if len(b) < segmentHeader {
		return s
	}
	sum := crc32.Checksum(b[:segmentHeader], castagnoli)
	entries, bad := uint64(0), false
	for at := segmentHeader; at < len(b); {
		f, ok := parseFrame(b[at:])
		if !ok {
			if committedBehind(b, at+frameHeader) {
				s.damage = errors.New("there is no record that can be read")
			}
			return s
		}
		switch {
		case f.kind != frameCommit:
			sum = crc32.Update(sum, castagnoli, f.bytes)
			if f.kind == frameEntry {
				entries++
			}
		case f.crc != sum:
			bad, sum = true, 0
		case bad:
			s.damage = errors.New("the checksum of the record is wrong")
			return s
		default:
			s.entries, s.end, sum = entries, int64(at+len(f.bytes)), 0
		}
		at += len(f.bytes)
	}
	return s
}

// used is up to where something is written in a segment: the rest was allocated
// in advance.
func used(b []byte) int {
	n := len(b)
	for n >= len(zeros) && bytes.Equal(b[n-len(zeros):n], zeros[:]) {
		n -= len(zeros)
	}
	return (len(bytes.TrimRight(b[:n], "\x00")) + frameHeader - 1) &^ (frameHeader - 1)
}

var zeros [4 << 10]byte

// committedBehind looks for a sound commit behind a frame that cannot be read.
// It takes any that looks like one for the start of the next.
func committedBehind(b []byte, from int) bool {
	for at := from; at+frameHeader <= len(b); at += frameHeader {
		if f, ok := parseFrame(b[at:]); ok && f.kind == frameCommit && soundFrom(b[at+frameHeader:]) {
			return true
		}
	}
	return false
}

// soundFrom tells whether b begins with frames that end in a commit that fits.
func soundFrom(b []byte) bool {
	sum, entries := uint32(0), 0
	for {
		f, ok := parseFrame(b)
		switch {
		case !ok:
			return false
		case f.kind == frameCommit:
			return entries > 0 && f.crc == sum
		}
		entries++
		sum = crc32.Update(sum, castagnoli, f.bytes)
		b = b[len(f.bytes):]
	}
}

// frame is one of a segment.
type frame struct {
	kind  byte
	crc   uint32 // of a commit
	bytes []byte // with header and padding
}

// parseFrame reads the frame that b begins with.
func parseFrame(b []byte) (frame, bool) {
	if len(b) < frameHeader || b[1] != 0 || b[2] != 0 || b[3] != 0 {
		return frame{}, false
	}
	f := frame{kind: b[0], crc: binary.LittleEndian.Uint32(b[4:])}
	size := int64(frameHeader)
	switch f.kind {
	case frameCommit:
	case frameEntry, frameIndex:
		size += (int64(f.crc) + frameHeader - 1) &^ (frameHeader - 1)
	default:
		return f, false
	}
	if size > int64(len(b)) {
		return f, false
	}
	f.bytes = b[:size]
	return f, true
}

// scanLog scans all segments of the log in d. It returns the name of the last
// one and how far that is sound, or the error that one is damaged.
func scanLog(d *Directory) (last string, s soundness, err error) {
	names, err := filepath.Glob(d.file(filepath.Join("log", "*.wal")))
	if err != nil {
		return "", s, err
	}
	slices.Sort(names) // by their first index
	var b []byte
	for _, path := range names {
		last = filepath.Join("log", filepath.Base(path))
		if b, err = readInto(b, path); err != nil {
			return last, s, err
		}
		if s = scanSegment(b); s.damage != nil {
			return last, s, d.damagedAt(last, s.end, s.damage)
		}
	}
	return last, s, nil
}

// readInto reads the file at path into the memory of b, if that is enough.
func readInto(b []byte, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := int(info.Size())
	if cap(b) < size {
		b = make([]byte, size+size/8) // the next one may be a little larger
	}
	n, err := io.ReadFull(f, b[:size])
	return b[:n], err
}
