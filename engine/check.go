package engine

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// names are safe as a file name and as a part of a container's name.
var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// Check returns an ErrInvalid that says what is wrong with t, or nil. Engines
// call it first.
func (t Task) Check() error {
	if err := CheckName("task id", t.ID); err != nil {
		return err
	}
	if len(t.Command) == 0 || t.Command[0] == "" {
		return invalid("task %s: it has no command", t.ID)
	}
	if !filepath.IsAbs(t.Dir) {
		return invalid("task %s: workspace %q is not an absolute path", t.ID, t.Dir)
	}
	for _, m := range t.Mounts {
		if !filepath.IsAbs(m.Host) || !filepath.IsAbs(m.Target) {
			return invalid("task %s: mount of %q at %q: both must be absolute paths", t.ID, m.Host, m.Target)
		}
	}
	switch t.Network {
	case "", NoNetwork, HostNetwork, BridgeNetwork:
	default:
		return invalid("task %s: network %q: want none, host or bridge", t.ID, t.Network)
	}
	if err := checkEnv(t.Env); err != nil {
		return fmt.Errorf("task %s: %w", t.ID, err)
	}
	for _, c := range t.Caches {
		if err := c.check(); err != nil {
			return fmt.Errorf("task %s: %w", t.ID, err)
		}
	}
	seen := map[string]bool{}
	for _, s := range t.Services {
		if seen[s.Name] {
			return invalid("task %s: two services have the name %s", t.ID, s.Name)
		}
		seen[s.Name] = true
		if err := s.check(); err != nil {
			return fmt.Errorf("task %s: %w", t.ID, err)
		}
	}
	return nil
}

// hosts are fit to be names in a network.
var hosts = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (s Service) check() error {
	if !hosts.MatchString(s.Name) {
		return invalid("service %q: want a name of up to 63 small letters, digits or '-'", s.Name)
	}
	if s.Image == "" {
		return invalid("service %s: it has no image", s.Name)
	}
	if err := checkEnv(s.Env); err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	return nil
}

func (c Cache) check() error {
	if err := CheckName("cache", c.Name); err != nil {
		return err
	}
	if c.Own != "" {
		if err := CheckName("cache", c.Own); err != nil {
			return err
		}
	}
	// A comma or a colon would end the path in the options of a mount.
	if !filepath.IsAbs(c.Path) || filepath.Clean(c.Path) != c.Path || c.Path == "/" || strings.ContainsAny(c.Path, ",:") {
		return invalid("cache %s at %q: want an absolute path below /", c.Name, c.Path)
	}
	return nil
}

// Check returns an ErrInvalid that says what is wrong with i, or nil. Engines
// call it first.
func (i Instance) Check() error {
	if err := CheckName("group", i.Group); err != nil {
		return err
	}
	if err := CheckName("instance name", i.Name); err != nil {
		return err
	}
	if _, err := name.NewDigest(i.Image); err != nil {
		return invalid("instance %s/%s: image %q: want name@sha256:…", i.Group, i.Name, i.Image)
	}
	if i.Data != "" && !filepath.IsAbs(i.Data) {
		return invalid("instance %s/%s: data directory %q is not an absolute path", i.Group, i.Name, i.Data)
	}
	if err := checkEnv(i.Env); err != nil {
		return fmt.Errorf("instance %s/%s: %w", i.Group, i.Name, err)
	}
	return nil
}

// CheckName returns an ErrInvalid unless name is fit to name what, such as a
// "group".
func CheckName(what, name string) error {
	if !names.MatchString(name) {
		return invalid("%s %q: want up to 100 letters, digits, '.', '_' or '-'", what, name)
	}
	return nil
}

// checkEnv names the variable at fault, never its value: it may be a secret.
func checkEnv(env map[string]string) error {
	for key, value := range env {
		if key == "" || strings.ContainsAny(key, "=\x00") || strings.Contains(value, "\x00") {
			return invalid("variable %q: a name must not be empty or hold '=', and neither may hold a zero byte", key)
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w %s", ErrInvalid, fmt.Sprintf(format, args...))
}
