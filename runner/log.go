package runner

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"landfall.dev/kit"
)

const (
	maxLog  = 64 << 20  // bytes of a log, as the hub has it
	maxPart = 256 << 10 // bytes sent at once

	// linger is how long output is collected before it is sent.
	linger = 50 * time.Millisecond
)

// fullLine ends a log that has reached its limit.
const fullLine = "\n--- the log is full (64 MB): what follows is not kept\n"

// buildLog is the log of an attempt: a file, so that it survives an outage of
// the hub, which it is sent to from there. One goroutine calls send, others
// may write meanwhile.
type buildLog struct {
	file    *os.File
	changed chan struct{} // has an element when there is something to send
	ended   chan struct{} // closed when there will be no more

	mu    sync.Mutex
	limit int64
	size  int64 // of the file
	full  bool
	open  bool // the last line is not ended
	tail  tail
}

func newLog(path string) (*buildLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return &buildLog{file: f, changed: make(chan struct{}, 1), ended: make(chan struct{}), limit: maxLog}, nil
}

// Write implements io.Writer. What is over the limit is dropped.
func (l *buildLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail.write(p)
	if l.full {
		return len(p), nil
	}
	kept := p
	if room := l.limit - int64(len(fullLine)) - l.size; int64(len(p)) > room {
		kept = append(p[:room:room], fullLine...)
		l.full = true
	}
	n, err := l.file.Write(kept)
	l.size += int64(n)
	l.open = n > 0 && kept[n-1] != '\n'
	if err != nil {
		return min(n, len(p)), err
	}
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

// say writes a line of the runner's own. Nobody else may write meanwhile.
func (l *buildLog) say(line string) error {
	l.mu.Lock()
	start := ""
	if l.open {
		start = "\n"
	}
	l.mu.Unlock()
	_, err := l.Write([]byte(start + "--- " + line + "\n"))
	return err
}

// end says that nothing will be written any more.
func (l *buildLog) end() { close(l.ended) }

// failure says how the script failed that has ended with the exit code.
func (l *buildLog) failure(exit int, outOfMemory bool) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tail.failure(exit, outOfMemory)
}

func (l *buildLog) length() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size
}

// sender appends a part to a log elsewhere and returns that log's size.
type sender func(ctx context.Context, offset int64, part []byte) (int64, error)

// send sends all that is written, until the log has ended, as often as it
// takes. It fails if to fails for good or ctx ends.
func (l *buildLog) send(ctx context.Context, to sender) error {
	buf := make([]byte, maxPart)
	for sent := int64(0); ; {
		more, err := l.await(ctx, sent)
		if !more {
			return err
		}
		n, err := l.file.ReadAt(buf[:min(maxPart, l.length()-sent)], sent)
		if err != nil {
			return err
		}
		err = retry(ctx, func() error {
			size, err := to(ctx, sent, buf[:n])
			if err == nil && size == sent {
				err = errors.New("the hub took nothing of the log")
			}
			if err == nil {
				sent = min(size, l.length())
			}
			return err
		})
		if err != nil {
			return &kit.Error{Op: "send the log", Err: err}
		}
	}
}

// await returns true once there is more than sent bytes, and false when the
// log has ended or ctx has.
func (l *buildLog) await(ctx context.Context, sent int64) (bool, error) {
	for l.length() <= sent {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-l.ended:
			return l.length() > sent, nil
		case <-l.changed:
		}
		select {
		case <-l.ended:
		case <-time.After(linger):
		}
	}
	return true, nil
}
