package front

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// closeGrace is how long a WebSocket that is cut may take to end: first the
// backend's last frame, then the client.
const closeGrace = time.Second

// restart is a close frame with the status 1012, service restart: the client is
// to connect again (RFC 6455, 5.5.1, and IANA's registry of close codes).
var restart = []byte{0x88, 2, 1012 >> 8, 1012 & 0xff}

// webSocket joins two ends of a WebSocket. When it is cut, the client is told
// so between two frames.
type webSocket struct{ client, backend net.Conn }

// run returns when both ends have ended. Ahead are the readers that may have
// read more than the handshake.
func (s webSocket) run(ctx context.Context, aheadClient, aheadBackend *bufio.Reader) {
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		s.client.SetReadDeadline(time.Now().Add(2 * closeGrace))
		s.backend.SetReadDeadline(time.Unix(1, 0))
	})
	defer stop()
	defer s.client.Close()
	defer s.backend.Close()
	var g sync.WaitGroup
	g.Go(func() {
		pipe(unlessOver{s.backend, ctx}, s.client, aheadClient)
	})
	s.toClient(cut, aheadBackend)
	g.Wait()
}

// toClient passes on what the backend sends, until it ends or cut is closed.
func (s webSocket) toClient(cut <-chan struct{}, ahead *bufio.Reader) {
	var f frames
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	from := io.MultiReader(io.LimitReader(ahead, int64(ahead.Buffered())), s.backend)
	for over := false; ; {
		b := buf[:]
		if over {
			b = b[:min(len(b), f.left())]
		}
		n, err := from.Read(b)
		f.pass(b[:n])
		if _, failed := s.client.Write(b[:n]); failed != nil {
			s.backend.Close()
			s.client.Close()
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			<-cut // has set the deadline
		}
		select {
		case <-cut:
			if f.left() == 0 {
				s.client.SetWriteDeadline(time.Now().Add(closeGrace))
				s.client.Write(restart) // a client that is gone needs no word
				endWrite(s.client)
				return
			}
			if !over {
				over, err = true, nil
				s.backend.SetReadDeadline(time.Now().Add(closeGrace))
			}
		default:
		}
		if err != nil {
			endWrite(s.client)
			return
		}
	}
}

// endWrite tells c's peer that no more comes.
func endWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		return
	}
	c.Close()
}

// unlessOver swallows what is written to a connection once ctx has ended.
type unlessOver struct {
	net.Conn
	ctx context.Context
}

func (u unlessOver) Write(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return len(p), nil
	}
	return u.Conn.Write(p)
}

// CloseWrite keeps net.Conn's from being hidden.
func (u unlessOver) CloseWrite() error {
	endWrite(u.Conn)
	return nil
}

// frames follows the frames of one direction of a WebSocket (RFC 6455, 5.2).
type frames struct {
	head    []byte // of the frame that begins, as far as it has come
	payload uint64 // bytes that are still to come of its payload
}

// pass notes that b went by.
func (f *frames) pass(b []byte) {
	for len(b) > 0 {
		if n := min(f.payload, uint64(len(b))); n > 0 {
			f.payload -= n
			b = b[n:]
			continue
		}
		n := min(f.size()-len(f.head), len(b))
		f.head = append(f.head, b[:n]...)
		b = b[n:]
		if len(f.head) == f.size() {
			f.payload = f.length()
			f.head = f.head[:0]
		}
	}
}

// left returns how many bytes have to come at least until a frame is complete,
// 0 between two frames.
func (f *frames) left() int {
	switch {
	case f.payload > 0:
		return int(min(f.payload, 1<<30))
	case len(f.head) > 0:
		return f.size() - len(f.head)
	}
	return 0
}

// size returns how long the head is, as far as that is known.
func (f *frames) size() int {
	if len(f.head) < 2 {
		return 2
	}
	n := 2
	switch f.head[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.head[1]&0x80 != 0 {
		n += 4 // the mask
	}
	return n
}

// length returns the payload's length that a complete head tells.
func (f *frames) length() uint64 {
	switch n := f.head[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.head[2:])
	default:
		return uint64(n)
	}
}
