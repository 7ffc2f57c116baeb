package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// TestJournal reads a log as it grows: entries of any length, in files that
// have zeros where nothing was written yet.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log", "log", "1.wal")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(8 << 20); err != nil {
		t.Fatal(err)
	}
	j := OpenJournal(dir)
	defer j.Close()
	var at int64
	for version, size := range []int{100, look, 10, 5 * look, look - 200, 20 * look, 50} {
		entry := frame.NewBuffer(0)
		body, err := json.Marshal(map[string]string{"text": strings.Repeat("x", size)})
		if err != nil {
			t.Fatal(err)
		}
		link := kit.Link(fmt.Sprintf("things/%d", version))
		err = entry.Write(frame.Frame{Record: kit.Record{Meta: kit.Meta{Link: link, Kind: "things", Version: 1}, Body: body}})
		if err != nil {
			t.Fatal(err)
		}
		if err := entry.Close(); err != nil {
			t.Fatal(err)
		}
		whole := entry.Bytes()
		// Before it is whole, nothing is read of it.
		for _, part := range [][]byte{whole[:len(whole)/2], whole[len(whole)/2:]} {
			if records, err := j.Read(); err != nil || len(records) > 0 {
				t.Fatalf("before the entry of %d bytes was whole: %d records, %v", len(whole), len(records), err)
			}
			if _, err := f.WriteAt(part, at); err != nil {
				t.Fatal(err)
			}
			at += int64(len(part))
		}
		at += 24 // what the log has between entries
		records, err := j.Read()
		if err != nil || len(records) != 1 || records[0].Link != link {
			t.Fatalf("after the entry of %d bytes: %d records, %v", len(whole), len(records), err)
		}
	}
}
