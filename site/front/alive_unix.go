//go:build unix

package front

import (
	"net"
	"syscall"
)

// probe looks into a connection.
type probe struct {
	raw   syscall.RawConn // nil if that is not possible
	look  func(fd uintptr) bool
	quiet bool
}

func newProbe(c net.Conn) *probe {
	p := new(probe)
	if sc, ok := c.(syscall.Conn); ok {
		p.raw, _ = sc.SyscallConn() // nil after an error
	}
	p.look = func(fd uintptr) bool {
		var one [1]byte
		_, err := syscall.Read(int(fd), one[:])
		p.quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	}
	return p
}

// alive says whether an idle connection can still carry a request: its peer
// has not closed it and sent nothing unasked. It does not block.
func (p *probe) alive() bool {
	if p.raw == nil {
		return true
	}
	p.quiet = false
	return p.raw.Read(p.look) == nil && p.quiet
}
