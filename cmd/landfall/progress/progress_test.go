package progress

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal returns the two ends of a pseudo-terminal: what a program writes
// to it, and what appears on the screen.
func terminal(t *testing.T) (program, screen *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}); err != nil {
		t.Fatal(err)
	}
	if program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close(); screen.Close() })
	return program, screen
}

func TestProgressMovesABarOnATerminal(t *testing.T) {
	program, screen := terminal(t)
	var shown bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&shown, screen) // ends when the program closes its end
	}()
	p := New(program, "copied")
	fmt.Fprintln(p, "cycle 1")
	p.Set(150, 200)
	p.Close()
	program.Close()
	<-done
	for _, want := range []string{"cycle 1", "copied", "150 of 200", "=>"} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("the terminal shows %q, without %q", shown.String(), want)
		}
	}
}

func TestProgressPassesLinesOnWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	p := New(&out, "copied")
	fmt.Fprintln(p, "cycle 1")
	p.Set(150, 200)
	p.Close()
	if out.String() != "cycle 1\n" {
		t.Errorf("got %q, want the line alone", out.String())
	}
}
