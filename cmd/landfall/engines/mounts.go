package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"landfall.dev/engine"
)

// Far tells whether an engine is on another machine, for all that is known here.
func (s *Several) Far() bool {
	return slices.ContainsFunc(s.texts, func(text string) bool {
		_, address, named := strings.Cut(text, "=")
		return named && !strings.HasPrefix(address, "unix://")
	})
}

// Mounts reads VARIABLE=HOST[:TARGET]. If far is set, HOST may be on other machines
// only.
func Mounts(texts []string, far bool) ([]engine.Mount, error) {
	var mounts []engine.Mount
	for _, s := range texts {
		variable, paths, ok := strings.Cut(s, "=")
		host, target, both := strings.Cut(paths, ":")
		if !both {
			target = host
		}
		if !ok || variable == "" || !filepath.IsAbs(host) || !filepath.IsAbs(target) {
			return nil, fmt.Errorf("%q is no mount: write VARIABLE=/host/path or VARIABLE=/host/path:/path/in/container", s)
		}
		info, err := os.Stat(host)
		if err != nil && !far {
			return nil, fmt.Errorf("the mount %s: %w: make it, or leave the mount out", s, err)
		}
		if err == nil && info.Mode()&os.ModeSocket != 0 {
			return nil, fmt.Errorf("%s is a socket: builds get none, for who reaches an engine's controls its machine", host)
		}
		mounts = append(mounts, engine.Mount{Host: host, Target: target, ReadOnly: true, Env: variable})
	}
	return mounts, nil
}
