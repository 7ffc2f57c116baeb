// Package jobload makes the load that jobs and builds are measured with: trees
// of definitions, builds in containers, logs, as clients of a running hub.
package jobload

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// MainBranch is the branch whose definitions are deployed.
const MainBranch = "refs/heads/main"

// Hub is a running hub, seen by its administrator.
type Hub struct {
	URL, Token string
	Client     kit.Client
}

// Import makes a project with the files, waits until its jobs are deployed, and
// returns the commit.
func (h Hub) Import(ctx context.Context, project string, files map[string]string) (string, error) {
	// Its main branch takes direct pushes.
	p := api.Project{Type: "service", Protected: []string{"release/*"}}
	if _, err := api.Projects.Create(ctx, h.Client, project, p); err != nil {
		return "", err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}); err != nil {
			return "", err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	answer, err := h.do(ctx, http.MethodPost, "/source/"+project+"/import", &b)
	if err != nil {
		return "", err
	}
	answer.Close()
	g, err := h.deployed(ctx, project, func(api.Generation) bool { return true })
	return g.Commit, err
}

// deployed waits until all that was asked for is deployed, and is right.
func (h Hub) deployed(ctx context.Context, project string, right func(api.Generation) bool) (api.Generation, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("the jobs of %s are not deployed after a minute", project))
	defer cancel()
	g, err := api.Generations.Await(ctx, h.Client, project, func(g api.Generation) bool {
		return g.State == api.GenerationFailed || g.State == api.GenerationHeld || g.State == api.GenerationDeployed && right(g)
	})
	if err == nil && g.State != api.GenerationDeployed {
		err = fmt.Errorf("the jobs of %s are %s: %s", project, g.State, g.Error)
	}
	return g, err
}

// do sends a request to the hub and returns the body of the answer.
func (h Hub) do(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, h.URL+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+h.Token)
	if method == http.MethodGet {
		req.Header.Set("Accept", "text/event-stream")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 == 2 {
		return res.Body, nil
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(res.Body, kit.MaxDocument))
	return nil, kit.DecodeProblem(res.StatusCode, b)
}
