// Package key says in which order the documents of a kind are: it makes byte
// strings of ids, times and values, which compare as these do.
//
// It owns the form of the keys, and never looks documents up.
package key

import (
	"encoding/binary"
	"math"
	"time"

	"landfall.dev/kit"
)

// Every order of a kind's documents is one of byte strings, their keys in it:
//
//	link      id
//	created   time id
//	updated   time id
//	index     value... id, one value for each of its fields
//
//	id     = 8 bytes, big-endian, of a number below 10^18 without leading zeros
//	       | the bytes, with 0x80 set in the first
//	time   = seconds since the year 0:5 bytes nanoseconds:4 bytes, big-endian
//	value  = 1                                     null, or no such field
//	       | 2                                     false
//	       | 3                                     true
//	       | 4 float64:8 bytes rest:2 bytes        number
//	       | 5 bytes, 0 as 0 0xff; then 0 1        string
//	       | 6 time                                time
//
// A number's float64 has its sign bit inverted, all bits of a negative one; the
// rest, plus 0x8000, is what a 64-bit whole number has beyond it.

// The first bytes of the keys of values.
const (
	Null    = 1
	False   = 2
	True    = 3
	numeric = 4
	String  = 5
	Time    = 6
)

// MaxIndexed bounds how many bytes of a string its key has. Strings that differ
// only after them have one key.
const MaxIndexed = 256

// YearZero is the start of the year 0 in Unix seconds.
const YearZero = -62167219200

// AppendID appends the key of a document's id.
func AppendID[S string | kit.Link](b []byte, id S) []byte {
	if n := Number(string(id)); n != math.MaxUint64 {
		return binary.BigEndian.AppendUint64(b, n)
	}
	if id == "" {
		return b
	}
	b = append(b, id[0]|0x80)
	return append(b, id[1:]...)
}

// Number returns id as a number, or MaxUint64 for one that is none, so that
// numeric ids sort first and by value. Leading zeros make two ids of a number,
// so these are none.
func Number(id string) uint64 {
	if id == "" || len(id) > 18 || id[0] == '0' {
		return math.MaxUint64
	}
	var n uint64
	for i := range len(id) {
		if id[i] < '0' || id[i] > '9' {
			return math.MaxUint64
		}
		n = n*10 + uint64(id[i]-'0')
	}
	return n
}

// AppendTime appends the key of a time.
func AppendTime(b []byte, t time.Time) []byte {
	s := uint64(t.Unix() - YearZero)
	b = append(b, byte(s>>32), byte(s>>24), byte(s>>16), byte(s>>8), byte(s))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

// AppendValue appends the key of a field's value: nil, a bool, an int64, a
// uint64, a float64, a string or a time.Time.
func AppendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case bool:
		if v {
			return append(b, True)
		}
		return append(b, False)
	case int64:
		return appendNumber(b, float64(v), wholeRest(v))
	case uint64:
		return appendNumber(b, float64(v), wholeRestUnsigned(v))
	case float64:
		return appendNumber(b, v, 0)
	case string:
		return append(AppendPrefix(b, v), 0, 1)
	case time.Time:
		return AppendTime(append(b, Time), v)
	}
	return append(b, Null)
}

// AppendPrefix appends what the keys of all strings that start with s start
// with.
func AppendPrefix(b []byte, s string) []byte {
	b = append(b, String)
	for i := range min(len(s), MaxIndexed) {
		b = append(b, s[i])
		if s[i] == 0 {
			b = append(b, 0xff)
		}
	}
	return b
}

func appendNumber(b []byte, f float64, rest int64) []byte {
	if f == 0 {
		f = 0 // not -0
	}
	bits := math.Float64bits(f)
	if bits>>63 == 1 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	b = binary.BigEndian.AppendUint64(append(b, numeric), bits)
	return binary.BigEndian.AppendUint16(b, uint16(rest+0x8000))
}

// wholeRest returns n less its nearest float64.
func wholeRest(n int64) int64 {
	f := float64(n)
	if f == 1<<63 {
		return n - math.MaxInt64 - 1
	}
	return n - int64(f)
}

func wholeRestUnsigned(n uint64) int64 {
	f := float64(n)
	if f == 1<<64 {
		return int64(n) // its distance to 2^64, as two's complement has it
	}
	return int64(n - uint64(f))
}

// After returns the least key above key.
func After(key []byte) []byte { return append(key[:len(key):len(key)], 0) }

// PrefixEnd returns the least key above all that start with prefix, nil if
// there is none.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
