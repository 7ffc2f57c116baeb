package jobs

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"landfall.dev/capability/job/definition"
)

// arguments are a command line of jenkins-jobs, with what its configuration
// says.
type arguments struct {
	paths   []string // files and folders
	globs   []string // of jobs' names
	options definition.Options
}

// The options of jenkins-jobs and of its command test. Those with a value are
// true.
var (
	globalOptions = map[string]bool{
		"--conf": true, "-l": true, "--log_level": true, "--ignore-cache": false, "--flush-cache": false,
		"--allow-empty-variables": false, "--server": true, "-s": true, "--user": true, "-u": true, "--password": true, "-p": true,
	}
	testOptions = map[string]bool{
		"-r": false, "--recursive": false, "-x": true, "--exclude": true, "--config-xml": false,
		"-p": true, "--plugin-info": true, "-o": true,
	}
)

// parseArguments reads a command line of jenkins-jobs that is run in dir,
// without its name:
// [--conf FILE] [--allow-empty-variables] test [-r] [-x PATTERN] PATHS [GLOBS].
func parseArguments(dir string, line []string) (arguments, error) {
	global, rest, err := options(line, globalOptions, 1)
	if err != nil {
		return arguments{}, err
	}
	if len(rest) == 0 || rest[0] != "test" {
		return arguments{}, fmt.Errorf("after -- comes a command line of jenkins-jobs with its command test: -- [--conf FILE] test PATHS")
	}
	own, words, err := options(rest[1:], testOptions, 0)
	if err != nil {
		return arguments{}, err
	}
	if len(words) == 0 {
		return arguments{}, fmt.Errorf("jenkins-jobs test: name the files and folders of the definitions, with : between them")
	}
	conf := map[string]string{}
	if file := last(global["--conf"]); file != "" {
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		if conf, err = readConfiguration(file, cmp.Or(last(global["--server"]), last(global["-s"]), "jenkins")); err != nil {
			return arguments{}, err
		}
	}
	a := arguments{paths: filepath.SplitList(words[0]), globs: words[1:]}
	yes := func(key string) bool {
		if err != nil {
			return false
		}
		var on bool
		on, err = truth(key, conf[key])
		return on
	}
	o := &a.options
	o.Recursive = has(own, "-r", "--recursive") || yes("recursive")
	o.AllowEmptyVariables = has(global, "--allow-empty-variables") || yes("allow_empty_variables")
	o.AllowDuplicates = yes("allow_duplicates")
	o.RetainAnchors = yes("retain_anchors")
	o.KeepDescriptions = yes("keep_descriptions")
	for _, list := range append(own["-x"], own["--exclude"]...) {
		o.Exclude = append(o.Exclude, filepath.SplitList(list)...)
	}
	if o.Exclude == nil {
		o.Exclude = filepath.SplitList(cmp.Or(conf["exclude"], ".*"))
	}
	o.IncludePath = strings.Split(cmp.Or(conf["include_path"], "."), ":")
	if conf["filter_modules"] != "" {
		return a, fmt.Errorf("filter_modules are programs in Python, which Landfall does not run: write the values of those filters into the definitions")
	}
	return a, err
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

func has(given map[string][]string, names ...string) bool {
	for _, n := range names {
		if _, ok := given[n]; ok {
			return true
		}
	}
	return false
}

// options takes the known options from the front of line, or from all of it,
// and returns them, by name, and the other words. It ends after stop words,
// unless that is 0.
func options(line []string, known map[string]bool, stop int) (given map[string][]string, words []string, err error) {
	given, line = map[string][]string{}, slices.Clone(line)
	for i := 0; i < len(line); i++ {
		word := line[i]
		if !strings.HasPrefix(word, "-") || word == "-" {
			if words = append(words, word); len(words) == stop {
				return given, append(words, line[i+1:]...), nil
			}
			continue
		}
		name, value, joined := strings.Cut(word, "=")
		if !strings.HasPrefix(word, "--") && len(word) > 2 { // -xPATTERN
			name, value, joined = word[:2], word[2:], true
		}
		valued, ok := known[name]
		switch {
		case !ok:
			return nil, nil, fmt.Errorf("jenkins-jobs has no option %s here", name)
		case !valued:
			if given[name] = nil; joined && !strings.HasPrefix(word, "--") { // -rx PATTERN
				line[i] = "-" + value
				i--
			}
			continue
		case !joined:
			if i++; i == len(line) {
				return nil, nil, fmt.Errorf("the option %s of jenkins-jobs needs a value", name)
			}
			value = line[i]
		}
		given[name] = append(given[name], value)
	}
	return given, words, nil
}

// readConfiguration returns what the sections job_builder and that of the
// server say; older configurations have all in the latter.
func readConfiguration(file, server string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("the configuration of jenkins-jobs cannot be read: %w", err)
	}
	defer f.Close()
	all := map[string]map[string]string{"job_builder": {}, server: {}}
	section, key := "", ""
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
			continue
		case text[0] == '[':
			end := strings.IndexByte(text, ']')
			if end < 0 {
				return nil, fmt.Errorf("%s:%d: a section is written [NAME]", file, n)
			}
			section, key = text[1:end], ""
			continue
		case strings.ContainsAny(lines.Text()[:1], " \t") && key != "": // the value goes on
			if all[section] != nil {
				all[section][key] += "\n" + text
			}
			continue
		}
		i := strings.IndexAny(text, "=:")
		if i <= 0 {
			return nil, fmt.Errorf("%s:%d: write it KEY=VALUE: %s", file, n, text)
		}
		key = strings.ToLower(strings.TrimSpace(text[:i]))
		if all[section] != nil {
			all[section][key] = strings.TrimSpace(text[i+1:])
		}
	}
	conf := all[server]
	for k, v := range all["job_builder"] {
		conf[k] = v
	}
	return conf, lines.Err()
}

// truth reads a switch of a configuration.
func truth(key, value string) (bool, error) {
	switch strings.ToLower(value) {
	case "", "0", "no", "false", "off":
		return false, nil
	case "1", "yes", "true", "on":
		return true, nil
	}
	return false, fmt.Errorf("%s=%s in the configuration of jenkins-jobs: write True or False", key, value)
}
