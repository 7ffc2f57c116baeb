// Package engines opens the engines that the flags of runners, agents and the
// demo name.
package engines

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"landfall.dev/engine"
	"landfall.dev/engine/docker"
	"landfall.dev/engine/fleet"
	"landfall.dev/engine/process"
)

// One is the flag of a command that has one engine.
type One struct{ Kind string }

// Flags adds the flag to c.
func (o *One) Flags(c *cobra.Command) {
	c.Flags().StringVar(&o.Kind, "engine", "auto", "docker, process (no isolation), or auto: docker where a daemon answers")
}

// Open returns the engine, which keeps its state below dir and knows what it
// started by owner.
func (o *One) Open(ctx context.Context, dir, owner string) (engine.Engine, error) {
	switch o.Kind {
	case "docker":
		return docker.New(ctx, owner)
	case "process":
		return process.New(filepath.Join(dir, "engine"))
	case "auto":
		if d, err := docker.New(ctx, owner); err == nil {
			return d, nil
		}
		fmt.Fprintln(os.Stderr, "no Docker daemon answers: running processes without isolation")
		return process.New(filepath.Join(dir, "engine"))
	}
	return nil, fmt.Errorf("there is no engine %q: use docker, process or auto", o.Kind)
}

// Several is the flag of a command that has one engine or several Docker
// daemons.
type Several struct{ texts []string }

// Flags adds the flag to c.
func (s *Several) Flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&s.texts, "engine", []string{"auto"}, "docker, process (no isolation), or auto: docker where a daemon answers; "+
		"or, as often as there are Docker daemons, NAME=ADDRESS?slots=N&label=L, see above")
}

// DockerFlags is Flags for a command that is about Docker daemons only.
func (s *Several) DockerFlags(c *cobra.Command) {
	c.Flags().StringArrayVar(&s.texts, "engine", []string{"docker"}, "docker; or, as often as there are Docker daemons, NAME=ADDRESS, as for the runner")
}

// Open returns the engines. One without a name is the only one, the last that is
// said, and has so many slots as parallel says.
func (s *Several) Open(ctx context.Context, dir, owner string, parallel int) ([]fleet.Member, error) {
	named := slices.ContainsFunc(s.texts, func(text string) bool { return strings.Contains(text, "=") })
	if last := s.texts[len(s.texts)-1]; !named {
		e, err := (&One{last}).Open(ctx, dir, owner)
		if err != nil {
			return nil, err
		}
		return []fleet.Member{{Name: e.Name(), Engine: e, Slots: parallel}}, nil
	}
	var members []fleet.Member
	for _, text := range s.texts {
		m, err := parse(text, owner, parallel)
		if err != nil {
			return nil, fmt.Errorf("--engine %w", err)
		}
		members = append(members, m)
	}
	return members, nil
}

// parse reads NAME=ADDRESS, with slots and labels in the address's query.
func parse(text, owner string, parallel int) (fleet.Member, error) {
	name, address, ok := strings.Cut(text, "=")
	if !ok || !strings.Contains(address, "://") {
		return fleet.Member{}, fmt.Errorf("%q is no engine: write NAME=unix:///PATH, NAME=tcp://HOST:PORT?ca=FILE&cert=FILE&key=FILE or NAME=ssh://USER@HOST", text)
	}
	m := fleet.Member{Name: name, Slots: parallel}
	address, query, _ := strings.Cut(address, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return m, fmt.Errorf("%s: %q cannot be read: %w", name, query, err)
	}
	if text := values.Get("slots"); text != "" {
		if m.Slots, err = strconv.Atoi(text); err != nil || m.Slots < 1 {
			return m, fmt.Errorf("%s: slots is %q: want how many builds run there at once", name, text)
		}
	}
	m.Labels = values["label"]
	values.Del("slots")
	values.Del("label")
	if len(values) > 0 {
		address += "?" + values.Encode()
	}
	m.Engine, err = docker.Connect(owner, address)
	if err != nil {
		return m, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// Load makes the image ref, with a shell and the usual tools, out of a static
// busybox, on all engines of containers that answer. Loading what is there costs
// little.
func Load(ctx context.Context, members []fleet.Member, ref, busybox string, log *slog.Logger) error {
	var img v1.Image
	for _, m := range members {
		e, ok := m.Engine.(engine.Engine)
		h, host := m.Engine.(engine.Host)
		if !ok || !host {
			continue
		}
		if img == nil {
			var err error
			if img, err = buildImage(ctx, ref, busybox); err != nil {
				return err
			}
		}
		if err := e.Load(ctx, img, ref); err != nil {
			if len(members) == 1 && h.Ping(ctx) == nil {
				return err
			}
			log.Warn("engine may lack the default image", "engine", m.Name, "err", err)
		}
	}
	return nil
}

// MemoryMB is how many MiB of memory a build gets on this machine: three
// quarters of it, so that the machine survives.
func MemoryMB() int64 {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return 0
	}
	return int64(uint64(info.Totalram) * uint64(info.Unit) / 4 * 3 >> 20)
}
