package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// Journal reads the log of a node from its data directory while the node runs,
// or after it was killed: unlike a watch it sees each version of a document,
// and as soon as it is written. It reads the log's segments one after the other.
// Its methods must not be called concurrently.
type Journal struct {
	pattern string
	file    *os.File
	at      int64              // in the file: everything before was read
	turned  time.Time          // the time of the last look for a newer file
	seen    map[kit.Link]int64 // the last version of each document
}

// OpenJournal returns the journal of the node that keeps its data in dir.
func OpenJournal(dir string) *Journal {
	return &Journal{pattern: filepath.Join(dir, "log", "log", "*.wal"), seen: map[kit.Link]int64{}}
}

// Close closes the log.
func (j *Journal) Close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

// The beginning of an entry; see frame.Writer.
var entryMagic = []byte("lfdt\x01")

// look is how much of the log is looked at, at first, for an entry.
const look = 16 << 10

// blank is how many zeros tell that nothing was written there yet: files of the
// log have their size from the beginning, and documents are JSON.
const blank = 64

// Read returns the versions of documents that were written since the last one.
func (j *Journal) Read() ([]kit.Record, error) {
	var all []kit.Record
	for {
		records, next, err := j.entry()
		if err != nil {
			return all, err
		}
		if next == 0 {
			more, err := j.turn()
			if err != nil || !more {
				return all, err
			}
			continue
		}
		j.at = next
		for _, r := range records {
			if r.Version > j.seen[r.Link] {
				j.seen[r.Link] = r.Version
				all = append(all, r)
			}
		}
	}
}

// turnEvery is how often a newer segment is looked for.
const turnEvery = 20 * time.Millisecond

// turn goes on with the next segment once this one has been read, and returns
// true if there may be more to read.
func (j *Journal) turn() (bool, error) {
	if time.Since(j.turned) < turnEvery {
		return false, nil
	}
	j.turned = time.Now()
	found, err := filepath.Glob(j.pattern)
	i := slices.IndexFunc(found, func(path string) bool { return j.file == nil || path > j.file.Name() })
	if err != nil || i < 0 {
		return false, err
	}
	// That there is a newer one means that this one is whole.
	if _, next, err := j.entry(); err != nil || next > 0 {
		return true, err
	}
	f, err := os.Open(found[i])
	if errors.Is(err, fs.ErrNotExist) { // a snapshot has replaced it
		return false, nil
	}
	if err == nil {
		err = j.Close()
		j.file, j.at, j.turned = f, 0, time.Time{}
	}
	return err == nil, err
}

// entry returns the documents of the next entry and where to go on, 0 if there
// is no whole entry yet.
func (j *Journal) entry() (records []kit.Record, next int64, err error) {
	if j.file == nil {
		return nil, 0, nil
	}
	for size := int64(look); ; size *= 4 {
		b := make([]byte, size)
		n, err := j.file.ReadAt(b, j.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
		begin := bytes.Index(b[:n], entryMagic)
		if begin < 0 {
			if int64(n) == size && len(bytes.Trim(b[n-blank:n], "\x00")) > 0 {
				continue // the rest of the last entry is longer
			}
			return nil, 0, nil
		}
		records, err := readEntry(b[begin:n])
		if err == nil {
			return records, j.at + int64(begin+len(entryMagic)), nil
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) || int64(n) < size {
			return nil, 0, nil // it is being written
		}
	}
}

func readEntry(b []byte) (records []kit.Record, err error) {
	frames := frame.NewReader(bytes.NewReader(b))
	for {
		f, err := frames.Read()
		if err == io.EOF {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		if f.Head == nil {
			records = append(records, f.Record)
		}
	}
}

// Next waits until something was written and returns it.
func (j *Journal) Next(ctx context.Context) ([]kit.Record, error) {
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for {
		records, err := j.Read()
		if err != nil {
			return nil, fmt.Errorf("read the log %s: %w", j.pattern, err)
		}
		if len(records) > 0 {
			return records, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
