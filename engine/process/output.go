package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// outputFile has what a task writes, in its directory.
const outputFile = "output"

// keepOutput starts a process that copies what is written to w to the task's
// output file, until all writers are gone. So the task goes on when its engine
// dies, and another finds all that it wrote. The task does not write to the file
// itself, because what a shell redirects to /dev/stderr would begin the file anew.
// The process has a lock on the file as long as it lives.
func keepOutput(dir string) (w *os.File, keeper *exec.Cmd, err error) {
	f, err := os.OpenFile(filepath.Join(dir, outputFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
		return nil, nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	keeper = exec.Command("cat")
	keeper.Stdin, keeper.Stdout, keeper.SysProcAttr = r, f, &syscall.SysProcAttr{Setsid: true}
	if err := keeper.Start(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("keep the output: %w", err), w.Close())
	}
	return w, keeper, nil
}

// keptOutput is how much of a task's output is kept, in bytes. What comes after
// it is given back to the disk once it has been read; a resumed task may have
// lost some of that.
const keptOutput = 1 << 30

// output is what a task writes, as its engine reads it.
type output struct {
	file *os.File
	at   int64 // what is read
	kept int64 // keptOutput
}

func openOutput(dir string) (*output, error) {
	f, err := os.OpenFile(filepath.Join(dir, outputFile), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &output{file: f, kept: keptOutput}, nil
}

// copy copies the output to out until ended is closed and all is copied.
func (o *output) copy(out io.Writer, ended <-chan struct{}) error {
	buf := make([]byte, 256<<10)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for last := false; ; {
		o.skip()
		n, err := o.file.ReadAt(buf, o.at)
		if n > 0 {
			if _, err := out.Write(buf[:n]); err != nil {
				return err
			}
			if err := o.advance(n); err != nil {
				return err
			}
			continue
		}
		if !errors.Is(err, io.EOF) || last {
			return ignoreEOF(err)
		}
		select {
		case <-ended:
			last = true
		case <-tick.C:
		}
	}
}

// complete returns when the process that writes the file is gone.
func (o *output) complete() error {
	for {
		err := unix.Flock(int(o.file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		time.Sleep(pollEvery)
	}
}

// skip goes to what there is after what an earlier reader has freed.
func (o *output) skip() {
	if o.at < o.kept {
		return
	}
	if at, err := unix.Seek(int(o.file.Fd()), o.at, unix.SEEK_DATA); err == nil {
		o.at = at
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// advance notes that n bytes have been read, and frees those that nobody will
// read again. A file system that cannot do that keeps them.
func (o *output) advance(n int) error {
	from := max(o.at, o.kept)
	o.at += int64(n)
	if o.at <= from {
		return nil
	}
	err := unix.Fallocate(int(o.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, o.at-from)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}
