package wire

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"
)

// A question of one member to another is its kind and a number, 1 and 8 bytes;
// the answer is a number of 8 bytes, all big-endian. A member that cannot answer
// closes the connection.
const questionSize = 1 + 8

// idleAsks is how many connections for questions to a member are kept.
const idleAsks = 64

// Ask puts one question to the node id and returns its answer.
func (t *Transport) Ask(ctx context.Context, id string, kind byte, number uint64) (uint64, error) {
	for {
		c, used := t.idle.take(id)
		if !used {
			var err error
			if c, err = t.streams.dial(id, forAsks, DialLimit); err != nil {
				return 0, err
			}
		}
		answer, err := Ask(ctx, c, kind, number)
		if err == nil {
			t.idle.put(id, c)
			return answer, nil
		}
		_ = c.Close()
		if !used || ctx.Err() != nil {
			return 0, err
		} // else the member may have started again since
	}
}

// Ask puts one question on a connection that Dial has made.
func Ask(ctx context.Context, c net.Conn, kind byte, number uint64) (uint64, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	b := binary.BigEndian.AppendUint64([]byte{kind}, number)
	if _, err := c.Write(b); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(c, b[:8]); err != nil {
		return 0, err
	}
	if !stop() {
		return 0, context.Cause(ctx) // its deadline has passed
	}
	return binary.BigEndian.Uint64(b), nil
}

// answer serves the questions of another member on c until it is closed.
func answer(c net.Conn, reply func(kind byte, number uint64) (uint64, error)) {
	defer func() { _ = c.Close() }()
	b := make([]byte, questionSize)
	for {
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		number, err := reply(b[0], binary.BigEndian.Uint64(b[1:]))
		if err != nil {
			return
		}
		if _, err := c.Write(binary.BigEndian.AppendUint64(b[:0], number)); err != nil {
			return
		}
	}
}

// idle are connections for questions that nobody uses, by member. Those that
// are closed with the streams are found out when they are used.
type idle struct {
	mu    sync.Mutex
	conns map[string][]net.Conn
}

func (i *idle) take(id string) (c net.Conn, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	conns := i.conns[id]
	if len(conns) == 0 {
		return nil, false
	}
	i.conns[id] = conns[:len(conns)-1]
	return conns[len(conns)-1], true
}

func (i *idle) put(id string, c net.Conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.conns[id]) >= idleAsks {
		_ = c.Close()
		return
	}
	i.conns[id] = append(i.conns[id], c)
}
