package rest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"landfall.dev/kit/kittest"
)

// checkOpenAPI has the validator of test/openapi check a document.
func checkOpenAPI(t *testing.T, document string) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "openapi.json")
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", ".", path)
	cmd.Dir = "../../test/openapi"
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestOpenAPIIsValidToOthers(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	_, document := call(t, "GET", c.URL()+"/api/openapi.json", "", "Authorization: Bearer "+c.Token("users/admin"))
	if out, err := checkOpenAPI(t, document); err != nil || !strings.Contains(out, "is valid OpenAPI 3.1") {
		t.Errorf("the document is not valid: %v\n%s", err, out)
	}
	broken := strings.Replace(document, `"in":"path"`, `"in":"pathway"`, 1)
	if out, err := checkOpenAPI(t, broken); err == nil || !strings.Contains(out, "is not valid") {
		t.Errorf("a parameter in no place is valid to the validator: %v\n%s", err, out)
	}
}
