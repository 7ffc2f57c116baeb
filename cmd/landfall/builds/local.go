package builds

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing/fstest"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"landfall.dev/api"
	"landfall.dev/capability/job"
	"landfall.dev/cmd/landfall/engines"
	"landfall.dev/engine"
	"landfall.dev/engine/fleet"
	"landfall.dev/kit"
	"landfall.dev/runner/local"
	"landfall.dev/runner/sources"
	"landfall.dev/runner/step"
)

// localRun is a run on this machine.
type localRun struct {
	on      bool
	tree    string
	engine  engines.One
	image   string
	busybox string
	mounts  []string
	env     map[string]string
	secrets map[string]string
	limits  engine.Limits
}

func (l *localRun) flags(f *pflag.FlagSet) {
	c := &cobra.Command{}
	l.engine.Flags(c)
	c.Flags().StringVar(&l.image, "image", "landfall/build:busybox", "image for jobs that name none")
	c.Flags().StringVar(&l.busybox, "busybox", "/bin/busybox", "static busybox to make the default image of, where it is missing")
	c.Flags().StringSliceVar(&l.mounts, "mount", nil, "read-only cache, as the runner has it: VARIABLE=HOST[:TARGET]")
	c.Flags().StringToStringVar(&l.env, "env", nil, "environment, as the runner has it: KEY=VALUE")
	c.Flags().StringToStringVar(&l.secrets, "secret", nil, "the value of a secret, NAME=VALUE")
	c.Flags().Int64Var(&l.limits.Pids, "pids", 4096, "processes and threads of a container; 0 means no limit")
	c.Flags().Int64Var(&l.limits.MemoryMB, "memory", 0, "MiB of memory of a container; 0 means no limit")
	c.Flags().Float64Var(&l.limits.CPUs, "cpus", 0, "processors of a container; 0 means all")
	c.Flags().VisitAll(func(flag *pflag.Flag) {
		flag.Usage += " (on this machine)"
		f.AddFlag(flag)
	})
}

// run runs the job of the working tree.
func (l *localRun) run(c *cobra.Command, name string, params map[string]string) error {
	spec, err := jobOf(l.tree, name)
	if err != nil {
		return err
	}
	commit, err := git(c.Context(), l.tree, "rev-parse", "HEAD")
	if err != nil {
		commit = "" // it has none yet
	}
	project, err := filepath.Abs(l.tree)
	if err != nil {
		return err
	}
	b := api.Build{
		Meta: kit.Meta{Link: api.Builds.Link("local"), Created: time.Now()}, Project: filepath.Base(project),
		Job: name, Commit: strings.TrimSpace(commit), Params: params, Spec: &spec,
	}
	values := withSecrets(&b, l.secrets)
	return l.build(c, b, spec.Image, func(dir string) error { return copyTree(c.Context(), l.tree, dir) }, values)
}

// jobOf returns the job that the definitions in the working tree make.
func jobOf(tree, name string) (api.JobSpec, error) {
	files := fstest.MapFS{}
	root := os.DirFS(tree)
	err := fs.WalkDir(root, "jobs", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := fs.ReadFile(root, path)
		files[path] = &fstest.MapFile{Data: data}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return api.JobSpec{}, fmt.Errorf("%s has no folder jobs with definitions: name the working tree with --dir", tree)
	}
	if err != nil {
		return api.JobSpec{}, err
	}
	specs, err := job.Expand(files)
	if err != nil {
		return api.JobSpec{}, err
	}
	var names []string
	for _, s := range specs {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	if near := kit.Nearest(name, names); near != "" {
		return api.JobSpec{}, fmt.Errorf("the working tree has no job %q: did you mean %s?", name, near)
	}
	return api.JobSpec{}, fmt.Errorf("the working tree has no job %q, but %d others", name, len(names))
}

// build runs b here, on what write puts into its workspace.
func (l *localRun) build(c *cobra.Command, b api.Build, image string, write func(dir string) error, secrets []string) error {
	ctx := c.Context()
	dir, err := os.MkdirTemp("", "landfall-build-")
	if err != nil {
		return err
	}
	defer removeAll(dir)
	e, err := l.engine.Open(ctx, dir, "local") // so that later ones find its caches
	if err != nil {
		return err
	}
	mounts, err := engines.Mounts(l.mounts, false)
	if err != nil {
		return err
	}
	if image == "" {
		image = l.image
		members := []fleet.Member{{Name: e.Name(), Engine: e, Slots: 1}}
		if err := engines.Load(ctx, members, image, l.busybox, slog.Default()); err != nil {
			return err
		}
	}
	if e.Name() == "docker" {
		fmt.Fprintf(os.Stderr, "%s at %.12s in %s\n", b.Job, cmp.Or(b.Commit, "no commit"), image)
	}
	ended, err := local.Run(ctx, local.Config{
		Build: b, Engine: e, Image: image, Dir: dir, Sources: write, Mounts: mounts, Limits: l.limits,
		Place: step.Place{Runner: "local", Variables: l.env}, Secrets: secrets,
	}, c.OutOrStdout())
	switch {
	case errors.Is(err, engine.ErrNoImage):
		return fmt.Errorf("%w, as with docker pull", err)
	case err != nil:
		return err
	case ended.Result != api.ResultSuccess:
		return fmt.Errorf("the job %s ended as %s: %s", b.Job, ended.Result, ended.Why)
	}
	return nil
}

// removeAll removes a workspace even where it is read-only; what cannot be
// removed is told.
func removeAll(dir string) {
	if os.RemoveAll(dir) == nil {
		return
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { // what stays shows below
		if d != nil && d.IsDir() && err == nil {
			return os.Chmod(path, 0o700)
		}
		return err
	})
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, "left the workspace:", err)
	}
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("git %s: %s", args[0], strings.TrimSpace(string(exit.Stderr)))
	}
	return string(out), err
}

// copyTree copies the files of a working tree that Git knows or would add.
func copyTree(ctx context.Context, tree, dir string) error {
	list, err := git(ctx, tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return fmt.Errorf("%w: a local build takes the files that Git knows or would add, so make the folder a repository by git init", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		if name == "" {
			continue
		}
		if err := copyFile(filepath.Join(tree, name), filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// copyFile copies a file or a symbolic link; a submodule's folder is left out.
func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil || info.IsDir() {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.Mode().Type() == fs.ModeSymlink {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// maxSources bounds the sources of a build, in bytes, as on a runner.
const maxSources = 1 << 30

func reproduceCommand(h Hub) *cobra.Command {
	var l localRun
	c := &cobra.Command{
		Use: "reproduce BUILD", Short: "Run a build again on this machine", Args: cobra.ExactArgs(1),
		Long: `Runs the steps of a build again in the Docker of this machine: in a container of
exactly the image that it had, with its parameters and environment, at its
commit, with the script that its definition had then. What the runner gave it
besides is for the flags: --mount, --env, --memory, --cpus, --pids.

Secrets are not copied to this machine. Those that --secret does not give are
left out, and named.`,
		RunE: func(c *cobra.Command, args []string) error { return l.reproduce(c, h, args[0]) },
	}
	l.flags(c.Flags())
	return c
}

func (l *localRun) reproduce(c *cobra.Command, h Hub, id string) error {
	b, err := read(c.Context(), h, id)
	if err != nil {
		return err
	}
	if b.Spec == nil {
		return fmt.Errorf("build %s is %s: what it is to do is not known: %s", id, b.State, b.Error)
	}
	values := withSecrets(&b, l.secrets)
	image := b.BuildImage
	if image == "" {
		image = b.Spec.Image
	}
	return l.build(c, b, image, func(dir string) error {
		path := "/source/" + url.PathEscape(b.Project) + "/archive/" + url.PathEscape(b.Commit)
		archive, err := h.Transfer(c.Context(), http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		defer archive.Close()
		return sources.Unpack(archive, dir, maxSources)
	}, values)
}

// withSecrets replaces the secret parameters of b by those that are given,
// says which are not, and returns the values.
func withSecrets(b *api.Build, given map[string]string) (values []string) {
	b.Params = maps.Clone(b.Params)
	for _, p := range b.Spec.Parameters {
		if _, ok := given[p.Name]; p.Secret && !ok {
			delete(b.Params, p.Name)
			fmt.Fprintf(os.Stderr, "left out the secret %s: give it with --secret %s=VALUE\n", p.Name, p.Name)
		}
	}
	for _, use := range b.Spec.Secrets {
		if use.File || use.Variable == "" {
			fmt.Fprintf(os.Stderr, "left out the secret %s of the project: a local build has no files and keys of secrets\n", use.Secret)
		} else if _, ok := given[use.Variable]; !ok {
			fmt.Fprintf(os.Stderr, "left out the secret %s of the project: give it with --secret %s=VALUE\n", use.Secret, use.Variable)
		}
	}
	for name, value := range given {
		if b.Params == nil {
			b.Params = map[string]string{}
		}
		b.Params[name] = value
		values = append(values, value)
	}
	return values
}
