// Package token makes the tokens by which the next page of a list is asked for.
package token

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// Token says where in which list a page has ended. It is encoded as
//
//	version:1 query:8 epoch:8 seq:8 key crc32c:4
//
// in big-endian numbers, in base64 for URLs.
type Token struct {
	At  kit.Position // what all pages show
	Key []byte       // of the last document looked at, in the order of the list
}

const (
	version = 1
	head    = 1 + 8 + 8 + 8 // bytes before the key
)

// Encode returns the token as a part of the list q.
func (t Token) Encode(q kit.Query) string {
	b := append([]byte{version}, querySum(q)...)
	b = binary.BigEndian.AppendUint64(b, uint64(t.At.Epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(t.At.Seq))
	b = append(b, t.Key...)
	b = binary.BigEndian.AppendUint32(b, frame.Checksum(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// Parse returns the token of q, which has one.
func Parse(q kit.Query) (Token, error) {
	refuse := func(why, hint string) (Token, error) {
		shown := q.Token
		if len(shown) > 80 {
			shown = shown[:80] + "..."
		}
		return Token{}, &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("the page token %q %s", shown, why), Hint: hint}
	}
	b, err := base64.RawURLEncoding.DecodeString(q.Token)
	if err != nil || len(b) < head+4 || binary.BigEndian.Uint32(b[len(b)-4:]) != frame.Checksum(b[:len(b)-4]) {
		return refuse("is damaged", "pass the next of the page before as it is")
	}
	if b[0] != version {
		return refuse("is of another version", "list again from the first page")
	}
	if !bytes.Equal(b[1:9], querySum(q)) {
		return refuse("is of another list", "keep kind, filter, order and asOf as they were for the first page")
	}
	return Token{
		At:  kit.Position{Epoch: int64(binary.BigEndian.Uint64(b[9:])), Seq: int64(binary.BigEndian.Uint64(b[17:]))},
		Key: b[head : len(b)-4],
	}, nil
}

// querySum tells lists apart, in 8 bytes.
func querySum(q kit.Query) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %s", q.Kind, q.Filter, q.Order, q.AsOf))
	return sum[:8]
}
