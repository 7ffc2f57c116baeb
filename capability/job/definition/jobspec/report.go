package jobspec

import (
	"path"
	"path/filepath"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition/yaml11"
)

// reportFields lists the kinds of reports.
var reportFields = []string{"junit", "coverage", "sarif", "sonar", "cyclonedx", "osv"}

// reports returns which reports to keep: a list of patterns for each kind.
func (d *decoder) reports(v *yaml11.Value) *api.ReportPatterns {
	if v == nil || v.Data == nil {
		return nil
	}
	r := &api.ReportPatterns{}
	for _, e := range d.entries("reports", v) {
		switch key := e.Key.Text(); key {
		case "junit":
			r.JUnit = d.patterns("junit report", e.Value)
		case "coverage":
			r.Coverage = d.patterns("coverage report", e.Value)
		case "sarif":
			r.SARIF = d.patterns("sarif report", e.Value)
		case "sonar":
			r.Sonar = d.patterns("sonar report", e.Value)
		case "cyclonedx":
			r.CycloneDX = d.patterns("cyclonedx report", e.Value)
		case "osv":
			r.OSV = d.patterns("osv report", e.Value)
		default:
			d.fail(e.Key, "unknown field %q in reports%s (reports has %s)",
				yaml11.Brief(key), yaml11.Suggest(key, reportFields), strings.Join(reportFields, ", "))
		}
	}
	return r
}

// patterns returns patterns of files to keep.
func (d *decoder) patterns(what string, v *yaml11.Value) []string {
	all := d.texts(what+"s", v)
	for i, pattern := range all {
		item := v.Data.([]*yaml11.Value)[i]
		if pattern != "" && !filepath.IsLocal(pattern) {
			d.fail(item, "the %s %q must be a path inside the sources, without / at its beginning and without ..", what, yaml11.Brief(pattern))
		}
		for segment := range strings.SplitSeq(pattern, "/") {
			if _, err := path.Match(segment, ""); err != nil {
				d.fail(item, "the %s %q is no pattern: a [ needs its ], and \\ a character after it", what, yaml11.Brief(pattern))
				break
			}
		}
	}
	return all
}
