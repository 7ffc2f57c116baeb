package store

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"math/bits"

	"landfall.dev/kit"
)

// Side chooses what Sums are over.
type Side int

// The sides of a copy. Both are over the live documents of kinds that are not
// Local. The sums SideOwn of a source equal the sums SideOrigin of its copy.
const (
	SideOwn    Side = iota // sums of Hash of each document
	SideOrigin             // sums of Origin.Hash of each imported document
)

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

// BucketOf returns the number of the bucket that l falls into.
func BucketOf(l kit.Link) int {
	return int(crc32.Checksum([]byte(l), castagnoli) % Buckets)
}

// Hash returns the hash of a document's link, version and bytes: the first
// half of the SHA-256 of the link, a zero byte, the version as 8 bytes,
// big-endian, and the body.
func Hash(r kit.Record) [16]byte {
	buf := make([]byte, 0, 512)
	buf = append(append(buf, r.Link...), 0)
	buf = binary.BigEndian.AppendUint64(buf, uint64(r.Version))
	sum := sha256.Sum256(append(buf, r.Body...))
	return [16]byte(sum[:16])
}

// tally is the sums as they are kept: 128-bit numbers in two words.
type tally struct {
	count  int64
	hi, lo uint64
}

func (t *tally) add(h [16]byte) {
	var carry uint64
	t.lo, carry = bits.Add64(t.lo, binary.BigEndian.Uint64(h[8:]), 0)
	t.hi, _ = bits.Add64(t.hi, binary.BigEndian.Uint64(h[:8]), carry)
	t.count++
}

func (t *tally) remove(h [16]byte) {
	var borrow uint64
	t.lo, borrow = bits.Sub64(t.lo, binary.BigEndian.Uint64(h[8:]), 0)
	t.hi, _ = bits.Sub64(t.hi, binary.BigEndian.Uint64(h[:8]), borrow)
	t.count--
}

func (t *tally) bucket() Bucket {
	b := Bucket{Count: t.count}
	binary.BigEndian.PutUint64(b.Sum[:8], t.hi)
	binary.BigEndian.PutUint64(b.Sum[8:], t.lo)
	return b
}
