// Package digest sums up documents, so that two clusters can tell where they
// differ.
//
// It owns the form of the sums, and never sees which documents there are.
package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"sync"

	"landfall.dev/kit"
)

// Side chooses what Sums are over.
type Side int

// The sides of a copy. Both are over the live documents of kinds that are not
// Local. The sums Own of a source equal the sums Origin of its copy.
const (
	Own    Side = iota // sums of Hash of each document
	Origin             // sums of Origin.Hash of each imported document
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Buckets is the number of buckets of Sums.
const Buckets = 4096

// Bucket is the number of documents whose link falls into it, and the sum of
// their hashes modulo 2^128, big-endian.
type Bucket struct {
	Count int64    `json:"count"`
	Sum   [16]byte `json:"sum"`
}

// Sums are a digest of all documents, one Bucket for each of Buckets parts of
// the links, so that two clusters can tell where they differ.
type Sums []Bucket

const bucketSize = 8 + 16 // bytes

// Bytes returns the count, 8 bytes, and the sum, 16 bytes, both big-endian, of
// each.
func (s Sums) Bytes() []byte {
	var all []byte
	for _, b := range s {
		all = append(binary.BigEndian.AppendUint64(all, uint64(b.Count)), b.Sum[:]...)
	}
	return all
}

// ParseSums returns the sums that Bytes has written.
func ParseSums(all []byte) (Sums, error) {
	if len(all) != Buckets*bucketSize {
		return nil, kit.Errorf(kit.ErrInvalid, "", "sums have %d buckets of %d bytes, not %d bytes in all", Buckets, bucketSize, len(all))
	}
	s := make(Sums, Buckets)
	for i := range s {
		at := all[i*bucketSize:]
		s[i] = Bucket{Count: int64(binary.BigEndian.Uint64(at)), Sum: [16]byte(at[8:bucketSize])}
	}
	return s, nil
}

// Differ returns the numbers of the buckets in which s and o differ.
func (s Sums) Differ(o Sums) []int {
	var differ []int
	for i := range max(len(s), len(o)) {
		if i >= len(s) || i >= len(o) || s[i] != o[i] {
			differ = append(differ, i)
		}
	}
	return differ
}

// BucketOf returns the number of the bucket that the link falls into.
func BucketOf[L ~string | ~[]byte](link L) int {
	return int(crc32.Checksum([]byte(link), castagnoli) % Buckets)
}

// Hash returns the hash of a document's link, version and bytes: the first
// half of the SHA-256 of the link, a zero byte, the version as 8 bytes,
// big-endian, and the body.
func Hash(r kit.Record) [16]byte { return Of(r.Link, uint64(r.Version), r.Body) }

// Of is Hash of the parts of a document.
func Of[L ~string | ~[]byte](link L, version uint64, body []byte) [16]byte {
	kept := buffers.Get().(*[]byte)
	buf := append(append((*kept)[:0], link...), 0)
	buf = append(binary.BigEndian.AppendUint64(buf, version), body...)
	sum := sha256.Sum256(buf)
	if cap(buf) <= maxBuffer {
		*kept = buf
		buffers.Put(kept)
	}
	return [16]byte(sum[:16])
}

// maxBuffer is how large a buffer is kept to be used again.
const maxBuffer = 64 << 10

// buffers are not used at the moment.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Tally is a Bucket as it is kept: 128-bit numbers in two words.
type Tally struct {
	count  int64
	hi, lo uint64
}

// Count returns the number of documents.
func (t *Tally) Count() int64 { return t.count }

func (t *Tally) add(h [16]byte) {
	var carry uint64
	t.lo, carry = bits.Add64(t.lo, binary.BigEndian.Uint64(h[8:]), 0)
	t.hi, _ = bits.Add64(t.hi, binary.BigEndian.Uint64(h[:8]), carry)
	t.count++
}

func (t *Tally) remove(h [16]byte) {
	var borrow uint64
	t.lo, borrow = bits.Sub64(t.lo, binary.BigEndian.Uint64(h[8:]), 0)
	t.hi, _ = bits.Sub64(t.hi, binary.BigEndian.Uint64(h[:8]), borrow)
	t.count--
}

// Plus returns the sums of both.
func (t Tally) Plus(o Tally) Tally {
	var carry uint64
	t.lo, carry = bits.Add64(t.lo, o.lo, 0)
	t.hi, _ = bits.Add64(t.hi, o.hi, carry)
	t.count += o.count
	return t
}

// Change adds h, or takes it away if n is negative.
func (t *Tally) Change(h [16]byte, n int) {
	if n < 0 {
		t.remove(h)
	} else {
		t.add(h)
	}
}

// Change returns b with h added, or taken away if n is negative.
func (b Bucket) Change(h [16]byte, n int) Bucket {
	t := Tally{b.Count, binary.BigEndian.Uint64(b.Sum[:8]), binary.BigEndian.Uint64(b.Sum[8:])}
	t.Change(h, n)
	return t.Bucket()
}

// Bucket returns the sums.
func (t *Tally) Bucket() Bucket {
	b := Bucket{Count: t.count}
	binary.BigEndian.PutUint64(b.Sum[:8], t.hi)
	binary.BigEndian.PutUint64(b.Sum[8:], t.lo)
	return b
}
