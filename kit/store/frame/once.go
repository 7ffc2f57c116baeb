package frame

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"landfall.dev/kit"
)

// Once is an idempotency key, as it is in memory and in frames:
//
//	once = flags:byte id:16 request:16 time link*
//
// The id is of the key and the caller, the request is a digest of the writes,
// the links are those of the documents that they were to; flags is flagOnce.
type Once struct {
	ID, Request [16]byte
	At          time.Time // when it was used, by the clock of Expired
	Links       []string
	Size        int // encoded, in bytes
}

// NewOnce returns what is kept of the caller's key for the writes, without when
// it was used and the links.
func NewOnce(by, key string, writes []kit.Write) Once {
	id := sha256.Sum256(AppendText(AppendText(nil, by), key))
	var b []byte
	for _, w := range writes {
		b = AppendText(AppendText(AppendText(b, w.Verb), w.Link), w.Body)
		b = binary.AppendVarint(b, w.IfMatch)
	}
	request := sha256.Sum256(b)
	return Once{ID: [16]byte(id[:16]), Request: [16]byte(request[:16])}
}

// Append appends the key as ParseOnce takes it.
func (o *Once) Append(b []byte) []byte {
	b = append(append(append(b, flagOnce), o.ID[:]...), o.Request[:]...)
	b = binary.AppendUvarint(b, momentOf(o.At))
	b = binary.AppendUvarint(b, uint64(len(o.Links)))
	for _, l := range o.Links {
		b = AppendText(b, l)
	}
	return b
}

// ParseOnce reads what b starts with. It returns false if that is none.
func ParseOnce(b []byte) (o Once, ok bool) {
	d := decoder{rest: b}
	flags := d.byte()
	copy(o.ID[:], d.take(16))
	copy(o.Request[:], d.take(16))
	at := d.uint()
	o.At = timeOf(at)
	for n := d.uint(); n > 0 && !d.failed; n-- {
		o.Links = append(o.Links, string(d.text()))
	}
	o.Size = len(b) - len(d.rest)
	return o, !d.failed && flags == flagOnce && validMoment(at)
}

// Expired tells whether the key is forgotten at now, by the clock of the store
// that no jump of the log's time moves.
func (o *Once) Expired(now time.Time) bool { return now.Sub(o.At) >= kit.OnceAge }

// IsOnce tells whether b starts with an idempotency key, not with a document.
func IsOnce(b []byte) bool { return b[0]&flagOnce != 0 }
