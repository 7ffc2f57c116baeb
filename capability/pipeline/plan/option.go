package plan

import (
	"errors"
	"fmt"
	"time"

	"go.starlark.net/starlark"

	"landfall.dev/api"
	"landfall.dev/capability/pipeline/window"
)

// options are the arguments that nodes and stages have in common.
type options struct {
	when, timeout, window starlark.Value
}

func (o *options) pairs() []any {
	return []any{"when??", &o.when, "timeout??", &o.timeout, "window??", &o.window}
}

func (o *options) read(name string) (*when, int, *api.Window, error) {
	var condition *when
	if o.when != nil {
		var ok bool
		if condition, ok = o.when.(*when); !ok {
			return nil, 0, nil, fmt.Errorf(`%s: when is %s; want a condition, as branch("main") or result(node, "failed"): what is known already is an if of the program`, name, typeOf(o.when))
		}
	}
	seconds, err := seconds(name, "timeout", o.timeout)
	if err != nil {
		return nil, 0, nil, err
	}
	w, err := windowOf(name, o.window)
	return condition, seconds, w, err
}

// maxSeconds bounds what a plan lets pass: 30 days.
const maxSeconds = 30 * 24 * 3600

// seconds reads a duration like "20m"; nil is 0.
func seconds(function, argument string, v starlark.Value) (int, error) {
	if v == nil {
		return 0, nil
	}
	text, _ := starlark.AsString(v)
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > maxSeconds*time.Second {
		return 0, fmt.Errorf(`%s: %s is %s; want a duration from "1s" to "720h", as "90s", "20m" or "72h"`, function, argument, v)
	}
	return int(d / time.Second), nil
}

// maxTimes bounds the times, and the freezes, of a window.
const maxTimes = 20

// windowValue is an api.Window as a Starlark value.
type windowValue struct{ *api.Window }

func (w windowValue) String() string      { return "<window " + window.Text(*w.Window) + ">" }
func (windowValue) Type() string          { return "window" }
func (windowValue) Freeze()               {}
func (windowValue) Truth() starlark.Bool  { return true }
func (windowValue) Hash() (uint32, error) { return 0, errors.New("unhashable: window") }

func newWindow(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	w := &api.Window{}
	var freeze starlark.Value
	if err := starlark.UnpackArgs(b.Name(), nil, kwargs, "zone?", &w.Zone, "freeze??", &freeze); err != nil {
		return nil, err
	}
	var err error
	if w.Times, err = texts(args); err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	if w.Freezes, err = texts(entriesOf(freeze)); err != nil {
		return nil, fmt.Errorf("%s: freeze: %w", b.Name(), err)
	}
	return windowValue{w}, checkWindow(b.Name(), w)
}

// windowOf reads the argument window of a function: a window, or its times.
func windowOf(name string, v starlark.Value) (*api.Window, error) {
	if w, ok := v.(windowValue); ok || v == nil {
		return w.Window, nil
	}
	times, err := texts(entriesOf(v))
	if err != nil || len(times) == 0 {
		return nil, fmt.Errorf(`%s: window is %s; want times as "Mon-Thu 08:00-16:00", or window("Mon-Thu 08:00-16:00", zone = "Europe/Berlin")`, name, typeOf(v))
	}
	w := &api.Window{Times: times}
	return w, checkWindow(name, w)
}

func checkWindow(name string, w *api.Window) error {
	if _, err := window.Read(*w); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// texts are the entries of a list, all strings, and not too many.
func texts(list starlark.Indexable) ([]string, error) {
	var all []string
	for i := 0; list != nil && i < list.Len(); i++ {
		text, ok := starlark.AsString(list.Index(i))
		if !ok {
			return nil, fmt.Errorf("entry %d is %s; want a string", i+1, typeOf(list.Index(i)))
		}
		all = append(all, text)
	}
	if len(all) > maxTimes {
		return nil, fmt.Errorf("there are %d; want at most %d", len(all), maxTimes)
	}
	return all, nil
}
