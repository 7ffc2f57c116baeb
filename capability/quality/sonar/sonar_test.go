package sonar

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// server answers as testdata/exchanges.json says, to who has the token.
func server(t *testing.T) Server {
	t.Helper()
	data, err := os.ReadFile("testdata/exchanges.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Exchanges []struct {
			Request string
			Status  int
			Body    json.RawMessage
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		for _, e := range file.Exchanges {
			if e.Request == r.URL.RequestURI() {
				w.WriteHeader(e.Status)
				_, _ = w.Write(e.Body)
				return
			}
		}
		t.Errorf("the server was asked for %s", r.URL.RequestURI())
	}))
	t.Cleanup(s.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Server{URL: s.URL + "/", Token: "@" + token}
}

func TestTheGateOfAServer(t *testing.T) {
	s := server(t)
	for _, test := range []struct {
		task, project string
		state         api.ConditionResult
		fault         error
		text          string
	}{
		{"good", "ledger", api.ConditionPassed, nil, "SonarQube's gate of ledger passed"},
		{"bad", "ledger", api.ConditionFailed, nil, "SonarQube's gate of ledger failed: new_coverage is 82.50562381034781, less than 85; new_blocker_violations is 14, more than 0"},
		{"ungated", "ledger", api.ConditionUnjudged, nil, "SonarQube has no gate for ledger"},
		{"pending", "ledger", "", kit.ErrUnavailable, "SonarQube's task pending is IN_PROGRESS"},
		{"failed", "ledger", "", kit.ErrInvalid, "SonarQube's task failed is FAILED: Fail to extract report"},
		{"foreign", "ledger", "", kit.ErrInvalid, `SonarQube's task foreign is of the project "other", not of ledger`},
		{"gone", "ledger", "", kit.ErrInvalid, "SonarQube refuses api/ce/task with 404: No activity found for task 'gone'"},
		{"busy", "ledger", "", kit.ErrUnavailable, "SonarQube answers api/ce/task with 503"},
		{"good", "other", "", kit.ErrInvalid, "the analysis is of SonarQube's project ledger, and the gate names other"},
		{"good", "", "", kit.ErrInvalid, "the project's gate names no project of SonarQube: landfall quality gate PROJECT --sonar ledger does"},
	} {
		c, err := s.Verdict(t.Context(), test.project, Task{Project: "ledger", ID: test.task})
		text := c.Text
		if err != nil {
			text = err.Error()
		}
		if test.fault != nil && !errors.Is(err, test.fault) || test.fault == nil && (err != nil || c.State != test.state) || !strings.Contains(text, test.text) {
			t.Errorf("%s of %s: %s %q, %v, want %s, %q", test.task, test.project, c.State, c.Text, err, test.state, test.text)
		}
	}
}

func TestAServerThatCannotBeAsked(t *testing.T) {
	s := server(t)
	s.Token = "wrong"
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	for _, test := range []struct {
		server Server
		fault  error
		text   string
	}{
		{Server{}, kit.ErrInvalid, "this hub knows no SonarQube server: start it with --sonar-url"},
		{s, kit.ErrForbidden, "SonarQube refuses api/ce/task with 401: check the hub's LANDFALL_SONAR_TOKEN"},
		{Server{URL: s.URL, Token: "@/nothing"}, kit.ErrInvalid, "the token of SonarQube cannot be read"},
		{Server{URL: dead.URL}, kit.ErrUnavailable, "SonarQube does not answer"},
		{Server{URL: "\x00"}, kit.ErrInvalid, `SonarQube's address "\x00" is none`},
	} {
		_, err := test.server.Verdict(t.Context(), "ledger", Task{Project: "ledger", ID: "good"})
		if !errors.Is(err, test.fault) || !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "wrong") {
			t.Errorf("%+v: %v, want %q", test.server, err, test.text)
		}
	}
}

func TestReportsOfScanners(t *testing.T) {
	task, err := Read("report-task.txt", []byte("projectKey=ledger\nserverUrl=https://sonar.example.com\ndashboardUrl=https://sonar.example.com/dashboard?id=ledger\nceTaskId=AXw1=\nceTaskUrl=https://sonar.example.com/api/ce/task?id=AXw1=\n"))
	if err != nil || task != (Task{Project: "ledger", ID: "AXw1="}) {
		t.Errorf("the task is %+v, %v", task, err)
	}
	for _, text := range []string{"", "projectKey=ledger", "\x00\xff", strings.Repeat("x", 1<<20)} {
		if _, err := Read("r", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "r:1: it is no report-task.txt") {
			t.Errorf("%.20q: %v, want it refused", text, err)
		}
	}
}
