package soak

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// sort is a sort of builds. Each writes "line 1", "line 2" and so on, and, if it
// comes to its end, how many lines there were.
type sort struct {
	job, yaml string
	state     api.BuildState
	exit      int
	artifacts int
}

var sorts = []sort{
	{job: "passes", state: api.BuildPassed, yaml: `
    builders:
    - shell: |
        #!/bin/sh
        i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo "line $i"; sleep 0.03; done
        echo "lines: $i"
`},
	{job: "fails", state: api.BuildFailed, exit: 7, yaml: `
    builders:
    - shell: |
        #!/bin/sh
        i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo "line $i"; sleep 0.03; done
        echo "lines: $i"
        exit 7
`},
	{job: "writes-much", state: api.BuildPassed, yaml: `
    builders:
    - shell: |
        #!/bin/sh
        i=0; while [ $i -lt 40000 ]; do i=$((i+1)); echo "line $i"; [ $((i%1000)) != 0 ] || sleep 0.1; done
        echo "lines: $i"
`},
	{job: "keeps-files", state: api.BuildPassed, artifacts: 3, yaml: `
    builders:
    - shell: |
        #!/bin/sh
        mkdir -p kept
        i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo "line $i"; sleep 0.03; done
        for name in a b c; do seq 5000 > kept/$name; done
        echo "lines: $i"
    publishers:
    - archive: {artifacts: kept/*}
`},
	{job: "has-a-service", state: api.BuildPassed, yaml: `
    services:
      web:
        image: landfall/build:busybox
        command: [sh, -c, "mkdir /www; echo served > /www/page; exec httpd -f -p 8000 -h /www"]
        ready: wget -q -O - http://127.0.0.1:8000/page
    builders:
    - shell: |
        #!/bin/sh
        wget -q -O page http://web:8000/page || exit 3
        i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo "line $i"; sleep 0.03; done
        echo "lines: $i"
`},
	{job: "does-not-end", state: api.BuildCancelled, yaml: `
    builders:
    - shell: |
        #!/bin/sh
        trap '' TERM
        i=0; while :; do i=$((i+1)); echo "line $i"; sleep 0.03; done
`},
}

// definitions is the file of the jobs.
func definitions() string {
	var text strings.Builder
	for _, s := range sorts {
		text.WriteString("- job:\n    name: " + s.job + s.yaml)
	}
	return text.String()
}

// judge insists on the verdict of a build of the sort, and on its log.
func (p *place) judge(b api.Build, s sort, hits *striker) {
	p.t.Helper()
	container, daemon := hits.onContainer(b), hits.onDaemon(b)
	as := b.State == s.state && b.ExitCode == s.exit && len(b.Artifacts) == s.artifacts
	switch {
	case as:
	case container && b.State == api.BuildFailed:
	case daemon && (b.State == api.BuildError || b.State == api.BuildFailed):
	default:
		p.t.Errorf("%s of %s is %s, exit code %d, %d artifacts, %q, attempt %d on %s of %s; its container was killed: %t, its daemon: %t",
			b.Link.ID(), s.job, b.State, b.ExitCode, len(b.Artifacts), b.Error, b.Attempt, b.Engine, b.Runner, container, daemon)
	}
	log := p.log(b)
	if d := kit.DigestOf(log); d != b.LogDigest {
		p.t.Errorf("the log of %s is %s, and its build says %s", b.Link.ID(), d, b.LogDigest)
	}
	p.whole(b, log, as && s.state != api.BuildCancelled, daemon)
}

var numbered = regexp.MustCompile(`^line(s:)? (\d+)$`)

// whole insists that a log has each line once and in order, and its end if the
// build has come to its end. Else it may lack some if it says so, and must if it is
// in error, for nobody knows what the build still wrote; likewise if a daemon that
// was killed may have lost its end.
func (p *place) whole(b api.Build, log []byte, ended, lossy bool) {
	p.t.Helper()
	last, total := 0, -1
	for text := range strings.Lines(string(log)) {
		m := numbered.FindStringSubmatch(strings.TrimSuffix(text, "\n"))
		if m == nil {
			continue // not of the loop
		}
		n, _ := strconv.Atoi(m[2])
		switch {
		case m[1] != "":
			total = n
		case total >= 0 || n <= last || n > last+1 && b.LogMissing == 0:
			p.t.Errorf("%s, %s: line %d follows on line %d; its build says that %d are missing", b.Link.ID(), b.Job, n, last, b.LogMissing)
			return
		default:
			last = n
		}
	}
	switch {
	case ended && lossy && b.LogMissing < 0:
	case ended && (total != last || b.LogMissing != 0):
		p.t.Errorf("%s, %s: has %d lines of %d, and says that %d are missing", b.Link.ID(), b.Job, last, total, b.LogMissing)
	case b.State == api.BuildError && total < 0 && last > 0 && b.LogMissing == 0:
		p.t.Errorf("%s, %s, %s: ends with line %d, and says that none is missing: %q", b.Link.ID(), b.Job, b.State, last, b.Error)
	}
}

// log reads the log of a build.
func (p *place) log(b api.Build) (log []byte) {
	p.t.Helper()
	p.eventually("the log of "+b.Link.ID(), func() error {
		var err error
		log, err = p.read(http.MethodGet, "/logs/"+b.Link.ID())
		return err
	})
	return log
}
