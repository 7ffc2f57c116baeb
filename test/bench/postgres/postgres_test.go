package postgres

import (
	"errors"
	"strings"
	"testing"
)

func TestPostgresCopiesOrIsMissing(t *testing.T) {
	pg, err := Start(t.Context())
	if errors.Is(err, ErrMissing) {
		if !strings.Contains(err.Error(), "sh test/setup.sh bench installs it") {
			t.Errorf("what to do is not told: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close()
	const documents, changes = 2000, 100
	if err := pg.Fill(t.Context(), documents); err != nil {
		t.Fatal(err)
	}
	if s, err := pg.Copy(t.Context()); err != nil || s.Took <= 0 || s.CPU < 0 {
		t.Fatalf("copy: %v, %v", s, err)
	}
	if err := pg.Change(t.Context(), documents, changes, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := pg.Delta(t.Context(), documents, 1); err != nil {
		t.Fatal(err)
	}
	if n, err := pg.Count(t.Context()); err != nil || n != documents {
		t.Errorf("green has %d documents, %v; want %d", n, err, documents)
	}
	out, err := pg.psql(t.Context(), "green", "COPY (SELECT count(*) FROM items WHERE doc ? 'text' AND doc ? 'active' AND NOT doc ? 'note' AND doc->>'value' = lpad(to_hex(id + 1), 16, '0')) TO STDOUT").Output()
	if err != nil || strings.TrimSpace(string(out)) != "100" {
		t.Errorf("documents with the change: %q, %v; want %d", out, err, changes)
	}
}
