package jobload

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"landfall.dev/api"
)

const (
	logSize = 48 << 20  // of one build
	logPart = 256 << 10 // as runners send it
)

// Logs fills the logs of n builds at once, as a runner does, and returns how
// many bytes they have.
func (b Builds) Logs(ctx context.Context, n int) (int, error) {
	part := []byte(strings.Repeat("2026-01-02T03:04:05Z compiling package landfall.dev/some/package, step 12 of 345: ok\n", logPart))[:logPart]
	part[logPart-1] = '\n'
	g, ctx := errgroup.WithContext(ctx)
	for i := range n {
		g.Go(func() error { return b.fill(ctx, fmt.Sprintf("log-%d", i), part) })
	}
	return n * logSize, g.Wait()
}

func (b Builds) fill(ctx context.Context, runner string, part []byte) error {
	ordered, err := b.order(ctx, Nothing)
	if err != nil {
		return err
	}
	id := ordered.Link.ID()
	if _, err := b.await(ctx, id, func(b api.Build) bool { return b.State == api.BuildQueued }); err != nil {
		return err
	}
	leased, err := api.Builds.Send(ctx, b.Client, id, "lease", api.LeaseArgs{Runner: runner})
	if err != nil {
		return err
	}
	for offset := 0; offset < logSize; offset += len(part) {
		answer, err := b.do(ctx, "POST", fmt.Sprintf("/logs/%s?attempt=%d&offset=%d", id, leased.Attempt, offset), bytes.NewReader(part))
		if err != nil {
			return err
		}
		answer.Close()
	}
	_, err = api.Builds.Send(ctx, b.Client, id, "finish", api.FinishArgs{Attempt: leased.Attempt, State: api.BuildPassed, LogSize: logSize})
	return err
}
