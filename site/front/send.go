package front

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
)

// write sends q to addr by w, in HTTP/1.1. If q is not whole, its body is used
// up by that. What is written of the head was checked by the server that has
// read it: no name or value has a line break.
func (q *request) write(w *bufio.Writer, addr string) error {
	q.writeHead(w, addr)
	if q.whole {
		w.Write(q.body) // a bufio.Writer keeps its first error until Flush
		return w.Flush()
	}
	if err := w.Flush(); err != nil {
		return err
	}
	body := io.MultiReader(bytes.NewReader(q.body), restReader{q})
	if q.in.ContentLength > 0 {
		n, err := io.Copy(w, body)
		if err == nil && n != q.in.ContentLength {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		return w.Flush()
	}
	chunks := httputil.NewChunkedWriter(w)
	if _, err := io.Copy(liveWriter{chunks, w}, body); err != nil {
		return err
	}
	chunks.Close()
	w.WriteString("\r\n")
	return w.Flush()
}

// liveWriter leaves nothing in w's buffer: a backend may answer what it has got
// of a body before the client sends more.
type liveWriter struct {
	chunks io.Writer
	w      *bufio.Writer
}

func (l liveWriter) Write(p []byte) (int, error) {
	n, err := l.chunks.Write(p)
	if err == nil {
		err = l.w.Flush()
	}
	return n, err
}

// writeHead writes the request line and the headers.
func (q *request) writeHead(w *bufio.Writer, addr string) {
	host := q.in.Host
	if host == "" {
		host = addr // an HTTP/1.0 client need not name one
	}
	w.WriteString(q.in.Method)
	w.WriteByte(' ')
	w.WriteString(q.in.URL.RequestURI())
	w.WriteString(" HTTP/1.1\r\n")
	header(w, "Host", host)
	for name, values := range passed(q.in.Header) {
		if name == "Content-Length" || forwarded(name) && !q.trust || replaced(name) {
			continue
		}
		for _, v := range values {
			header(w, name, v)
		}
	}
	q.writeForwarded(w)
	if q.upgrade != "" {
		header(w, "Connection", "Upgrade")
		header(w, "Upgrade", q.upgrade)
	}
	switch n := q.in.ContentLength; {
	case !q.whole && n < 0:
		header(w, "Transfer-Encoding", "chunked")
	case !q.whole:
		header(w, "Content-Length", strconv.FormatInt(n, 10))
	case len(q.body) > 0 || q.in.Method == http.MethodPost || q.in.Method == http.MethodPut || q.in.Method == http.MethodPatch:
		header(w, "Content-Length", strconv.Itoa(len(q.body)))
	}
	w.WriteString("\r\n")
}

// header writes one line of a head.
func header(w *bufio.Writer, name, value string) {
	w.WriteString(name)
	w.WriteString(": ")
	w.WriteString(value)
	w.WriteString("\r\n")
}

// forwarded says whether the header tells who asked and how.
func forwarded(name string) bool { return name == "Forwarded" || replaced(name) }

// replaced says whether writeForwarded writes the header.
func replaced(name string) bool {
	switch name {
	case "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto":
		return true
	}
	return false
}

// writeForwarded tells the backend who asked and how.
func (q *request) writeForwarded(w *bufio.Writer) {
	chain, host, proto := "", q.in.Host, "http"
	if q.in.TLS != nil {
		proto = "https"
	}
	if q.trust {
		h := q.in.Header
		chain = strings.Join(h["X-Forwarded-For"], ", ")
		if v := h.Get("X-Forwarded-Host"); v != "" {
			host = v
		}
		if v := h.Get("X-Forwarded-Proto"); v != "" {
			proto = v
		}
	}
	if ip, _, err := net.SplitHostPort(q.in.RemoteAddr); err == nil {
		if chain != "" {
			chain += ", "
		}
		chain += ip
	}
	if chain != "" {
		header(w, "X-Forwarded-For", chain)
	}
	header(w, "X-Forwarded-Host", host)
	header(w, "X-Forwarded-Proto", proto)
}
