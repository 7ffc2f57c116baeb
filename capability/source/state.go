package source

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

var projectName = regexp.MustCompile(`^[a-z][a-z0-9._-]*$`)

// nextProject makes a new project's repository.
func nextProject(p api.Project, e kit.Event, _ time.Time) (api.Project, []kit.Op) {
	switch e.Name {
	case "created":
		if name := p.Link.ID(); !projectName.MatchString(name) || strings.HasSuffix(name, ".git") || strings.HasSuffix(name, ".lock") {
			return p, kit.Refuse(kit.ErrInvalid, "%q is no name of a project: use a to z, 0 to 9, dot, dash and underscore, starting with a letter", name)
		}
	case "push":
		return p, kit.Refuse(kit.ErrInvalid, "push with git: git push REMOTE HEAD:refs/for/main")
	}
	return p, nil
}

// nextLanding has the landing carried out once, and keeps what came of it.
func nextLanding(l api.Landing, e kit.Event, _ time.Time) (api.Landing, []kit.Op) {
	switch e.Name {
	case "created":
		l.State, l.NewCommit, l.Detail, l.Protected = api.LandingWanted, "", "", false
		return l, []kit.Op{kit.Call("land", "1", nil)}
	case "again":
		return again(l, e)
	case "land.done":
		var done landResult
		if err := e.Into(&done); err != nil {
			return l, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		l.State, l.NewCommit, l.Detail, l.Protected = done.State, done.NewCommit, done.Detail, done.Protected
	case "land.failed":
		var f struct {
			Error string `json:"error"`
		}
		_ = e.Into(&f)
		l.State, l.Detail = api.LandingConflict, f.Error
	}
	return l, nil
}

// again has a landing that met a conflict carried out once more, if it was
// wished for after that.
func again(l api.Landing, e kit.Event) (api.Landing, []kit.Op) {
	var a struct {
		At time.Time `json:"at"`
		By string    `json:"by"`
	}
	if err := e.Into(&a); err != nil {
		return l, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if l.State != api.LandingConflict || !l.Updated.Before(a.At) {
		return l, nil
	}
	l.State, l.Detail, l.By = api.LandingWanted, "", a.By
	return l, []kit.Op{kit.Call("land", "1", nil)}
}

// onProject has a project's repository made.
func onProject(p api.Project, _ time.Time) []kit.Op {
	return []kit.Op{kit.Call("init", p.Link.ID(), nil)}
}

// onRef has the repository brought in line with the document.
func onRef(r api.Ref, _ time.Time) []kit.Op {
	return []kit.Op{kit.Call("sync", r.Link.ID(), nil)}
}

// onChange has every patch set's commit marked in the repository, so that it
// can be fetched and is never collected.
func onChange(c api.Change, _ time.Time) []kit.Op {
	return []kit.Op{kit.Call("mark", c.Link.ID(), nil)}
}

// changeRef is the ref of a patch set, as Gerrit names it.
func changeRef(change string, patchSet int) string {
	last := change
	if len(last) > 2 {
		last = last[len(last)-2:]
	}
	return fmt.Sprintf("refs/changes/%02s/%s/%d", last, change, patchSet)
}
