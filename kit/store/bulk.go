package store

// bulk hands out memory in large pieces, for who encodes many documents at
// once. The zero value hands out small ones.
type bulk struct {
	on    bool
	bytes []byte
}

// take returns an empty slice for about n bytes.
func (b *bulk) take(n int) []byte {
	const Block = 256 << 10
	if !b.on || n > Block/8 {
		return nil
	}
	if n > cap(b.bytes)-len(b.bytes) {
		b.bytes = make([]byte, 0, Block)
	}
	start := len(b.bytes)
	b.bytes = b.bytes[:start+n]
	return b.bytes[start:start:len(b.bytes)]
}
