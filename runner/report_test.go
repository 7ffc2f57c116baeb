package runner

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
)

func TestReportsAreKeptWhateverTheStepsComeTo(t *testing.T) {
	h := newHub(t)
	start(t, newRunner(t, h.config()))
	patterns := &api.ReportPatterns{
		JUnit: []string{"out/**/*.xml"}, Coverage: []string{"cover.out", "missing.out"}, SARIF: []string{"large.sarif", "a["},
	}
	write := "mkdir -p out/deep; echo one > out/1.xml; echo two > out/deep/2.xml; echo mode > cover.out\n" +
		"dd if=/dev/zero of=large.sarif bs=1M count=11 2>/dev/null"
	h.submit("passed", api.JobSpec{Script: []string{write}, Reports: patterns})
	h.submit("failed", api.JobSpec{Script: []string{write, "exit 3"}, Reports: patterns})
	kept := []string{"junit out/1.xml 4 ", "junit out/deep/2.xml 4 "}
	broken := `sarif large.sarif a[ 0 the reports' pattern "a[" is malformed`
	for id, want := range map[string][]string{
		"passed": append(slices.Clone(kept), "coverage missing.out 0 no file matches this pattern", "coverage cover.out 5 ", broken),
		"failed": append(slices.Clone(kept), "coverage cover.out 5 ", broken),
	} {
		b := h.ended(id)
		var got []string
		for _, f := range b.Reports {
			got = append(got, fmt.Sprintf("%s %s %d %s", f.Kind, f.Path, f.Size, f.Error))
			if _, err := h.blobs.Open(t.Context(), f.Digest); f.Error == "" && err != nil {
				t.Errorf("build %s: %s: %v", id, f.Path, err)
			}
		}
		if string(b.State) != id || !slices.Equal(got, want) {
			t.Errorf("build %s is %s, %q, and kept\n%q, want\n%q", id, b.State, b.Error, got, want)
		}
		if log := h.log(id, 1); !strings.Contains(log, "--- sarif report large.sarif a[ is not kept: the reports' pattern") {
			t.Errorf("the log of %s does not tell of the pattern:\n%s", id, log)
		}
	}
	if b := h.ended("failed"); b.ExitCode != 3 {
		t.Errorf("the failed build has exit code %d, want 3", b.ExitCode)
	}
}

func TestAReportThatIsTooLargeIsNamed(t *testing.T) {
	h := newHub(t)
	start(t, newRunner(t, h.config()))
	h.submit("large", api.JobSpec{
		Script:  []string{"dd if=/dev/zero of=large.sarif bs=1M count=11 2>/dev/null; : > empty.sarif"},
		Reports: &api.ReportPatterns{SARIF: []string{"*.sarif"}},
	})
	b := h.ended("large")
	if len(b.Reports) != 2 || b.State != api.BuildPassed || b.Reports[1].Error != "it has 11534336 bytes, the limit is 10485760" || b.Reports[1].Digest != "" {
		t.Errorf("the build is %s, its reports are %+v, want the large one left out", b.State, b.Reports)
	}
}
