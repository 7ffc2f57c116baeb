package git

import (
	"archive/tar"
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// entry is a file, directory, symbolic link or submodule of a tree.
type entry struct {
	mode string // as git writes it: 100644, 100755, 120000, 040000, 160000
	id   string
	path string
}

func (e entry) blob() bool { return e.mode != "040000" && e.mode != "160000" }

// tree returns all entries below a tree, directories before what is in them.
func (r Reader) tree(ctx context.Context, id string) ([]entry, error) {
	out, err := r.output(ctx, nil, "ls-tree", "-r", "-t", "-z", "--full-tree", id)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, line := range split(out) { // "mode type id\tpath"
		about, path, _ := strings.Cut(line, "\t")
		f := strings.Fields(about)
		if len(f) != 3 {
			return nil, fmt.Errorf("git ls-tree: entry %q", line)
		}
		entries = append(entries, entry{mode: f[0], id: f[2], path: path})
	}
	return entries, nil
}

// Archive writes the files of a commit as a tar stream: exactly those of its
// tree, byte for byte. (That is why it is not git archive, which leaves files
// out and rewrites others as the commit's own .gitattributes tell it to.) A
// submodule is an empty directory. An error from the arguments comes before
// the first byte.
func (r Reader) Archive(ctx context.Context, w io.Writer, commit string) error {
	c, err := r.Commit(ctx, commit)
	if err != nil {
		return err
	}
	entries, err := r.tree(ctx, c.Tree)
	if err != nil {
		return err
	}
	var blobs strings.Builder
	for _, e := range entries {
		if e.blob() {
			blobs.WriteString(e.id + "\n")
		}
	}
	cmd := r.command(ctx, "cat-file", "--batch")
	cmd.Stdin = strings.NewReader(blobs.String())
	in, out := io.Pipe()
	cmd.Stdout = out
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		out.CloseWithError(run(ctx, cmd, "cat-file"))
	}()
	err = writeTar(w, entries, bufio.NewReader(in), c.Committer.Time)
	in.CloseWithError(io.ErrClosedPipe) // ends git, if it has not ended
	<-ended
	return err
}

// writeTar writes the entries, whose blobs come from the answers of git
// cat-file in the same order.
func writeTar(w io.Writer, entries []entry, blobs *bufio.Reader, at time.Time) error {
	t := tar.NewWriter(w)
	for _, e := range entries {
		h := tar.Header{Typeflag: tar.TypeReg, Name: e.path, Mode: 0o644, ModTime: at}
		var err error
		switch {
		case !e.blob():
			h.Typeflag, h.Name, h.Mode = tar.TypeDir, e.path+"/", 0o755
			err = t.WriteHeader(&h)
		case e.mode == "120000":
			h.Typeflag, h.Mode = tar.TypeSymlink, 0o777
			err = writeLink(t, h, blobs)
		case e.mode == "100755":
			h.Mode = 0o755
			err = writeBlob(t, h, blobs)
		default:
			err = writeBlob(t, h, blobs)
		}
		if err != nil {
			return fmt.Errorf("archive %s: %w", e.path, err)
		}
	}
	return t.Close()
}

func writeBlob(t *tar.Writer, h tar.Header, blobs *bufio.Reader) error {
	size, err := blobSize(blobs)
	if err != nil {
		return err
	}
	h.Size = size
	if err := t.WriteHeader(&h); err != nil {
		return err
	}
	if _, err := io.CopyN(t, blobs, size); err != nil {
		return err
	}
	_, err = blobs.Discard(1) // a line end follows
	return err
}

func writeLink(t *tar.Writer, h tar.Header, blobs *bufio.Reader) error {
	size, err := blobSize(blobs)
	if err != nil {
		return err
	}
	var target strings.Builder
	if _, err := io.CopyN(&target, blobs, size); err != nil {
		return err
	}
	if _, err := blobs.Discard(1); err != nil {
		return err
	}
	h.Linkname = target.String()
	return t.WriteHeader(&h)
}

// blobSize reads the head of an answer of git cat-file, "id blob size".
func blobSize(blobs *bufio.Reader) (int64, error) {
	head, err := blobs.ReadString('\n')
	if err != nil {
		return 0, err
	}
	f := strings.Fields(head)
	if len(f) != 3 || f[1] != "blob" {
		return 0, fmt.Errorf("git cat-file: answer %q, not a blob", head)
	}
	return strconv.ParseInt(f[2], 10, 64)
}
