package docker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// sshConn is a connection through an ssh command: its standard input and
// output are the other end of a pair of sockets.
type sshConn struct {
	*net.UnixConn
	host   string
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the command has ended, as err tells
	err    error
	stderr firstBytes
}

func startSSH(host string, args []string) (net.Conn, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ssh"), os.NewFile(uintptr(pair[1]), "ssh")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, err
	}
	c := &sshConn{UnixConn: conn.(*net.UnixConn), host: host, ended: make(chan struct{})}
	c.cmd = exec.Command("ssh", args...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = theirs, theirs, &c.stderr
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("ssh to %s: %w", host, err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

// Read is that of the connection, but says why ssh has ended.
func (c *sshConn) Read(p []byte) (int, error) {
	n, err := c.UnixConn.Read(p)
	return n, c.explain(err)
}

// Write is likewise.
func (c *sshConn) Write(p []byte) (int, error) {
	n, err := c.UnixConn.Write(p)
	return n, c.explain(err)
}

// explain returns how ssh has ended instead of err, if that is what err means.
func (c *sshConn) explain(err error) error {
	if err != io.EOF && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	<-c.ended
	if c.err != nil {
		return fmt.Errorf("ssh to %s: %w: %s", c.host, c.err, strings.TrimSpace(c.stderr.String()))
	}
	return err
}

// Close ends the command too.
func (c *sshConn) Close() error {
	err := c.UnixConn.Close()
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.ended
	return err
}

// firstBytes keeps the first of what is written to it.
type firstBytes struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (f *firstBytes) Write(p []byte) (int, error) {
	const enough = 1000
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buf.Write(p[:min(len(p), max(0, enough-f.buf.Len()))])
	return len(p), nil
}

func (f *firstBytes) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.buf.String()
}
