package pipelines

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

// hub has the projects ledger and web, and answers each event with a plan of
// one build, whose job is called as the commit of the library.
type hub struct {
	cluster *kittest.Cluster
	json    bool
	asked   []api.PlanRequest
}

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{cluster: kittest.Serve(t, kit.Service{Name: "source", Owns: []kit.Owned{
		kit.Own[api.Project](api.Projects, nil), kit.Own[api.Schedule](api.Schedules, nil),
	}})}
	for _, id := range []string{"ledger", "web"} {
		if _, err := api.Projects.Create(t.Context(), h.cluster.Admin(), id, api.Project{}); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *hub) Client() (kit.Client, error) { return h.cluster.Admin(), nil }
func (h *hub) JSON() bool                  { return h.json }

func (h *hub) Ask(_ context.Context, _, path string, out any) error {
	u, err := url.Parse(path)
	if err != nil {
		return err
	}
	var q api.PlanRequest
	if err := json.Unmarshal([]byte(u.Query().Get("event")), &q); err != nil {
		return err
	}
	h.asked = append(h.asked, q)
	if q.Project != "ledger" && q.Project != "web" {
		return kit.Errorf(kit.ErrNotFound, "", "there is no such branch")
	}
	a := out.(*api.PlanAnswer)
	*a = api.PlanAnswer{Project: q.Project, Commit: "c1", Definitions: "c1", Library: q.Library}
	a.Plan.Nodes = []api.Node{{ID: "unit", Type: api.NodeBuild, Job: "job-" + q.Library, Position: "jobs/a.yml:3"}}
	if q.Project == "web" {
		a.Plan.Nodes, a.Error = nil, noPipeline
	}
	if q.Against != "" {
		a.Before, a.Difference = &api.PlanAnswer{}, []string{"+ unit: build job=job-" + q.Library}
	}
	return nil
}

// run runs the command plan and returns what it prints.
func (h *hub) run(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	return h.command(t, planCommand(h), stdin, args...)
}

func (h *hub) command(t *testing.T, c *cobra.Command, stdin string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetIn(strings.NewReader(stdin))
	c.SetArgs(args)
	c.SilenceUsage, c.SilenceErrors = true, true
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func TestPlansArePrintedAndCompared(t *testing.T) {
	h := newHub(t)
	file := filepath.Join(t.TempDir(), "plans.json")
	h.json = true
	text, err := h.run(t, `{"link": "runs/r", "project": "ledger", "event": "merged", "library": "l1", "state": "passed"}`, "--event", "-")
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.json = false
	const head = "ledger at c1, its pipeline at c1, the library at "
	for _, test := range []struct {
		name, stdin string
		args        []string
		want        string
	}{
		{"a plan", `{"library": "l1"}`, []string{"ledger", "--event", "-"}, head + "l1\nunit: build job=job-l1\n"},
		{"all plans", `{"library": "l1"}`, []string{"--event", "-"}, head + "l1\nunit: build job=job-l1\nweb at c1, its pipeline at c1, the library at l1\n  no plan: the project has no pipeline.star\n"},
		{"against a commit", `{"library": "l2"}`, []string{"ledger", "--event", "-", "--against", "abcdef0"}, head + "l2\n+ unit: build job=job-l2\n"},
		{"against a file", `{"library": "l2"}`, []string{"ledger", "--event", "-", "--against", file}, head + "l2\n- unit: build job=job-l1\n+ unit: build job=job-l2\n"},
		{"against a file that says the same", `{"library": "l1"}`, []string{"ledger", "--event", "-", "--against", file}, head + "l1\n  no difference\n"},
	} {
		if text, err := h.run(t, test.stdin, test.args...); err != nil || text != test.want {
			t.Errorf("%s: printed\n%s%v\nwant\n%s", test.name, text, err, test.want)
		}
	}
	if q := h.asked[0]; q.Project != "ledger" || q.Event != "merged" || q.Library != "l1" {
		t.Errorf("asked for %+v, want the event", q)
	}
}

func TestListenersAreListedByProjectAndEvent(t *testing.T) {
	h := newHub(t)
	nightly := api.Schedule{Project: "ledger", Job: "nightly", Spec: api.ScheduleSpec{Timed: []string{"TZ=Europe/Berlin\nH 3 * * *"}}}
	if _, err := api.Schedules.Create(t.Context(), h.cluster.Admin(), "ledger~nightly", nightly); err != nil {
		t.Fatal(err)
	}
	text, err := h.command(t, listenersCommand(h), "")
	want := "PROJECT  EVENT                             STARTS   DEFINED IN\n" +
		"ledger   patchset-created                  unit     jobs/a.yml\n" +
		"ledger   merged                            unit     jobs/a.yml\n" +
		"ledger   timer TZ=Europe/Berlin H 3 * * *  nightly  \n" +
		"web      patchset-created                  nothing  \n" +
		"web      merged                            nothing  \n"
	if err != nil || text != want {
		t.Errorf("printed\n%s%v\nwant\n%s", text, err, want)
	}
}

func TestBadInputIsRefused(t *testing.T) {
	h := newHub(t)
	none := filepath.Join(t.TempDir(), "none.json")
	if err := os.WriteFile(none, []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, stdin string
		args        []string
		want        string
	}{
		{"no event", "[]", []string{"--event", "-"}, `- is no event like {"project": "ledger"`},
		{"an unknown key", `{"projct": "ledger"}`, []string{"--event", "-"}, `-: an event has no "projct" (did you mean "project"?): it has project, event, branch,`},
		{"an unknown project", "", []string{"ledgr"}, `there is no project "ledgr" (did you mean "ledger"?): landfall project list shows them`},
		{"no file", "", []string{"--event", "nowhere.json"}, "nowhere.json: no such file"},
		{"no plans", "", []string{"ledger", "--against", none}, "has no plans: print some with"},
		{"no pipeline", "", []string{"web"}, "1 of 1 have no plan"},
	} {
		if _, err := h.run(t, test.stdin, test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}
