package osv

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/inventory/version"
)

// A base is a text file: a first line with its format, and one line for each
// package that an advisory is about, sorted by their bytes: release, |, name, a
// tab, and the entry in JSON. So it can be searched without being read.
const format = "landfall-osv 1\n"

const (
	// maxRecord is how large an advisory may be, in bytes.
	maxRecord = 16 << 20
	// maxLine is how long a line of a base may be, in bytes.
	maxLine = 1 << 20
	// maxEntries is how many advisories about one package are read.
	maxEntries = 2000
	// maxSummary is in bytes.
	maxSummary = 200
)

// entry is an advisory about a package.
type entry struct {
	ID       string       `json:"id"`
	Aliases  []string     `json:"aliases,omitempty"`
	Severity api.Severity `json:"severity"`
	Summary  string       `json:"summary,omitempty"`
	Ranges   []Range      `json:"ranges,omitempty"`
	Versions []string     `json:"versions,omitempty"`
}

// Compiler makes bases of advisories, one for each ecosystem.
type Compiler struct {
	bases map[string]*compiled
}

type compiled struct {
	lines    []string
	records  int
	modified time.Time
}

// Add adds the advisory in the file of that name. One that is withdrawn, or
// about nothing but commits, adds nothing.
func (c *Compiler) Add(file string, data []byte) error {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("%s: it is no advisory in the OSV format: %w", file, err)
	}
	if r.ID == "" || r.Modified.IsZero() {
		return fmt.Errorf(`%s: it is no advisory in the OSV format: it has no "id" and "modified"`, file)
	}
	if r.Withdrawn != nil {
		return nil
	}
	counted := map[string]bool{}
	for _, a := range r.Affected {
		ecosystem, release, _ := strings.Cut(a.Package.Ecosystem, ":")
		if ecosystem == "" || a.Package.Name == "" || strings.ContainsAny(release+a.Package.Name, "\t\n|") {
			continue
		}
		e := entry{ID: r.ID, Aliases: slices.Concat(r.Aliases, r.Upstream), Severity: r.Worst(a), Summary: Brief(r, maxSummary)}
		for _, x := range a.Ranges {
			if x.Type == "SEMVER" || x.Type == "ECOSYSTEM" {
				e.Ranges = append(e.Ranges, x)
			}
		}
		if len(e.Ranges) == 0 || !version.Ordered(ecosystem) {
			e.Versions = a.Versions
		}
		if len(e.Ranges) == 0 && len(e.Versions) == 0 {
			continue
		}
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		key := release + "|" + a.Package.Name + "\t"
		if len(key)+len(line) >= maxLine {
			return fmt.Errorf("%s: what it says of %s is larger than %d bytes", file, a.Package.Name, maxLine)
		}
		b := c.base(ecosystem)
		b.lines = append(b.lines, key+string(line)+"\n")
		if !counted[ecosystem] {
			counted[ecosystem] = true
			b.records++
		}
		if r.Modified.After(b.modified) {
			b.modified = r.Modified
		}
	}
	return nil
}

func (c *Compiler) base(ecosystem string) *compiled {
	if c.bases == nil {
		c.bases = map[string]*compiled{}
	}
	b := c.bases[ecosystem]
	if b == nil {
		b = &compiled{}
		c.bases[ecosystem] = b
	}
	return b
}

// AddAll adds the advisories in a file system: all files that end with .json.
func (c *Compiler) AddAll(fsys fs.FS) error {
	return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".json") {
			return err
		}
		f, err := fsys.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(data) > maxRecord {
			return fmt.Errorf("%s: it is larger than %d bytes", name, maxRecord)
		}
		return c.Add(name, data)
	})
}

// Compiled is a base that was made: its document, without the digest, and its
// file.
type Compiled struct {
	api.AdvisoryBase
	Text []byte
}

// Bases returns what was made, in the order of the ecosystems.
func (c *Compiler) Bases() []Compiled {
	var all []Compiled
	for _, ecosystem := range slices.Sorted(maps.Keys(c.bases)) {
		b := c.bases[ecosystem]
		slices.Sort(b.lines)
		text := []byte(format + strings.Join(b.lines, ""))
		all = append(all, Compiled{api.AdvisoryBase{Ecosystem: ecosystem, Size: int64(len(text)), Records: b.records, Modified: b.modified}, text})
	}
	return all
}

// Brief returns the first line of what r says it is about.
func Brief(r Record, limit int) string {
	text, _, _ := strings.Cut(strings.TrimSpace(cmp.Or(r.Summary, r.Details)), "\n")
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit-3], "") + "…"
	}
	return text
}

// Base is a file that a Compiler has made, of the advisories of an ecosystem.
// It must not be used concurrently.
type Base struct {
	Ecosystem string

	file   io.ReadSeeker
	size   int64
	reader *bufio.Reader
}

// Open returns the base in a file of that size.
func Open(ecosystem string, file io.ReadSeeker, size int64) (*Base, error) {
	b := &Base{Ecosystem: ecosystem, file: file, size: size, reader: bufio.NewReaderSize(file, 4096)}
	head := make([]byte, len(format))
	if _, err := io.ReadFull(file, head); err != nil || string(head) != format {
		return nil, fmt.Errorf("the advisories of %s are no file that landfall inventory import-osv has made", ecosystem)
	}
	return b, nil
}

// Find returns the known vulnerabilities of a version of a package; release is
// that of a distribution, or empty. An error ends the search; advisories whose
// versions cannot be compared with this one are counted in unclear.
func (b *Base) Find(release, name, v string) (found []api.Vulnerability, unclear int, err error) {
	key := []byte(release + "|" + name + "\t")
	if err := b.seek(key); err != nil {
		return nil, 0, err
	}
	for range maxEntries {
		line, err := b.line()
		if errors.Is(err, io.EOF) || err == nil && !bytes.HasPrefix(line, key) {
			break
		}
		if err != nil {
			return found, unclear, err
		}
		var e entry
		if err := json.Unmarshal(line[len(key):], &e); err != nil {
			return found, unclear, fmt.Errorf("the advisories of %s about %s are damaged: %w", b.Ecosystem, name, err)
		}
		affected, fixed, err := Affects(b.Ecosystem, e.Ranges, e.Versions, v)
		if err != nil {
			unclear++
		}
		if affected {
			found = append(found, api.Vulnerability{ID: e.ID, Aliases: e.Aliases, Severity: e.Severity, Summary: e.Summary, Fixed: fixed, Source: "OSV " + b.Ecosystem})
		}
	}
	return found, unclear, nil
}

// seek goes to the first line that is not before key: to the smallest offset
// from which on the next line is such a one.
func (b *Base) seek(key []byte) error {
	low, high := int64(len(format)), b.size
	for low < high {
		middle := low + (high-low)/2
		line, err := b.after(middle)
		switch {
		case errors.Is(err, io.EOF), err == nil && bytes.Compare(line, key) >= 0:
			high = middle
		case err != nil:
			return err
		default:
			low = middle + 1
		}
	}
	_, err := b.place(low)
	return err
}

// after returns the first line that begins at offset or later.
func (b *Base) after(offset int64) ([]byte, error) {
	if ended, err := b.place(offset); err != nil || ended {
		return nil, cmp.Or(err, io.EOF)
	}
	return b.line()
}

// place makes the next line that is read the first that begins at offset or
// later.
func (b *Base) place(offset int64) (ended bool, err error) {
	if _, err := b.file.Seek(offset-1, io.SeekStart); err != nil {
		return false, err
	}
	b.reader.Reset(b.file)
	_, err = b.line() // the end of the line before, of which at least the last byte is read
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// line reads the next line.
func (b *Base) line() ([]byte, error) {
	var line []byte
	for {
		part, err := b.reader.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("the advisories of %s are damaged: a line has more than %d bytes", b.Ecosystem, maxLine)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}
