package jobs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"testing/fstest"

	"github.com/spf13/cobra"

	"landfall.dev/capability/job"
	"landfall.dev/capability/job/definition"
	"landfall.dev/cmd/landfall/console"
)

func testCommand(h console.Hub) *cobra.Command {
	c := &cobra.Command{
		Use:   "test [DIR] | -- JENKINS-JOBS ARGUMENTS",
		Short: "Print the jobs that the definitions in DIR/jobs (or DIR itself) expand to, or those of a command line of jenkins-jobs",
	}
	dialect := dialectFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		d, err := dialectOf(*dialect)
		switch {
		case err != nil:
			return err
		case c.ArgsLenAtDash() >= 0:
			return testLine(c, h, d, args)
		case len(args) == 0:
			args = []string{"."}
		case len(args) > 1:
			return fmt.Errorf("name one folder, or -- and a command line of jenkins-jobs")
		}
		if d != definition.Modern {
			return fmt.Errorf("the definitions of a project are in the dialect modern: to test others write -- test %s", args[0])
		}
		return testFolder(c, h, args[0])
	}
	return c
}

// testLine tests what a command line of jenkins-jobs names.
func testLine(c *cobra.Command, h console.Hub, d definition.Dialect, line []string) error {
	debug.SetGCPercent(400) // the process ends once it has printed: collecting costs it more than memory
	r, err := Expand(".", d, line)
	if err != nil {
		return err
	}
	for _, w := range r.Warnings {
		warn(c, w)
	}
	out := c.OutOrStdout()
	if h.JSON() {
		if err := r.write(out); err != nil {
			return err
		}
		if r.Status != "ok" {
			return Exit(1)
		}
		return nil
	}
	for _, j := range r.Jobs {
		fmt.Fprintln(out, j.Name)
	}
	if r.Status == "ok" {
		fmt.Fprintf(out, "%d jobs\n", len(r.Jobs))
		return nil
	}
	return errors.New(r.Error + otherDialect(d, line))
}

// otherDialect is a hint if definitions that are wrong in d are right in the
// other dialect.
func otherDialect(d definition.Dialect, line []string) string {
	other := definition.Classic
	if d == definition.Classic {
		other = definition.Modern
	}
	if r, err := Expand(".", other, line); err != nil || r.Status != "ok" {
		return ""
	}
	return fmt.Sprintf("\nin the other dialect they are right: --dialect %s", other)
}

// testFolder tests the definitions of a project as the hub reads them.
func testFolder(c *cobra.Command, h console.Hub, dir string) error {
	files, err := definitionFiles(dir)
	if err != nil {
		return err
	}
	specs, err := job.Expand(files)
	if err != nil {
		return err
	}
	warn(c, job.Unread(files))
	out := c.OutOrStdout()
	if h.JSON() {
		return console.WriteJSON(out, specs)
	}
	for _, s := range specs {
		printer{out}.job(s)
	}
	fmt.Fprintf(out, "%d jobs\n", len(specs))
	return nil
}

// definitionFiles reads the definitions in dir/jobs, or in dir if it has no
// such folder, as the folder jobs. Like the hub it takes plain files only: a
// symbolic link could lead out of the project.
func definitionFiles(dir string) (fstest.MapFS, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%s is no directory: name the one of the project, or of its definitions", dir)
	}
	root := os.DirFS(dir)
	prefix := "jobs/"
	if info, err := fs.Lstat(root, "jobs"); err == nil && (info.IsDir() || info.Mode()&fs.ModeSymlink != 0) {
		prefix = ""
	}
	found := false
	files := fstest.MapFS{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.HasPrefix(prefix+name, "jobs/") {
			return err
		}
		b, err := fs.ReadFile(root, name)
		files[prefix+name] = &fstest.MapFile{Data: b}
		file := strings.TrimPrefix(prefix+name, "jobs/")
		found = found || !strings.Contains(file, "/") && (strings.HasSuffix(file, ".yml") || strings.HasSuffix(file, ".yaml"))
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("%s has no definitions: they are *.yml files in its folder jobs, not below that, and no symbolic links", dir)
	}
	return files, err
}
