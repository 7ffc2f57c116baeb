package front

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
)

// tunnel joins the client with c after the backend agreed to switch protocols,
// until both have ended or the stream is cut. It returns an error only if the
// client can still be answered.
func (x *exchange) tunnel(ctx context.Context, c *conn, resp *http.Response) error {
	if !strings.EqualFold(resp.Header.Get("Upgrade"), x.upgrade) {
		return errNoUpgrade
	}
	client, rw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return errors.Join(errNoUpgrade, err)
	}
	defer client.Close()
	resp.Header.Set("Landfall-Side", x.ticket.to.Side)
	resp.Body = nil
	if resp.Write(rw) != nil || rw.Flush() != nil {
		return nil
	}
	if strings.EqualFold(x.upgrade, "websocket") {
		c.stop() // else it is broken off when ctx ends
		webSocket{client: client, backend: c.Conn}.run(ctx, rw.Reader, c.r)
		return nil
	}
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer stop()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		pipe(c.Conn, client, rw.Reader)
	}()
	pipe(client, c.Conn, c.r)
	<-sent
	return nil
}

// pipe copies what r has read ahead of src, and then src, to dst. At the end of
// them it ends dst's; after an error it closes both. It reads nothing through
// r: the server's reader would end the request's context with the client's half.
func pipe(dst, src net.Conn, r *bufio.Reader) {
	ahead, _ := r.Peek(r.Buffered())
	_, err := dst.Write(ahead)
	if err == nil {
		_, err = io.Copy(dst, src)
	}
	half, ok := dst.(interface{ CloseWrite() error })
	if err == nil && ok && half.CloseWrite() == nil {
		return
	}
	dst.Close()
	src.Close()
}
