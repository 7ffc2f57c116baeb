package api

import (
	"time"

	"landfall.dev/kit"
)

// ReportPatterns are glob patterns (path.Match per segment, ** for any depth)
// of the reports that a job's steps write, by what they are.
type ReportPatterns struct {
	JUnit    []string `json:"junit,omitempty"`    // JUnit's XML, TAP, Robot Framework's output.xml
	Coverage []string `json:"coverage,omitempty"` // Go's coverprofile, Cobertura, JaCoCo, LCOV
	SARIF    []string `json:"sarif,omitempty"`    // SARIF, or the XML of Checkstyle, PMD, FindBugs
	// CycloneDX are bills of materials in JSON, OSV the JSON of osv-scanner.
	CycloneDX []string `json:"cyclonedx,omitempty"`
	OSV       []string `json:"osv,omitempty"`
	// Sonar are the report-task.txt that a SonarQube scanner writes.
	Sonar []string `json:"sonar,omitempty"`
}

// ReportKind says what is in a report file.
type ReportKind string

// The kinds of report files.
const (
	ReportJUnit     ReportKind = "junit"
	ReportCoverage  ReportKind = "coverage"
	ReportSARIF     ReportKind = "sarif"
	ReportSonar     ReportKind = "sonar"
	ReportCycloneDX ReportKind = "cyclonedx"
	ReportOSV       ReportKind = "osv"
)

// OfInventory tells whether reports of the kind are about dependencies: they
// come to an Inventory, all others to a Report.
func (k ReportKind) OfInventory() bool { return k == ReportCycloneDX || k == ReportOSV }

// ReportFile is a report that a build kept.
type ReportFile struct {
	Kind   ReportKind `json:"kind"`
	Path   string     `json:"path"`
	Digest kit.Digest `json:"digest,omitempty"`
	Size   int64      `json:"size,omitempty"`
	// Error says why it was not kept; Path may then be a pattern.
	Error string `json:"error,omitempty"`
}

// MaxReport is the size limit of a report file, in bytes.
const MaxReport = 10 << 20

// Gates are the rules that projects' reports are judged by, one for each
// project, whose name is the id. A project without one has DefaultGate.
var Gates = kit.Define[Gate]("gates")

// Gate is the rules of a project.
type Gate struct {
	kit.Meta
	GateRules
}

// GateRules say what a patch must keep to. They are about the lines that it
// adds, but for tests: no test may fail.
type GateRules struct {
	// NewIssues is how many findings there may be on added lines.
	NewIssues int `json:"newIssues"`
	// Level is the lowest that counts as an issue: note, warning or error; empty
	// means note.
	Level string `json:"level,omitempty"`
	// NewCoverage is how many percent of the added lines that can be covered
	// must be; 0 means that it does not matter.
	NewCoverage int `json:"newCoverage"`
	// NewDuplication is how many percent of the added lines may be in blocks that
	// the sources have twice; 0 means that it does not matter.
	NewDuplication int `json:"newDuplication,omitempty"`
	// MinimumLines is how many added lines there must be for these to be judged.
	MinimumLines int `json:"minimumLines"`
	// Sonar is the key of the project on the hub's SonarQube server whose gate
	// must pass too, for builds that keep what its scanner leaves behind.
	Sonar string `json:"sonar,omitempty"`
	// Quarantine is how many times in a row a flaky test must pass until its
	// failures count again; 0 means that they always count.
	Quarantine int `json:"quarantine"`
}

// DefaultGate is that of a project without a Gate.
var DefaultGate = GateRules{NewCoverage: 80, NewDuplication: 3, MinimumLines: 20, Quarantine: 5}

// Reports are what builds' reports come to. The id is the build's.
var Reports = kit.Define[Report]("reports", kit.Index("project"))

// Report is the verdict on the reports of a build.
type Report struct {
	kit.Meta
	Project  string   `json:"project"`
	Job      string   `json:"job"`
	Commit   string   `json:"commit"`
	Change   kit.Link `json:"change,omitempty"`
	PatchSet int      `json:"patchSet,omitempty"`
	// Run and Node are what ordered the build, if a pipeline did.
	Run  kit.Link `json:"run,omitempty"`
	Node string   `json:"node,omitempty"`

	State ReportState `json:"state"`
	// Error says why it could not be judged.
	Error string `json:"error,omitempty"`
	// Parent is the commit that the added lines are a difference to; empty for a
	// project's first, and if it is not known which lines are new.
	Parent      string             `json:"parent,omitempty"`
	Rules       GateRules          `json:"rules"` // that it was judged by
	Conditions  []Condition        `json:"conditions,omitempty"`
	Tests       *TestsReport       `json:"tests,omitempty"`
	Coverage    *CoverageReport    `json:"coverage,omitempty"`
	Findings    *FindingsReport    `json:"findings,omitempty"`
	Duplication *DuplicationReport `json:"duplication,omitempty"`
	Judged      time.Time          `json:"judged,omitzero"`
}

// ReportState is where a Report is.
type ReportState string

// The states of a Report.
const (
	ReportJudging ReportState = "judging" // its files are being read
	ReportPassed  ReportState = "passed"  // no condition failed
	ReportFailed  ReportState = "failed"  // one did
	ReportError   ReportState = "error"   // it could not be judged
)

// Condition is the verdict on one part of a Report.
type Condition struct {
	Name  string          `json:"name"` // reports, tests, coverage, duplication, issues, sonar; components, vulnerabilities
	State ConditionResult `json:"state"`
	Text  string          `json:"text"` // for people
}

// ConditionResult is a verdict.
type ConditionResult string

// The verdicts on a condition.
const (
	ConditionPassed   ConditionResult = "passed"
	ConditionFailed   ConditionResult = "failed"
	ConditionReview   ConditionResult = "review"   // a person is to decide; of inventories
	ConditionUnjudged ConditionResult = "unjudged" // the text says why
)

// TestsReport is what the tests of a build came to.
type TestsReport struct {
	Passed  int     `json:"passed"`
	Failed  int     `json:"failed"` // with those in quarantine
	Skipped int     `json:"skipped"`
	Seconds float64 `json:"seconds"`
	// Quarantined is how many of the failed are of flaky tests that do not count.
	Quarantined int           `json:"quarantined,omitempty"`
	Failures    []TestFailure `json:"failures,omitempty"` // the first of them
	Slowest     []TestTime    `json:"slowest,omitempty"`
}

// TestFailure is a test that failed.
type TestFailure struct {
	Name        string `json:"name"`
	Message     string `json:"message,omitempty"` // its first line
	Quarantined bool   `json:"quarantined,omitempty"`
}

// TestTime is how long a test took.
type TestTime struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// CoverageReport is which lines the tests of a build came through.
type CoverageReport struct {
	Lines      int `json:"lines"` // that can be covered
	Covered    int `json:"covered"`
	NewLines   int `json:"newLines"` // of them, those that the patch adds
	NewCovered int `json:"newCovered"`
	// Missed are added lines that were not covered, of the first files.
	Missed []MissedLines `json:"missed,omitempty"`
}

// MissedLines are lines of a file.
type MissedLines struct {
	File  string `json:"file"`
	Lines string `json:"lines"` // "3-7, 9"
}

// DuplicationReport is which added lines the sources of programs have twice.
type DuplicationReport struct {
	NewLines   int           `json:"newLines"` // without comments, imports and the like
	Duplicated int           `json:"duplicated"`
	List       []MissedLines `json:"list,omitempty"` // of the first files
}

// FindingsReport is what analysis has found.
type FindingsReport struct {
	Total int       `json:"total"`           // everywhere
	New   int       `json:"new"`             // on added lines, of the gate's level or higher
	Moved int       `json:"moved,omitempty"` // on added lines too, but had been there before
	List  []Finding `json:"list,omitempty"`  // the first of the new
}

// Finding is something that an analyser has found.
type Finding struct {
	Tool    string `json:"tool,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Level   string `json:"level"` // note, warning, error
	File    string `json:"file"`
	Line    int    `json:"line"`
	Message string `json:"message"`
	// Fingerprint is what the analyser knows it by in another version.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Tests are the histories of jobs' tests. The id is the job's.
var Tests = kit.Define[TestHistory]("tests")

// TestHistory is what is known of the tests of a job from its last builds.
type TestHistory struct {
	kit.Meta
	Project string        `json:"project"`
	Job     string        `json:"job"`
	Builds  []TestedBuild `json:"builds,omitempty"` // the last, oldest first
	// Tests are those that failed in one of Builds, the latest to fail first. All
	// others have passed, or were skipped, wherever they ran.
	Tests []TestRecord `json:"tests,omitempty"`
	// Slowest are those of the last build.
	Slowest []TestTime `json:"slowest,omitempty"`
}

// TestedBuild is a build that ran tests.
type TestedBuild struct {
	Build   kit.Link  `json:"build"`
	Commit  string    `json:"commit"`
	At      time.Time `json:"at"`
	Passed  int       `json:"passed"`
	Failed  int       `json:"failed"`
	Skipped int       `json:"skipped"`
	Seconds float64   `json:"seconds"`
}

// TestRecord is the history of a test.
type TestRecord struct {
	Name string `json:"name"`
	// Outcomes has a letter for each of the history's builds: P passed, F failed,
	// S skipped, - it did not run, or nobody knows.
	Outcomes string `json:"outcomes"`
	// Flaky is the commit on which it has both passed and failed, until it has
	// passed often enough in a row.
	Flaky string `json:"flaky,omitempty"`
}

// Comment is a remark about a line of a patch set.
type Comment struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Text string `json:"text"`
}
