package jobspec

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
)

// timedJob expands one job with the lines added to it.
func timedJob(lines string) ([]api.JobSpec, error) {
	text := "- trigger:\n    name: at-night\n    triggers:\n      - timed: 'H {hour} * * *'\n" +
		"- job:\n    name: nightly\n    script: 'true'\n" + lines
	files := fstest.MapFS{"jobs/jobs.yml": &fstest.MapFile{Data: []byte(text)}}
	set, err := definition.Load(files, []string{"jobs"}, definition.Options{Strict: true})
	if err != nil {
		return nil, err
	}
	return Translate(set, nil)
}

func TestTimesOfAJob(t *testing.T) {
	specs, err := timedJob(`    once: true
    starts-pipeline: true
    schedule: {missed: skip, overlap: replace}
    triggers:
      - timed: |
          TZ=Europe/Berlin
          # after the backup
          H 3 * * 1-5
      - at-night: {hour: 4}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := &api.ScheduleSpec{
		Timed:  []string{"TZ=Europe/Berlin\n# after the backup\nH 3 * * 1-5\n", "H 4 * * *"},
		Missed: api.MissedSkip, Overlap: api.OverlapReplace,
	}
	if !specs[0].Once || !specs[0].Pipeline || !reflect.DeepEqual(specs[0].Schedule, want) {
		t.Errorf("the job is %+v with %+v, want %+v, once, that starts the pipeline", specs[0], specs[0].Schedule, want)
	}
	if specs, err := timedJob(""); err != nil || specs[0].Schedule != nil || specs[0].Once {
		t.Errorf("a job without times is %+v, %v", specs, err)
	}
}

func TestTimesThatAreWrong(t *testing.T) {
	for lines, want := range map[string]string{
		"    triggers:\n      - timed: 'H 25 * * *'\n":                         "jobs/jobs.yml:9:16: timed: line 1, \"H 25 * * *\": hour: 25 is outside of 0 to 23",
		"    triggers:\n      - timed: '0 3 31 2 *'\n":                         "it never fires",
		"    triggers:\n      - timed\n":                                       "there is no line",
		"    triggers:\n      - gerrit: {}\n":                                  "triggered by timed only, not by gerrit",
		"    schedule: {missed: one}\n":                                        "a schedule needs times",
		"    triggers: [{timed: '@daily'}]\n    schedule: {missed: none}\n":    "missed must be skip, one or all, not \"none\"",
		"    triggers: [{timed: '@daily'}]\n    schedule: {overlaps: allow}\n": "schedule has no \"overlaps\"; did you mean \"overlap\"?",
		"    once: 'yes'\n":                                                    "once must be true or false, but is text",
	} {
		if _, err := timedJob(lines); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", lines, err, want)
		}
	}
}
