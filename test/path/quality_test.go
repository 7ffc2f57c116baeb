package path_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
)

// lintReport is the file in which a commit brings along what its gate finds.
const lintReport = "lint.sarif"

// reports returns the report files of a build: what its commit has of them.
func (h *hub) reports(ctx context.Context, b api.Build) ([]api.ReportFile, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://hub/source/%s/file/%s/%s", b.Project, b.Commit, lintReport), nil)
	if err != nil {
		return nil, err
	}
	res, err := h.cluster.Server.HTTP("users/admin").Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, nil
	}
	digest, size, err := h.blobs.Put(ctx, res.Body, "")
	return []api.ReportFile{{Kind: api.ReportSARIF, Path: lintReport, Digest: digest, Size: size}}, err
}

// found is a report with a finding on a line of the file a.
func found(line int) string {
	return fmt.Sprintf(`{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "lint"}}, "results": [{"ruleId": "tabs",
		"message": {"text": "a tab"}, "locations": [{"physicalLocation": {"artifactLocation": {"uri": "a"}, "region": {"startLine": %d}}}]}]}]}`, line)
}

func TestAFindingOnAnAddedLineKeepsAChangeFromLanding(t *testing.T) {
	h := newHub(t, passes)
	c := h.clone()
	c.push("a", "one\n", "-m", "Begin")
	h.verified("1", 1, 1)
	h.vote("bob", "1", 1, 2)
	if err := h.submit("1", 1); err != nil {
		t.Fatalf("a change without reports: %v", err)
	}
	await(h, api.Changes, "1", merged)

	quality := func(patchSet, value int) api.Change {
		return await(h, api.Changes, "2", func(c api.Change) bool {
			return len(c.PatchSets) >= patchSet && slices.ContainsFunc(c.PatchSets[patchSet-1].Votes, func(v api.Vote) bool {
				return v.Label == api.LabelQuality && v.Value == value && v.Link != ""
			})
		})
	}
	c.add("a", "one\ntwo\n")
	c.push(lintReport, found(2), "-m", "Go on")
	change := quality(1, -1)
	h.verified("2", 1, 1)
	h.vote("bob", "2", 1, 2)
	comment := slices.IndexFunc(change.Messages, func(m api.Message) bool { return m.File == "a" && m.Line == 2 && m.PatchSet == 1 })
	if comment < 0 || change.Messages[comment].Text != "warning: a tab tabs" {
		t.Errorf("the change says %+v, want a comment on line 2 of a", change.Messages)
	}
	if err := h.submit("2", 1); err == nil || !strings.Contains(err.Error(), "1 new issue on added lines, 0 allowed: a:2: a tab") {
		t.Errorf("submit: %v, want it refused for the finding", err)
	}

	c.push(lintReport, found(1), "--amend", "--no-edit")
	quality(2, 1)
	h.verified("2", 2, 1)
	h.vote("bob", "2", 2, 2)
	if err := h.submit("2", 2); err != nil {
		t.Fatalf("a finding on a line that was there: %v", err)
	}
	await(h, api.Changes, "2", merged)
}
