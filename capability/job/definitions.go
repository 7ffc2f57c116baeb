package job

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing/fstest"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/jobspec"
	"landfall.dev/capability/job/native"
	"landfall.dev/kit"
)

// definitions reads and expands the definitions of projects.
type definitions struct {
	client kit.Client
	blobs  kit.Blobs
	http   *http.Client
	base   string
}

// resolve returns the spec of the build r's job.
func (d definitions) resolve(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	b, err := api.Builds.Decode(r)
	if err != nil {
		return nil, err
	}
	if err := d.checkTried(ctx, b); err != nil {
		return nil, err
	}
	if b.Step != nil {
		return d.entrust(ctx, b, *b.Step)
	}
	specs, err := d.expand(ctx, b.Project, b.Definitions)
	if err != nil {
		return nil, err
	}
	for _, s := range specs {
		if s.Name == b.Job {
			if err := runnable(b, s); err != nil {
				return nil, err
			}
			return d.entrust(ctx, b, s)
		}
	}
	return nil, kit.Errorf(kit.ErrInvalid, "", "%s has no job %q at %.12s; it has %s", b.Project, b.Job, b.Definitions, choice(b.Job, specs))
}

// choice tells which jobs there are instead of one that is not.
func choice(wanted string, specs []api.JobSpec) string {
	const few = 20
	var names []string
	for _, s := range specs {
		names = append(names, s.Name)
	}
	near := kit.Nearest(wanted, names)
	switch {
	case len(names) == 0:
		return "none: define some in *.yml files in its folder jobs"
	case len(names) <= few:
		return strings.Join(names, ", ")
	case near != "":
		return fmt.Sprintf("%d others: did you mean %s?", len(names), near)
	}
	return fmt.Sprintf("%d others", len(names))
}

// checkTried refuses a build that tries a job of another commit than its patch
// set's.
func (d definitions) checkTried(ctx context.Context, b api.Build) error {
	if b.Change == "" || b.Run != "" {
		return nil
	}
	c, err := api.Changes.Read(ctx, d.client, b.Change.ID())
	if err != nil {
		return err
	}
	for _, ps := range c.PatchSets {
		if c.Project == b.Project && ps.Number == b.PatchSet && ps.Commit == b.Commit {
			return nil
		}
	}
	return kit.Errorf(kit.ErrInvalid, b.Change, "patch set %d of change %s is not the commit %.12s of %s: try a job with landfall job try --change", b.PatchSet, c.Link.ID(), b.Commit, b.Project)
}

// runnable refuses a job that no build can do what it asks for.
func runnable(b api.Build, s api.JobSpec) error {
	var why []string
	for _, m := range s.Missing {
		if m.Needed {
			why = append(why, strings.TrimSpace(m.At+" "+m.Component)+": "+m.Reason)
		}
	}
	if why == nil {
		return nil
	}
	return kit.Errorf(kit.ErrInvalid, "", "the job %s cannot run here: %s", b.Job, strings.Join(why, "; "))
}

// serve answers with the expanded jobs of a project at a commit.
func (d definitions) serve(w http.ResponseWriter, r *http.Request) error {
	project, commit := r.PathValue("project"), r.PathValue("commit")
	if err := kit.CallerOf(r.Context()).May(kit.VerbRead, api.Projects.Link(project)); err != nil {
		return err
	}
	specs, err := d.expand(r.Context(), project, commit)
	if err != nil {
		return err
	}
	if specs == nil {
		specs = []api.JobSpec{}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(specs)
	return nil
}

// maxDefinitions bounds the files under jobs/, in bytes.
const maxDefinitions = 16 << 20

func (d definitions) expand(ctx context.Context, project, commit string) ([]api.JobSpec, error) {
	files, err := d.files(ctx, project, commit)
	if err != nil || len(files) == 0 {
		return nil, err
	}
	return Expand(files)
}

// files returns those under jobs/ at a commit.
func (d definitions) files(ctx context.Context, project, commit string) (fstest.MapFS, error) {
	answer, err := d.ask(ctx, "/source/"+url.PathEscape(project)+"/archive/"+url.PathEscape(commit)+"?path="+folder)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	body := &io.LimitedReader{R: answer, N: maxDefinitions}
	files, err := untar(body)
	if body.N <= 0 {
		return nil, kit.Errorf(kit.ErrTooLarge, api.Projects.Link(project), "its folder jobs has more than %d MB", maxDefinitions>>20)
	}
	if err != nil {
		return nil, &kit.Error{Op: "job.expand", Link: api.Projects.Link(project), Err: err}
	}
	return files, nil
}

// ask returns what the hub answers at path.
func (d definitions) ask(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, kit.MaxDocument))
	return nil, kit.DecodeProblem(resp.StatusCode, b)
}

// Expand returns the jobs that the definitions in the folder jobs of files
// make. Its error, an ErrInvalid, has all that is wrong in them.
func Expand(files fstest.MapFS) ([]api.JobSpec, error) {
	_, specs, err := translate(files)
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrInvalid, Detail: err.Error()}
	}
	return specs, nil
}

// translate is Expand, with the set of the definitions.
func translate(files fstest.MapFS) (*definition.Set, []api.JobSpec, error) {
	set, err := load(files)
	if err != nil {
		return nil, nil, err
	}
	specs, err := jobspec.Translate(set, native.Strict)
	if err == nil {
		err = native.Provide(specs, files, folder)
	}
	return set, native.Connect(specs), err
}

// load reads definitions as those of projects are read.
func load(files fstest.MapFS) (*definition.Set, error) {
	if len(files) == 0 { // an empty set
		files = fstest.MapFS{folder + "/none.yml": {}}
	}
	return definition.Load(files, []string{folder}, definition.Options{Strict: true})
}

// opened notes which files are read.
type opened struct {
	fs.FS
	names map[string]bool
}

func (o opened) Open(name string) (fs.File, error) {
	o.names[name] = true
	return o.FS.Open(name)
}

// Unread warns of definitions in folders below the folder jobs of files that
// nothing reads, or returns nothing if there are none.
func Unread(files fstest.MapFS) string {
	o := opened{files, map[string]bool{}}
	var below []string
	for name := range files {
		dir, _, inside := strings.Cut(strings.TrimPrefix(name, folder+"/"), "/")
		if ext := path.Ext(name); inside && dir != native.FilesFolder && (ext == ".yml" || ext == ".yaml") {
			below = append(below, name)
		}
	}
	if len(below) == 0 {
		return ""
	}
	if set, err := definition.Load(o, []string{folder}, definition.Options{Strict: true}); err == nil {
		_, _ = jobspec.Translate(set, native.Strict) // for what it includes; what is wrong is told elsewhere
	}
	below = slices.DeleteFunc(below, func(name string) bool { return o.names[name] })
	switch slices.Sort(below); len(below) {
	case 0:
		return ""
	case 1:
		return below[0] + " is not read: definitions are the *.yml files in " + folder + " itself, and what they include"
	}
	return fmt.Sprintf("%s and %d more are not read: definitions are the *.yml files in %s itself, and what they include", below[0], len(below)-1, folder)
}

// untar returns the plain files of a tar stream. It follows no symbolic link,
// and neither does landfall job test.
func untar(r io.Reader) (fstest.MapFS, error) {
	files := fstest.MapFS{}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(t)
		if err != nil {
			return nil, err
		}
		files[path.Clean(h.Name)] = &fstest.MapFile{Data: b}
	}
}
