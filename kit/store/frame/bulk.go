package frame

// Bulk hands out memory in large pieces, for who encodes many documents at
// once. The zero value hands out small ones.
type Bulk struct {
	// On says that there are many.
	On    bool
	bytes []byte
}

// Take returns an empty slice for about n bytes.
func (b *Bulk) Take(n int) []byte {
	const Block = 256 << 10
	if !b.On || n > Block/8 {
		return nil
	}
	if n > cap(b.bytes)-len(b.bytes) {
		b.bytes = make([]byte, 0, Block)
	}
	start := len(b.bytes)
	b.bytes = b.bytes[:start+n]
	return b.bytes[start:start:len(b.bytes)]
}
