package step

import (
	"io"
	"io/fs"
	"os"
	"strings"

	"landfall.dev/api"
)

// Ended returns the result that the steps have noted in the directory of their
// state and the step that is to blame, both empty if they did not come to that.
// The latter is text of the build's: anything may stand there.
func Ended(state string) (api.Result, string) {
	// A root, because the build may have made the file a link.
	root, err := os.OpenRoot(state)
	if err != nil {
		return "", ""
	}
	defer root.Close()
	text, err := readSmall(root, "result")
	if err != nil {
		return "", "" // the script was killed before it could write it
	}
	result, why, _ := strings.Cut(strings.TrimSuffix(text, "\n"), "\n")
	return api.Result(result), why
}

// Injected are the variables that steps have set.
func Injected(state string) map[string]string {
	env := map[string]string{}
	root, err := os.OpenRoot(state)
	if err != nil {
		return env
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), "env")
	if err != nil {
		return env
	}
	for _, e := range entries {
		if value, err := readSmall(root, "env/"+e.Name()); err == nil {
			env[e.Name()] = value
		}
	}
	return env
}

// readSmall returns the beginning of a regular file of the build's.
func readSmall(root *os.Root, name string) (string, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 128<<10))
	return string(data), err
}

// maxLine is how much of a line is shown of it elsewhere, in characters.
const maxLine = 200

// Shorten cuts text to what is shown of a line.
func Shorten(text string) string {
	if r := []rune(text); len(r) > maxLine {
		return string(r[:maxLine-1]) + "…"
	}
	return text
}
