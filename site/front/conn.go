package front

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"time"
)

const (
	// maxResponseHead bounds the head of a backend's response.
	maxResponseHead = 1 << 20

	// maxInformational is how many 1xx responses may precede the real one.
	maxInformational = 8
)

var errHeadTooLong = errors.New("head of the response is longer than 1 MiB")

// progress says how far an exchange came before it failed, and so what may be
// done about it.
type progress int

const (
	unsent   progress = iota // no byte of the request left
	sent                     // some did; no byte of a response came
	answered                 // a response began
)

// conn is a connection to a backend. It carries one exchange at a time, in the
// goroutine of its user.
type conn struct {
	net.Conn
	from   *backend
	pooled bool      // it has one of the backend's slots
	unused time.Time // since when it is idle
	probe  *probe

	r *bufio.Reader
	w *bufio.Writer

	written int64       // bytes of the present exchange
	toRead  int64       // bytes that may still be read
	stop    func() bool // ends the watch over the context
}

func newConn(nc net.Conn, from *backend) *conn {
	c := &conn{Conn: nc, from: from, probe: newProbe(nc)}
	c.r = bufio.NewReader(c)
	c.w = bufio.NewWriter(c)
	return c
}

// Read is what r reads from.
func (c *conn) Read(p []byte) (int, error) {
	if c.toRead <= 0 {
		return 0, errHeadTooLong
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.toRead)])
	c.toRead -= int64(n)
	return n, err
}

// Write is what w writes to.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written += int64(n)
	return n, err
}

// begin prepares for one exchange, which breaks off when ctx ends.
func (c *conn) begin(ctx context.Context) {
	c.written, c.toRead = 0, maxResponseHead
	c.stop = context.AfterFunc(ctx, c.interrupt)
}

// interrupt makes all reads and writes return at once.
func (c *conn) interrupt() { c.SetDeadline(time.Unix(1, 0)) }

// end gives c back. It is clean if the exchange ran to its end.
func (c *conn) end(clean bool) {
	undisturbed := c.stop()
	c.from.put(c, clean && undisturbed && c.r.Buffered() == 0)
}

// receive reads the response to a request with the method of r up to its body.
func (c *conn) receive(r *http.Request) (*http.Response, progress, error) {
	if _, err := c.r.Peek(1); err != nil {
		return nil, sent, err
	}
	for range maxInformational {
		resp, err := http.ReadResponse(c.r, r)
		if err != nil {
			return nil, answered, fmt.Errorf("read the response: %w", err)
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			c.toRead = math.MaxInt64
			return resp, answered, nil
		}
	}
	return nil, answered, fmt.Errorf("more than %d informational responses", maxInformational)
}
