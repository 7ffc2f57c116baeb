package jobload

import (
	"strings"
	"testing"
)

func TestALineIsFoundAcrossEvents(t *testing.T) {
	const events = "id: 1.4\ndata: \"--- step 1: the first line\\nthe \"\n\nid: 1.9\ndata: \"first line\\n\"\n\nevent: end\ndata: {}\n\n"
	if err := until(strings.NewReader(events), greeting); err != nil {
		t.Errorf("the line is not found: %v", err)
	}
	if err := until(strings.NewReader(strings.Replace(events, "first line\\n\"\n\nevent", "last line\\n\"\n\nevent", 1)), greeting); err == nil {
		t.Error("a line is found that is only a part of another")
	}
}
