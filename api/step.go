package api

import "slices"

// Result is how a build stands while it runs, in the words of Jenkins, which
// job definitions use.
type Result string

// The results of a build, the best first.
const (
	ResultSuccess  Result = "SUCCESS"
	ResultUnstable Result = "UNSTABLE" // it ran, but what it found is not good enough
	ResultFailure  Result = "FAILURE"
	ResultAborted  Result = "ABORTED" // somebody ended it, or its time was up
)

// Rank counts from the best result to the worst; a build that has none yet is
// before all.
func (r Result) Rank() int {
	return slices.Index([]Result{"", ResultSuccess, ResultUnstable, ResultFailure, ResultAborted}, r)
}

// Outcome is the result of a build that has ended, also of one whose steps did
// not come to an end.
func (b Build) Outcome() Result {
	switch {
	case b.State == BuildPassed:
		return ResultSuccess
	case b.State == BuildCancelled:
		return ResultAborted
	case b.Result == "" || b.Result == ResultSuccess:
		return ResultFailure
	}
	return b.Result
}

// Step is one thing that a build does. Exactly one of its pointers is set.
// Steps run in order; the first that fails ends the build.
type Step struct {
	Shell  *ShellStep  `json:"shell,omitempty"`
	If     *IfStep     `json:"if,omitempty"`
	Inject *InjectStep `json:"inject,omitempty"`
	Copy   *CopyStep   `json:"copy,omitempty"`
	Call   *CallStep   `json:"call,omitempty"`
	File   *FileStep   `json:"file,omitempty"`
}

// ShellStep is a script, run as a process of its own in the workspace.
type ShellStep struct {
	// Script is run by the interpreter that its first line names ("#!"), else
	// by "sh -xe".
	Script string `json:"script"`
	// UnstableExit is the exit code that makes the build unstable instead of
	// ending it; 0 means none.
	UnstableExit int `json:"unstableExit,omitempty"`
}

// IfStep runs Steps if the condition holds.
type IfStep struct {
	Condition StepCondition `json:"condition"`
	// OnError says what happens if the condition cannot be evaluated, because
	// it names a variable that is not set, say.
	OnError OnError `json:"onError,omitempty"`
	Steps   []Step  `json:"steps"`
}

// OnError says what happens to an IfStep whose condition cannot be evaluated.
type OnError string

// The ways to go on without an answer. Empty means OnErrorFail.
const (
	OnErrorFail        OnError = "fail"                  // the build fails
	OnErrorUnstable    OnError = "mark-unstable"         // the steps are left out
	OnErrorRunUnstable OnError = "run-and-mark-unstable" // the steps are run
	OnErrorRun         OnError = "run"
	OnErrorSkip        OnError = "dont-run"
)

// ConditionType says what a StepCondition looks at.
type ConditionType string

// What a StepCondition can be. In texts, $NAME and ${NAME} stand for variables,
// ${NAME-} for one that may not be set.
const (
	ConditionAlways  ConditionType = "always"
	ConditionNever   ConditionType = "never"
	ConditionBoolean ConditionType = "boolean" // A is true, yes, on, run, t, y or 1, in any case
	ConditionEqual   ConditionType = "equal"   // A is B
	ConditionMatch   ConditionType = "match"   // the extended regular expression B (POSIX) matches all of A
	ConditionFile    ConditionType = "file"    // the file A is in the workspace
	ConditionShell   ConditionType = "shell"   // the script A exits with 0
	ConditionStatus  ConditionType = "status"  // the result is not worse than A and not better than B
	ConditionNot     ConditionType = "not"     // Of[0] does not hold
	ConditionAnd     ConditionType = "and"     // all of Of hold
	ConditionOr      ConditionType = "or"      // one of Of holds
)

// StepCondition is evaluated in the build, at its place among the steps.
type StepCondition struct {
	Type ConditionType `json:"type"`
	A    string        `json:"a,omitempty"`
	B    string        `json:"b,omitempty"`
	// FoldCase makes equal and match ignore the case of letters.
	FoldCase bool            `json:"foldCase,omitempty"`
	Of       []StepCondition `json:"of,omitempty"`
}

// InjectStep adds variables to the environment of the steps that follow:
// first those of File, then those of Content. Both are lines "NAME=value" as
// Jenkins reads them: # begins a comment, \ at its end joins a line with the
// next, and variables in a value are replaced.
type InjectStep struct {
	File    string `json:"file,omitempty"` // in the workspace; it must be there
	Content string `json:"content,omitempty"`
}

// FileStep puts a file where the steps that follow find it: one that is kept
// with the definitions, in jobs/files, or else a secret of the project.
type FileStep struct {
	Name string `json:"name"`
	// Content is what is kept with the definitions; Secret says that it is the
	// part "value" of the secret of that name instead.
	Content string `json:"content,omitempty"`
	Secret  bool   `json:"secret,omitempty"`
	// Variable gets the path of the file. Target is where it is put, in the
	// workspace if the path is not absolute; empty is outside of the sources.
	Variable string `json:"variable,omitempty"`
	Target   string `json:"target,omitempty"`
	At       string `json:"at,omitempty"` // "file:line"
}

// CopyStep puts artifacts that another build of the same project has kept
// into the workspace. The runner fetches them before the build begins.
type CopyStep struct {
	Job string `json:"job"`
	// Build is the id of the build; empty means the last one that passed, "*"
	// the last one that ended.
	Build   string   `json:"build,omitempty"`
	Files   []string `json:"files,omitempty"`   // patterns as in JobSpec.Artifacts; none means all
	Exclude []string `json:"exclude,omitempty"` // patterns of what is left out
	Target  string   `json:"target,omitempty"`  // folder in the workspace
	// Flat drops the folders of the artifacts.
	Flat bool `json:"flat,omitempty"`
	// Optional goes on if there is no such build or no such file.
	Optional bool `json:"optional,omitempty"`
}

// After are steps for the time after the others, whatever became of them. They
// see the variables that were injected before.
type After struct {
	// On are the results that the steps are for; none means all.
	On []Result `json:"on,omitempty"`
	// Log are regular expressions, of which one must match a line of the log;
	// none means that the log does not matter. These run in a container of
	// their own, on the same workspace, because only now the log is whole.
	Log []string `json:"log,omitempty"`
	// LogAll means that all of Log must match, each some line.
	LogAll bool   `json:"logAll,omitempty"`
	Steps  []Step `json:"steps"`
	// Ignore leaves the build's result alone when a step fails; else it is
	// failed, or unstable if Unstable is set.
	Ignore   bool `json:"ignore,omitempty"`
	Unstable bool `json:"unstable,omitempty"`
}

// Parameter is a variable that whoever starts a build may set.
type Parameter struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Default     string   `json:"default,omitempty"`
	Choices     []string `json:"choices,omitempty"` // the only values; the first is the default
	// Secret values are masked in the log.
	Secret bool `json:"secret,omitempty"`
	// Random has each build have another value, if it is given none.
	Random bool `json:"random,omitempty"`
}

// Describe is the description that a build gets when it has ended: Text, in
// which variables are replaced and \1 stands for the first group of Pattern in
// the first line of the log that matches. Without a match there is none; without
// a text it is that group, or all that matches if there are no groups.
type Describe struct {
	Pattern string `json:"pattern,omitempty"`
	Text    string `json:"text,omitempty"`
}

// Trigger says what starts a job by itself, in a project without a
// pipeline.star.
type Trigger struct {
	Type string `json:"type"` // "gerrit", "pollscm", "reverse"
	// On are what the definition names: events, or for "reverse" jobs.
	On     []string          `json:"on,omitempty"`
	Fields map[string]string `json:"fields,omitempty"`
	// Events are those of a run that it is about, "patchset-created" and "merged",
	// if one of Sources fits.
	Events  []string        `json:"events,omitempty"`
	Sources []TriggerSource `json:"sources,omitempty"`
	// Silent lets the job's failure not fail the run.
	Silent bool `json:"silent,omitempty"`
	// After are jobs that are built first, if the same event starts them.
	After []string `json:"after,omitempty"`
}

// TriggerSource is where something happens that starts a job: all are regular
// expressions for whole names; empty means any.
type TriggerSource struct {
	Project  string   `json:"project,omitempty"`
	Branches []string `json:"branches,omitempty"`
	// Files are those of which one must have changed, Except those of which none.
	Files  []string `json:"files,omitempty"`
	Except []string `json:"except,omitempty"`
}

// Downstream are jobs of the same project that are built when this one has
// ended, at the same commit.
type Downstream struct {
	Jobs []string `json:"jobs"`         // variables are replaced in them
	On   []Result `json:"on,omitempty"` // none means all
	Pass
}

// Pass says which parameters a build hands to one that it starts; the later
// win.
type Pass struct {
	// Current hands on all that it was given itself.
	Current bool `json:"current,omitempty"`
	// File is one of properties in the workspace; what is not there is passed
	// over, unless it is needed.
	File       string `json:"file,omitempty"`
	FileNeeded bool   `json:"fileNeeded,omitempty"`
	// Params are further ones; variables are replaced in their values.
	Params map[string]string `json:"params,omitempty"`
}

// Called are jobs that are given the same parameters.
type Called struct {
	Jobs []string `json:"jobs"` // variables are replaced in them
	Pass
}

// All are all jobs that s starts, in order.
func (s CallStep) All() []Called { return append([]Called{s.Called}, s.And...) }

// CallStep starts builds of other jobs of the same project, at the same commit.
// The step after it runs in a new container on the same workspace.
type CallStep struct {
	Called
	// And are further ones that are started at the same time.
	And []Called `json:"and,omitempty"`
	// Wait waits until all have ended. A result that is as bad as one of these,
	// or worse, makes the step fail, or the build failed or unstable when it goes
	// on; empty means never.
	Wait      bool   `json:"wait,omitempty"`
	StepFails Result `json:"stepFails,omitempty"`
	Fails     Result `json:"fails,omitempty"`
	Unstable  Result `json:"unstable,omitempty"`
}

// MissingPart is a part of a job's definition that is not carried out.
type MissingPart struct {
	Component string `json:"component"` // "publishers: email"
	Reason    string `json:"reason"`
	At        string `json:"at,omitempty"` // "file:line"
	// Needed tells that no build can do without it.
	Needed bool `json:"needed,omitempty"`
}
