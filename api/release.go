package api

import (
	"time"

	"landfall.dev/kit"
)

// Releases are versions of a project that may leave the house. The id is
// "project-version"; a release never changes but for its signature and notes
// of where it went.
var Releases = kit.Define[Release]("releases")

// Release is an image with a version, notes, and a signature.
type Release struct {
	kit.Meta
	Project string `json:"project"`
	Version string `json:"semver"` // semantic version without v; "version" is the envelope's
	Image   string `json:"image"`  // "ledger@sha256:..."
	Commit  string `json:"commit"`
	// Since is the commit of the release before; the notes start after it.
	Since string `json:"since,omitempty"`
	// Run, Node and Attempt are what made it, if a pipeline did.
	Run     kit.Link     `json:"run,omitempty"`
	Node    string       `json:"node,omitempty"`
	Attempt int          `json:"attempt,omitempty"`
	Notes   string       `json:"notes,omitempty"` // Markdown, made from the commits
	State   ReleaseState `json:"state"`
	// Target is the release's path in the signed metadata: "releases/ledger/2.0.0".
	Target string `json:"target,omitempty"`
	Error  string `json:"error,omitempty"`
}

// ReleaseState is where a Release is.
type ReleaseState string

// The states of a Release.
const (
	ReleaseDraft    ReleaseState = "draft"    // its notes are being made
	ReleaseUnsigned ReleaseState = "unsigned" // waits for a release manager's signature
	ReleaseSigned   ReleaseState = "signed"   // can be put on channels
	ReleaseFailed   ReleaseState = "failed"   // its notes could not be made, or its image has not passed where it must
)

// Channels are what environments out of the maker's control follow. The id
// is "project-name".
var Channels = kit.Define[Channel]("channels")

// Channel offers one release at a time.
type Channel struct {
	kit.Meta
	Project string    `json:"project"`
	Name    string    `json:"name"`
	Release kit.Link  `json:"release,omitempty"`
	History []Offered `json:"history,omitempty"`
	// Error says why the last promotion failed.
	Error string `json:"error,omitempty"`
}

// Offered is one promotion of a release to a channel.
type Offered struct {
	Release kit.Link  `json:"release"`
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Comment string    `json:"comment,omitempty"`
}

// PromoteArgs are the arguments of channels/ID:promote.
type PromoteArgs struct {
	Release kit.Link `json:"release"`
	Comment string   `json:"comment,omitempty"`
}

// TrustMetadata are the TUF metadata files of the hub's repository, by file
// name: "1.root.json", "timestamp.json". See the TUF specification 1.0.
var TrustMetadata = kit.Define[Metadata]("metadata")

// Metadata is one signed metadata file.
type Metadata struct {
	kit.Meta
	// Content is the file, byte for byte: the signatures cover it. It is text.
	Content string `json:"content"`
}

// TrustRole says how long the signatures of a role of the metadata hold, as GET
// /tuf/roles answers for each.
type TrustRole struct {
	Role    string    `json:"role"` // "root", "targets", "releases", "channels", "snapshot", "timestamp"
	Version int64     `json:"version"`
	Expires time.Time `json:"expires"`
	// Renew is when people should have signed it anew at the latest; zero for
	// the roles that the hub signs by itself.
	Renew time.Time `json:"renew,omitzero"`
}

// Due tells whether people should sign the role anew.
func (r TrustRole) Due(now time.Time) bool { return !r.Renew.IsZero() && now.After(r.Renew) }

// ReleaseTarget is the signed description of a release: the content of a TUF
// target, which an agent believes and nothing else.
type ReleaseTarget struct {
	Project string `json:"project"`
	Version string `json:"version"`
	Image   string `json:"image"` // repository@digest
	Commit  string `json:"commit"`
	Notes   string `json:"notes,omitempty"`
}

// ChannelTarget is the content of the TUF target "channels/PROJECT/NAME",
// signed by the hub's own key: it only chooses among signed releases.
type ChannelTarget struct {
	Project string `json:"project"`
	Version string `json:"version"`
	Target  string `json:"target"` // "releases/ledger/2.0.0"
}

// ReleasePath returns the path of the target of a release:
// "releases/ledger/2.0.0".
func ReleasePath(project, version string) string { return "releases/" + project + "/" + version }

// ChannelPath returns the path of the target of a channel:
// "channels/ledger/stable".
func ChannelPath(project, name string) string { return "channels/" + project + "/" + name }
