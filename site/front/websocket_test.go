package front

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// frame is an unmasked WebSocket frame, as a server sends it.
func frame(payload []byte) []byte {
	n := len(payload)
	head := []byte{0x82}
	switch {
	case n < 126:
		head = append(head, byte(n))
	case n < 1<<16:
		head = append(head, 126, byte(n>>8), byte(n))
	default:
		head = append(head, 127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(head, payload...)
}

func TestFramesAreFollowedHoweverTheyCome(t *testing.T) {
	var all []byte
	ends := map[int]bool{}
	for _, n := range []int{0, 1, 125, 126, 300, 1 << 16, 0, 5} {
		all = append(all, frame(make([]byte, n))...)
		ends[len(all)] = true
	}
	masked := frame([]byte("hello"))
	masked[1] |= 0x80
	all = append(all, masked[:2]...)
	all = append(all, 1, 2, 3, 4)
	all = append(all, "hello"...)
	ends[len(all)] = true
	for _, step := range []int{1, 2, 3, 7, 1000, len(all)} {
		var f frames
		for at := 0; at < len(all); {
			to := min(at+step, len(all))
			f.pass(all[at:to])
			at = to
			if between := f.left() == 0; between != ends[at] {
				t.Fatalf("in steps of %d, after %d bytes: between two frames %v, want %v", step, at, between, ends[at])
			}
			if at+f.left() > len(all) {
				t.Fatalf("in steps of %d, after %d bytes: %d are left, more than come", step, at, f.left())
			}
		}
	}
}

func TestAWebSocketIsClosedBetweenTwoFrames(t *testing.T) {
	message := frame(bytes.Repeat([]byte("x"), 1000))
	for name, test := range map[string]struct{ before, after, want []byte }{
		"between two frames": {message, nil, append(bytes.Clone(message), restart...)},
		"inside a payload":   {message[:500], message[500:], append(bytes.Clone(message), restart...)},
		"inside a head":      {message[:3], message[3:], append(bytes.Clone(message), restart...)},
		"and no more":        {message, message, append(bytes.Clone(message), restart...)},
		"that does not end":  {message[:500], nil, message[:500]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			goOn := make(chan struct{})
			received := make(chan []byte, 1)
			blue := raw(t, "")
			blue.Backends[0] = rawBackend(t, func(c net.Conn, _ *http.Request) {
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
				c.Write(test.before)
				<-goOn
				c.Write(test.after)
				b, _ := io.ReadAll(c)
				received <- b
			})
			h := opened(t, Options{}, blue)
			c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbefore")
			r := bufio.NewReader(c)
			if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 101 {
				t.Fatalf("upgrade: %+v, %v", resp, err)
			}
			got := make([]byte, len(test.before))
			if _, err := io.ReadFull(r, got); err != nil {
				t.Fatal(err)
			}
			h.open(t, Route{Epoch: 2, Side: "green", Backends: []string{deadBackend(t)}})
			if test.after == nil || name == "and no more" {
				defer close(goOn)
			} else {
				close(goOn)
			}
			rest, err := io.ReadAll(r)
			if got = append(got, rest...); err != nil || !bytes.Equal(got, test.want) {
				t.Errorf("the client got %d bytes ending in %x, %v; want %d ending in %x", len(got), got[max(0, len(got)-6):], err, len(test.want), test.want[len(test.want)-6:])
			}
			io.WriteString(c, "after")
			c.(*net.TCPConn).CloseWrite()
			if test.after != nil && name != "and no more" {
				if b := <-received; string(b) != "before" {
					t.Errorf("the backend got %q, want nothing after the switch", b)
				}
			}
		})
	}
}
