package console

import (
	"strings"
	"testing"
)

func TestTextFitsIntoACell(t *testing.T) {
	for text, want := range map[string]string{
		"a way back is required":                                 "a way back is required",
		"it ended, its last words:\ncannot open\tthe database\n": "it ended, its last words: cannot open the database",
		strings.Repeat("ä", 200):                                 strings.Repeat("ä", 157) + "...",
	} {
		if got := Cell(text); got != want {
			t.Errorf("%q is %q in a cell, want %q", text, got, want)
		}
	}
}
