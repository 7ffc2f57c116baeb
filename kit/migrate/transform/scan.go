package transform

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
)

// member is one field of a JSON object. Key and value are its bytes as they
// came, name is the key without quotes and escapes.
type member struct {
	key, name, value []byte
}

// maxDepth is how deep encoding/json reads arrays and objects.
const maxDepth = 10000

// scanObject appends the members of the JSON object b to ms, without decoding
// their values. It takes what encoding/json takes (RFC 8259); of repeated names
// the last value wins, in the place of the first.
func scanObject(b []byte, ms []member) ([]member, error) {
	s := scanner{b: b}
	s.space()
	if !s.take('{') {
		return ms, s.fail("a JSON object is expected")
	}
	start := len(ms)
	var index map[string]int
	for first := true; ; first = false {
		s.space()
		if first && s.take('}') {
			break
		}
		m, err := s.member()
		if err != nil {
			return ms, err
		}
		ms, index = put(ms, start, index, m)
		s.space()
		if s.take('}') {
			break
		}
		if !s.take(',') {
			return ms, s.fail("a comma or the object's end is expected")
		}
	}
	s.space()
	if s.i != len(b) {
		return ms, s.fail("nothing is expected after the object")
	}
	return ms, nil
}

// manyMembers is from how many members on an index is kept.
const manyMembers = 64

// put adds m to ms[start:], or sets the value of the member with its name.
func put(ms []member, start int, index map[string]int, m member) ([]member, map[string]int) {
	if index == nil {
		if i := find(ms[start:], m.name); i >= 0 {
			ms[start+i].value = m.value
			return ms, nil
		}
		ms = append(ms, m)
		if len(ms)-start < manyMembers {
			return ms, nil
		}
		index = make(map[string]int, 4*manyMembers)
		for i := range ms[start:] {
			index[string(ms[start+i].name)] = start + i
		}
		return ms, index
	}
	if i, ok := index[string(m.name)]; ok {
		ms[i].value = m.value
		return ms, index
	}
	index[string(m.name)] = len(ms)
	return append(ms, m), index
}

// find returns the place of the member with the name, or -1.
func find(ms []member, name []byte) int {
	for i := range ms {
		if bytes.Equal(ms[i].name, name) {
			return i
		}
	}
	return -1
}

// objectSize is how many bytes the members have as a JSON object.
func objectSize(ms []member) int {
	size := len("{}")
	for i := range ms {
		size += len(ms[i].key) + len(ms[i].value) + len(":,")
	}
	return size
}

// appendObject appends the members as a JSON object to b.
func appendObject(b []byte, ms []member) []byte {
	b = append(b, '{')
	for i := range ms {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, ms[i].key...)
		b = append(b, ':')
		b = append(b, ms[i].value...)
	}
	return append(b, '}')
}

// scanValue returns the JSON value that b is, without the space around it.
func scanValue(b []byte) ([]byte, error) {
	s := scanner{b: b}
	s.space()
	start := s.i
	if err := s.value(0); err != nil {
		return nil, err
	}
	v := b[start:s.i:s.i]
	s.space()
	if s.i != len(b) {
		return nil, s.fail("nothing is expected after the value")
	}
	return v, nil
}

// scanner moves over JSON, checking it.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) fail(why string) error {
	if s.i >= len(s.b) {
		return fmt.Errorf("not valid JSON: it ends too early, %s", why)
	}
	return fmt.Errorf("not valid JSON at byte %d: %s", s.i, why)
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return
		}
	}
}

// take goes over c if that is what comes.
func (s *scanner) take(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// member reads a key and its value.
func (s *scanner) member() (member, error) {
	var m member
	start := s.i
	escaped, err := s.text()
	if err != nil {
		return m, err
	}
	m.key = s.b[start:s.i]
	m.name = m.key[1 : len(m.key)-1]
	if escaped {
		var name string
		if err := json.Unmarshal(m.key, &name); err != nil {
			return m, err
		}
		m.name = []byte(name)
	}
	s.space()
	if !s.take(':') {
		return m, s.fail("a colon is expected")
	}
	s.space()
	start = s.i
	if err := s.value(1); err != nil {
		return m, err
	}
	m.value = s.b[start:s.i:s.i]
	return m, nil
}

// value goes over a value inside depth arrays and objects.
func (s *scanner) value(depth int) error {
	if s.i >= len(s.b) {
		return s.fail("a value is expected")
	}
	switch s.b[s.i] {
	case '"':
		_, err := s.text()
		return err
	case '{', '[':
		return s.inside(depth)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.number()
}

// inside goes over an array or an object.
func (s *scanner) inside(depth int) error {
	if depth == maxDepth {
		return s.fail("it is nested too deep")
	}
	object := s.b[s.i] == '{'
	end := s.b[s.i] + 2 // of both in ASCII
	s.i++
	s.space()
	if s.take(end) {
		return nil
	}
	for {
		s.space()
		if object {
			if err := s.field(); err != nil {
				return err
			}
		}
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.space()
		if s.take(end) {
			return nil
		}
		if !s.take(',') {
			return s.fail("a comma is expected")
		}
	}
}

// field goes over a key, up to its value.
func (s *scanner) field() error {
	if _, err := s.text(); err != nil {
		return err
	}
	s.space()
	if !s.take(':') {
		return s.fail("a colon is expected")
	}
	s.space()
	return nil
}

func (s *scanner) word(w string) error {
	if !bytes.HasPrefix(s.b[s.i:], []byte(w)) {
		return s.fail("a value is expected")
	}
	s.i += len(w)
	return nil
}

// text goes over a string and tells whether it has escapes.
func (s *scanner) text() (escaped bool, err error) {
	if !s.take('"') {
		return false, s.fail("a string is expected")
	}
	for s.plain(); s.i < len(s.b); s.plain() {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return escaped, nil
		case c < ' ':
			return escaped, s.fail("a control character is in a string")
		case c == '\\':
			escaped = true
			if !s.escape() {
				return escaped, s.fail("a wrong escape is in a string")
			}
		default:
			s.i++
		}
	}
	return escaped, s.fail("a string is not closed")
}

// plain goes over bytes of a string that stand for themselves, eight at a time.
func (s *scanner) plain() {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for s.i+8 <= len(s.b) {
		w := binary.LittleEndian.Uint64(s.b[s.i:])
		quote, slash := w^('"'*ones), w^('\\'*ones)
		// The top bit of the lowest byte that is a quote, a backslash or a control
		// character; what is above it may be wrong.
		found := ((quote-ones)&^quote | (slash-ones)&^slash | (w-' '*ones)&^w) & tops
		if found != 0 {
			s.i += bits.TrailingZeros64(found) / 8
			return
		}
		s.i += 8
	}
}

func (s *scanner) escape() bool {
	rest := s.b[s.i+1:]
	if len(rest) == 0 {
		return false
	}
	if rest[0] != 'u' {
		s.i += 2
		return bytes.IndexByte([]byte(`"\/bfnrt`), rest[0]) >= 0
	}
	if len(rest) < 5 {
		return false
	}
	for _, c := range rest[1:5] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	s.i += 6
	return true
}

func (s *scanner) number() error {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return s.fail("a value is expected")
	}
	if s.take('.') && !s.digits() {
		return s.fail("a digit is expected")
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		if !s.digits() {
			return s.fail("a digit is expected")
		}
	}
	return nil
}

// digits goes over one digit or more.
func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}
