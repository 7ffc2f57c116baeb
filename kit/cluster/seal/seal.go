// Package seal protects what the leader has decided on its way through the log
// of raft, which has no checksum of its own and no time.
//
// An entry is the CRC-32C of all that follows, the time at which it was decided
// (nanoseconds since 1970), both big-endian, and the machine's bytes.
package seal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"
)

const header = 4 + 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Entry returns the entry that carries data, decided at the time.
func Entry(data []byte, at time.Time) []byte {
	b := make([]byte, header, header+len(data))
	b = append(b, data...)
	binary.BigEndian.PutUint64(b[4:], uint64(at.UnixNano()))
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// Open returns the data of an entry, which shares its memory, and the time at
// which it was decided.
func Open(b []byte) (data []byte, at int64, err error) {
	if len(b) < header || binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return nil, 0, errors.New("the checksum is wrong")
	}
	return b[header:], int64(binary.BigEndian.Uint64(b[4:])), nil
}

// Check tells why an entry of the log cannot be applied.
func Check(l *raft.Log) error {
	if l.Type != raft.LogCommand {
		return nil
	}
	_, _, err := Open(l.Data)
	return err
}
