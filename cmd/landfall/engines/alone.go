package engines

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"landfall.dev/engine/fleet"
)

// Alone makes sure that no other runner has the directory dir, or drives Docker
// from this machine under the same name: each would end the other's builds as
// left over. That holds until the result is closed, or the process ends.
func Alone(dir, name string, members []fleet.Member) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the directory for workspaces cannot be made: %w", err)
	}
	own, err := lock(filepath.Join(dir, "lock"), "uses "+dir+": stop it, or name another directory by --data")
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		if m.Engine.Name() == "process" {
			continue
		}
		file := fmt.Sprintf("landfall-%d-runner-%s.lock", os.Getuid(), url.PathEscape(name))
		names, err := lock(filepath.Join(os.TempDir(), file), "is called "+name+" and drives Docker: stop it, or give this one a name of its own by --name")
		if err != nil {
			return nil, errors.Join(err, own.Close())
		}
		return closers{own, names}, nil
	}
	return own, nil
}

type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, one := range c {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// lock takes the file for this process. If another runner has it, the error names
// that one, and goes on with what it does and what to do about it.
func lock(path, does string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600) // others may write there, too
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		pid, _ := io.ReadAll(io.LimitReader(f, 20)) // without it the message says less
		err = fmt.Errorf("another runner (pid %s) %s", strings.TrimSpace(string(pid)), does)
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteString(strconv.Itoa(os.Getpid()))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
