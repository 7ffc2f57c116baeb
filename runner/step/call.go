package step

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/api"
)

// Calls returns the steps of the script that the runner carries out itself, by
// their numbers. The script is left at such a step, and goes on in a new
// container: see Left and Resume.
func Calls(spec *api.JobSpec) map[int]*api.CallStep {
	calls := map[int]*api.CallStep{}
	n := len(spec.Script)
	var count func(steps []api.Step)
	count = func(steps []api.Step) {
		for _, s := range steps {
			n++
			if s.Call != nil {
				calls[n] = s.Call
			}
			if s.If != nil {
				count(s.If.Steps)
			}
		}
	}
	count(spec.Steps)
	for _, a := range spec.After {
		count(a.Steps)
	}
	return calls
}

// Left returns the number of the step that the script was left at last, for the
// runner to carry it out; 0 if it never was. The build may have written it.
func Left(state string) int {
	root, err := os.OpenRoot(state)
	if err != nil {
		return 0
	}
	defer root.Close()
	text, err := readSmall(root, "call")
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0
	}
	return n
}

// Answer is what has come of a step that the runner has carried out.
type Answer struct {
	Said string // for the log
	// Verdict is no better than the result of the build now. Stop makes the step
	// fail.
	Verdict api.Result
	Stop    bool
	// Env is added to the environment of the steps that follow.
	Env map[string]string
}

// Resume makes the script in dir go on with the step n, whose answer is there.
func Resume(dir string, n int, a Answer) error {
	verdict := string(a.Verdict)
	if a.Stop {
		verdict = "stop"
	}
	var properties strings.Builder
	for _, name := range slices.Sorted(maps.Keys(a.Env)) {
		fmt.Fprintf(&properties, "%s=%s\n", name, a.Env[name])
	}
	w := writer{dir: dir}
	w.write(fmt.Sprintf("%d.said", n), a.Said)
	w.write(fmt.Sprintf("%d.verdict", n), verdict+"\n")
	w.write(fmt.Sprintf("%d.properties", n), properties.String())
	w.write("resume.sh", fmt.Sprintf("lf_resumed %d\n", n))
	return w.err
}

// Properties reads a file of properties in the directory dir, as an inject step
// does. A file that is not there is an fs.ErrNotExist.
func Properties(dir, name string, env map[string]string) (map[string]string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	text, err := readSmall(root, path.Clean(name))
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	logical := ""
	for line := range strings.Lines(text) {
		line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), " \t")
		if logical == "" && (line == "" || line[0] == '#' || line[0] == '!') {
			continue
		}
		if rest, ok := strings.CutSuffix(line, "\\"); ok {
			logical += rest
			continue
		}
		line, logical = logical+line, ""
		i := strings.IndexAny(line, "=: \t")
		if i < 0 {
			i = len(line)
		}
		value := strings.TrimSpace(line[i:])
		if value != "" && (value[0] == '=' || value[0] == ':') {
			value = strings.TrimSpace(value[1:])
		}
		values[line[:i]] = Expand(value, env)
	}
	return values, nil
}
