// Package jinja renders the templates of Jinja2 in job definitions, with
// variables that must be defined, as far as the library gonja carries them;
// the rest is an error.
//
// Templates come with patches, from people who may do harm: what they can
// loop over and print is bounded before they run.
package jinja

import (
	"errors"
	"fmt"
	"io"
	"math/big"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"

	"landfall.dev/capability/job/definition/yaml11"
)

const (
	// maxTemplate is the size of a template in bytes.
	maxTemplate = 256 << 10
	// maxSteps is how often loops may run, nested ones multiplied.
	maxSteps = 1_000_000
	// maxMessage is how much of an error of the library is shown: its end.
	maxMessage = 200
	// maxIncludes is how many files a template may include.
	maxIncludes = 20
)

var (
	word    = regexp.MustCompile(`[\p{L}_][\p{L}\p{N}_]*`)
	loop    = regexp.MustCompile(`\{%[-+]?\s*for\b`)
	borrows = regexp.MustCompile(`\{%[-+]?\s*(?:include|import|from|extends)\b`)
)

// unbounded lists functions and filters that make much out of little.
var unbounded = regexp.MustCompile(`\b(?:range|lipsum|center|wordwrap|indent|ljust|rjust|zfill)\b|\*\*|['"\])]\s*\*|\*\s*['"\[(]`)

// Words returns all words in a template: the names that it uses among them.
func Words(text string) []string { return word.FindAllString(text, -1) }

// Names returns those of the known names that a template may use: all if it
// includes others.
func Names(text string, known []string) ([]string, error) {
	if len(text) > maxTemplate {
		return nil, errors.New("the template of Jinja2 is larger than 256 KiB: make it smaller")
	}
	if borrows.MatchString(text) {
		return known, nil
	}
	var used []string
	for _, w := range Words(text) {
		if slices.Contains(known, w) && !slices.Contains(used, w) {
			used = append(used, w)
		}
	}
	return used, nil
}

// Render returns what a template makes of variables. It reads the files that
// the template includes with read.
func Render(text string, vars map[string]*yaml11.Value, read func(name string) (string, error)) (out string, err error) {
	if strings.Trim(text, "\n") == text && !strings.Contains(text, "{") {
		return text, nil
	}
	if err := checkLoops(text, vars); err != nil {
		return "", err
	}
	// The library panics on some of what it does not know.
	defer func() {
		if p := recover(); p != nil {
			out, err = "", fmt.Errorf("the template of Jinja2 cannot be rendered: %v", p)
		}
	}()
	rules := config.New()
	rules.StrictUndefined = true
	environment := &exec.Environment{
		Context: exec.EmptyContext().Update(builtins.GlobalFunctions).Update(builtins.GlobalVariables),
		Filters: builtins.Filters, Tests: builtins.Tests,
		ControlStructures: builtins.ControlStructures, Methods: builtins.Methods,
	}
	template, err := exec.NewTemplate(root, rules, &files{text: text, read: read, vars: vars}, environment)
	if err != nil {
		return "", explain(err)
	}
	context := map[string]any{}
	for name, v := range vars {
		context[name] = native(v)
	}
	var b limited
	if err := template.Execute(&b, exec.NewContext(context)); err != nil {
		return "", explain(err)
	}
	return b.String(), nil
}

// explain says what an error of the library means to the author.
func explain(err error) error {
	message := err.Error()
	if i := strings.LastIndex(message, "Unable to evaluate name "); i >= 0 {
		return fmt.Errorf("the variable %s is not defined (define it, or write {{ name | default('text') }})",
			strings.TrimPrefix(message[i:], "Unable to evaluate name "))
	}
	if i := strings.LastIndex(message, "': "); strings.HasPrefix(message, "failed to parse template") && i >= 0 {
		message = message[i+3:]
	}
	message = strings.TrimPrefix(message, "unable to execute template: ")
	if runes := []rune(message); len(runes) > maxMessage {
		message = "..." + string(runes[len(runes)-maxMessage:])
	}
	return fmt.Errorf("the template of Jinja2 cannot be rendered: %s", message)
}

// checkLoops returns an error if a template may run for long.
func checkLoops(text string, vars map[string]*yaml11.Value) error {
	if m := unbounded.FindString(text); m != "" {
		return fmt.Errorf("the template of Jinja2 has %q, which Landfall does not run", m)
	}
	longest := strings.Count(text, ",") + 2
	for _, v := range vars {
		longest = max(longest, length(v))
	}
	steps := 1
	for range loop.FindAllString(text, -1) {
		if steps *= longest; steps > maxSteps {
			return fmt.Errorf("the loops of the template of Jinja2 may run more than %d times: make it smaller", maxSteps)
		}
	}
	return nil
}

// length returns the length of the longest list, map or text in v.
func length(v *yaml11.Value) int {
	longest := 0
	switch data := v.Data.(type) {
	case []*yaml11.Value:
		longest = len(data)
		for _, item := range data {
			longest = max(longest, length(item))
		}
	case yaml11.Map:
		longest = len(data)
		for _, e := range data {
			longest = max(longest, length(e.Value))
		}
	}
	return longest
}

// native returns v as the library takes it.
func native(v *yaml11.Value) any {
	switch data := v.Data.(type) {
	case nil, bool, string, float64:
		return data
	case *big.Int:
		if data.IsInt64() {
			return int(data.Int64())
		}
		return data.String()
	case []*yaml11.Value:
		items := make([]any, len(data))
		for i, item := range data {
			items[i] = native(item)
		}
		return items
	case yaml11.Map:
		d := exec.NewDict()
		for _, e := range data {
			d.Pairs = append(d.Pairs, &exec.Pair{Key: exec.AsValue(native(e.Key)), Value: exec.AsValue(native(e.Value))})
		}
		return *d
	default:
		return v.Text()
	}
}

// limited is a text that may not grow for ever.
type limited struct{ strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > yaml11.MaxSize {
		return 0, errors.New("it makes more than 4 MiB")
	}
	return l.Builder.Write(p)
}

// root is what the template itself is called among files.
const root = "/"

// files reads templates: the one that is rendered and those that it includes.
type files struct {
	text  string
	read  func(name string) (string, error)
	vars  map[string]*yaml11.Value
	count int
}

func (f *files) Read(name string) (io.Reader, error) {
	if name == root {
		return strings.NewReader(f.text), nil
	}
	if f.count++; f.count > maxIncludes {
		return nil, fmt.Errorf("templates include more than %d files", maxIncludes)
	}
	text, err := f.read(name)
	if err != nil {
		return nil, err
	}
	if err := checkLoops(text, f.vars); err != nil {
		return nil, err
	}
	return strings.NewReader(text), nil
}

func (f *files) Resolve(name string) (string, error) { return path.Clean(name), nil }

func (f *files) Inherit(string) (loaders.Loader, error) { return f, nil }
