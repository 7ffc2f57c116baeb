package items

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestDocumentsHaveTheirSize(t *testing.T) {
	for _, n := range []int{0, 7, 1234, 999_999, 9_999_999} {
		var fields map[string]any
		if b := Document(n); len(b) != Bytes || json.Unmarshal(b, &fields) != nil || len(fields) != 5 {
			t.Errorf("document %d: %d bytes, %s", n, len(b), b)
		}
		if b := Change(n, n); json.Unmarshal(b, &fields) != nil || len(fields["value"].(string)) != valueAt {
			t.Errorf("change of document %d: %s", n, b)
		}
	}
}

func TestChangesAreOfDifferentDocuments(t *testing.T) {
	for _, c := range []struct{ documents, changes int }{{1_000_000, 60_000}, {100, 50}, {100, 100}, {2000, 1000}} {
		for turn := range 3 {
			met := map[int]bool{}
			for i := range c.changes {
				n := Spread(c.documents, c.changes, turn, i)
				if n < 0 || n >= c.documents || met[n] {
					t.Fatalf("%d changes of %d documents, turn %d: number %d is document %d", c.changes, c.documents, turn, i, n)
				}
				met[n] = true
			}
		}
	}
}

func TestRowsAreOneForEachDocument(t *testing.T) {
	var b strings.Builder
	if err := Rows(&b, 3); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(b.String(), "\n"); len(lines) != 4 || lines[2] != "2\t"+string(Document(2))+"\t2" {
		t.Errorf("three documents are written as\n%s", b.String())
	}
}
