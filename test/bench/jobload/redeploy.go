package jobload

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"landfall.dev/api"
)

// Checkout is a clone of a project whose commits go to its main branch.
type Checkout struct {
	Hub
	project, dir string
}

// Clone clones a project into dir.
func (h Hub) Clone(ctx context.Context, project, dir string) (Checkout, error) {
	c := Checkout{h, project, dir}
	scheme, host, _ := strings.Cut(h.URL, "://")
	return c, c.git(ctx, "clone", "--quiet", fmt.Sprintf("%s://admin:%s@%s/git/%s", scheme, h.Token, host, project), dir)
}

// Redeploy pushes a file and returns how long it takes from when the branch has
// moved until what it changes is deployed, and what that is.
func (c Checkout) Redeploy(ctx context.Context, file, text string) (time.Duration, api.JobChanges, error) {
	before, err := api.Generations.Read(ctx, c.Client, c.project)
	if err != nil {
		return 0, api.JobChanges{}, err
	}
	if err := os.WriteFile(filepath.Join(c.dir, filepath.FromSlash(file)), []byte(text), 0o600); err != nil {
		return 0, api.JobChanges{}, err
	}
	if err := c.git(ctx, "commit", "--quiet", "--all", "-m", "Change "+file); err != nil {
		return 0, api.JobChanges{}, err
	}
	if err := c.git(ctx, "push", "--quiet", "origin", "HEAD:"+MainBranch); err != nil {
		return 0, api.JobChanges{}, err
	}
	g, err := c.deployed(ctx, c.project, func(g api.Generation) bool { return g.Number > before.Number })
	if err != nil {
		return 0, api.JobChanges{}, err
	}
	moved, err := api.Refs.Read(ctx, c.Client, api.RefID(c.project, MainBranch))
	return g.At.Sub(moved.Updated), g.Last, err
}

func (c Checkout) git(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	if args[0] != "clone" {
		cmd.Dir = c.dir
	}
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Admin", "GIT_AUTHOR_EMAIL=admin@example.org", "GIT_COMMITTER_NAME=Admin", "GIT_COMMITTER_EMAIL=admin@example.org")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return nil
}
