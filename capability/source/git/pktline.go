package git

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxPacket is the most that one packet carries, after its length.
const maxPacket = 65516

// flush is the packet that ends a list.
const flush = "0000"

// appendPacket appends data, of at most maxPacket bytes, as a packet.
func appendPacket(out []byte, data string) []byte {
	out = fmt.Appendf(out, "%04x", len(data)+4)
	return append(out, data...)
}

// appendBand appends data as packets of a side band: 1 is the answer, 2 text
// for the user.
func appendBand(out []byte, band byte, data []byte) []byte {
	for len(data) > 0 {
		n := min(len(data), maxPacket-1)
		out = appendPacket(out, string(band)+string(data[:n]))
		data = data[n:]
	}
	return out
}

// readPacket returns the next packet; ok is false for a flush.
func readPacket(in *bufio.Reader) (data string, ok bool, err error) {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return "", false, cut(err)
	}
	n, err := strconv.ParseUint(string(head[:]), 16, 16)
	if err != nil || (n > 0 && n < 4) || n > maxPacket+4 {
		return "", false, fmt.Errorf("packet length %q: %w", head[:], ErrInvalid)
	}
	if n == 0 {
		return "", false, nil
	}
	buffer := make([]byte, n-4)
	if _, err := io.ReadFull(in, buffer); err != nil {
		return "", false, cut(err)
	}
	return string(buffer), true, nil
}

// cut turns the end of the input into a fault of the request.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the request is cut short: %w", ErrInvalid)
	}
	return err
}
