package frame

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"unsafe"

	"landfall.dev/kit"
	"landfall.dev/kit/store/key"
)

// Origin says which change of another cluster a document was imported from. A
// later change by a client keeps Stream and Seq and clears Hash.
type Origin struct {
	// Stream names the copy. An import is applied only if its Seq is higher than
	// that of the last one from the same stream.
	Stream string `json:"stream,omitempty"`
	// Seq is the document's position at its origin; 0 means not imported.
	Seq int64 `json:"seq"`
	// Hash is Hash of the document at its origin.
	Hash [16]byte `json:"hash"`
}

// A document or tombstone as it is in memory and in frames:
//
//	document = flags:byte seq version created [updated] [expires] [schema]
//	           [source] [stream seq hash:16] [pending] link [body]
//
// Numbers are uvarints, a time is 0 if it is not set, or else 1 more than the
// zigzag of the microseconds since 2026; a text is its length and its bytes;
// pending is JSON. The flags say what is there in brackets; without one updated
// is created, and schema is 1. A tombstone has no body.
const (
	flagTombstone = 1 << iota
	flagUpdated
	flagExpires
	flagSchema
	flagSource
	flagStream
	flagPending
	flagOnce // not a document, but an idempotency key: see Once
)

// MaxSeq bounds positions in the log.
const MaxSeq = 1 << 62

const epoch2026 = 1767225600 * 1_000_000

// momentOf returns t as a number; 0 is no time.
func momentOf(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	n := t.UnixMicro() - epoch2026
	return uint64(n<<1^n>>63) + 1
}

// timeOf is the reverse of momentOf.
func timeOf(v uint64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	v--
	return time.UnixMicro(int64(v>>1) ^ -int64(v&1) + epoch2026).UTC()
}

// The first and the last microsecond that a document may have a time of: from
// the year 0 to 9999, as in JSON.
const (
	minMicro = key.YearZero*1_000_000 - epoch2026
	maxMicro = 253402300800*1_000_000 - 1 - epoch2026
)

// validMoment tells whether v is a time that JSON can have too.
func validMoment(v uint64) bool {
	if v == 0 {
		return true
	}
	v--
	n := int64(v>>1) ^ -int64(v&1)
	return n >= minMicro && n <= maxMicro
}

// AppendDocument appends the encoding of a document. It keeps times to the
// microsecond.
func AppendDocument(b []byte, r kit.Record, o Origin) ([]byte, error) {
	var d Document
	return d.append(b, &r, &o)
}

// append makes d the document and appends its encoding, whose memory it shares.
func (d *Document) append(b []byte, r *kit.Record, o *Origin) ([]byte, error) {
	var pending []byte
	if len(r.Pending) > 0 {
		var err error
		if pending, err = json.Marshal(r.Pending); err != nil {
			return nil, &kit.Error{Fault: kit.ErrInternal, Op: "encode", Link: r.Link, Err: err}
		}
	}
	*d = Document{
		flags: flagsOf(r, o),
		Seq:   uint64(r.Seq), Version: uint64(r.Version), schema: uint64(r.Schema),
		created: momentOf(r.Created), expires: momentOf(r.Expires), originSeq: uint64(o.Seq),
	}
	d.updated = d.created
	const Rest = 128 // is enough for all that is not text
	start := len(b)
	b = slices.Grow(b, Rest+len(r.Source)+len(o.Stream)+len(pending)+len(r.Link)+len(r.Body))
	b = binary.AppendUvarint(append(b, d.flags), d.Seq)
	b = binary.AppendUvarint(binary.AppendUvarint(b, d.Version), d.created)
	if d.flags&flagUpdated != 0 {
		d.updated = momentOf(r.Updated)
		b = binary.AppendUvarint(b, d.updated)
	}
	if d.flags&flagExpires != 0 {
		b = binary.AppendUvarint(b, d.expires)
	}
	if d.flags&flagSchema != 0 {
		b = binary.AppendUvarint(b, d.schema)
	}
	if d.flags&flagSource != 0 {
		b, d.source = appendShared(b, r.Source)
	}
	if d.flags&flagStream != 0 {
		b, d.stream = appendShared(b, o.Stream)
		b = append(binary.AppendUvarint(b, d.originSeq), o.Hash[:]...)
		d.originHash = b[len(b)-len(o.Hash):]
	}
	if d.flags&flagPending != 0 {
		b, d.pending = appendShared(b, pending)
	}
	if b, d.Link = appendShared(b, r.Link); !r.Deleted {
		b, d.Body = appendShared(b, r.Body)
	}
	d.Size = len(b) - start
	return b, nil
}

// flagsOf says what the document has of what not every one has.
func flagsOf(r *kit.Record, o *Origin) (flags byte) {
	for i, on := range [...]bool{
		r.Deleted, !r.Updated.Equal(r.Created), !r.Expires.IsZero(), r.Schema != 1, r.Source != "", *o != Origin{}, len(r.Pending) > 0,
	} {
		if on {
			flags |= flagTombstone << i
		}
	}
	return flags
}

// appendShared appends a text and returns also where it is now.
func appendShared[S ~string | ~[]byte](b []byte, s S) (all, text []byte) {
	b = AppendText(b, s)
	return b, b[len(b)-len(s) : len(b) : len(b)]
}

// AppendText appends a text: its length and its bytes.
func AppendText[S ~string | ~[]byte](b []byte, s S) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Document is the parts of an encoded document, which share its memory.
type Document struct {
	flags                     byte
	Size                      int // of the whole, in bytes
	Seq, Version, schema      uint64
	created, updated, expires uint64 // see momentOf
	source, stream            []byte
	originSeq                 uint64
	originHash                []byte
	pending, Link, Body       []byte
}

// Unpack takes apart the document that b starts with. It returns false if
// there is none.
func Unpack(b []byte) (p Document, ok bool) {
	ok = p.Unpack(b)
	return p, ok
}

// Unpack makes p the document that b starts with. It returns false if there is
// none.
func (p *Document) Unpack(b []byte) bool {
	*p = Document{}
	d := decoder{rest: b}
	p.unpackFront(&d)
	if p.flags&flagTombstone == 0 {
		p.Body = d.text()
	}
	p.Size = len(b) - len(d.rest)
	return !d.failed && p.flags&flagOnce == 0
}

// Front reads what comes before the body of the document that b starts with:
// for who needs no more, of one that was checked before.
func (p *Document) Front(b []byte) { p.unpackFront(&decoder{rest: b}) }

func (p *Document) unpackFront(d *decoder) {
	p.flags = d.byte()
	p.Seq, p.Version, p.created = d.uint(), d.uint(), d.uint()
	p.updated, p.schema = p.created, 1
	if p.flags&(flagUpdated|flagExpires|flagSchema|flagSource|flagStream|flagPending) != 0 {
		p.unpackRare(d)
	}
	p.Link = d.text()
}

func (p *Document) unpackRare(d *decoder) {
	if p.flags&flagUpdated != 0 {
		p.updated = d.uint()
	}
	if p.flags&flagExpires != 0 {
		p.expires = d.uint()
	}
	if p.flags&flagSchema != 0 {
		p.schema = d.uint()
	}
	if p.flags&flagSource != 0 {
		p.source = d.text()
	}
	if p.flags&flagStream != 0 {
		p.stream, p.originSeq = d.text(), d.uint()
		p.originHash = d.take(len(Origin{}.Hash))
	}
	if p.flags&flagPending != 0 {
		p.pending = d.text()
	}
}

// check returns why the document cannot be one.
func (p *Document) check() error {
	if err := kit.Link(Text(p.Link)).Check(); err != nil {
		return err
	}
	return p.checkRest()
}

// checkRest is check of all but the link.
func (p *Document) checkRest() error {
	if !validMoment(p.created) || !validMoment(p.updated) || !validMoment(p.expires) {
		return errors.New("it has a time before the year 0 or after 9999")
	}
	if p.Seq > MaxSeq || p.Version > math.MaxInt64 || p.originSeq > math.MaxInt64 || p.schema > math.MaxInt32 {
		return errors.New("it has a number out of range")
	}
	if !p.Deleted() && (len(p.Body) == 0 || p.Body[0] != '{') {
		return errors.New("its body is not a JSON object")
	}
	if p.flags&flagPending != 0 {
		if _, err := p.ops(); err != nil {
			return fmt.Errorf("its pending operations: %w", err)
		}
	}
	return nil
}

// ops returns the pending operations.
func (p *Document) ops() (ops []kit.Op, err error) {
	if p.pending != nil {
		err = json.Unmarshal(p.pending, &ops)
	}
	return ops, err
}

// Deleted tells whether it is a tombstone.
func (p Document) Deleted() bool { return p.flags&flagTombstone != 0 }

// Record returns the document of the kind, which shares memory with p.
func (p Document) Record(kind string) kit.Record {
	r := kit.Record{
		Meta: kit.Meta{
			Link: kit.Link(Text(p.Link)), Kind: kind, Schema: int(p.schema), Version: int64(p.Version),
			Created: timeOf(p.created), Source: kit.Link(Text(p.source)),
		},
		Seq: int64(p.Seq), Deleted: p.Deleted(),
	}
	r.Updated = r.Created
	if p.updated != p.created {
		r.Updated = timeOf(p.updated)
	}
	if p.expires != 0 {
		r.Expires = timeOf(p.expires)
	}
	if !r.Deleted {
		r.Body = p.Body[:len(p.Body):len(p.Body)]
	}
	if p.pending != nil {
		r.Pending, _ = p.ops() // checked when it came in
	}
	return r
}

// Origin returns where it was imported from.
func (p Document) Origin() Origin {
	o := Origin{Stream: Text(p.stream), Seq: int64(p.originSeq)}
	copy(o.Hash[:], p.originHash)
	return o
}

// CreatedAt returns when the document was made.
func (p *Document) CreatedAt() time.Time { return timeOf(p.created) }

// UpdatedAt returns when it was changed last.
func (p *Document) UpdatedAt() time.Time { return timeOf(p.updated) }

// ExpiresAt returns when it will expire; zero is never.
func (p *Document) ExpiresAt() time.Time { return timeOf(p.expires) }

// Text returns b as a string that shares its memory: b must never change.
func Text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

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

func (d *decoder) uint() uint64 {
	if len(d.rest) > 0 && d.rest[0] < 0x80 {
		v := d.rest[0]
		d.rest = d.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.failed = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// int is uint for what has to fit a position.
func (d *decoder) int() int64 {
	v := d.uint()
	if v > 1<<62 {
		d.failed = true
		return 0
	}
	return int64(v)
}

func (d *decoder) text() []byte {
	n := d.uint()
	if n > uint64(len(d.rest)) {
		d.failed = true
		return nil
	}
	return d.take(int(n))
}
