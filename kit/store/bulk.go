package store

import "landfall.dev/kit/store/frame"

// bulk hands out memory in large pieces, for who puts many documents at once.
// The zero value hands out small ones.
type bulk struct {
	on     bool
	bytes  []byte
	frames []frame.Frame
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

// frame returns where f is kept.
func (b *bulk) frame(f frame.Frame) *frame.Frame {
	const Block = 512
	if !b.on {
		return &f
	}
	if len(b.frames) == cap(b.frames) {
		b.frames = make([]frame.Frame, 0, Block)
	}
	b.frames = append(b.frames, f)
	return &b.frames[len(b.frames)-1]
}
