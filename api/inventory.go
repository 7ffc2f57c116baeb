package api

import (
	"strings"
	"time"

	"landfall.dev/kit"
)

// Inventories are what builds and images contain. The id is the build's, or
// that of a bill of materials which somebody has attached to an image.
var Inventories = kit.Define[Inventory]("inventories", kit.Index("project"))

// Inventory is the dependencies of a build or an image, and the policy's verdict
// on them. Its lists begin with what the policy minds, and end; all is in Files.
type Inventory struct {
	kit.Meta
	Project  string   `json:"project"`
	Job      string   `json:"job,omitempty"`
	Commit   string   `json:"commit,omitempty"`
	Change   kit.Link `json:"change,omitempty"` // empty for what has landed
	PatchSet int      `json:"patchSet,omitempty"`
	Image    string   `json:"image,omitempty"` // "ledger@sha256:...", if that is known
	// Run and Node are what ordered the build, if a pipeline did.
	Run  kit.Link `json:"run,omitempty"`
	Node string   `json:"node,omitempty"`
	// Files are as their tools wrote them.
	Files []ReportFile `json:"files"`

	State InventoryState `json:"state"`
	Again bool           `json:"again,omitempty"` // it is to be judged once more as soon as it has been
	Error string         `json:"error,omitempty"` // why it could not be judged

	Rules      PolicyRules `json:"rules"` // that it was judged by
	Conditions []Condition `json:"conditions,omitempty"`
	// Components is how many there are, List the first of them.
	Components int            `json:"components"`
	List       []Component    `json:"list,omitempty"`
	Licences   []LicenceCount `json:"licences,omitempty"` // the most frequent first
	// Known is how many vulnerabilities of the components are known, but for
	// ignored ones, Vulnerabilities the first of them, the worst in front.
	Known           int             `json:"known"`
	Vulnerabilities []Vulnerability `json:"vulnerabilities,omitempty"`
	// Since is the project's inventory before it, of the same job, and Fresh what
	// was not in there. Both are empty for the first.
	Since  kit.Link  `json:"since,omitempty"`
	Fresh  *Fresh    `json:"fresh,omitempty"`
	Judged time.Time `json:"judged,omitzero"`
}

// InventoryState is where an Inventory is.
type InventoryState string

// The states of an Inventory.
const (
	InventoryJudging InventoryState = "judging" // its files are being read
	InventoryPassed  InventoryState = "passed"  // the policy allows all of it
	InventoryReview  InventoryState = "review"  // the policy wants a person to decide about some of it
	InventoryDenied  InventoryState = "denied"  // the policy denies some of it
	InventoryError   InventoryState = "error"   // it could not be judged
)

// Component is a dependency.
type Component struct {
	// PURL is its package URL (github.com/package-url/purl-spec) with the version
	// and without qualifiers; empty if the bill of materials has none.
	PURL    string `json:"purl,omitempty"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	// Licences are SPDX expressions, or names where the tool knows no
	// identifier; all of them hold.
	Licences []string `json:"licences,omitempty"`
	// Ruling is the policy's, and Reason which of its rules it comes from.
	Ruling Ruling `json:"ruling,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// LicenceCount is how many components have a licence.
type LicenceCount struct {
	Licence string `json:"licence"` // empty: none is known
	Count   int    `json:"count"`
	Ruling  Ruling `json:"ruling"`
}

// Vulnerability is one that is known of a component.
type Vulnerability struct {
	ID        string   `json:"id"`
	Aliases   []string `json:"aliases,omitempty"`
	Severity  Severity `json:"severity"`
	Component string   `json:"component"` // its package URL, or name and version
	Summary   string   `json:"summary,omitempty"`
	Fixed     string   `json:"fixed,omitempty"` // the first version without it, if there is one
	Source    string   `json:"source"`          // the report or the database that it is known from
	Ruling    Ruling   `json:"ruling,omitempty"`
}

// Severity is how bad a vulnerability is.
type Severity string

// The severities. What nobody has said counts as high.
const (
	SeverityUnknown  Severity = "unknown"
	SeverityLow      Severity = "low"
	SeverityMedium   Severity = "medium"
	SeverityHigh     Severity = "high"
	SeverityCritical Severity = "critical"
)

// Fresh is what an Inventory has and the one before it had not. Packages are
// those of which no version was there.
type Fresh struct {
	Packages        []string `json:"packages,omitempty"`
	Licences        []string `json:"licences,omitempty"`
	Vulnerabilities []string `json:"vulnerabilities,omitempty"` // "GO-2024-1234 in pkg:golang/..."
}

// Ruling is what a policy says of something.
type Ruling string

// The rulings.
const (
	Allow  Ruling = "allow"
	Review Ruling = "review" // a person is to decide, by a rule of its own
	Deny   Ruling = "deny"
)

// Policies say what projects may contain, one for each, whose name is the id.
// A project without one may contain anything.
var Policies = kit.Define[Policy]("policies")

// Policy is the rules of a project.
type Policy struct {
	kit.Meta
	PolicyRules
}

// PolicyRules say which dependencies there may be.
type PolicyRules struct {
	// Required tells that an image without an inventory is not released.
	Required bool         `json:"required,omitempty"`
	Licences LicenceRules `json:"licences,omitzero"`
	// Packages are exceptions for components, whatever their licence; the first
	// that fits holds.
	Packages        []PackageRule      `json:"packages,omitempty"`
	Vulnerabilities VulnerabilityRules `json:"vulnerabilities,omitzero"`
}

// LicenceRules are about licences by their SPDX identifiers, or names. A * in
// a rule stands for any text, case does not matter, a rule without * goes before
// one with it, and among these the stricter holds. Of "A OR B" the better
// ruling holds, of "A AND B" the worse; "A WITH E" is ruled as a whole if a rule
// names it, or else as A.
type LicenceRules struct {
	Allow  []string `json:"allow,omitempty"`
	Review []string `json:"review,omitempty"`
	Deny   []string `json:"deny,omitempty"`
	// Others is for licences that no rule names, Missing for components of which
	// none is known; empty means allow.
	Others  Ruling `json:"others,omitempty"`
	Missing Ruling `json:"missing,omitempty"`
}

// PackageRule is about components by their package URL.
type PackageRule struct {
	// Package is a package URL without qualifiers, with or without a version; *
	// stands for any text: "pkg:npm/%40acme/*", "pkg:golang/example.com/a@v1.2.3".
	Package string `json:"package"`
	Ruling  Ruling `json:"ruling"`
	Reason  string `json:"reason,omitempty"`
}

// VulnerabilityRules are about vulnerabilities by their severity.
type VulnerabilityRules struct {
	// Review and Deny are the lowest severities that are reviewed and denied;
	// empty means none is.
	Review Severity  `json:"review,omitempty"`
	Deny   Severity  `json:"deny,omitempty"`
	Ignore []Ignored `json:"ignore,omitempty"`
}

// Ignored is a vulnerability that does not count, as the code that has it is
// never reached.
type Ignored struct {
	ID     string    `json:"id"` // or an alias
	Reason string    `json:"reason"`
	Until  time.Time `json:"until,omitzero"`
}

// Advisories are databases of known vulnerabilities, one for each ecosystem. The
// id is AdvisoriesID's.
var Advisories = kit.Define[AdvisoryBase]("advisories")

// AdvisoryBase is what is known of the packages of an ecosystem.
type AdvisoryBase struct {
	kit.Meta
	Ecosystem string     `json:"ecosystem"` // as OSV names it: "Go", "npm", "Debian"
	Digest    kit.Digest `json:"digest"`    // of a file that landfall inventory import-osv makes
	Size      int64      `json:"size"`
	Records   int        `json:"records"`
	Modified  time.Time  `json:"modified,omitzero"` // the latest record was
	Error     string     `json:"error,omitempty"`   // why inventories could not be judged by it
}

// AdvisoriesID returns the id of the database of an ecosystem.
func AdvisoriesID(ecosystem string) string {
	return strings.ToLower(strings.ReplaceAll(ecosystem, " ", "-"))
}
