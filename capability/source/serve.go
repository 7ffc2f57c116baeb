package source

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"testing/fstest"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/source/git"
	"landfall.dev/kit"
)

// handle serves f, whose errors may be those of git.
func handle(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return kit.Handler(func(w http.ResponseWriter, r *http.Request) error { return fault(f(w, r)) })
}

// reader returns the repository of a request that may read it.
func (s source) reader(r *http.Request) (*git.Repository, error) {
	project := r.PathValue("project")
	if err := kit.CallerOf(r.Context()).May(kit.VerbRead, api.Projects.Link(project)); err != nil {
		return nil, err
	}
	return s.git.Repository(project)
}

// archive answers with the files of a commit as a tar stream: all, or those
// at or below the paths of ?path=.
func (s source) archive(w http.ResponseWriter, r *http.Request) error {
	repository, err := s.reader(r)
	if err != nil {
		return err
	}
	commit, paths := r.PathValue("commit"), r.URL.Query()["path"]
	if _, err := repository.Commit(r.Context(), commit); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-tar")
	if len(paths) == 0 {
		return s.broken(r, repository.Archive(r.Context(), w, commit))
	}
	in, out := io.Pipe()
	go func() { out.CloseWithError(repository.Archive(r.Context(), out, commit)) }()
	err = filterTar(w, in, paths)
	in.CloseWithError(io.ErrClosedPipe)
	return s.broken(r, err)
}

// broken aborts an answer whose stream broke off, which the client sees.
func (s source) broken(r *http.Request, err error) error {
	if err == nil {
		return nil
	}
	if r.Context().Err() == nil {
		s.log.Error("archive broke off", "path", r.URL.Path, "error", err)
	}
	panic(http.ErrAbortHandler)
}

func filterTar(w io.Writer, r io.Reader, paths []string) error {
	out := tar.NewWriter(w)
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return err
		}
		if !below(path.Clean(h.Name), paths) {
			continue
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
}

func below(name string, paths []string) bool {
	for _, p := range paths {
		if name == p || strings.HasPrefix(name, p+"/") {
			return true
		}
	}
	return false
}

func (s source) file(w http.ResponseWriter, r *http.Request) error {
	repository, err := s.reader(r)
	if err != nil {
		return err
	}
	b, err := repository.ReadFile(r.Context(), r.PathValue("commit"), r.PathValue("path"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(b)
	return nil
}

// span reads a range "FROM..TO"; an empty FROM means from the beginning.
func span(r *http.Request) (from, to string, err error) {
	from, to, ok := strings.Cut(r.PathValue("range"), "..")
	if !ok || to == "" {
		return "", "", kit.Errorf(kit.ErrInvalid, "", "%q is no range: write FROM..TO", r.PathValue("range"))
	}
	return from, to, nil
}

func (s source) diff(w http.ResponseWriter, r *http.Request) error {
	repository, err := s.reader(r)
	if err != nil {
		return err
	}
	from, to, err := span(r)
	if err != nil {
		return err
	}
	b, err := repository.Diff(r.Context(), from, to)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/x-diff; charset=utf-8")
	_, _ = w.Write(b)
	return nil
}

func (s source) commits(w http.ResponseWriter, r *http.Request) error {
	repository, err := s.reader(r)
	if err != nil {
		return err
	}
	from, to, err := span(r)
	if err != nil {
		return err
	}
	commits, err := repository.Log(r.Context(), from, to)
	if err != nil {
		return err
	}
	docs := make([]api.Commit, len(commits))
	for i, c := range commits {
		docs[i] = commitDocument(c)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(docs)
	return nil
}

func (s source) changed(w http.ResponseWriter, r *http.Request) error {
	repository, err := s.reader(r)
	if err != nil {
		return err
	}
	files, err := repository.Files(r.Context(), r.PathValue("commit"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, strings.Join(files, "\n"))
	return nil
}

// paths answers with the paths of all files of a commit, each ended by a zero
// byte.
func (s source) paths(w http.ResponseWriter, r *http.Request) error {
	repository, err := s.reader(r)
	if err != nil {
		return err
	}
	paths, err := repository.Paths(r.Context(), r.PathValue("commit"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, p := range paths {
		_, _ = io.WriteString(w, p+"\x00")
	}
	return nil
}

// mainRef is the branch that a project begins with.
const mainRef = "refs/heads/main"

// maxImport bounds the files of a first commit, in bytes.
const maxImport = 64 << 20

// importTar makes the first commit of a project's main branch out of a tar
// stream, and answers with {"commit": "..."}.
func (s source) importTar(w http.ResponseWriter, r *http.Request) error {
	project := r.PathValue("project")
	caller := kit.CallerOf(r.Context())
	if err := caller.May(kit.VerbUpdate, api.Projects.Link(project)); err != nil {
		return err
	}
	doc, err := api.Projects.Read(r.Context(), s.client, project)
	if err != nil {
		return err
	}
	repository, err := s.made(r.Context(), project)
	if err != nil {
		return err
	}
	files, err := unpack(http.MaxBytesReader(w, r.Body, maxImport))
	if err != nil {
		return kit.Errorf(kit.ErrInvalid, doc.Link, "the files could not be read, of at most %d MB: %v", maxImport>>20, err)
	}
	by, err := s.person(r.Context(), caller.Subject)
	if err != nil {
		return err
	}
	by.Time = time.Now().UTC().Truncate(time.Second)
	message := fmt.Sprintf("Start the project %s\n", project)
	commit, err := repository.Import(r.Context(), files, message, by)
	if err != nil {
		return err
	}
	ref, err := api.Refs.Create(r.Context(), s.client, api.RefID(project, mainRef), api.Ref{
		Meta:    kit.Meta{Source: doc.Link},
		Project: project, Name: mainRef, Commit: commit, By: caller.Subject,
	})
	if errors.Is(err, kit.ErrConflict) {
		return kit.Errorf(kit.ErrConflict, doc.Link, "%s has a main branch already: push to it instead", project)
	}
	if err != nil {
		return err
	}
	if err := s.bring(r.Context(), ref.Project, ref.Name); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"commit": commit})
	return nil
}

func unpack(r io.Reader) (fstest.MapFS, error) {
	files := fstest.MapFS{}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean(h.Name)
		if !fs.ValidPath(name) {
			return nil, fmt.Errorf("%q leads out of the project", h.Name)
		}
		switch h.Typeflag {
		case tar.TypeDir:
		case tar.TypeReg:
			b, err := io.ReadAll(t)
			if err != nil {
				return nil, err
			}
			files[name] = &fstest.MapFile{Data: b, Mode: fs.FileMode(h.Mode).Perm()}
		default:
			return nil, fmt.Errorf("%q is no plain file", h.Name)
		}
	}
}
