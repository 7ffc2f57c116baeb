// Package sonar asks a SonarQube server what its quality gate says of an
// analysis, over the server's web API (its own page /web_api describes it):
// api/ce/task tells which analysis a scanner's report became, and
// api/qualitygates/project_status what the gate says of it.
package sonar

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/quality/input"
	"landfall.dev/kit"
)

// Server is a SonarQube server. Only who runs the hub names it, so that its
// token goes nowhere else.
type Server struct {
	URL string // empty: there is none
	// Token is that of a user who may browse the projects, or @FILE.
	Token string
}

// Task is what a scanner leaves behind in report-task.txt.
type Task struct {
	Project string // its key
	ID      string
}

// Read reads the report-task.txt of a scanner: lines KEY=VALUE.
func Read(file string, data []byte) (Task, error) {
	values := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), "=")
		values[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	t := Task{Project: input.Brief(values["projectKey"], maxText), ID: input.Brief(values["ceTaskId"], maxText)}
	if t.Project == "" || t.ID == "" {
		return t, input.Errorf(file, 1, "it is no report-task.txt of a SonarQube scanner: it has no projectKey and ceTaskId")
	}
	return t, nil
}

const (
	// maxText is how long a text of the server or a scanner may be, in bytes.
	maxText = 300
	// maxAnswer is how large an answer may be, in bytes.
	maxAnswer = 1 << 20
	// maxConditions is how many failed conditions a verdict names.
	maxConditions = 10
	timeout       = 20 * time.Second
)

// Verdict returns what the server's gate says of the task, which must be of the
// project. A task that is not done is kit.ErrUnavailable, one that came to
// nothing kit.ErrInvalid.
func (s Server) Verdict(ctx context.Context, project string, t Task) (api.Condition, error) {
	c := api.Condition{Name: "sonar"}
	switch {
	case s.URL == "":
		return c, kit.Errorf(kit.ErrInvalid, "", "this hub knows no SonarQube server: start it with --sonar-url")
	case project == "":
		return c, kit.Errorf(kit.ErrInvalid, "", "the project's gate names no project of SonarQube: landfall quality gate PROJECT --sonar %s does", t.Project)
	case t.Project != project:
		return c, kit.Errorf(kit.ErrInvalid, "", "the analysis is of SonarQube's project %s, and the gate names %s", t.Project, project)
	}
	analysis, err := s.analysis(ctx, project, t)
	if err != nil {
		return c, err
	}
	var answer struct {
		Status struct {
			Status     string      `json:"status"`
			Conditions []condition `json:"conditions"`
		} `json:"projectStatus"`
	}
	if err := s.ask(ctx, "api/qualitygates/project_status", url.Values{"analysisId": {analysis}}, &answer); err != nil {
		return c, err
	}
	switch answer.Status.Status {
	case "OK", "WARN":
		c.State, c.Text = api.ConditionPassed, fmt.Sprintf("SonarQube's gate of %s passed", project)
	case "NONE":
		c.State, c.Text = api.ConditionUnjudged, fmt.Sprintf("SonarQube has no gate for %s", project)
	case "ERROR":
		c.State, c.Text = api.ConditionFailed, fmt.Sprintf("SonarQube's gate of %s failed: %s", project, failed(answer.Status.Conditions))
	default:
		return c, kit.Errorf(kit.ErrInvalid, "", "SonarQube's gate of %s is %q, which is not known", project, input.Brief(answer.Status.Status, maxText))
	}
	return c, nil
}

// analysis returns the analysis that the task has become.
func (s Server) analysis(ctx context.Context, project string, t Task) (string, error) {
	var answer struct {
		Task struct {
			Component string `json:"componentKey"`
			Status    string `json:"status"`
			Analysis  string `json:"analysisId"`
			Error     string `json:"errorMessage"`
		} `json:"task"`
	}
	if err := s.ask(ctx, "api/ce/task", url.Values{"id": {t.ID}}, &answer); err != nil {
		return "", err
	}
	switch k := answer.Task; {
	case k.Component != project:
		return "", kit.Errorf(kit.ErrInvalid, "", "SonarQube's task %s is of the project %q, not of %s", t.ID, input.Brief(k.Component, maxText), project)
	case k.Status == "PENDING" || k.Status == "IN_PROGRESS":
		return "", kit.Errorf(kit.ErrUnavailable, "", "SonarQube's task %s is %s", t.ID, k.Status)
	case k.Status != "SUCCESS" || k.Analysis == "":
		return "", kit.Errorf(kit.ErrInvalid, "", "SonarQube's task %s is %s: %s", t.ID, input.Brief(k.Status, maxText), input.Brief(k.Error, maxText))
	}
	return answer.Task.Analysis, nil
}

// condition is one of a gate.
type condition struct {
	Status     string `json:"status"`
	Metric     string `json:"metricKey"`
	Comparator string `json:"comparator"` // LT, GT: what is not allowed
	Threshold  string `json:"errorThreshold"`
	Actual     string `json:"actualValue"`
}

func failed(all []condition) string {
	all = slices.DeleteFunc(all, func(c condition) bool { return c.Status != "ERROR" })
	var texts []string
	for _, c := range all[:min(len(all), maxConditions)] {
		than := map[string]string{"LT": "less than", "GT": "more than"}[c.Comparator]
		texts = append(texts, strings.Join(strings.Fields(fmt.Sprintf("%s is %s, %s %s",
			input.Brief(c.Metric, maxText), input.Brief(c.Actual, maxText), than, input.Brief(c.Threshold, maxText))), " "))
	}
	if len(texts) == 0 {
		return "it does not say why"
	}
	return strings.Join(texts, "; ")
}

// ask sends a request to the server and reads its answer into out. A server that
// does not answer is kit.ErrUnavailable; one that refuses is an error that says
// so, without the token.
func (s Server) ask(ctx context.Context, path string, query url.Values, out any) error {
	token, err := s.token()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.URL, "/")+"/"+path+"?"+query.Encode(), nil)
	if err != nil {
		return kit.Errorf(kit.ErrInvalid, "", "SonarQube's address %q is none", s.URL)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		var request *url.Error
		if errors.As(err, &request) {
			err = request.Err
		}
		return &kit.Error{Fault: kit.ErrUnavailable, Detail: "SonarQube does not answer", Err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case err != nil || res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return &kit.Error{Fault: kit.ErrUnavailable, Detail: fmt.Sprintf("SonarQube answers %s with %d", path, res.StatusCode), Err: err}
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return kit.Errorf(kit.ErrForbidden, "", "SonarQube refuses %s with %d: check the hub's LANDFALL_SONAR_TOKEN", path, res.StatusCode)
	case res.StatusCode != http.StatusOK:
		return kit.Errorf(kit.ErrInvalid, "", "SonarQube refuses %s with %d: %s", path, res.StatusCode, reason(body))
	}
	if err := json.Unmarshal(body, out); err != nil {
		return kit.Errorf(kit.ErrInvalid, "", "what SonarQube answers to %s is not what it should be: %v", path, err)
	}
	return nil
}

// reason is what the server says in an error.
func reason(body []byte) string {
	var answer struct {
		Errors []struct {
			Message string `json:"msg"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Errors) == 0 {
		return "it does not say why"
	}
	return input.Brief(answer.Errors[0].Message, maxText)
}

// token returns the token, read anew if it is in a file.
func (s Server) token() (string, error) {
	path, ok := strings.CutPrefix(s.Token, "@")
	if !ok {
		return s.Token, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", kit.Errorf(kit.ErrInvalid, "", "the token of SonarQube cannot be read: %v", err)
	}
	return strings.TrimSpace(string(b)), nil
}
