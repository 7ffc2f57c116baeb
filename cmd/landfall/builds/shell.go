package builds

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/runner/task"
)

func keepCommand(h Hub) *cobra.Command {
	return &cobra.Command{
		Use: "keep BUILD", Short: "Have the container of a build kept for an hour if it fails", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := h.Client()
			if err != nil {
				return err
			}
			b, err := api.Builds.Send(c.Context(), client, args[0], "keep", nil)
			if err != nil {
				return err
			}
			if h.JSON() {
				return console.WriteJSON(c.OutOrStdout(), b)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is kept if it fails\n", b.Link)
			return nil
		},
	}
}

func shellCommand(h Hub) *cobra.Command {
	return &cobra.Command{
		Use: "shell BUILD [-- COMMAND...]", Short: "Open a shell in the kept container of a failed build", Args: cobra.MinimumNArgs(1),
		Long: `Opens a shell, or runs a command, in the container of a build that failed and
that was to be kept: see --keep of landfall build run, and landfall build keep.
It needs the command docker, and the Docker daemon of the runner that the build
ran on: this machine's, or that in DOCKER_HOST.`,
		RunE: func(c *cobra.Command, args []string) error { return shell(c, h, args[0], args[1:]) },
	}
}

func shell(c *cobra.Command, h Hub, id string, command []string) error {
	b, err := read(c.Context(), h, id)
	if err != nil {
		return err
	}
	container, err := keptContainer(c.Context(), b)
	if err != nil {
		return err
	}
	switch {
	case container != "":
	case !b.State.Done():
		return fmt.Errorf("build %s is %s: its container is kept when it has failed", id, b.State)
	case b.State == api.BuildPassed || b.State == api.BuildCancelled:
		return fmt.Errorf("build %s is %s: only what failed is kept", id, b.State)
	case !b.Keep:
		return fmt.Errorf("build %s was not to be kept: order it again with landfall build run --keep", id)
	default:
		return fmt.Errorf("build %s has no kept container here: it ran on %s, and was kept for %s if it failed; name the Docker daemon of that runner in DOCKER_HOST",
			id, b.Runner, api.KeepTime)
	}
	if len(command) == 0 {
		command = []string{"sh"}
	}
	args := []string{"exec", "--interactive"}
	if _, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS); err == nil { // it is a terminal
		args = append(args, "--tty")
	}
	cmd := exec.CommandContext(c.Context(), "docker", append(append(args, container), command...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr()
	return cmd.Run()
}

// keepTime is how long a runner may take to start the container that it keeps,
// once it has said how the build ended.
const keepTime = 20 * time.Second

// keptContainer returns the id of the container that is kept of b, empty if there
// is none.
func keptContainer(ctx context.Context, b api.Build) (string, error) {
	for {
		out, err := exec.CommandContext(ctx, "docker", "ps", "--quiet", "--filter", "label=landfall.task="+task.Kept(b)).Output()
		if err != nil {
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				err = errors.New(strings.TrimSpace(string(exit.Stderr)))
			}
			return "", fmt.Errorf("ask Docker for the container: %w", err)
		}
		container := strings.TrimSpace(string(out))
		if container != "" || b.State != api.BuildFailed || !b.Keep || time.Since(b.Finished) > keepTime {
			return container, nil
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
