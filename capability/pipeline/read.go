package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"landfall.dev/api"
	"landfall.dev/capability/pipeline/plan"
	"landfall.dev/kit"
)

// draft evaluates the program with what it wants to know of the run's commit. An
// ErrInvalid is the fault of the program.
func (p planner) draft(ctx context.Context, run api.Run, in plan.Input) (plan.Result, error) {
	for {
		result, err := plan.Evaluate(ctx, in)
		var bad *plan.Error
		switch {
		case errors.As(err, &bad):
			return result, &kit.Error{Fault: kit.ErrInvalid, Err: bad}
		case err != nil:
			return plan.Result{}, err
		case result.Want == nil:
			return result, nil
		}
		if err := p.look(ctx, run, &in, *result.Want); err != nil {
			return plan.Result{}, err
		}
	}
}

// look adds what the program wants to know to its input.
func (p planner) look(ctx context.Context, run api.Run, in *plan.Input, want plan.Want) error {
	if in.Tree == nil {
		paths, err := p.paths(ctx, run)
		if err != nil {
			return err
		}
		in.Tree = &plan.Tree{Paths: paths, Texts: map[string]plan.Text{}}
	}
	if _, ok := slices.BinarySearch(in.Tree.Paths, want.File); !ok {
		return nil // it will be told so
	}
	text, err := p.text(ctx, run, want.File)
	in.Tree.Texts[want.File] = text
	return err
}

// maxPaths bounds the paths of a commit that a program looks at, in bytes.
const maxPaths = 4 << 20

func (p planner) paths(ctx context.Context, run api.Run) ([]string, error) {
	body, err := p.fetch(ctx, "/source/"+run.Project+"/paths/"+run.Commit)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, maxPaths+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxPaths {
		return nil, kit.Errorf(kit.ErrInvalid, api.Projects.Link(run.Project), "its paths have more than %d MB: its pipeline cannot use ctx.read, ctx.exists and ctx.glob", maxPaths>>20)
	}
	paths := strings.FieldsFunc(string(text), func(r rune) bool { return r == 0 })
	slices.Sort(paths)
	return paths, nil
}

// text returns what is in a file of the run's commit.
func (p planner) text(ctx context.Context, run api.Run, file string) (plan.Text, error) {
	body, err := p.fetch(ctx, "/source/"+run.Project+"/file/"+run.Commit+"/"+(&url.URL{Path: file}).EscapedPath())
	if errors.Is(err, kit.ErrInvalid) || errors.Is(err, kit.ErrNotFound) { // too large, or a submodule
		return plan.Text{Error: message(err)}, nil
	}
	if err != nil {
		return plan.Text{}, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, plan.MaxFile+1))
	switch {
	case err != nil:
		return plan.Text{}, err
	case len(b) > plan.MaxFile:
		return plan.Text{Error: fmt.Sprintf("%s has more than %d KB", file, plan.MaxFile>>10)}, nil
	case !utf8.Valid(b):
		return plan.Text{Error: file + " is no text in UTF-8"}, nil
	}
	return plan.Text{Text: string(b)}, nil
}
