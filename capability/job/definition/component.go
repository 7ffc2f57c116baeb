package definition

import "landfall.dev/capability/job/definition/yaml11"

// Dialect is one of the two languages that are called Jenkins Job Builder's.
type Dialect string

// The dialects. They differ in what is formatted, and when: a wrong one makes
// broken scripts.
const (
	// Modern is the language since version 6.1.
	Modern Dialect = "modern"
	// Classic is the language up to version 4.
	Classic Dialect = "classic"
)

// Options say how definitions are read. The zero value is the modern dialect.
type Options struct {
	Dialect Dialect
	// IncludePath lists folders that files are included from, before the folder
	// of the including file; nil means the root of the tree.
	IncludePath []string
	// Recursive reads all folders below the given ones too.
	Recursive bool
	// Exclude leaves out folders: by name anywhere, or by path if a pattern
	// has a slash.
	Exclude []string
	// AllowDuplicates lets the last of equal names win.
	AllowDuplicates bool
	// AllowEmptyVariables makes variables that are not defined empty.
	AllowEmptyVariables bool
	// RetainAnchors lets files use the anchors of files before them.
	RetainAnchors bool
	// KeepDescriptions leaves jobs without a description without one.
	KeepDescriptions bool
	// Strict makes errors of what the original is silent about: components
	// with two keys, unknown kinds of components, axes without values, and
	// fields that nothing uses.
	Strict bool
}

// Job is one job, or one view, after the expansion.
type Job struct {
	// Name is the full name, with its folder: "folder/name".
	Name string
	// Folder is the value of the key folder, empty if there is none.
	Folder string
	// Keys are all keys of the job as they are after the expansion, with
	// name and description, in no order that has a meaning. Lists of
	// components are here too, with the calls of macros as they were written.
	Keys yaml11.Map
	// Components are what the job is made of, after macros, by the key of
	// their list: builders, publishers, prebuilders, parameters, scm ...
	Components map[string][]Component
	// Origin says where the job comes from ("file:line"), outermost first:
	// the project, the group, the template; or only the job itself.
	Origin []string
	// At is where the project, or the job itself, asks for it.
	At yaml11.Position
	// Errs are what is wrong with its components. The rest of the job is as
	// it should be.
	Errs []*Error
}

// Component is one step, trigger, parameter or other part of a job that is no
// call of a macro.
type Component struct {
	// Kind is the list that it stands in: builders, publishers ...
	Kind string
	// Type is its name: shell, timed, string ...
	Type string
	// Args are its arguments; nil if it has none.
	Args *yaml11.Value
	// Children are the components that it runs itself, as conditional-step does.
	Children []Component
	// At is where it is written; Via are the calls of macros that brought it
	// there, outermost first: "in builder "m" (file:line:column), called at ...".
	At  yaml11.Position
	Via []string
}
