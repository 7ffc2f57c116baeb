package step

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"landfall.dev/api"
)

// The secrets of a build stand beside its script: secrets.sh sets the variables,
// and secrets/ has the files.
const (
	secretScript = "secrets.sh"
	secretDir    = "secrets"
)

// agentStart starts an SSH agent that ends with the shell. The build can do
// without it.
const agentStart = `if command -v ssh-agent >/dev/null && command -v ssh-add >/dev/null; then
	eval "$(ssh-agent -s)" >/dev/null
	trap 'kill "$SSH_AGENT_PID"' EXIT
else
	lf_say "there is no SSH agent: the image has no ssh-agent and ssh-add"
fi
`

// WriteSecrets puts what a build is given of its secrets into the directory of
// its script, and returns what must not be in the log.
func WriteSecrets(dir string, uses []api.SecretUse, values map[string]api.SecretParts) (masked []string, err error) {
	if err := os.MkdirAll(filepath.Join(dir, secretDir), 0o700); err != nil {
		return nil, err
	}
	var script, agent strings.Builder
	for i, use := range uses {
		var parts []string
		for p := range strings.SplitSeq(use.Part, ":") {
			parts = append(parts, string(values[use.Secret][p]))
			masked = append(masked, hidden(values[use.Secret][p])...)
		}
		value := strings.Join(parts, ":")
		if use.Variable != "" && !use.File {
			fmt.Fprintf(&script, "export %s=%s\n", use.Variable, quote(value))
			continue
		}
		name := fmt.Sprintf("%s/%d", secretDir, i)
		if use.Variable == "" && use.File {
			name = secretFile(use.Secret)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			return nil, err
		}
		if use.Variable != "" {
			fmt.Fprintf(&script, "export %s=\"$LANDFALL_SCRIPT/%s\"\n", use.Variable, name)
		}
		if use.File {
			continue
		}
		fmt.Fprintf(&agent, "[ -z \"$SSH_AGENT_PID\" ] || ssh-add -q \"$LANDFALL_SCRIPT/%s\" </dev/null || lf_say %s\n",
			name, quote("the key "+use.Secret+" could not be added to the SSH agent"))
	}
	if agent.Len() > 0 {
		script.WriteString(agentStart + agent.String())
	}
	return masked, os.WriteFile(filepath.Join(dir, secretScript), []byte(script.String()), 0o600)
}

// secretFile is where a secret stands that a step provides as a file.
func secretFile(name string) string { return secretDir + "/file-" + name }

// hidden are the pieces of a secret that are looked for in the log: a key may be
// printed line by line.
func hidden(value []byte) []string {
	all := []string{strings.TrimSpace(string(value))}
	if lines := strings.Split(all[0], "\n"); len(lines) > 1 {
		for _, line := range lines {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

// RemoveSecrets removes what WriteSecrets has left in dir, and the files that
// steps have provided in the directory of their state.
func RemoveSecrets(dir, state string) error {
	root, err := os.OpenRoot(state) // the build may have put links there
	if err == nil {
		err = errors.Join(root.RemoveAll("files"), root.Close())
	}
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, secretDir)); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, secretScript)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
