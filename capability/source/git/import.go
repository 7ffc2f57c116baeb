package git

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// scratch is the branch that git fast-import insists on. It is removed in the
// same stream and so never comes to be.
const scratch = "refs/landfall/import"

// Import makes a commit without parents from all files in dir, and returns
// its id; no ref moves. Directories named .git are left out. Author is also
// the committer, so that the same arguments make the same commit.
//
// Empty directories are not kept. ErrInvalid if there is no file, or one that
// is neither a plain file nor a symbolic link; then nothing is left in the
// repository. A Judge and Verdict.Commit must not call it.
func (r *Repository) Import(ctx context.Context, dir fs.FS, message string, author Person) (string, error) {
	var id string
	err := r.add(ctx, func(q *quarantine) error {
		var err error
		id, err = q.importAll(ctx, dir, message, author)
		return err
	})
	return id, err
}

func (q *quarantine) importAll(ctx context.Context, dir fs.FS, message string, author Person) (string, error) {
	// Git would leave a crash report behind if it met an error of dir half-way.
	stream, err := os.Create(filepath.Join(q.incoming, "tmp_stream"))
	if err != nil {
		return "", err
	}
	defer stream.Close()
	out := bufio.NewWriter(stream)
	if err := writeImport(out, dir, message, author); err != nil {
		return "", err
	}
	if err := out.Flush(); err != nil {
		return "", err
	}
	if _, err := stream.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	marks := filepath.Join(q.incoming, "tmp_marks")
	if _, err := q.output(ctx, stream, "fast-import", "--quiet", "--done", "--export-marks="+marks); err != nil {
		return "", err
	}
	text, err := os.ReadFile(marks) // ":1 id"
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(strings.TrimPrefix(string(text), ":1 "))
	if !idPattern.MatchString(id) {
		return "", fmt.Errorf("git fast-import: no commit in its marks %q", text)
	}
	return id, nil
}

// writeImport writes one commit in the format of git-fast-import(1).
func writeImport(w *bufio.Writer, dir fs.FS, message string, author Person) error {
	who := author.line()
	fmt.Fprintf(w, "commit %s\nmark :1\nauthor %s\ncommitter %s\n", scratch, who, who)
	writeData(w, []byte(message))
	files := 0
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path.Base(name) == ".git" {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		files++
		return writeFile(w, dir, name, d)
	})
	if err != nil {
		return err
	}
	if files == 0 {
		return fmt.Errorf("the directory has no files to import: %w", ErrInvalid)
	}
	_, err = fmt.Fprintf(w, "reset %s\nfrom %s\n\ndone\n", scratch, Zero)
	return err
}

func writeFile(w *bufio.Writer, dir fs.FS, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	var mode string
	var data []byte
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		var target string
		target, err = fs.ReadLink(dir, name)
		mode, data = "120000", []byte(target)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a plain file nor a symbolic link: %w", name, ErrInvalid)
	case info.Mode()&0o111 != 0:
		mode = "100755"
		data, err = fs.ReadFile(dir, name)
	default:
		mode = "100644"
		data, err = fs.ReadFile(dir, name)
	}
	if err != nil {
		return err
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(name)
	fmt.Fprintf(w, "M %s inline \"%s\"\n", mode, quoted)
	return writeData(w, data)
}

func writeData(w *bufio.Writer, data []byte) error {
	fmt.Fprintf(w, "data %d\n", len(data))
	_, err := w.Write(data)
	if err == nil {
		err = w.WriteByte('\n')
	}
	return err
}
