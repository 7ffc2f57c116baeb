package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"landfall.dev/api"
)

const (
	// maxReports is how many report files a build keeps: its document lists them.
	maxReports = 1000
	// maxReportBytes is how large they may be together.
	maxReportBytes = 100 << 20
	// maxReportName is how long the path of one may be, in bytes.
	maxReportName = 300
)

// reports stores the files that the job's patterns of reports match as blobs.
// A report that cannot be kept does not end the build: its place says why. That
// none matches a pattern is such a case if the steps have passed.
func (a *attempt) reports(ctx context.Context, passed bool) ([]api.ReportFile, error) {
	patterns := a.build.Spec.Reports
	if patterns == nil {
		return nil, nil
	}
	root, err := os.OpenRoot(a.space.src())
	if err != nil {
		return nil, fmt.Errorf("keep reports: %w", err)
	}
	defer root.Close()
	c := collection{attempt: a, root: root, passed: passed}
	for _, kind := range []struct {
		name     api.ReportKind
		patterns []string
	}{
		{api.ReportJUnit, patterns.JUnit},
		{api.ReportCoverage, patterns.Coverage},
		{api.ReportSARIF, patterns.SARIF},
		{api.ReportSonar, patterns.Sonar},
		{api.ReportCycloneDX, patterns.CycloneDX},
		{api.ReportOSV, patterns.OSV},
	} {
		if err := c.add(ctx, kind.name, kind.patterns); err != nil {
			return nil, err
		}
	}
	return c.files, nil
}

// collection is the reports of an attempt.
type collection struct {
	*attempt
	root   *os.Root
	passed bool // the steps have
	files  []api.ReportFile
	bytes  int64
}

// add keeps the files of a kind.
func (c *collection) add(ctx context.Context, kind api.ReportKind, patterns []string) error {
	if len(patterns) == 0 {
		return nil
	}
	names, unmatched, err := glob(c.root.FS(), "reports", patterns)
	var malformed *failure
	if errors.As(err, &malformed) {
		return c.lack(kind, strings.Join(patterns, " "), malformed.text)
	}
	if err != nil {
		return fmt.Errorf("keep reports: %w", err)
	}
	for _, p := range unmatched {
		if !c.passed {
			break
		}
		if err := c.lack(kind, p, "no file matches this pattern"); err != nil {
			return err
		}
	}
	for i, name := range names {
		if len(c.files) >= maxReports {
			text := fmt.Sprintf("%d more reports are left out, the limit is %d: merge them into fewer files", len(names)-i, maxReports)
			return c.lack(kind, name, text)
		}
		if err := c.keep(ctx, kind, name); err != nil {
			return fmt.Errorf("keep report %s: %w", name, err)
		}
	}
	return nil
}

// keep keeps one file, unless it is too large.
func (c *collection) keep(ctx context.Context, kind api.ReportKind, name string) error {
	info, err := c.root.Stat(name)
	switch {
	case err != nil:
		return err
	case len(name) > maxReportName:
		return c.lack(kind, name[:maxReportName], fmt.Sprintf("its name has more than %d bytes", maxReportName))
	case info.Size() > api.MaxReport:
		return c.lack(kind, name, fmt.Sprintf("it has %d bytes, the limit is %d", info.Size(), api.MaxReport))
	case c.bytes+info.Size() > maxReportBytes:
		return c.lack(kind, name, fmt.Sprintf("the reports before it have %d bytes, the limit for all is %d", c.bytes, maxReportBytes))
	}
	kept, err := c.attempt.keep(ctx, c.root, name)
	if err != nil {
		return err
	}
	c.bytes += kept.Size
	c.files = append(c.files, api.ReportFile{Kind: kind, Path: kept.Path, Digest: kept.Digest, Size: kept.Size})
	return nil
}

// lack notes that a report is not kept, and says so in the log.
func (c *collection) lack(kind api.ReportKind, name, why string) error {
	c.files = append(c.files, api.ReportFile{Kind: kind, Path: name, Error: why})
	return c.log.Say(fmt.Sprintf("%s report %s is not kept: %s", kind, name, why))
}
