package catalog

import (
	"slices"
	"testing"
)

func TestTheNamesOfEachListAreSorted(t *testing.T) {
	for list, all := range lists {
		if len(all) == 0 || !slices.IsSorted(all) {
			t.Errorf("the names of %s are %q, want some, sorted", list, all)
		}
	}
}

func TestCommonComponentsAreKnown(t *testing.T) {
	for list, name := range map[string]string{
		"builders": "shell", "postbuilders": "conditional-step", "publishers": "postbuildscript", "wrappers": "timeout",
		"triggers": "gerrit", "parameters": "string", "scm": "git", "properties": "build-discarder",
	} {
		if !Has(list, name) {
			t.Errorf("%s has no %s", list, name)
		}
	}
	if Has("builders", "shel") || Has("nothing", "shell") {
		t.Error("Has knows what is not there")
	}
}
