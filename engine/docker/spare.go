package docker

import (
	"context"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

var _ engine.Preparer = (*Engine)(nil)

// Prepare starts a container of t's image with a shell that waits for its script on
// standard input: to start one is nearly all that a short task waits for.
func (e *Engine) Prepare(ctx context.Context, t engine.Task) error {
	t.Command = []string{"sh"}
	if err := t.Check(); err != nil {
		return err
	}
	if len(t.Services)+len(t.Caches) > 0 {
		return fmt.Errorf("%w task %s: with services or caches it cannot be prepared", engine.ErrInvalid, t.ID)
	}
	if err := e.prepareTask(ctx, t); err != nil {
		return fmt.Errorf("prepare task %s: %w", t.ID, err)
	}
	return nil
}

func (e *Engine) prepareTask(ctx context.Context, t engine.Task) error {
	image, err := e.image(ctx, t.Image)
	if err != nil {
		return err
	}
	user, err := ownerOf(t.Dir)
	if err != nil {
		return fmt.Errorf("workspace: %w", err)
	}
	options := e.taskContainer(t, e.taskName(t.ID), image, user)
	options.Config.OpenStdin, options.Config.AttachStdin = true, true
	created, err := e.client.ContainerCreate(ctx, options)
	if err != nil {
		return err
	}
	return e.begin(ctx, created.ID)
}

// adopt makes the container that was prepared for t that of t, and returns its
// id; "" if there is none that would do.
func (e *Engine) adopt(ctx context.Context, t engine.Task) (string, error) {
	if t.Spare == "" {
		return "", nil
	}
	spare := e.taskName(t.Spare)
	found, err := e.client.ContainerInspect(ctx, spare, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if !found.Container.State.Running || !canExport(t.Env) {
		return "", e.remove(ctx, spare)
	}
	if _, err := e.client.ContainerRename(ctx, found.Container.ID, client.ContainerRenameOptions{NewName: e.taskName(t.ID)}); err != nil {
		return "", err
	}
	return found.Container.ID, e.copyIn(ctx, found.Container.ID, t)
}

// waits tells whether what runs in a container is still the shell that waits for
// its script.
func (e *Engine) waits(ctx context.Context, c container.InspectResponse) bool {
	if !c.Config.OpenStdin {
		return false // it was not prepared
	}
	top, err := e.client.ContainerTop(ctx, c.ID, client.ContainerTopOptions{Arguments: []string{"-eo", "pid,args"}})
	if err != nil || len(top.Processes) != 2 { // init and the shell, in any order
		return false
	}
	return slices.ContainsFunc(top.Processes, func(p []string) bool { return len(p) > 0 && p[len(p)-1] == "sh" })
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// shells set these themselves.
var readOnly = []string{"BASHOPTS", "BASHPID", "BASH_VERSINFO", "DIRSTACK", "EUID", "FUNCNAME", "GROUPS", "HISTCMD",
	"LINENO", "OPTIND", "PPID", "RANDOM", "SECONDS", "SHELLOPTS", "SHLVL", "UID", "_"}

// canExport tells whether a shell can set all of the variables.
func canExport(env map[string]string) bool {
	for name := range env {
		if !variable.MatchString(name) || slices.Contains(readOnly, name) {
			return false
		}
	}
	return true
}

// tell writes the script of t to the shell that waits: its command takes the
// shell's place, and has nothing on standard input.
func tell(to net.Conn, t engine.Task) error {
	var script strings.Builder
	for _, name := range slices.Sorted(maps.Keys(t.Env)) {
		script.WriteString("export " + name + "=" + quote(t.Env[name]) + "\n")
	}
	script.WriteString("unset SHLVL\nexec")
	for _, word := range t.Command {
		script.WriteString(" " + quote(word))
	}
	script.WriteString(" < /dev/null\n")
	_, err := to.Write([]byte(script.String()))
	return err
}

// quote makes text one word for a shell.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
