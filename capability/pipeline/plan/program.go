package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"landfall.dev/api"
)

const (
	mainFile      = "pipeline.star"
	libraryPrefix = "@ci//"

	maxNodes   = 500
	maxPlan    = 400 << 10 // bytes of JSON; what becomes of it is kept in the same document
	maxLog     = 64 << 10  // bytes
	maxMessage = 4 << 10   // bytes of an error's message
)

// dialect leaves out while, recursion, and if and for at the top level.
var dialect = &syntax.FileOptions{Set: true}

// program is one evaluation.
type program struct {
	in      Input
	thread  *starlark.Thread
	names   starlark.StringDict            // what a program can use without a load
	modules map[string]starlark.StringDict // by name, as "@ci//lib.star"
	loading []string                       // the modules being loaded, outermost first
	log     strings.Builder
	logFull bool
	stopped bool // because of maxSteps
	want    *Want
}

// run evaluates in.Files["pipeline.star"]. It panics only because of a fault
// of this package.
func run(in Input) (r response) {
	p := newProgram(in)
	defer func() {
		if v := recover(); v != nil {
			if !isTooLarge(v) {
				panic(v)
			}
			r.Error = tooMuchMemory()
		}
		if p.want == nil { // else it is printed once more
			r.Log = p.log.String()
		}
	}()
	evaluate := p.plan
	if in.Expansion != nil {
		evaluate = p.expansion
	}
	plan, err := evaluate()
	if p.want != nil {
		r.Want = p.want
		return r
	}
	if err != nil {
		r.Error = p.explain(err)
		r.Error.Message = shorten(r.Error.Message)
		return r
	}
	r.Plan = plan
	r.Plan.Read = p.reads()
	return r
}

// isTooLarge tells whether v is the panic of an allocation that is larger than
// any memory, as in list(range(1 << 62)).
func isTooLarge(v any) bool {
	err, ok := v.(runtime.Error)
	return ok && (strings.Contains(err.Error(), "makeslice") || strings.Contains(err.Error(), "growslice"))
}

func newProgram(in Input) *program {
	p := &program{in: in, modules: map[string]starlark.StringDict{}}
	p.thread = &starlark.Thread{Name: mainFile, Print: p.print, Load: p.load}
	p.thread.SetMaxExecutionSteps(maxSteps)
	p.thread.OnMaxSteps = func(t *starlark.Thread) {
		p.stopped = true
		t.Cancel("too many steps")
	}
	p.names = p.builtins()
	return p
}

// plan runs main and makes the graph of what it returns.
func (p *program) plan() (api.Plan, error) {
	if _, ok := p.in.Files[mainFile]; !ok {
		return api.Plan{}, &Error{File: mainFile, Message: "the project has no " + mainFile}
	}
	globals, err := p.exec(mainFile, p.in.Files[mainFile])
	if err != nil {
		return api.Plan{}, err
	}
	main, ok := globals["main"].(*starlark.Function)
	if !ok {
		return api.Plan{}, &Error{File: mainFile, Message: mainFile + " has no function main: write def main(ctx) that returns a list of nodes"}
	}
	v, err := starlark.Call(p.thread, main, starlark.Tuple{p.context()}, nil)
	if err != nil {
		return api.Plan{}, err
	}
	return p.finish(v, main, nil)
}

// finish makes the graph of what fn returned.
func (p *program) finish(v starlark.Value, fn *starlark.Function, before *Expansion) (api.Plan, error) {
	switch v.(type) {
	case *starlark.List, starlark.Tuple:
	default:
		return api.Plan{}, errorAt(fn.Position(), "%s returned %s; return a list of nodes and stages", fn.Name(), typeOf(v))
	}
	plan, err := makePlan(v, fn.Name()+"'s list", fn.Position(), before)
	if err != nil {
		return api.Plan{}, err
	}
	whole := api.Plan{
		Nodes:  slices.Concat(before.plan().Nodes, plan.Nodes),
		Blocks: slices.Concat(before.plan().Blocks, plan.Blocks),
	}
	if text, err := json.Marshal(whole); err != nil {
		return api.Plan{}, err
	} else if len(text) > maxPlan {
		return api.Plan{}, errorAt(fn.Position(), "the plan has %d KB; at most %d KB are allowed", len(text)>>10, maxPlan>>10)
	}
	return plan, nil
}

// load finds the module that a load statement names.
func (p *program) load(_ *starlark.Thread, path string) (starlark.StringDict, error) {
	return p.module(path, p.loading[len(p.loading)-1])
}

// module returns what the module that from calls path defines. Each is executed
// once.
func (p *program) module(path, from string) (starlark.StringDict, error) {
	name, text, err := p.find(path, from)
	if err != nil {
		return nil, err
	}
	if globals, ok := p.modules[name]; ok {
		return globals, nil
	}
	if slices.Contains(p.loading, name) {
		return nil, fmt.Errorf("load cycle: %s", strings.Join(append(p.loading, name), " → "))
	}
	globals, err := p.exec(name, text)
	if err != nil {
		return nil, p.explain(err)
	}
	p.modules[name] = globals
	return globals, nil
}

// find returns the full name and the text of the module that the module from
// calls path.
func (p *program) find(path, from string) (name, text string, err error) {
	files, prefix, owner := p.in.Files, "", "the project"
	inner, library := strings.CutPrefix(path, libraryPrefix)
	if library || strings.HasPrefix(from, libraryPrefix) {
		files, prefix, owner = p.in.Library, libraryPrefix, "the library"
	}
	text, ok := files[inner]
	if !ok {
		return "", "", fmt.Errorf("%s has no file %s%s", owner, inner, Suggest(inner, slices.Collect(maps.Keys(files))))
	}
	return prefix + inner, text, nil
}

func (p *program) exec(name, text string) (starlark.StringDict, error) {
	p.loading = append(p.loading, name)
	defer func() { p.loading = p.loading[:len(p.loading)-1] }()
	return starlark.ExecFileOptions(dialect, p.thread, name, text, p.names)
}

func (p *program) print(_ *starlark.Thread, text string) {
	const dropped = "(the rest was dropped: the log has a limit of 64 KB)\n"
	switch {
	case p.logFull:
	case p.log.Len()+len(text)+1 > maxLog-len(dropped):
		p.logFull = true
		fits := text[:maxLog-len(dropped)-p.log.Len()-1]
		p.log.WriteString(strings.ToValidUTF8(fits, "") + "\n" + dropped)
	default:
		p.log.WriteString(text + "\n")
	}
}

// explain says where in the program err comes from.
func (p *program) explain(err error) *Error {
	var known *Error
	var inSyntax syntax.Error
	var inNames resolve.ErrorList
	var atRun *starlark.EvalError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &inSyntax):
		return errorAt(inSyntax.Pos, "%s", inSyntax.Msg)
	case errors.As(err, &inNames):
		return errorAt(inNames[0].Pos, "%s", p.guess(inNames[0].Msg))
	case errors.As(err, &atRun):
		return p.trace(atRun)
	}
	return &Error{File: mainFile, Message: mainFile + ": " + err.Error()}
}

// trace turns the call stack of err into the place of the innermost call in
// Starlark and the calls that led there.
func (p *program) trace(err *starlark.EvalError) *Error {
	var calls []starlark.CallFrame
	for _, call := range err.CallStack {
		if call.Pos.Line > 0 { // not a function written in Go
			calls = append(calls, call)
		}
	}
	message := err.Msg
	if p.stopped {
		message = fmt.Sprintf("%s took more than %d steps; is there a loop that is too long?", mainFile, maxSteps)
	}
	if len(calls) == 0 {
		return &Error{File: mainFile, Message: mainFile + ": " + message}
	}
	e := errorAt(calls[len(calls)-1].Pos, "%s", message)
	innermost := err.CallStack.At(0)
	e.Refused = innermost.Name == "fail" && innermost.Pos.Line == 0 // Starlark's own
	for _, call := range calls[:len(calls)-1] {
		e.Trace = append(e.Trace, fmt.Sprintf("%s in %s", call.Pos, call.Name))
	}
	return e
}

// guess adds what was probably meant to the message about an unknown name.
func (p *program) guess(message string) string {
	if name, unknown := strings.CutPrefix(message, "undefined: "); unknown {
		return message + Suggest(name, p.names.Keys())
	}
	return message
}

func errorAt(pos syntax.Position, format string, args ...any) *Error {
	return &Error{
		File:    pos.Filename(),
		Line:    int(pos.Line),
		Column:  int(pos.Col),
		Message: fmt.Sprintf(format, args...),
	}
}

func shorten(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage], "") + " …"
}
