package quality

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"

	"landfall.dev/api"
	"landfall.dev/capability/quality/duplication"
	"landfall.dev/kit"
)

const (
	// maxProgram is how large a file may be to be compared, in bytes.
	maxProgram = 1 << 20
	// maxPrograms is how large all of them may be together.
	maxPrograms = 256 << 20
	// maxCopied is how many files a report names.
	maxCopied = 50
)

// copied finds the added lines that the sources of b have twice, where the gate
// asks for it, the job analyses at all, and the patch adds lines enough.
func (j judging) copied(ctx context.Context, b api.Build, e *evidence) error {
	if e.patch == nil || e.rules.NewDuplication == 0 || !e.analysed && e.profiles == nil {
		return nil
	}
	if e.patch.Count(duplication.Counts) < max(e.rules.MinimumLines, 1) {
		return nil
	}
	var f duplication.Finder
	err := j.programs(ctx, b, func(file string, text []byte) error {
		return f.Add(file, text, func(line int) bool { return e.patch.Adds(file, line) })
	})
	e.copies = &api.DuplicationReport{}
	if errors.Is(err, duplication.ErrTooMany) {
		e.uncompared = err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	added, duplicated := f.Found()
	e.copies.NewLines = added
	for _, file := range slices.Sorted(maps.Keys(duplicated)) {
		e.copies.Duplicated += len(duplicated[file])
		if len(e.copies.List) < maxCopied {
			e.copies.List = append(e.copies.List, api.MissedLines{File: file, Lines: ranges(duplicated[file])})
		}
	}
	return nil
}

// programs calls add for each file of a program in the sources of b.
func (j judging) programs(ctx context.Context, b api.Build, add func(file string, text []byte) error) error {
	u := fmt.Sprintf("%s/source/%s/archive/%s", j.base, url.PathEscape(b.Project), b.Commit)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return &kit.Error{Fault: kit.ErrInvalid, Err: err}
	}
	res, err := j.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(res.Body, maxProgram))
		if err != nil {
			return err
		}
		return kit.DecodeProblem(res.StatusCode, body)
	}
	bytes := int64(0)
	for in := tar.NewReader(res.Body); ; {
		h, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &kit.Error{Fault: kit.ErrUnavailable, Op: "read the sources", Err: err}
		}
		file := path.Clean(h.Name)
		if h.Typeflag != tar.TypeReg || h.Size > maxProgram || !duplication.Counts(file) {
			continue
		}
		if bytes += h.Size; bytes > maxPrograms {
			return duplication.ErrTooMany
		}
		text, err := io.ReadAll(in)
		if err != nil {
			return &kit.Error{Fault: kit.ErrUnavailable, Op: "read the sources", Err: err}
		}
		if err := add(file, text); err != nil {
			return err
		}
	}
}

// judgeCopies judges how much of what is added is there twice.
func (e evidence) judgeCopies(r *api.DuplicationReport) api.Condition {
	c := api.Condition{Name: "duplication", State: api.ConditionUnjudged}
	if e.uncompared != "" {
		c.Text = e.uncompared + ": they are not compared"
		return c
	}
	c.Text = fmt.Sprintf("%d of %s in blocks that are there twice", r.Duplicated, count(r.NewLines, "new line"))
	switch {
	case r.NewLines < e.rules.MinimumLines || r.NewLines == 0:
		c.Text += fmt.Sprintf(": under the %d-line minimum, not judged", e.rules.MinimumLines)
	case r.Duplicated*100 > e.rules.NewDuplication*r.NewLines:
		c.State = api.ConditionFailed
		c.Text += fmt.Sprintf(" (%d %%): at most %d %% may be", r.Duplicated*100/r.NewLines, e.rules.NewDuplication)
		if len(r.List) > 0 {
			c.Text += fmt.Sprintf(": %s: %s", r.List[0].File, r.List[0].Lines)
		}
	default:
		c.State = api.ConditionPassed
		c.Text += fmt.Sprintf(" (%d %%)", r.Duplicated*100/r.NewLines)
	}
	return c
}
