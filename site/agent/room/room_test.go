package room

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFreeMemoryIsWhatIsAvailable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meminfo")
	if n, err := freeMemory(path); n != 0 || err != nil {
		t.Errorf("without the file %d, %v; want 0, which is unknown", n, err)
	}
	for text, want := range map[string]int64{
		"MemTotal:  100 kB\nMemFree: 10 kB\nMemAvailable:   42 kB\n": 42 << 10,
		"MemTotal:  100 kB\n": 0,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := freeMemory(path); n != want || err != nil {
			t.Errorf("of %q: %d, %v; want %d", text, n, err, want)
		}
	}
	if err := os.WriteFile(path, []byte("MemAvailable: many kB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := freeMemory(path); err == nil || !strings.Contains(err.Error(), "MemAvailable") {
		t.Errorf("of nonsense: %v, want an error that names the field", err)
	}
}

func TestFreeOfThisMachine(t *testing.T) {
	r, err := Free(t.TempDir())
	if err != nil || r.Disk == 0 {
		t.Errorf("%+v, %v; want the disk's", r, err)
	}
	if _, err := Free(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a directory that is not there has room")
	}
}
