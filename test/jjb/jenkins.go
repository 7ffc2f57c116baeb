package jjb

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed testdata/driver.py
var driver string

// Jenkins is a running Jenkins Job Builder. Its methods must not be called
// concurrently.
type Jenkins struct {
	process *exec.Cmd
	to      *json.Encoder
	from    *bufio.Reader
	said    bytes.Buffer
}

// Start starts Debian's Jenkins Job Builder, which ends with ctx.
func Start(ctx context.Context) (*Jenkins, error) {
	j := &Jenkins{process: exec.CommandContext(ctx, "/usr/bin/python3", "-c", driver)}
	j.process.Stderr = &j.said
	to, err := j.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	from, err := j.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	j.to, j.from = json.NewEncoder(to), bufio.NewReader(from)
	return j, j.process.Start()
}

// Test returns the jobs that the tree in dir makes, by name, and writes their
// XML into out. refused says why it takes no tree.
func (j *Jenkins) Test(dir, out string, args []string) (jobs map[string]Job, refused string, err error) {
	all := append(before(args, "test"), append([]string{"test", "--config-xml", "-o", out}, after(args, "test")...)...)
	if err := j.to.Encode(map[string]any{"dir": dir, "args": all}); err != nil {
		return nil, "", fmt.Errorf("jenkins-jobs has ended: %w: %s", err, &j.said)
	}
	line, err := j.from.ReadBytes('\n')
	if err != nil {
		return nil, "", fmt.Errorf("jenkins-jobs has ended: %w: %s", err, &j.said)
	}
	var answer struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(line, &answer); err != nil || answer.Error != "" {
		return nil, answer.Error, err
	}
	jobs, err = readJobs(out)
	return jobs, "", err
}

func before(list []string, word string) []string {
	for i, w := range list {
		if w == word {
			return list[:i:i]
		}
	}
	return list
}

func after(list []string, word string) []string { return list[len(before(list, word))+1:] }

// Job is what is compared of a job.
type Job struct {
	Description string
	Scripts     []string
	Parameters  []Parameter
	Triggers    []string // "timed H * * * *"
	// Others are texts that other components hold: "archive *.jar".
	Others []string
}

// Parameter is one of a job's.
type Parameter struct {
	Type, Name, Default, Description string
	Choices                          []string
}

// readJobs reads the files OUT/NAME/config.xml. Views are no jobs.
func readJobs(out string) (map[string]Job, error) {
	jobs := map[string]Job{}
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "config.xml" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var root element
		if err := xml.Unmarshal(b, &root); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if strings.HasSuffix(root.XMLName.Local, "View") {
			return nil
		}
		name, err := filepath.Rel(out, filepath.Dir(path))
		jobs[filepath.ToSlash(name)] = jobOf(root)
		return err
	})
	return jobs, err
}

// element is any element of XML.
type element struct {
	XMLName xml.Name
	Class   string    `xml:"class,attr"`
	Text    string    `xml:",chardata"`
	Inside  []element `xml:",any"`
}

// find returns the element at the end of the path, empty if there is none.
func (e element) find(path ...string) element {
	for _, name := range path {
		var found element
		for _, c := range e.Inside {
			if c.XMLName.Local == name {
				found = c
				break
			}
		}
		e = found
	}
	return e
}

func (e element) texts() []string {
	var list []string
	for _, c := range e.Inside {
		list = append(list, c.Text)
	}
	return list
}

// parameterTypes and triggerTypes name what Jenkins' classes are called in
// definitions.
var (
	parameterTypes = map[string]string{
		"hudson.model.StringParameterDefinition": "string", "hudson.model.BooleanParameterDefinition": "bool",
		"hudson.model.ChoiceParameterDefinition": "choice", "hudson.model.TextParameterDefinition": "text",
	}
	triggerTypes = map[string][2]string{
		"hudson.triggers.TimerTrigger": {"timed", "spec"}, "hudson.triggers.SCMTrigger": {"pollscm", "spec"},
		"jenkins.triggers.ReverseBuildTrigger": {"reverse", "upstreamProjects"},
	}
)

func jobOf(root element) Job {
	j := Job{Description: root.find("description").Text}
	j.walk(root)
	return j
}

func (j *Job) walk(e element) {
	kind := e.XMLName.Local
	if e.XMLName.Local == "buildStep" {
		kind = e.Class // the only step of a condition
	}
	if t, ok := parameterTypes[kind]; ok {
		j.Parameters = append(j.Parameters, Parameter{
			Type: t, Name: e.find("name").Text, Default: e.find("defaultValue").Text, Description: e.find("description").Text,
			Choices: e.find("choices", "a").texts(),
		})
		return
	}
	if t, ok := triggerTypes[kind]; ok {
		j.Triggers = append(j.Triggers, t[0]+" "+e.find(t[1]).Text)
		return
	}
	switch kind {
	case "hudson.tasks.Shell":
		j.Scripts = append(j.Scripts, e.find("command").Text)
	case "EnvInjectBuilder":
		j.Others = append(j.Others, "inject "+e.find("info", "propertiesContent").Text)
	case "hudson.tasks.ArtifactArchiver":
		j.Others = append(j.Others, "archive "+e.find("artifacts").Text+" "+e.find("allowEmptyArchive").Text)
	case "org.jenkinsci.plugins.buildnamesetter.BuildNameSetter":
		j.Others = append(j.Others, "build-name "+e.find("template").Text)
	case "com.coravy.hudson.plugins.github.GithubProjectProperty":
		j.Others = append(j.Others, "github "+e.find("projectUrl").Text)
	case "hudson.plugins.git.UserRemoteConfig":
		j.Others = append(j.Others, "git "+e.find("url").Text)
	case "hudson.plugins.git.BranchSpec":
		j.Others = append(j.Others, "branch "+e.find("name").Text)
	}
	for _, c := range e.Inside {
		j.walk(c)
	}
}
