// Package buildlog is what a build writes, on its way from its container to the
// hub.
//
// It is a file, so that it survives an outage of the hub and the end of the
// runner: who opens it again goes on where the other was killed, loses nothing
// and doubles nothing.
package buildlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

const (
	maxLog  = 1 << 30   // bytes of a log, as the hub has it
	maxPart = 256 << 10 // bytes sent at once

	// linger is how long output is collected before it is sent.
	linger = 50 * time.Millisecond
)

// FullLine ends a log that has reached its limit.
const FullLine = "\n--- the log is full (1 GB): what follows is not kept\n"

// Log is the log of an attempt: a file, so that it survives an outage of
// the hub, which it is sent to from there. One goroutine calls send, others
// may write meanwhile.
type Log struct {
	file    *os.File      // closed by Close
	changed chan struct{} // has an element when there is something to send
	ended   chan struct{} // closed when there will be no more

	mu      sync.Mutex
	limit   int64
	size    int64 // of the file
	full    bool
	dropped int64 // lines over the limit
	open    bool  // the last line is not ended
	tail    tail

	// A task that is taken over says again what is in the file from at on.
	at, again int64
	said      bool // it will: the tail is to follow it from the beginning
	spoiled   bool // it was something else, or it broke off

	reopened bool // the hub has some of it
}

// New makes the log at path.
func New(path string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &Log{file: f, changed: make(chan struct{}, 1), ended: make(chan struct{}), limit: maxLog}, nil
}

// Reopen opens the log that a runner that was killed has written. If cut is set,
// what comes after size is dropped: it will be written again.
func Reopen(path string, size int64, cut bool) (*Log, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	l := &Log{file: f, changed: make(chan struct{}, 1), ended: make(chan struct{}), limit: maxLog, reopened: true}
	info, err := f.Stat()
	if err == nil && cut && size < info.Size() {
		err = f.Truncate(size)
	} else if err == nil {
		size = info.Size()
	}
	if err == nil {
		l.size, l.full = size, size >= l.limit
		_, err = io.Copy(writerFunc(l.recall), io.NewSectionReader(f, 0, size))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l.changed <- struct{}{}
	return l, nil
}

// recall follows what is in the file.
func (l *Log) recall(p []byte) (int, error) {
	l.tail.write(p)
	l.open = p[len(p)-1] != '\n'
	return len(p), nil
}

// Close closes the file.
func (l *Log) Close() error { return l.file.Close() }

// Text reads what there is of the log.
func (l *Log) Text() io.Reader { return io.NewSectionReader(l.file, 0, l.Length()) }

// Again says that the far end may have lost what was sent: Send asks it.
func (l *Log) Again() { l.reopened = true }

type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Repeat says that what is in the file from offset from on will be written
// again, as the beginning of what a task that is taken over says.
func (l *Log) Repeat(from int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.size
	if l.full {
		known -= int64(len(FullLine))
	}
	l.at, l.again, l.said = from, known-from, true
}

// Repeated says that nothing will be written again from here on, and tells
// whether all was that should have been.
func (l *Log) Repeated() (all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all = l.again <= 0
	l.again, l.said = 0, false
	return all
}

// known drops of p what is in the file already, and compares it with that.
func (l *Log) known(p []byte) ([]byte, error) {
	if l.again <= 0 {
		return p, nil
	}
	if l.said {
		l.tail, l.said = tail{}, false // which follows it once more
	}
	n := min(int64(len(p)), l.again)
	had := make([]byte, n)
	if _, err := l.file.ReadAt(had, l.at); err != nil {
		return nil, err
	}
	l.spoiled = l.spoiled || !bytes.Equal(had, p[:n])
	l.at, l.again = l.at+n, l.again-n
	l.tail.write(p[:n])
	return p[n:], nil
}

// Write implements io.Writer. What is over the limit is dropped.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept, err := l.known(p)
	if err != nil {
		return 0, err
	}
	l.tail.write(kept)
	if len(kept) == 0 {
		return len(p), nil
	}
	if room := l.limit - int64(len(FullLine)) - l.size; l.full {
		l.dropped += int64(bytes.Count(kept, newline))
		return len(p), nil
	} else if int64(len(kept)) > room {
		l.dropped += int64(bytes.Count(kept[room:], newline))
		kept = append(kept[:room:room], FullLine...)
		l.full = true
	}
	n, err := l.file.Write(kept)
	l.size += int64(n)
	l.open = n > 0 && kept[n-1] != '\n'
	if err != nil {
		return 0, err
	}
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

// Total returns what the hub is to have when all is sent.
func (l *Log) Total() (api.LogSeal, error) {
	sum, seal := sha256.New(), api.LogSeal{Size: l.Length()}
	open := false
	_, err := io.Copy(writerFunc(func(p []byte) (int, error) {
		seal.Lines += int64(bytes.Count(p, newline))
		open = p[len(p)-1] != '\n'
		return sum.Write(p)
	}), io.NewSectionReader(l.file, 0, seal.Size))
	if open {
		seal.Lines++
	}
	seal.Digest = kit.Digest("sha256:" + hex.EncodeToString(sum.Sum(nil)))
	return seal, err
}

// Broken says that the task wrote more than has come here, nobody knows what.
func (l *Log) Broken() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spoiled = true
}

// Missing is how many lines were written that are not in the log, as in
// api.Build.
func (l *Log) Missing() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spoiled {
		return -1
	}
	return l.dropped
}

var newline = []byte{'\n'}

// Say writes a line of the runner's own. Nobody else may write meanwhile.
func (l *Log) Say(line string) error {
	l.mu.Lock()
	start := ""
	if l.open {
		start = "\n"
	}
	l.mu.Unlock()
	_, err := l.Write([]byte(start + "--- " + line + "\n"))
	return err
}

// End says that nothing will be written any more.
func (l *Log) End() { close(l.ended) }

// Failure says how the script failed that has ended with the exit code.
func (l *Log) Failure(exit int, outOfMemory bool) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tail.failure(exit, outOfMemory)
}

// Length is the size of the log, in bytes.
func (l *Log) Length() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size
}

// Sender appends a part to a log elsewhere and returns that log's size, which
// has changed. It tries as often as it takes, and fails for good.
type Sender func(ctx context.Context, offset int64, part []byte) (int64, error)

// Send sends all that is written, until the log has ended, as often as it
// takes. It fails if to fails for good or ctx ends.
func (l *Log) Send(ctx context.Context, to Sender) error {
	buf := make([]byte, maxPart)
	sent, err := l.sent(ctx, to)
	if err != nil {
		return err
	}
	for {
		more, err := l.await(ctx, sent)
		if !more {
			return err
		}
		n, err := l.file.ReadAt(buf[:min(maxPart, l.Length()-sent)], sent)
		if err != nil {
			return err
		}
		size, err := to(ctx, sent, buf[:n])
		if err != nil {
			return &kit.Error{Op: "send the log", Err: err}
		}
		sent = min(size, l.Length())
	}
}

// sent asks how much of the log is there already. Nothing at the beginning
// always fits.
func (l *Log) sent(ctx context.Context, to Sender) (size int64, err error) {
	if !l.reopened {
		return 0, nil
	}
	if size, err = to(ctx, 0, nil); err != nil {
		return 0, &kit.Error{Op: "send the log", Err: err}
	}
	return min(size, l.Length()), nil
}

// await returns true once there is more than sent bytes, and false when the
// log has ended or ctx has.
func (l *Log) await(ctx context.Context, sent int64) (bool, error) {
	for l.Length() <= sent {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-l.ended:
			return l.Length() > sent, nil
		case <-l.changed:
		}
		select {
		case <-l.ended:
		case <-time.After(linger):
		}
	}
	return true, nil
}
