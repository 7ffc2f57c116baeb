// Package source keeps projects' code: bare Git repositories, served to the
// real git over HTTP, and the rules for pushing to them.
//
// It owns projects, refs, pushes and landings. A push for review becomes a
// Push document; a push to an unprotected branch moves its Ref, and so does the
// first push to a protected one by somebody who may change the project. It watches
// changes, for each of whose patch sets it makes refs/changes/NN/N/PS. The
// Ref document is the truth, which the repository follows: whatever a crash
// interrupts is brought in line by the reaction to the document. A branch that
// is deleted has a Ref without a commit until the repository has followed. It never
// judges a change; it moves a branch only for a Landing.
//
//	landing: wanted ──▶ landed     the branch stood at the commit's parent, and moved
//	            ├─────▶ rebased    it was not: a rebased commit was made, as a Push
//	            └─────▶ conflict   it does not apply, or stands on what has not landed;
//	                               wanted again if it is submitted again
package source

import (
	"log/slog"
	"net/http"

	"landfall.dev/api"
	"landfall.dev/capability/source/git"
	"landfall.dev/kit"
)

// Service declares all that source may touch; c acts as services/source. Base
// is the hub's address, for links in what git shows.
func Service(c kit.Client, repositories *git.Store, base string, log *slog.Logger) kit.Service {
	s := source{client: c, git: repositories, base: base, log: log}
	smart := git.Handler(git.Server{Open: s.open, Judge: s.judge, Log: log})
	return kit.Service{
		Name: "source",
		Owns: []kit.Owned{
			kit.Own(api.Projects, nextProject, "push"),
			kit.Own[api.Ref](api.Refs, nil),
			kit.Own[api.Push](api.Pushes, nil),
			kit.Own(api.Landings, nextLanding),
		},
		Watches: []kit.Reaction{
			kit.On(api.Projects, onProject),
			kit.On(api.Refs, onRef),
			kit.On(api.Changes, onChange),
		},
		Reads: []string{api.Users.Name},
		Does:  kit.Does{"init": s.init, "sync": s.sync, "mark": s.mark, "land": s.land},
		Serves: []kit.Route{
			{Pattern: "/git/", Handler: http.StripPrefix("/git", smart)},
			{Pattern: "GET /tools/hooks/commit-msg", Handler: http.HandlerFunc(commitMsg), Anonymous: true},
			{Pattern: "POST /source/{project}/import", Handler: handle(s.importTar)},
			{Pattern: "GET /source/{project}/archive/{commit}", Handler: handle(s.archive)},
			{Pattern: "GET /source/{project}/file/{commit}/{path...}", Handler: handle(s.file)},
			{Pattern: "GET /source/{project}/diff/{range}", Handler: handle(s.diff)},
			{Pattern: "GET /source/{project}/log/{range}", Handler: handle(s.commits)},
			{Pattern: "GET /source/{project}/changed/{commit}", Handler: handle(s.changed)},
			{Pattern: "GET /source/{project}/paths/{commit}", Handler: handle(s.paths)},
		},
	}
}

// source carries out what its documents wish for.
type source struct {
	client kit.Client
	git    *git.Store
	base   string
	log    *slog.Logger
}

func commitMsg(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/x-shellscript")
	_, _ = w.Write([]byte(git.CommitMsgHook()))
}
