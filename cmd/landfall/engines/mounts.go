package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"landfall.dev/engine"
)

// Mounts reads VARIABLE=HOST[:TARGET].
func Mounts(texts []string) ([]engine.Mount, error) {
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
		if err != nil {
			return nil, fmt.Errorf("the mount %s: %w: make it, or leave the mount out", s, err)
		}
		if info.Mode()&os.ModeSocket != 0 {
			return nil, fmt.Errorf("%s is a socket: builds get none, for who reaches an engine's controls its machine", host)
		}
		mounts = append(mounts, engine.Mount{Host: host, Target: target, ReadOnly: true, Env: variable})
	}
	return mounts, nil
}
